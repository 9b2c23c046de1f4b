package collector

import (
	"hash/maphash"
	"math"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/collector/jit"
	"github.com/narrows-profiler/narrows/collector/lock"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/wait"
	"github.com/narrows-profiler/narrows/collector/window"
)

// cutInterval is how often waits under way are cut, at least: what is known of a time is
// kept that long.
const cutInterval = 10e9 // ns

// nextGeneration is replayed when stacks that were not named for long are forgotten.
type nextGeneration struct{}

// offCPU gathers waits into windows. It is used by one goroutine.
type offCPU struct {
	stacks   *window.Stacks
	reasons  *wait.Reasons
	builder  *window.Builder
	locks    *lock.Window
	threads  map[uint32]lock.Thread // by TID, as they were called last
	programs map[uint32]uint32      // the first process of each one's program, of the window's threads
	// began is when the first window did: what a thread waited for before is not recorded.
	began uint64
	// counts holds what rounding left of the number of waits so far.
	counts float64
	none   map[string]*jit.Function
	// missing counts waits whose stack was taken and is not known.
	missing uint64
	kernel  *kernelLocks // nil if the kernel's locks are not watched
	seed    maphash.Seed // of places
	futexes *futexes     // nil if locks of user space are not told apart
}

func newOffCPU(names wait.Names) *offCPU {
	return &offCPU{stacks: window.NewStacks(), reasons: wait.NewReasons(names), none: map[string]*jit.Function{}, threads: map[uint32]lock.Thread{}, programs: map[uint32]uint32{}, seed: maphash.MakeSeed()}
}

// begin begins a window at a time.
func (o *offCPU) begin(time uint64) {
	if o.began == 0 {
		o.began = time
	}
	o.locks = lock.NewWindow()
	o.programs = map[uint32]uint32{}
	waits := &profile.ValueType{Type: "waits", Unit: "count"}
	o.builder = window.NewBuilder(window.Period{Type: waits, Value: 1}, waits,
		&profile.ValueType{Type: "offcpu", Unit: "nanoseconds"})
}

// maxThreads bounds how many threads are known by name.
const maxThreads = 100_000

// see remembers a thread by its name.
func (o *offCPU) see(t process.Thread, p *process.Process) lock.Thread {
	if len(o.threads) >= maxThreads {
		clear(o.threads) // they are seen again
	}
	named := lock.Thread{PID: t.PID, TID: t.TID, Process: t.ProcessName, Name: t.Name, Service: p.Service, Container: p.Container}
	o.threads[t.TID] = named
	if p.Program != 0 && p.Program != t.PID {
		o.programs[t.PID] = p.Program
	}
	return named
}

// thread is a thread by its numbers; without names if it was never seen.
func (o *offCPU) thread(pid, tid uint32) lock.Thread {
	if t, ok := o.threads[tid]; ok && t.PID == pid {
		return t
	}
	return lock.Thread{PID: pid, TID: tid}
}

// stackEvent keeps a stack that later events will name.
func (r *replayer) stackEvent(s wait.Stack) {
	if s.Memory != nil {
		defer r.memory.give(s.Memory.Size())
	}
	p := r.table.Process(s.Process, s.Time)
	if !r.selection.All && !p.Selected && !r.cgroups[s.Thread.Cgroup] {
		return
	}
	state := ""
	if s.OfAllocation {
		r.kernelStackEvent(p, s)
		return
	}
	if r.offCPU != nil {
		s.Kernel = r.offCPU.trim(s.Kernel)
		state = r.offCPU.reasons.State(s.Kernel)
	}
	frames, reason := r.resolve(p, s.Stack)
	r.stacks().Put(s.ID, window.Resolved{Frames: frames, Kernel: len(s.Kernel), Unwind: reason, State: state})
}

// wait adds a wait to the window, each of its parts with the phase it fell into.
func (r *replayer) wait(e wait.Event) {
	o := r.offCPU
	if r.opened == nil {
		return
	}
	e.Since = max(e.Since, o.began)
	if e.Woken != 0 {
		e.Woken = max(e.Woken, e.Since)
	}
	if e.Since > e.Time {
		return
	}
	p := r.table.Process(e.Thread.Identity, e.Time)
	if !r.selection.All && !p.Selected && !r.cgroups[e.Thread.Cgroup] {
		return
	}
	waiter := o.see(e.Thread, p)
	stack, ok := o.stacks.Get(e.Stack)
	if !ok {
		stack = o.noStack(e)
	}
	wakeup := r.wakeup(e, p, stack)
	isLock := o.futexes != nil && e.Futex.Operation != 0 || wakeup
	labels := window.Labels{
		Service: p.Service, Process: e.Thread.ProcessName, Thread: e.Thread.Name, Container: p.Container,
		Unwind: stack.Unwind, PID: e.Thread.PID, TID: e.Thread.TID,
	}
	o.counts += e.Weight
	count := math.Floor(o.counts)
	o.counts -= count
	woken := e.Since + e.Blocked()
	if !e.Preempted() {
		labels.State = e.BlockedState(stack.State)
		r.addWait(labels, stack.Frames, e.Since, woken, e.Weight, int64(count))
		count = 0
		if e.Waker.TID != 0 && !isLock {
			r.addEdge(lock.EdgeKey{Waiter: waiter, Holder: o.thread(e.Waker.PID, e.Waker.TID), State: labels.State}, e)
		}
	}
	if woken < e.Time || e.Preempted() {
		labels.State = wait.Runnable
		r.addWait(labels, stack.Frames, woken, e.Time, e.Weight, int64(count))
	}
	if wakeup {
		r.addLockWait(e, o.wakeupAt(p, stack), waiter, stack)
	}
	r.lockWait(e, waiter, stack) // the last to need the stack: it looks at others
}

// addWait adds the time between from and to. The wait counts in its last part.
func (r *replayer) addWait(labels window.Labels, stack []window.Frame, from, to uint64, weight float64, count int64) {
	r.timeline.Split(from, to, func(benchmark, phase string, length uint64) {
		labels.Benchmark, labels.Phase = benchmark, phase
		from += length
		n := int64(0)
		if from == to {
			n = count
		}
		r.offCPU.builder.Add(labels, stack, n, int64(math.Round(float64(length)*weight)))
	})
}

// addEdge adds that one thread waited for what another one did in the end.
func (r *replayer) addEdge(key lock.EdgeKey, e wait.Event) {
	key.Benchmark, key.Phase = r.timeline.At(e.Time)
	r.offCPU.locks.Edge(key, e.Blocked(), e.Weight)
}

// noStack is one frame that says why there is no stack.
func (o *offCPU) noStack(e wait.Event) window.Resolved {
	reason := "lost"
	if !e.HasStack {
		reason = "too many switches"
	} else {
		o.missing++
	}
	return o.unknown(reason)
}
