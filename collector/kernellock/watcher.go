// Package kernellock tells which locks of the kernel were waited for, by whom and how long.
//
// [Open] loads the programs (bpf/contention.bpf.c); contentions then arrive in the core's
// ring buffer, where [Decode] turns a record into an [Event]. Their stacks arrive as those
// of waits do (package wait). [Namer] says what a lock is called: by the slab cache of its
// object and the field that it is there, by its symbol, by the run queue that it guards, or
// else by the function that wanted it. [Frames] knows the functions that wait for locks.
//
// What waits for another lock while it waits for one (a mutex has a spinlock, for its list
// of waiters) is no time of the outer lock, so that the times of all locks can be added.
// Where more than some 1,200 waits a second end on a CPU, short ones are sent with a chance
// that grows with their length, and the weight that this takes. Waits of half a second and
// more are always sent as they are. [Watcher.Totals] has all there was, sent or not.
//
// The kernel tells of no wait for a spinlock that only one CPU waits for, unless it runs
// under a hypervisor that schedules such waits, and of none in which a semaphore for readers
// and a writer (rwsem) could be had by spinning.
package kernellock

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/core"
	"github.com/narrows-profiler/narrows/collector/wait"
)

// Backend is the kind of hook in use.
const Backend = "tp_btf/contention_begin, tp_btf/contention_end"

// Watcher is the running programs.
type Watcher struct {
	objects bpf.ContentionObjects
	links   []link.Link
	mu      sync.Mutex // one walk through the threads at a time
}

// Open loads and attaches the programs. It needs CAP_PERFMON and CAP_BPF, and Linux 5.19.
func Open(c *core.Core) (*Watcher, error) {
	w := &Watcher{}
	if err := w.open(c); err != nil {
		return nil, errors.Join(fmt.Errorf("watching the kernel's locks: %w", err), w.Close())
	}
	return w, nil
}

func (w *Watcher) open(c *core.Core) error {
	spec, err := bpf.LoadContention()
	if err != nil {
		return err
	}
	shift := uint32(0)
	for os.Getpagesize()>>shift > 1 {
		shift++
	}
	if err := spec.Variables[bpf.ContentionVarPageShift].Set(shift); err != nil {
		return fmt.Errorf("setting the size of pages: %w", err)
	}
	if err := c.LoadAndAssign(spec, &w.objects); err != nil {
		return err
	}
	// An end whose beginning is not known is told from others; not so the reverse.
	for _, p := range []*ebpf.Program{w.objects.EndContention, w.objects.BeginContention} {
		attached, err := link.AttachTracing(link.TracingOptions{Program: p})
		if err != nil {
			return fmt.Errorf("attaching to %v: %w", p, err)
		}
		w.links = append(w.links, attached)
	}
	return nil
}

// Queue is the run queue of a CPU.
type Queue struct {
	Address uint64
	CPU     int
}

// Queues finds the run queues of all CPUs, each once.
func (w *Watcher) Queues() ([]Queue, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var queues []Queue
	known := map[uint64]bool{}
	err := wait.Walk(w.objects.FindQueues, func(record []byte) {
		if len(record) < 16 {
			return
		}
		q := Queue{binary.NativeEndian.Uint64(record), int(binary.NativeEndian.Uint64(record[8:]))}
		if !known[q.Address] {
			known[q.Address] = true
			queues = append(queues, q)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("looking for run queues: %w", err)
	}
	return queues, nil
}

// Cut gives the parts before the boundary, a time in the past, of all waits for locks that
// threads may sleep for. The rest of each begins there. Records are as those of the ring
// buffer.
func (w *Watcher) Cut(boundary uint64, record func([]byte)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.objects.Boundary.Set(boundary); err != nil {
		return fmt.Errorf("cutting waits for kernel locks: %w", err)
	}
	if err := wait.Walk(w.objects.CutContentions, record); err != nil {
		return fmt.Errorf("cutting waits for kernel locks: %w", err)
	}
	return nil
}

// Total is all contention of one kind of lock, whether it was sent or others stand for it.
type Total struct {
	Kind   string
	Waits  uint64
	Time   time.Duration // in which nothing else was waited for
	Nested time.Duration // in which another lock was
}

// Totals reads what there was until now, by the tracepoints' flags.
func (w *Watcher) Totals() (map[Flags]Total, error) {
	totals := map[Flags]Total{}
	for flags := range w.objects.ContentionTotals.MaxEntries() {
		var cpus []bpf.CoreContentionTotal
		if err := w.objects.ContentionTotals.Lookup(flags, &cpus); err != nil {
			return nil, fmt.Errorf("reading the sums of kernel locks: %w", err)
		}
		sum := Total{Kind: Flags(flags).Kind()}
		for _, c := range cpus {
			sum.Waits += c.Waits
			sum.Time += time.Duration(c.Time)
			sum.Nested += time.Duration(c.Nested)
		}
		if sum.Waits > 0 || sum.Time > 0 {
			totals[Flags(flags)] = sum
		}
	}
	return totals, nil
}

// Missed is how often the kernel did not run a program, since it ran already: in an
// interrupt, or for a lock that the program itself needs.
func (w *Watcher) Missed() (uint64, error) {
	var missed uint64
	for _, p := range []*ebpf.Program{w.objects.BeginContention, w.objects.EndContention} {
		stats, err := p.Stats()
		if err != nil {
			return 0, fmt.Errorf("reading how often %v was missed: %w", p, err)
		}
		missed += stats.RecursionMisses
	}
	return missed, nil
}

// Cost is what the programs took so far; it is counted only while BPF statistics are on
// (ebpf.EnableStats).
func (w *Watcher) Cost() (runs uint64, spent time.Duration, err error) {
	return core.Cost(w.objects.BeginContention, w.objects.EndContention)
}

// Stop detaches the programs; what is in the ring buffer stays.
func (w *Watcher) Stop() error {
	err := core.Detach(w.links)
	w.links = nil
	return err
}

// Close detaches and frees everything.
func (w *Watcher) Close() error { return errors.Join(w.Stop(), w.objects.Close()) }
