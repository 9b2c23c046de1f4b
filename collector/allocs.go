package collector

import (
	"errors"
	"math"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/collector/accounting"
	"github.com/narrows-profiler/narrows/collector/alloc"
	"github.com/narrows-profiler/narrows/collector/goheap"
	"github.com/narrows-profiler/narrows/collector/golock"
	"github.com/narrows-profiler/narrows/collector/jit"
	"github.com/narrows-profiler/narrows/collector/lifecycle"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/unwind"
	"github.com/narrows-profiler/narrows/collector/window"
)

// allocs records the allocations of the processes that were asked for.
type allocs struct {
	watcher *alloc.Watcher
	reader  *liveReader
	heaps   *goheap.Watcher // of Go programs
	family  *golock.Family
	cgroups *cgroupReader
}

// openAllocs makes ready to probe allocators. Allocations name stacks as waits do, and are
// not recorded without.
func (c *Collector) openAllocs(scanned []process.Scanned) {
	if c.config.AllocMean == 0 {
		return
	}
	if c.waits == nil {
		c.allocsErr = errors.New("waits are not recorded, with which stacks are shared")
		return
	}
	limit := alloc.Limit{Slowdown: c.config.MaxSlowdown, Announce: c.config.Announce}
	if limit.Slowdown == 0 {
		limit.Slowdown = golock.DefaultSlowdown
	}
	watcher, err := alloc.Open(c.core, c.config.AllocMean, limit, c.rescan)
	if c.allocsErr = err; err != nil {
		return // the report says so
	}
	heaps, err := c.watchGoHeaps()
	if c.allocsErr = err; err != nil {
		c.fail(watcher.Close())
		return
	}
	c.allocs = &allocs{watcher: watcher, reader: startLiveReader(watcher), heaps: heaps, family: golock.NewFamily(scanned)}
	c.replayer.heap = newHeap(c.config.AllocMean)
	for _, pid := range c.config.Selection.PIDs {
		c.probeAllocs(uint32(pid))
	}
	c.allocs.cgroups = startCgroupReader(c.config.Selection.CgroupFolders, c.probeAllocs)
}

// probeAllocs has the allocators of a process and its descendants probed.
func (c *Collector) probeAllocs(pid uint32) {
	if c.allocs == nil {
		return
	}
	for _, member := range c.allocs.family.Add(pid) {
		c.allocs.heaps.Attach(member)
		if scanned, ok := process.ScanOne(member, c.binaries); ok {
			// Many stacks come at once: those of which tables are not there yet may be lost.
			c.tracker.Prepare(member, func() { c.allocs.watcher.Attach(member, scanned.Mappings) })
		}
	}
}

// apply follows the processes' lives. Events come in the order of their times. What
// processes map has its unwind tables made ready: each allocation may be a stack.
func (a *allocs) apply(events []unwind.Event, prepare func(pid uint32, done func())) {
	if a == nil {
		return
	}
	mapped := map[uint32]bool{}
	defer func() {
		for pid := range mapped {
			prepare(pid, nil)
		}
	}()
	for _, e := range events {
		switch e.Kind {
		case lifecycle.Fork:
			a.family.Forked(e.PID, e.Parent)
			if a.family.Has(e.PID) {
				a.watcher.Forked(e.PID)
			}
		case lifecycle.Exec:
			if a.family.Has(e.PID) {
				a.watcher.Replace(e.PID)
				a.heaps.Replace(e.PID)
			}
		case lifecycle.Map:
			if a.family.Has(e.PID) {
				m := e.Mapping
				mapped[e.PID] = true
				a.heaps.Attach(e.PID)
				a.watcher.Attach(e.PID, []process.Mapping{{Start: m.Start, End: m.End, Offset: m.Offset, Binary: e.Binary}})
			}
		case lifecycle.Exit:
			if a.family.Has(e.PID) {
				a.watcher.Detach(e.PID)
				a.heaps.Detach(e.PID)
			}
			a.family.Exited(e.PID)
		}
	}
}

// stopAllocs takes the probes away, and queues what lives. What was allocated before is
// in the queue before it.
func (c *Collector) stopAllocs() error {
	if c.allocs == nil {
		return nil
	}
	err := c.allocs.cgroups.end()
	c.allocs.heaps.Stop()
	err = errors.Join(err, c.allocs.reader.end(), c.allocs.watcher.Stop())
	live, liveErr := c.allocs.readLive()
	c.queue.Push(accounting.Monotonic(), live)
	return errors.Join(err, liveErr)
}

func (a *allocs) close() error {
	if a == nil {
		return nil
	}
	err := a.cgroups.end()
	a.heaps.Stop()
	return errors.Join(err, a.reader.end(), a.watcher.Close())
}

