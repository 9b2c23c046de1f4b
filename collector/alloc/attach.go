package alloc

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/uprobesession"
)

// fileID tells files apart, as probes do: they are in all that a process maps of one, wherever,
// and by whatever it is known here.
type fileID struct{ device, inode uint64 }

// mappedFile is a path of the very file that a process has mapped, which a container may have
// another copy of.
func mappedFile(pid uint32, m process.Mapping, otherwise string) (path string, id fileID) {
	var stat unix.Stat_t
	path = fmt.Sprintf("/proc/%d/map_files/%x-%x", pid, m.Start, m.End)
	if unix.Stat(path, &stat) == nil {
		return path, fileID{stat.Dev, stat.Ino}
	}
	// It was mapped in other pieces meanwhile.
	if unix.Stat(otherwise, &stat) != nil {
		return otherwise, fileID{} // attaching says why
	}
	return otherwise, fileID{stat.Dev, stat.Ino}
}

// attach puts probes at all sites of an allocator: first where memory is freed, so that
// nothing is followed whose end would not be seen. They are taken away the other way round.
func (w *Watcher) attach(t *Target, a *allocator, path string) error {
	cookie := func(s site) uint64 { return uint64(s.function)<<32 | uint64(t.Number) }
	if w.session != nil {
		for _, frees := range []bool{true, false} {
			var offsets, cookies []uint64
			for _, s := range a.sites {
				if s.frees() == frees {
					offsets, cookies = append(offsets, s.offset), append(cookies, cookie(s))
				}
			}
			attached, err := uprobesession.Attach(w.session.FD(), path, t.PID, offsets, cookies)
			if err != nil {
				return err
			}
			t.links = append(t.links, attached)
		}
		return nil
	}
	executable, err := link.OpenExecutable(path)
	if err != nil {
		return err
	}
	for _, s := range slices.SortedStableFunc(slices.Values(a.sites), func(x, y site) int { return b2i(y.frees()) - b2i(x.frees()) }) {
		options := &link.UprobeOptions{Address: s.offset, PID: int(t.PID), Cookie: cookie(s)}
		if !s.frees() { // first, so that no call comes in between
			leave, err := executable.Uretprobe(s.name, w.objects.Leave, options)
			if err != nil {
				return err
			}
			t.links = append(t.links, leave)
		}
		enter, err := executable.Uprobe(s.name, w.objects.Enter, options)
		if err != nil {
			return err
		}
		t.links = append(t.links, enter)
	}
	return nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// errNoSession says that this kernel has no uprobe sessions.
var errNoSession = errors.New("the kernel has no uprobe sessions (Linux 6.13)")
