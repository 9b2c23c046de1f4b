package collector

import (
	"math"
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/collector/accounting"
	"github.com/narrows-profiler/narrows/collector/alloc"
	"github.com/narrows-profiler/narrows/collector/cpu"
	"github.com/narrows-profiler/narrows/collector/fault"
	"github.com/narrows-profiler/narrows/collector/futex"
	"github.com/narrows-profiler/narrows/collector/goheap"
	"github.com/narrows-profiler/narrows/collector/golock"
	"github.com/narrows-profiler/narrows/collector/jit"
	"github.com/narrows-profiler/narrows/collector/kernelalloc"
	"github.com/narrows-profiler/narrows/collector/kernellock"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/replay"
	"github.com/narrows-profiler/narrows/collector/unwind"
	"github.com/narrows-profiler/narrows/collector/wait"
	"github.com/narrows-profiler/narrows/collector/window"
)

// hold is how long events wait for older ones from other CPUs, and for facts that
// are known late.
const hold = 2 * time.Second

// What is replayed, each at its time. A boundary ends a window and begins the next.
type (
	lifecycleEvent struct {
		unwind.Event
		batch uint64
	}
	assignment struct {
		pid  uint32
		what process.Assignment
	}
	boundary struct {
		reading accounting.Reading
		count   uint64 // the event source's own count, in its unit
		kind    boundaryKind
	}
)

// boundaryKind says when a boundary ends a window.
type boundaryKind int

const (
	scheduled boundaryKind = iota
	possible               // only if the window's stacks have become too many
	last                   // and none begins
)

// MaxWindowFrames is how many frames the distinct stacks of a window may have
// together before it ends at the next possible boundary: they take 12 bytes each
// until the window is written. Ten seconds of two busy CPUs at 99 Hz stay below it
// with stacks of 500 frames that all differ.
const MaxWindowFrames = 1 << 20

// jitNames names code that programs made while they ran.
type jitNames interface {
	Name(pid uint32, addr, time uint64) (*jit.Function, bool)
}

// replayer applies events in the order of their times and gathers the samples into
// windows. It is used by one goroutine.
type replayer struct {
	queue     *replay.Queue[any]
	timeline  *replay.Timeline
	table     *process.Table
	walker    walker
	memory    *memoryBudget
	windows   chan<- Window
	source    cpu.Source
	period    time.Duration
	tickCost  time.Duration // of one tick, to the CPU it comes to
	selection Selection
	cgroups   map[uint64]bool
	names     jitNames // nil if no code is named that programs made
	wall      func(monotonic uint64) time.Time

	offCPU  *offCPU  // nil if waits are not recorded
	faults  *faults  // nil if page faults are not recorded
	goWaits *goWaits // nil if those of goroutines are not
	heap    *heap    // nil if allocations are not

	kernelHeap *kernelHeap // nil if the kernel's own memory is not

	index     int
	opened    *boundary // nil before the first boundary and after the last
	cpu       *window.Builder
	seen      map[int]*accounting.CPU
	outside   uint64 // samples before the first window or after the last
	unwinding map[*process.Binary]*ends
	stack     []window.Frame
}

func (r *replayer) release(before uint64) {
	r.queue.Release(before, func(time uint64, event any) {
		switch e := event.(type) {
		case cpu.Sample:
			r.sample(e)
		case wait.Stack:
			r.stackEvent(e)
		case wait.Event:
			r.wait(e)
		case kernellock.Event:
			r.contention(e)
		case futex.Release:
			r.lockRelease(e)
		case lockSums:
			r.lockSums(e)
		case golock.Event:
			r.goWait(e)
		case golock.Waiting:
			r.goWaiting(e)
		case fault.Event:
			r.fault(e)
		case fault.Totals:
			r.faults.total(e)
		case kernelalloc.Event:
			r.kernelAllocated(e)
		case kernelalloc.Totals:
			r.kernelHeap.total(e)
		case kernelBlocks:
			r.kernelLive(e)
		case alloc.Event:
			r.allocated(e)
		case goheap.Growth:
			r.goHeap(e)
		case liveBlocks:
			r.live(e)
		case nextGeneration:
			if r.offCPU != nil {
				r.openLockWaits(time)
			}
			r.stacks().NextGeneration()
		case lifecycleEvent:
			r.table.Apply(e.Event.Event, e.Binary, e.Container, e.batch)
		case assignment:
			r.table.Assign(e.pid, e.what)
		case boundary:
			r.boundary(e)
		}
	})
	if r.offCPU != nil { // waits are told of when they end
		before -= min(before, 2*cutInterval)
	}
	r.timeline.Forget(before)
}

func (r *replayer) sample(s cpu.Sample) {
	if s.Memory != nil {
		defer r.memory.give(s.Memory.Size())
	}
	if r.opened == nil {
		r.outside++
		return
	}
	seen := r.seen[s.CPU]
	if seen == nil {
		seen = &accounting.CPU{}
		r.seen[s.CPU] = seen
	}
	seen.Seen += time.Duration(s.Weight)
	seen.Samples++

	p := r.table.Process(s.Process, s.Time)
	if r.offCPU != nil {
		r.offCPU.see(s.Thread, p)
	}
	if !r.selection.All && !p.Selected && !r.cgroups[s.Thread.Cgroup] {
		return
	}
	stack, unwind := r.resolve(p, s.Stack)
	r.countUnwinding(stack, len(s.Kernel), unwind, s.Memory != nil)
	if r.offCPU != nil {
		r.offCPU.ran(s, stack, unwind, r.period)
	}
	benchmark, phase := r.timeline.At(s.Time)
	r.cpu.Add(window.Labels{
		Service: p.Service, Process: s.Thread.ProcessName, Thread: s.Thread.Name, Container: p.Container,
		Benchmark: benchmark, Phase: phase, State: "running", Unwind: unwind,
		PID: s.Process.PID, TID: s.Thread.TID,
	}, stack, 1, int64(s.Weight))
}

