package unwind

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/process"
)

// handles is the kernel's table of processes and their sets of mappings. The kernel
// adds forked children to it; only this end replaces and removes. It is used by one
// goroutine.
type handles struct {
	kernel *ebpf.Map
	sets   *sets
	// known is the processes that are likely in it, so that the others cost no system
	// call when they end.
	known map[uint32]bool
}

func newHandles(kernel *ebpf.Map, sets *sets) *handles {
	return &handles{kernel: kernel, sets: sets, known: map[uint32]bool{}}
}

// get is what the kernel has of a process.
func (h *handles) get(pid uint32) (bpf.CoreUnwindProcess, bool, error) {
	var p bpf.CoreUnwindProcess
	err := h.kernel.Lookup(pid, &p)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return p, false, nil
	}
	if err != nil {
		return p, false, fmt.Errorf("looking process %d up in the kernel: %w", pid, err)
	}
	return p, true, nil
}

// put gives a process a set, in the place of what it had.
func (h *handles) put(id process.Identity, x *set) error {
	before, had, err := h.get(id.PID)
	if err != nil {
		return err
	}
	p := bpf.CoreUnwindProcess{
		Start: id.Start, Generation: id.Generation, Version: x.version,
		Set: x.number, First: uint32(x.range_.at), Count: uint32(x.range_.n),
	}
	if x.pureGo {
		p.Go = 1
	}
	p.Check = check(p)
	h.sets.used(x.number, 1)
	if err := h.kernel.Update(id.PID, p, ebpf.UpdateAny); err != nil {
		h.sets.used(x.number, -1)
		if isFull(err) {
			return errFull
		}
		return err
	}
	if had {
		h.sets.used(before.Set, -1)
	}
	h.known[id.PID] = true
	return nil
}

// remove forgets a process.
func (h *handles) remove(pid uint32) error {
	if !h.known[pid] {
		return nil
	}
	delete(h.known, pid)
	var p bpf.CoreUnwindProcess
	err := h.kernel.LookupAndDelete(pid, &p)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("removing process %d from the kernel: %w", pid, err)
	}
	h.sets.used(p.Set, -1)
	return nil
}

// check is check_process of bpf/unwind_machine.h.
func check(p bpf.CoreUnwindProcess) uint64 {
	return p.Start*3 + p.Generation*5 + p.Version*7 + (uint64(p.First)<<32|uint64(p.Count))*11 + uint64(p.Set)*13 + uint64(p.Go)*17
}

// isFull tells whether an update failed for want of room.
func isFull(err error) bool {
	return errors.Is(err, unix.E2BIG) || errors.Is(err, unix.ENOMEM)
}
