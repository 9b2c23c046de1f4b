// Package uprobesession attaches programs of the kind uprobe.session, which run at the entry of
// a function and say there, call by call, whether they run at its return too. The eBPF library
// cannot make that link yet. It needs Linux 6.13.
package uprobesession

import (
	"fmt"
	"runtime"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Link is probes of one program. They go when it is closed, or this process ends.
type Link int

// Close takes the probes away.
func (l Link) Close() error { return unix.Close(int(l)) }

// linkCreate is what bpf(2) takes for such a link: link_create of union bpf_attr.
type linkCreate struct {
	program, target, attachType, flags uint32
	path, offsets, counters, cookies   uint64
	count, multiFlags, pid, padding    uint32
}

// AttachType is what such programs are loaded for: BPF_TRACE_UPROBE_SESSION.
const AttachType = ebpf.AttachType(57)

// Attach puts a program at offsets of a file, in one process.
func Attach(program int, path string, pid uint32, offsets, cookies []uint64) (Link, error) {
	name, err := unix.BytePtrFromString(path)
	if err != nil {
		return -1, err
	}
	create := linkCreate{
		program: uint32(program), attachType: uint32(AttachType), path: address(name),
		offsets: address(&offsets[0]), cookies: address(&cookies[0]), count: uint32(len(offsets)), pid: pid,
	}
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_LINK_CREATE, uintptr(unsafe.Pointer(&create)), unsafe.Sizeof(create))
	runtime.KeepAlive(name)
	runtime.KeepAlive(offsets)
	runtime.KeepAlive(cookies)
	if errno != 0 {
		return -1, fmt.Errorf("linking a uprobe session: %w", errno)
	}
	return Link(fd), nil
}

func address[T any](p *T) uint64 { return uint64(uintptr(unsafe.Pointer(p))) }
