package service

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/prometheus/procfs"
)

// tcpListen is TCP_LISTEN of the kernel's include/net/tcp_states.h, as
// /proc/net/tcp shows it.
const tcpListen = 0x0a

// FindListener returns the process that listens on a TCP port in this network
// namespace: the socket's inode from /proc/net/tcp and tcp6, and the process
// with that socket open. Of several, such as a server's workers, it returns the
// one that is no other's child, the oldest if there are more. Sockets of other
// users' processes are visible to root only.
func FindListener(port int) (int, error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return 0, fmt.Errorf("opening /proc: %w", err)
	}
	sockets, err := listeningSockets(fs, port)
	if err != nil {
		return 0, err
	}
	if len(sockets) == 0 {
		return 0, fmt.Errorf("no socket of this network namespace listens on port %d; the service may run in a container", port)
	}
	processes, err := fs.AllProcs()
	if err != nil {
		return 0, fmt.Errorf("listing the processes: %w", err)
	}
	holders := make(map[int]procfs.ProcStat)
	for _, process := range processes {
		// Processes end at any time, and some cannot be read: no error.
		open, err := process.FileDescriptorTargets()
		if err != nil || !slices.ContainsFunc(open, func(target string) bool { return slices.Contains(sockets, target) }) {
			continue
		}
		if stat, err := process.Stat(); err == nil {
			holders[process.PID] = stat
		}
	}
	return root(holders, port)
}

// root picks the process that is no other holder's child.
func root(holders map[int]procfs.ProcStat, port int) (int, error) {
	found := 0
	for pid, stat := range holders {
		if _, child := holders[stat.PPID]; child {
			continue
		}
		if found == 0 || stat.Starttime < holders[found].Starttime || stat.Starttime == holders[found].Starttime && pid < found {
			found = pid
		}
	}
	if found == 0 {
		return 0, fmt.Errorf("the process that listens on port %d cannot be seen; run as root to find it", port)
	}
	return found, nil
}

// listeningSockets returns the sockets on a port as /proc/PID/fd links name them.
func listeningSockets(fs procfs.FS, port int) ([]string, error) {
	var sockets []string
	four, err4 := fs.NetTCP()
	six, err6 := fs.NetTCP6() // absent where the kernel has no IPv6
	if err4 != nil && err6 != nil {
		return nil, fmt.Errorf("reading the kernel's socket tables: %w", errors.Join(err4, err6))
	}
	for _, socket := range slices.Concat(four, six) {
		if socket.St == tcpListen && socket.LocalPort == uint64(port) {
			sockets = append(sockets, "socket:["+strconv.FormatUint(socket.Inode, 10)+"]")
		}
	}
	return sockets, nil
}
