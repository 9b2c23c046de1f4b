package jit

import (
	"errors"
	"fmt"
	"os"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// ErrNotTrusted is what errors wrap when a list is not one that its process can be
// taken to have written.
var ErrNotTrusted = errors.New("not a list that the process wrote")

// errStale says that a list is of an earlier process of that number; this one may
// still begin its own.
var errStale = fmt.Errorf("older than the process: %w", os.ErrNotExist)

// startTolerance is how much earlier, in ns, a list may seem to have been written than
// its process began: /proc tells the start of a process to a second.
const startTolerance = 2e9

// openList opens the list of a process that began at a time of day in ns, or, if that
// is 0, when /proc says.
func openList(pid uint32, begun uint64) (*os.File, error) {
	proc, err := procfs.NewProc(int(pid))
	if err != nil {
		return nil, fmt.Errorf("looking for its list of code: %w", err)
	}
	status, err := proc.NewStatus()
	if err != nil {
		return nil, fmt.Errorf("looking for its list of code: %w", err)
	}
	if begun == 0 {
		stat, err := proc.Stat()
		if err != nil {
			return nil, fmt.Errorf("looking for its list of code: %w", err)
		}
		seconds, err := stat.StartTime()
		if err != nil {
			return nil, fmt.Errorf("looking for its list of code: %w", err)
		}
		begun = uint64(seconds * 1e9)
	}
	number := uint64(pid)
	if n := len(status.NSpids); n > 0 {
		number = status.NSpids[n-1] // in its own namespace
	}
	f, err := openBeneath(fmt.Sprintf("/proc/%d/root", pid), fmt.Sprintf("perf-%d.map", number))
	if err != nil {
		return nil, err
	}
	if err := trusted(f, status.UIDs[1], begun); err != nil {
		return nil, errors.Join(fmt.Errorf("/tmp/perf-%d.map: %w", number, err), f.Close())
	}
	return f, nil
}

// openBeneath opens a file of the folder /tmp beneath a root. The folder may be a
// link, within the root, but the file may not. Nothing but a regular file is opened
// for reading, because that can block or have effects.
func openBeneath(root, name string) (*os.File, error) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening the root %s: %w", root, err)
	}
	defer unix.Close(dir)
	tmp, err := unix.Openat2(dir, "tmp", &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, fmt.Errorf("opening /tmp beneath %s: %w", root, err)
	}
	defer unix.Close(tmp)
	fd, err := unix.Openat2(tmp, name, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, fmt.Errorf("opening %s beneath %s/tmp: %w", name, root, err)
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return nil, fmt.Errorf("examining %s: %w", name, err)
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("%s is not a regular file (mode %o): %w", name, stat.Mode, ErrNotTrusted)
	}
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
}

// trusted says why a file is not a list that a process of a user, begun at a time of
// day, wrote.
func trusted(f *os.File, user, begun uint64) error {
	stat, err := identify(f)
	switch {
	case err != nil:
		return err
	case uint64(stat.Uid) != user:
		return fmt.Errorf("it belongs to user %d, the process to %d: %w", stat.Uid, user, ErrNotTrusted)
	case stat.Mode&0o002 != 0:
		return fmt.Errorf("it is writable for everybody (mode %o): %w", stat.Mode&0o7777, ErrNotTrusted)
	case uint64(stat.Mtim.Nano())+startTolerance < begun:
		return errStale
	}
	return nil
}
