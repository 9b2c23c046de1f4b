package collector

import (
	"math"
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/collector/accounting"
	"github.com/narrows-profiler/narrows/collector/jit"
	"github.com/narrows-profiler/narrows/collector/kernelalloc"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/wait"
	"github.com/narrows-profiler/narrows/collector/window"
)

// KernelAllocs is what the kernel allocated for itself while it was recorded.
type KernelAllocs struct {
	kernelalloc.Totals
	// Slabs is what was taken in pages for objects, each of which is told of by itself: it is
	// in no profile. Programs is what eBPF programs took. Both are estimates.
	Slabs, Programs KernelSum
	// FreedUnseen is how much of what was followed turned out in the end to be freed.
	FreedUnseen uint64
}

// KernelSum is an estimate of memory that was allocated, and of what of it lives.
type KernelSum struct{ Bytes, Live float64 }

// openKernelAllocs begins to watch the kernel's own memory, where this kernel lets it.
func (c *Collector) openKernelAllocs() {
	mean := c.config.KernelAllocMean
	if mean == 0 {
		return
	}
	if c.kernelAllocs, c.kernelAllocsErr = kernelalloc.Open(c.core, mean); c.kernelAllocsErr != nil {
		return // the report says so
	}
	c.replayer.kernelHeap = newKernelHeap(mean, c.config.Kernel)
}

// kernelAllocTotals queues what was allocated up to now.
func (c *Collector) kernelAllocTotals(now uint64) error {
	if c.kernelAllocs == nil {
		return nil
	}
	totals, err := c.kernelAllocs.Totals()
	if err == nil {
		c.queue.Push(now, totals)
	}
	return err
}

// kernelBlocks is what was never freed, at the end.
type kernelBlocks struct {
	blocks []kernelalloc.Block
	freed  uint64
}

// stopKernelAllocs detaches the programs, and queues what lives.
func (c *Collector) stopKernelAllocs() error {
	if c.kernelAllocs == nil {
		return nil
	}
	if err := c.kernelAllocs.Stop(); err != nil {
		return err
	}
	var live kernelBlocks
	var err error
	live.freed, err = c.kernelAllocs.Live(func(b kernelalloc.Block) { live.blocks = append(live.blocks, b) })
	c.queue.Push(accounting.Monotonic(), live)
	return err
}

func (c *Collector) closeKernelAllocs() error {
	if c.kernelAllocs == nil {
		return nil
	}
	return c.kernelAllocs.Close()
}

// reportKernelAllocs adds how the recording of the kernel's own memory went.
func (c *Collector) reportKernelAllocs(r *Report) (err error) {
	r.KernelAllocsErr = c.kernelAllocsErr
	if c.kernelAllocs == nil {
		return nil
	}
	h := c.replayer.kernelHeap
	r.KernelAllocs = h.all
	r.KernelAllocRuns, r.KernelAllocTime, err = c.kernelAllocs.Cost()
	t := h.all.Totals
	r.Losses = append(r.Losses,
		Loss{"kernel", "allocation of the kernel not sent", t.Slab.Lost + t.Page.Lost},
		Loss{"kernel", "allocation of the kernel not seen: in an interrupt of the program that would see it", t.MissedTaking},
		Loss{"kernel", "memory of the kernel freed unseen: in an interrupt of the program that would see it", t.MissedFreeing},
		Loss{"kernel", "memory of the kernel freed unseen, as its place at the end told", h.all.FreedUnseen},
		Loss{"kernel", "bytes of pages taken many at a time, which has no tracepoint", t.UnseenBytes()},
		Loss{"user space", "allocation of the kernel without its stack", h.missing},
		Loss{"user space", "no room for the stack of an allocation of the kernel", h.stacks.Refused()},
	)
	return err
}

