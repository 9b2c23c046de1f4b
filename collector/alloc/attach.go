package alloc

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"unsafe"

	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/collector/process"
)

// sessionLink is a link that the library cannot make yet: uprobe_multi with a program of
// the kind uprobe.session. It goes when it is closed, or this process ends.
type sessionLink int

// Close takes the probes away.
func (l sessionLink) Close() error { return unix.Close(int(l)) }

// linkCreate is what bpf(2) takes for such a link: link_create of union bpf_attr.
type linkCreate struct {
	program, target, attachType, flags uint32
	path, offsets, counters, cookies   uint64
	count, multiFlags, pid, padding    uint32
}

const attachUprobeSession = 57 // BPF_TRACE_UPROBE_SESSION

// attachSession puts a program at offsets of a file, in one process.
func attachSession(program int, path string, pid uint32, offsets, cookies []uint64) (sessionLink, error) {
	name, err := unix.BytePtrFromString(path)
	if err != nil {
		return -1, err
	}
	create := linkCreate{
		program: uint32(program), attachType: attachUprobeSession, path: address(name),
		offsets: address(&offsets[0]), cookies: address(&cookies[0]), count: uint32(len(offsets)), pid: pid,
	}
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_LINK_CREATE, uintptr(unsafe.Pointer(&create)), unsafe.Sizeof(create))
	runtime.KeepAlive(name)
	runtime.KeepAlive(offsets)
	runtime.KeepAlive(cookies)
	if errno != 0 {
		return -1, fmt.Errorf("linking a uprobe session: %w", errno)
	}
	return sessionLink(fd), nil
}

func address[T any](p *T) uint64 { return uint64(uintptr(unsafe.Pointer(p))) }

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
			attached, err := attachSession(w.session.FD(), path, t.PID, offsets, cookies)
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
