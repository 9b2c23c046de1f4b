// Package wait tells where threads wait: it watches every switch of a thread and every
// wake-up on the machine.
//
// [Open] loads the programs (bpf/wait.bpf.c); waits then arrive in the core's ring
// buffer, where [Decode] turns a record into an [Event] and [DecodeStack] one into the
// [Stack] that events name by its ID. Threads that were asleep before are found by
// [Watcher.Asleep], and [Watcher.Cut] gives out waits that have not ended, so that none
// is missing because it lasts too long. [Reasons] says what a wait was for.
//
// Where a CPU switches more than some 60,000 times a second, one switch in 2^n has a stack
// and stands for the others; where more than some 2,400 waits a second end on it, short
// ones are sent with a chance that grows with their length, and the weight that this
// takes. Waits that end as others let go of a lock are thinned out apart from all others.
// Waits of half a second and more are always sent as they are. All sums are right on average, and
// [Event.Weight] is part of every count.
package wait

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/core"
)

// Backend is the kind of hook in use. There is no second one: what is known of a thread
// is kept with its task, which programs on raw tracepoints cannot reach.
const Backend = "tp_btf/sched_switch, tp_btf/sched_waking"

// Watcher is the running programs.
type Watcher struct {
	objects bpf.WaitObjects
	asleep  bpf.AsleepObjects
	core    *core.Core
	links   []link.Link

	mu sync.Mutex // one walk through the threads at a time
}

// Open loads and attaches the programs. It needs CAP_PERFMON and CAP_BPF, and Linux 5.18.
func Open(c *core.Core) (*Watcher, error) {
	w := &Watcher{core: c}
	if err := w.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("watching waits: %w", err), w.Close())
	}
	return w, nil
}

func (w *Watcher) open() error {
	spec, err := bpf.LoadWait()
	if err != nil {
		return err
	}
	if err := w.core.LoadAndAssign(spec, &w.objects); err != nil {
		return err
	}
	if spec, err = bpf.LoadAsleep(); err != nil {
		return err
	}
	if err := w.core.LoadAndAssign(spec, &w.asleep); err != nil {
		return err
	}
	// Who wakes is only asked where a wait is known.
	for _, p := range []*ebpf.Program{w.objects.WaitWaking, w.objects.WaitSwitch} {
		attached, err := link.AttachTracing(link.TracingOptions{Program: p})
		if err != nil {
			return fmt.Errorf("attaching to %v: %w", p, err)
		}
		w.links = append(w.links, attached)
	}
	return nil
}

// Asleep gives the stacks of all threads that sleep and were not seen to leave their CPU.
// Their records are as those of the ring buffer, a stack's memory before it.
func (w *Watcher) Asleep(record func([]byte)) error {
	if err := Walk(w.asleep.FindAsleep, record); err != nil {
		return fmt.Errorf("looking for threads that sleep: %w", err)
	}
	return nil
}

// Cut gives the parts before the boundary, a time in the past, of all waits under way.
// The rest of each begins there.
func (w *Watcher) Cut(boundary uint64, record func([]byte)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.asleep.Boundary.Set(boundary); err != nil {
		return fmt.Errorf("cutting waits: %w", err)
	}
	if err := Walk(w.asleep.CutWaits, record); err != nil {
		return fmt.Errorf("cutting waits: %w", err)
	}
	return nil
}

// Walk runs a program for every thread, and reads what it writes.
func Walk(program *ebpf.Program, record func([]byte)) error {
	return core.Iterate(link.IterOptions{Program: program}, func(file io.Reader) error { return readRecords(file, record) })
}

// maxRecord bounds a record of the programs on threads: what fits into the kernel's buffer.
const maxRecord = 32 << 10

// readRecords reads records that have their size before them.
func readRecords(file io.Reader, record func([]byte)) error {
	var size [8]byte
	buffer := make([]byte, maxRecord)
	for {
		switch _, err := io.ReadFull(file, size[:]); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		n := binary.NativeEndian.Uint64(size[:])
		if n > maxRecord {
			return fmt.Errorf("%w: a record of %d bytes", ErrMalformed, n)
		}
		if _, err := io.ReadFull(file, buffer[:n]); err != nil {
			return err
		}
		record(buffer[:n])
	}
}

// Cost is what the programs took so far; it is counted only while BPF statistics are on
// (ebpf.EnableStats).
func (w *Watcher) Cost() (runs uint64, spent time.Duration, err error) {
	return core.Cost(w.objects.WaitSwitch, w.objects.WaitWaking)
}

// Stop detaches the programs; what is in the ring buffer stays.
func (w *Watcher) Stop() error {
	err := core.Detach(w.links)
	w.links = nil
	return err
}

// Close detaches and frees everything.
func (w *Watcher) Close() error {
	return errors.Join(w.Stop(), w.objects.Close(), w.asleep.Close())
}