// kernelHeap gathers the kernel's allocations into windows. It is used by one goroutine.
type kernelHeap struct {
	mean    uint64
	builder *window.Builder
	// stacks are kept for as long as the recording goes on: what lives names them at the end.
	stacks *window.Stacks
	reader *kernelalloc.Reader
	// owners and caches are who allocated of what, for the same reason.
	owners map[kernelalloc.Owner]window.Labels
	caches map[uint64]string

	rest    [4]float64 // what rounding left of each value so far: sums stay right
	missing uint64
	lost    *jit.Function
	sampled map[string]*sampledSum // of the window, by kind

	last  *kernelalloc.Totals
	since kernelalloc.Totals // the boundary before: what the window has
	all   KernelAllocs
}

// sampledSum is what the events of a window stand for.
type sampledSum struct {
	events         int
	objects, bytes float64
}

// maxKernelOwners and maxKernelCaches bound how many of them are known.
const (
	maxKernelOwners = 100_000
	maxKernelCaches = 100_000
)

func newKernelHeap(mean uint64, names wait.Names) *kernelHeap {
	const name = "[lost: no stack of an allocation]"
	return &kernelHeap{
		mean: mean, stacks: window.NewStacks(), reader: kernelalloc.NewReader(names),
		owners: map[kernelalloc.Owner]window.Labels{}, caches: map[uint64]string{}, lost: &jit.Function{Name: name, SystemName: name},
	}
}

// begin begins a window.
func (h *kernelHeap) begin() {
	h.builder = window.NewBuilder(window.Period{Type: &profile.ValueType{Type: "space", Unit: "bytes"}, Value: int64(h.mean)},
		&profile.ValueType{Type: "alloc_objects", Unit: "count"}, &profile.ValueType{Type: "alloc_space", Unit: "bytes"},
		&profile.ValueType{Type: "inuse_objects", Unit: "count"}, &profile.ValueType{Type: "inuse_space", Unit: "bytes"})
	h.sampled = map[string]*sampledSum{kernelalloc.Slab: {}, kernelalloc.Page: {}}
	h.since = kernelalloc.Totals{}
}

// total takes what was counted up to a boundary.
func (h *kernelHeap) total(t kernelalloc.Totals) {
	if h.last != nil {
		h.since = t.Since(*h.last)
	}
	h.all.Totals = t
	h.last = &t
}

// What the state of a stack says of an allocation.
const (
	ofInterrupt = "interrupt"
	ofProgram   = "eBPF program"
	ofSlab      = "slab"
)

// kernelStackEvent keeps a stack that allocations will name.
func (r *replayer) kernelStackEvent(p *process.Process, s wait.Stack) {
	h := r.kernelHeap
	if h == nil {
		return
	}
	read := h.reader.Read(s.Kernel)
	s.Kernel = read.Frames
	state := ""
	switch {
	case read.SlabPage:
		state = ofSlab
	case read.Program:
		state = ofProgram
	case read.Interrupt:
		state = ofInterrupt
	}
	if read.Interrupt || read.Program { // nothing that ran then has a part in it
		s.User, s.Memory, s.End = nil, nil, 0
	}
	frames, reason := r.resolve(p, s.Stack)
	h.stacks.Put(s.ID, window.Resolved{Frames: frames, Kernel: len(s.Kernel), Unwind: reason, State: state})
}

// kernelAllocated adds an allocation to the window, for all that it stands for.
func (r *replayer) kernelAllocated(e kernelalloc.Event) {
	h := r.kernelHeap
	if r.opened == nil {
		return
	}
	p := r.table.Process(e.Thread.Identity, e.Time)
	if !r.selection.All && !p.Selected && !r.cgroups[e.Thread.Cgroup] {
		return
	}
	labels := window.Labels{
		Service: p.Service, Process: e.Thread.ProcessName, Thread: e.Thread.Name, Container: p.Container, PID: e.Thread.PID, TID: e.Thread.TID,
	}
	if len(h.owners) < maxKernelOwners {
		h.owners[e.Owner] = labels
	}
	if e.Cache != 0 && len(h.caches) < maxKernelCaches {
		h.caches[e.Cache] = e.CacheName
	}
	labels.Benchmark, labels.Phase = r.timeline.At(e.Time)
	labels.Slab = e.CacheName
	h.add(labels, &e.Block, 0, r.selection.All)
}