// reportAllocs adds how the recording of allocations went.
func (c *Collector) reportAllocs(r *Report) (err error) {
	r.AllocsErr = c.allocsErr
	if c.allocs == nil {
		return nil
	}
	w := c.allocs.watcher
	r.AllocTargets, r.AllocBackend, r.GoHeaps = w.Targets(), w.Backend(), c.allocs.heaps.Targets()
	r.AllocRuns, r.AllocTime, err = w.Cost()
	r.Losses = append(r.Losses,
		Loss{"user space", "allocation without its stack", c.replayer.heap.missing},
		Loss{"user space", "no room for an allocation's stack", c.replayer.heap.stacks.Refused()},
		Loss{"user space", "no room for how much of a stack's allocations lived at a time", c.allocs.reader.history.Refused()},
		Loss{"user space", "process whose allocations were not recorded: too many waited for it", w.Dropped() + c.allocs.heaps.Dropped()},
	)
	return err
}

// heap gathers allocations into windows. It is used by one goroutine.
type heap struct {
	mean    uint64
	builder *window.Builder
	// stacks are kept for as long as the recording goes on: what lives names them at the end.
	stacks *window.Stacks
	// threads are who allocated, for the same reason.
	threads map[heapThread]window.Labels
	// rest is what rounding left of each value so far: sums stay right.
	rest [4]float64
	// missing counts allocations whose stack was taken and is not known.
	missing uint64
	lost    *jit.Function
	// sites are the places of what lives at the end.
	sites *sites
}

// heapThread is a thread of a process with probes.
type heapThread struct{ target, tid uint32 }

// maxHeapThreads bounds how many of them are known.
const maxHeapThreads = 100_000

func newHeap(mean uint64) *heap {
	name := "[lost: no stack of an allocation]"
	return &heap{
		mean: mean, stacks: window.NewStacks(), threads: map[heapThread]window.Labels{}, lost: &jit.Function{Name: name, SystemName: name}, sites: newSites(),
	}
}

// begin begins a window.
func (h *heap) begin() {
	h.builder = window.NewBuilder(window.Period{Type: &profile.ValueType{Type: "space", Unit: "bytes"}, Value: int64(h.mean)},
		&profile.ValueType{Type: "alloc_objects", Unit: "count"}, &profile.ValueType{Type: "alloc_space", Unit: "bytes"},
		&profile.ValueType{Type: "inuse_objects", Unit: "count"}, &profile.ValueType{Type: "inuse_space", Unit: "bytes"})
}

// allocated adds an allocation to the window, for all that it stands for. Its process was asked
// for, or it would not have probes.
func (r *replayer) allocated(e alloc.Event) {
	h := r.heap
	if r.opened == nil {
		return
	}
	p := r.table.Process(e.Thread.Identity, e.Time)
	if stack, ok := r.offCPU.stacks.Get(e.Stack); ok {
		h.stacks.Put(e.Stack, stack)
	}
	labels := window.Labels{
		Service: p.Service, Process: e.Thread.ProcessName, Thread: e.Thread.Name, Container: p.Container, PID: e.Thread.PID, TID: e.Thread.TID,
	}
	if len(h.threads) < maxHeapThreads {
		h.threads[heapThread{e.Target, e.Thread.TID}] = labels
	}
	labels.Benchmark, labels.Phase = r.timeline.At(e.Time)
	h.add(labels, e.Stack, e.Size, 0)
}

// add adds the number of allocations of a size, and their bytes, that one stands for, to two
// of the values.
func (h *heap) add(labels window.Labels, id window.StackID, size uint64, value int) {
	var values [4]int64
	weight := alloc.Weight(size, h.mean)
	for i, exact := range [2]float64{weight, weight * float64(size)} {
		at := value + i
		exact += h.rest[at]
		values[at] = int64(math.Round(exact))
		h.rest[at] = exact - float64(values[at])
	}
	if weight > 1 {
		labels.Bytes = int64(size)
	}
	stack := h.stack(id)
	labels.Unwind = stack.Unwind
	h.builder.Add(labels, stack.Frames, values[:]...)
}

// stack is what is known under an ID.
func (h *heap) stack(id window.StackID) window.Resolved {
	stack, ok := h.stacks.Get(id)
	if !ok {
		h.missing++
		stack = window.Resolved{Frames: []window.Frame{{Function: h.lost}}}
	}
	return stack
}

// AllocTargets are the processes whose allocations are recorded so far, or cannot be.
func (c *Collector) AllocTargets() []alloc.Target {
	if c.allocs == nil {
		return nil
	}
	return c.allocs.watcher.Targets()
}
