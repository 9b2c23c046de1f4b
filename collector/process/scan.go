package process

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/collector/lifecycle"
)

// Scanned is a process as /proc showed it.
type Scanned struct {
	PID       uint32
	Parent    uint32
	Container string
	Mappings  []Mapping
	// Executable is the program's file as /proc names it; empty if it has none.
	Executable string
	// start is in clock ticks since boot (proc(5), stat field 22).
	start uint64
}

// ticksPerSecond is USER_HZ, which the kernel's ABI fixes at 100.
const ticksPerSecond = 100

// Scan reads every process that runs now. Processes that end meanwhile, and those
// that cannot be read, are left out; the PIDs of the latter are returned.
func Scan(binaries *Binaries) (scanned []Scanned, unreadable []int, err error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return nil, nil, fmt.Errorf("opening /proc: %w", err)
	}
	procs, err := fs.AllProcs()
	if err != nil {
		return nil, nil, fmt.Errorf("listing the processes: %w", err)
	}
	for _, proc := range procs {
		s, err := scanProcess(proc, binaries)
		switch {
		case err == nil:
			scanned = append(scanned, s)
		case !gone(err):
			unreadable = append(unreadable, proc.PID)
		}
	}
	return scanned, unreadable, nil
}

// ScanOne reads one process, if it runs and can be read.
func ScanOne(pid uint32, binaries *Binaries) (Scanned, bool) {
	proc, err := procfs.NewProc(int(pid))
	if err != nil {
		return Scanned{}, false
	}
	s, err := scanProcess(proc, binaries)
	return s, err == nil
}

func scanProcess(proc procfs.Proc, binaries *Binaries) (Scanned, error) {
	stat, err := proc.Stat()
	if err != nil {
		return Scanned{}, fmt.Errorf("reading the state of process %d: %w", proc.PID, err)
	}
	maps, err := proc.ProcMaps()
	if err != nil {
		return Scanned{}, fmt.Errorf("reading the mappings of process %d: %w", proc.PID, err)
	}
	s := Scanned{PID: uint32(proc.PID), Parent: uint32(stat.PPID), Container: Container(uint32(proc.PID)), start: stat.Starttime}
	if s.Executable, err = proc.Executable(); err != nil {
		s.Executable = "" // it has ended, or is the kernel's
	}
	for _, m := range maps {
		if !m.Perms.Execute {
			continue
		}
		mapping := lifecycle.Mapping{
			Start: uint64(m.StartAddr), End: uint64(m.EndAddr), Offset: uint64(m.Offset), Path: m.Pathname,
			File: lifecycle.FileIdentity{Major: unix.Major(m.Dev), Minor: unix.Minor(m.Dev), Inode: m.Inode},
		}
		s.Mappings = append(s.Mappings, Mapping{
			Start: mapping.Start, End: mapping.End, Offset: mapping.Offset,
			Binary: binaries.Get(uint32(proc.PID), mapping),
		})
	}
	return s, nil
}

func (s Scanned) process() *Process {
	return &Process{PID: s.PID, Parent: s.Parent, Program: s.PID, Container: s.Container, exe: s.Executable, mappings: s.Mappings, shared: true}
}

// startedAt tells whether this is the process that was forked at the given time of
// CLOCK_MONOTONIC. /proc gives ticks of CLOCK_BOOTTIME, which runs on in suspend,
// so a reading of both clocks joins them; a tick either way is rounding.
func (s Scanned) startedAt(start uint64) bool {
	var monotonic, boot unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &monotonic) != nil || unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil {
		return false
	}
	const tick = 1e9 / ticksPerSecond
	suspended := boot.Nano() - monotonic.Nano()
	difference := int64(start) + suspended - int64(s.start*tick)
	return difference > -tick && difference < 2*tick
}

func gone(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH)
}

// containerID is how Docker, containerd, CRI-O and Podman name a container's
// cgroup: 64 hex digits, with or without a prefix and ".scope".
var containerID = regexp.MustCompile(`(?:^|[/-])([0-9a-f]{64})(?:\.scope)?(?:/|$)`)

// Container returns the first 12 digits of the ID of the container that a running
// process is in, as container tools print it, or "".
func Container(pid uint32) string {
	f, err := os.Open(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return ""
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		_, path, _ := strings.Cut(lines.Text(), ":")
		if id := containerIn(path); id != "" {
			return id
		}
	}
	return ""
}

func containerIn(path string) string {
	found := containerID.FindAllStringSubmatch(path, -1)
	if len(found) == 0 {
		return ""
	}
	return found[len(found)-1][1][:12] // the innermost, for containers in containers
}