// boundary closes the window that ends here, if there is one, and opens the next.
func (r *replayer) boundary(b boundary) {
	if b.kind == possible && (r.opened == nil || r.frames() < MaxWindowFrames) {
		return
	}
	if r.opened != nil {
		r.close(*r.opened, b)
		r.index++
	}
	r.opened = nil
	if b.kind != last {
		r.opened = &b
		r.cpu = window.NewBuilder(
			window.Period{Type: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}, Value: int64(r.period)},
			&profile.ValueType{Type: "samples", Unit: "count"}, &profile.ValueType{Type: "cpu", Unit: "nanoseconds"},
		)
		r.seen = map[int]*accounting.CPU{}
		if r.offCPU != nil {
			r.offCPU.begin(b.reading.Time)
		}
		if r.faults != nil {
			r.faults.begin()
		}
		if r.heap != nil {
			r.heap.begin()
		}
		if r.kernelHeap != nil {
			r.kernelHeap.begin()
		}
	}
	r.table.Sweep(b.reading.Time)
}

// frames is how many frames the distinct stacks of the window have together.
func (r *replayer) frames() int {
	n := r.cpu.Frames()
	if r.offCPU != nil {
		n += r.offCPU.builder.Frames() + r.offCPU.locks.Frames()
	}
	if r.faults != nil {
		n += r.faults.builder.Frames()
	}
	if r.heap != nil {
		n += r.heap.builder.Frames()
	}
	if r.kernelHeap != nil {
		n += r.kernelHeap.builder.Frames()
	}
	return n
}

// close computes what was lost from the time that was there, and gives the window out.
func (r *replayer) close(from, to boundary) {
	cpus := accounting.Between(from.reading, to.reading)
	nanoseconds := r.nanosecondsPerUnit(cpus, to.count-from.count)
	var lost time.Duration
	for i := range cpus {
		c := &cpus[i]
		if seen := r.seen[c.CPU]; seen != nil {
			c.Seen = time.Duration(math.Round(float64(seen.Seen) * nanoseconds))
			c.Samples = seen.Samples
		}
		c.Explain(r.period, r.tickCost)
		c.Lost = c.Missed(r.period)
		lost += c.Lost
	}
	if lost > 0 && r.selection.All {
		r.cpu.AddLost("missed ticks", int64(math.Round(float64(lost)/float64(r.period))), int64(lost))
	}
	start, end := r.wall(from.reading.Time), r.wall(to.reading.Time)
	p := r.cpu.Profile(start, end.Sub(start))
	if nanoseconds != 1 {
		scale(p, nanoseconds)
	}
	profiles := map[Signal]*profile.Profile{CPU: p}
	w := Window{Index: r.index, Start: start, End: end, Profiles: profiles, Accounting: cpus}
	if r.offCPU != nil {
		profiles[OffCPU] = r.offCPU.builder.Profile(start, end.Sub(start))
		r.offCPU.closeLocks()
		w.Deadlocks = r.offCPU.deadlocks()
		profiles[LockWait], profiles[LockBlame], profiles[LockHeld] = r.offCPU.locks.Profiles(start, end.Sub(start))
		w.Programs = r.offCPU.programs
		w.Locks, w.Edges = r.offCPU.locks.Locks, r.offCPU.locks.Edges
	}
	if r.heap != nil {
		profiles[Alloc] = r.heap.builder.Profile(start, end.Sub(start))
		if to.kind == last {
			w.Live = r.heap.sites.given(start, end.Sub(start))
		}
	}
	if r.faults != nil {
		profiles[Fault] = r.faults.profile(r.selection.All, start, end.Sub(start))
	}
	if r.kernelHeap != nil {
		profiles[KernelAlloc] = r.kernelHeap.profile(r.selection.All, start, end.Sub(start))
	}
	r.windows <- w
}

// nanosecondsPerUnit is what one unit of a sample's weight is worth. Cycles have no
// fixed length: over a window, all that were counted, sampled or not, took the time
// that the CPUs were busy.
func (r *replayer) nanosecondsPerUnit(cpus []accounting.CPU, count uint64) float64 {
	if r.source.Unit == cpu.Nanoseconds || count == 0 {
		return 1
	}
	var busy time.Duration
	for _, c := range cpus {
		busy += max(c.Busy-c.Steal, 0) // a virtual counter stands still while its CPU is stolen
	}
	return float64(busy) / float64(count)
}

// scale converts the weights, the second value, of all samples but the lost ones,
// which are nanoseconds already.
func scale(p *profile.Profile, factor float64) {
	for _, s := range p.Sample {
		if len(s.NumLabel) > 0 {
			s.Value[1] = int64(math.Round(float64(s.Value[1]) * factor))
		}
	}
}