// kernelLive adds to the window what was never freed.
func (r *replayer) kernelLive(live kernelBlocks) {
	h := r.kernelHeap
	h.all.FreedUnseen = live.freed
	if r.opened == nil {
		return
	}
	for i := range live.blocks {
		b := &live.blocks[i]
		labels, ok := h.owners[b.Owner]
		if !ok {
			if !r.selection.All {
				continue // of a process that was not selected
			}
			labels = window.Labels{PID: b.Owner.PID, TID: b.Owner.TID}
		}
		labels.Slab = h.caches[b.Cache]
		if b.Large {
			labels.Slab = kernelalloc.LargeCache
		}
		h.add(labels, b, 2, r.selection.All)
	}
}

// add adds what a block stands for to two of the values.
func (h *kernelHeap) add(labels window.Labels, b *kernelalloc.Block, value int, all bool) {
	weight := b.Weight()
	bytes := weight * float64(b.Size)
	if value == 0 {
		sum := h.sampled[b.Kind]
		sum.events++
		sum.objects += weight
		sum.bytes += bytes
	}
	stack, ok := h.stacks.Get(b.Stack)
	if !ok {
		h.missing++
		stack = window.Resolved{Frames: []window.Frame{{Function: h.lost}}}
	}
	switch {
	case stack.State == ofSlab:
		h.all.Slabs.add(value, bytes)
		return
	case stack.State == ofProgram:
		h.all.Programs.add(value, bytes)
		labels = nobody(labels, "[eBPF programs]")
	case b.Interrupt || stack.State == ofInterrupt:
		labels = nobody(labels, "[interrupt]")
	}
	if weight > 1 {
		labels.Bytes = int64(b.Size)
	}
	if b.Mean != h.mean {
		labels.Rate = int64(b.Mean)
	}
	labels.Kind, labels.Unwind = b.Kind, stack.Unwind
	values := [4]int64{}
	for i, exact := range [2]float64{weight, bytes} {
		at := value + i
		exact += h.rest[at]
		values[at] = int64(math.Round(exact))
		h.rest[at] = exact - float64(values[at])
	}
	h.builder.Add(labels, stack.Frames, values[:]...)
}

// nobody is the labels of what no process is to blame for.
func nobody(of window.Labels, who string) window.Labels {
	return window.Labels{Process: who, Slab: of.Slab, Benchmark: of.Benchmark, Phase: of.Phase}
}

func (s *KernelSum) add(value int, bytes float64) {
	if value == 0 {
		s.Bytes += bytes
	} else {
		s.Live += bytes
	}
}

// fewEvents is below how many events chance says more than the numbers that are known.
const fewEvents = 100

// profile ends the window. Where the whole machine is recorded it is known how much was
// allocated, to which the estimates are brought; what was lost is nobody's.
func (h *kernelHeap) profile(all bool, start time.Time, length time.Duration) *profile.Profile {
	if all {
		h.calibrate()
	}
	return h.builder.Profile(start, length)
}

// calibrate brings what was allocated to what was counted.
func (h *kernelHeap) calibrate() {
	factors := map[string][]float64{}
	for kind, known := range map[string]kernelalloc.Sum{kernelalloc.Slab: h.since.Slab, kernelalloc.Page: h.since.Page} {
		factors[kind] = []float64{1, 1, 1, 1}
		seen := h.sampled[kind]
		if known.Lost > 0 {
			lost := float64(known.Lost) / float64(known.Lost+known.Sent)
			objects, bytes := lost*float64(known.Objects), lost*float64(known.Bytes)
			h.builder.AddLost("ring buffer full", int64(objects), int64(bytes), 0, 0)
			known.Objects -= uint64(objects)
			known.Bytes -= uint64(bytes)
		}
		if seen.events >= fewEvents && known.Objects > 0 {
			factors[kind] = []float64{float64(known.Objects) / seen.objects, float64(known.Bytes) / seen.bytes, 1, 1}
		}
	}
	h.builder.Scale(func(l window.Labels) []float64 { return factors[l.Kind] })
}
