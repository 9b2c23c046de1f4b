// Package kernelalloc tells where the kernel allocates memory for itself, for which process,
// and what of it is never given back: objects of slab caches, and pages.
//
// [Open] loads the programs (bpf/kernelalloc.bpf.c); what they take down arrives in the
// core's ring buffer, where [Decode] turns a record into an [Event]. The stack that an event
// names is sent before it, as those of waits are; [Reader] says what a stack means. What
// lives is read from the kernel by [Watcher.Live].
//
// Memory is taken down with a chance that grows with its size, 1 - exp(-size/mean), and
// stands for the inverse (package alloc). Where a CPU would send more than it may, the mean
// doubles; each event has the one that it was drawn with. [Watcher.Totals] has all there was.
//
// Not seen: what is taken or freed many at a time, for which the kernel has no tracepoints.
// Of pages it is known how many that were ([Watcher.Totals]), of objects it is not: those
// freed like this (kfree_rcu, buffers of packets) seem to live until their place is used
// again or, from Linux 6.14 on, until their page is no more the cache's.
package kernelalloc

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/alloc"
	"github.com/narrows-profiler/narrows/collector/core"
)

// Backend is the hooks in use. There are no others.
const Backend = "raw_tp/kmalloc, kmem_cache_alloc, mm_page_alloc, kfree, kmem_cache_free, mm_page_free"

// DefaultMean is for how many bytes one allocation is taken down where nobody says.
const DefaultMean = 64 << 10

// Watcher is the running programs.
type Watcher struct {
	objects bpf.KernelAllocObjects
	links   []link.Link // first those at which memory is taken
	began   uint64      // pages that the kernel had taken before
}

// Open loads and attaches the programs, which take down one allocation for each mean bytes,
// on average; each if that is 1. It needs CAP_PERFMON and CAP_BPF, and Linux 6.1. Before it,
// [core.Core.ForgetStacks] is called once.
func Open(c *core.Core, mean uint64) (*Watcher, error) {
	w := &Watcher{}
	if err := w.open(c, mean, maxLive); err != nil {
		return nil, errors.Join(fmt.Errorf("watching the kernel's allocations: %w", err), w.Close())
	}
	return w, nil
}

// maxLive is how much of what was taken down may live at a time; the room for it is taken at
// once, 14 MB.
const maxLive = 128 << 10

func (w *Watcher) open(c *core.Core, mean uint64, live uint32) error {
	if mean < 1 || mean > alloc.MaxMean {
		return fmt.Errorf("an allocation for each %d bytes: use 1 to %d", mean, uint64(alloc.MaxMean))
	}
	spec, err := bpf.LoadKernelAlloc()
	if err != nil {
		return err
	}
	if err := set(spec, mean); err != nil {
		return err
	}
	spec.Maps[bpf.KernelAllocMapKernelAllocBlocks].MaxEntries = live
	if err := c.LoadAndAssign(spec, &w.objects); err != nil {
		return err
	}
	if w.began, err = pagesTaken(); err != nil {
		return err
	}
	// First where memory is freed, so that nothing is followed whose end would not be seen.
	for _, h := range append(w.freeing(), w.taking()...) {
		attached, err := link.AttachRawTracepoint(link.RawTracepointOptions{Name: h.tracepoint, Program: h.program})
		if err != nil {
			return fmt.Errorf("attaching to %s: %w", h.tracepoint, err)
		}
		w.links = append([]link.Link{attached}, w.links...)
	}
	return nil
}

// How many events of one kind one CPU may send each second in the long run, at some 5 us for
// stack and event, and how many at once. Who wants each allocation pays for it.
const (
	eventsPerSecond     = 1000
	eventsSaved         = 2048
	allEventsPerSecond  = 10_000
	allEventsSaved      = 64 << 10
	jiffiesPerPeriod    = 4 // 1 << PERIOD_JIFFIES_SHIFT of bpf/kernelalloc.bpf.c
	varEventsAPeriod    = "events_a_period"
	varEventsSaved      = "events_saved"
	everyAllocationMean = 1
)

// set tells the programs about this machine, and how much to take down.
func set(spec *ebpf.CollectionSpec, mean uint64) error {
	var tick unix.Timespec // the coarse clocks move on once a jiffy
	if err := unix.ClockGetres(unix.CLOCK_MONOTONIC_COARSE, &tick); err != nil {
		return fmt.Errorf("asking how long a jiffy is: %w", err)
	}
	perSecond, saved := eventsPerSecond, eventsSaved
	if mean == everyAllocationMean {
		perSecond, saved = allEventsPerSecond, allEventsSaved
	}
	period := time.Duration(tick.Nano() * jiffiesPerPeriod).Seconds()
	for name, value := range map[string]any{
		"mean_bytes": mean, "log_table": alloc.LogTable(), "page_size": uint32(os.Getpagesize()),
		varEventsAPeriod: uint32(max(float64(perSecond)*period, 1)), varEventsSaved: uint32(saved),
	} {
		if err := spec.Variables[name].Set(value); err != nil {
			return fmt.Errorf("setting %s: %w", name, err)
		}
	}
	return nil
}

// hook is a program at its tracepoint.
type hook struct {
	tracepoint string
	program    *ebpf.Program
}

func (w *Watcher) taking() []hook {
	return []hook{{"kmalloc", w.objects.KernelKmalloc}, {"kmem_cache_alloc", w.objects.KernelObject}, {"mm_page_alloc", w.objects.KernelPage}}
}

func (w *Watcher) freeing() []hook {
	return []hook{{"kfree", w.objects.KernelKfree}, {"kmem_cache_free", w.objects.KernelObjectFree}, {"mm_page_free", w.objects.KernelPageFree}}
}

// Cost is what the programs took so far; it is counted only while BPF statistics are on
// (ebpf.EnableStats).
func (w *Watcher) Cost() (runs uint64, spent time.Duration, err error) {
	var programs []*ebpf.Program
	for _, h := range append(w.taking(), w.freeing()...) {
		programs = append(programs, h.program)
	}
	return core.Cost(programs...)
}

// Stop detaches the programs, first those at which memory is taken; what is in the ring
// buffer, and what lives, stays.
func (w *Watcher) Stop() error {
	err := core.Detach(w.links)
	w.links = nil
	return err
}

// Close detaches and frees everything.
func (w *Watcher) Close() error { return errors.Join(w.Stop(), w.objects.Close()) }
