package alloc

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/cilium/ebpf/link"

	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/uprobesession"
)

// mappedPath is a path of the very file that a process has mapped, which a container may
// have another copy of.
func mappedPath(pid uint32, m process.Mapping, otherwise string) string {
	path := fmt.Sprintf("/proc/%d/map_files/%x-%x", pid, m.Start, m.End)
	if _, err := os.Stat(path); err != nil {
		return otherwise // it was mapped in other pieces meanwhile
	}
	return path
}

// attach puts probes at all sites of an allocator: first where memory is freed, so that
// nothing is followed whose end would not be seen. They are taken away the other way round.
func (w *Watcher) attach(t *Target, a *allocator, m process.Mapping) error {
	path := mappedPath(t.PID, m, a.path)
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
