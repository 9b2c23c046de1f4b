package collector

import (
	"time"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/cpu"
	"github.com/narrows-profiler/narrows/collector/futex"
	"github.com/narrows-profiler/narrows/collector/jit"
	"github.com/narrows-profiler/narrows/collector/lock"
	"github.com/narrows-profiler/narrows/collector/wait"
	"github.com/narrows-profiler/narrows/collector/window"
)

// maxReleaseDelay is how long after a lock was let go of that may be heard of, since the one
// who waited had to run first, and still be replayed in its place. Later ones are heard of
// when that one runs.
const maxReleaseDelay = time.Second

// futexes gathers waits for locks of user space. It is used by one goroutine.
type futexes struct {
	locks   *futex.Locks
	history *lock.History
	samples *window.Stacks // of the CPU samples in history
	sampled uint64
	sums    map[futex.Key]futex.Sums // as they were at the last reading
	counted bool                     // sums were read since the window began
	told    map[string]lock.Sums     // of windows since the last reading, by ID
	open    []wait.Event             // waits under way at the boundary that is being replayed
	cycles  []lock.Cycle
	frames  []window.Frame // of the wait being added
	release []window.Frame
}

// openFutexes begins to tell locks of user space apart, where this kernel lets it; the report
// says if not.
func (c *Collector) openFutexes() {
	if c.futexes, c.futexErr = futex.Open(c.core); c.futexErr != nil {
		return
	}
	c.replayer.offCPU.futexes = &futexes{
		locks: futex.NewLocks(), history: lock.NewHistory(), samples: window.NewStacks(), sums: map[futex.Key]futex.Sums{}, told: map[string]lock.Sums{},
	}
}

// pushRelease queues that a lock was let go of, which is known once the one who waited runs.
func (c *Collector) pushRelease(e wait.Event) {
	if release, ok := futex.Released(e); ok && e.Time-e.Woken < uint64(maxReleaseDelay) {
		c.queue.Push(release.Time, release)
	}
}

// reportFutexes adds how telling locks apart went.
func (c *Collector) reportFutexes(r *Report) (err error) {
	r.FutexErr = c.futexErr
	if c.futexes == nil {
		return nil
	}
	r.FutexRuns, r.FutexTime, err = c.futexes.Cost()
	o := c.replayer.offCPU.futexes
	r.Losses = append(r.Losses,
		Loss{"user space", "no room for what holders of locks did", o.history.Dropped},
		Loss{"user space", "no room for the stack of a holder's sample", o.samples.Refused()},
	)
	return err
}

// ran remembers a CPU sample, in case that its thread turns out to have held a lock.
func (o *offCPU) ran(s cpu.Sample, stack []window.Frame, unwind string, period time.Duration) {
	if o.futexes == nil {
		return
	}
	o.futexes.sampled++
	id := window.StackID{o.futexes.sampled, 1}
	o.futexes.samples.Put(id, window.Resolved{Frames: stack, Unwind: unwind})
	o.futexes.history.Add(s.Thread.TID, lock.Activity{
		From: s.Time, To: s.Time, Length: uint64(period), Weight: 1, State: "running", Stack: id, HasStack: true,
	})
}

// waited remembers a wait in the same way: until it was woken, and until it ran.
func (f *futexes) waited(e wait.Event, state string) {
	woken := e.Since + e.Blocked()
	a := lock.Activity{From: e.Since, To: woken, Weight: e.Weight, State: e.BlockedState(state), Stack: e.Stack, HasStack: e.HasStack}
	if !e.Preempted() && woken > e.Since {
		f.history.Add(e.Thread.TID, a)
	}
	if woken < e.Time {
		a.From, a.To, a.State = woken, e.Time, wait.Runnable
		f.history.Add(e.Thread.TID, a)
	}
}

func (r *replayer) lockRelease(release futex.Release) {
	if r.offCPU.futexes != nil {
		r.offCPU.futexes.locks.Release(release)
	}
}

// lockWait adds a wait in a futex call to its lock. One that has not ended is kept until what
// others waited for up to then is known as well.
func (r *replayer) lockWait(e wait.Event, waiter lock.Thread, stack window.Resolved) {
	f := r.offCPU.futexes
	if f == nil {
		return
	}
	f.locks.See(e.Thread, e.NamespaceTID)
	f.waited(e, stack.State)
	switch {
	case e.Futex.Operation == 0:
	case e.Flags&bpf.CoreWaitFlagWAIT_OPEN != 0:
		f.open = append(f.open, e)
	default:
		r.addLockWait(e, r.identify(e, stack), waiter, stack)
	}
}

// openLockWaits adds the waits under way at a boundary, and looks for deadlocks among them.
func (r *replayer) openLockWaits(now uint64) {
	f := r.offCPU.futexes
	if f == nil {
		return
	}
	var waits []lock.Waiting
	for _, e := range f.open {
		waiter := r.offCPU.thread(e.Thread.PID, e.Thread.TID)
		if owner, ok := f.locks.Owner(e); ok {
			waits = append(waits, lock.Waiting{
				Waiter: waiter, Holder: r.offCPU.holder(waiter, wait.Waker{PID: e.Thread.PID, TID: owner}),
				Lock: f.locks.Identify(e), Since: e.Since,
			})
		}
		if r.opened == nil {
			continue
		}
		stack, ok := r.offCPU.stacks.Get(e.Stack)
		if !ok {
			stack = r.offCPU.noStack(e)
		}
		r.addLockWait(e, r.identify(e, stack), waiter, stack)
	}
	f.open = f.open[:0]
	f.cycles = lock.Cycles(waits)
	f.samples.NextGeneration()
	// What ends later began here, or was seen to begin a little before.
	before := now - min(now, uint64(maxReleaseDelay))
	f.history.Forget(before)
	f.locks.Forget(before)
}

// deadlocks are those of the last boundary.
func (o *offCPU) deadlocks() []lock.Cycle {
	if o.futexes == nil {
		return nil
	}
	return o.futexes.cycles
}

// addLockWait adds a wait to its lock: what each of those who held it made it wait, in each
// phase.
func (r *replayer) addLockWait(e wait.Event, id lock.Identity, waiter lock.Thread, stack window.Resolved) {
	f := r.offCPU.futexes
	f.frames = append(f.frames[:0], stack.Frames...)
	c := lock.Contention{
		Lock: id, Waiter: waiter, Stack: f.frames, Unwind: stack.Unwind,
		Weight: e.Weight, Of: e.Time - e.Since, State: wait.Futex, Outcome: outcome(e),
		First: e.Futex.Flags&uint32(bpf.CoreFutexCallFlagFUTEX_CALL_FIRST) != 0, Continued: e.Preempted(),
	}
	if id.Kind == lock.Wakeup {
		c.State, c.First = wait.Poll, c.Outcome != lock.Open
	}
	f.locks.Taken(e)
	woken, from := e.Since+e.Blocked(), e.Since
	if e.Preempted() {
		woken = e.Since
	}
	r.timeline.Split(e.Since, e.Time, func(benchmark, phase string, length uint64) {
		c.Benchmark, c.Phase = benchmark, phase
		to := from + length
		if from < woken || to == from {
			for _, h := range f.locks.Holders(e, c.Lock.Kind, from, min(to, woken)) {
				r.addHolding(&c, h)
			}
		}
		if woken < to {
			r.addWaitForCPU(&c, e, max(from, woken), to)
		}
		from = to
	})
}

// outcome is how a wait ended, as far as it is known before the call returns.
func outcome(e wait.Event) lock.Outcome {
	switch {
	case e.Flags&bpf.CoreWaitFlagWAIT_OPEN != 0:
		return lock.Open
	case e.Flags&bpf.CoreWaitFlagWAIT_WAKER_INTERRUPT != 0:
		return lock.TimedOut
	}
	return lock.Woken
}

// addHolding adds the part of a wait in which one thread held the lock, and what it did.
func (r *replayer) addHolding(c *lock.Contention, h futex.Holding) {
	o := r.offCPU
	c.Holder = o.holder(c.Waiter, h.By)
	c.ReleaseStack, c.ReleaseUnwind = o.releaseStack(h.By)
	c.Length = h.To - h.From
	r.addPart(c)
	if h.By.TID == 0 {
		return
	}
	o.locks.Holding(c.Lock, c.Holder, c.Benchmark, c.Phase, c.Weight*float64(c.Length))
	if h.Free < h.To {
		o.addFree(c, h.To-h.Free)
	}
	o.futexes.history.Between(h.By.TID, h.From, h.Free, func(a lock.Activity, ns float64) {
		stack := o.stackOf(a)
		labels := o.labels(c.Holder, c)
		labels.State, labels.Unwind = a.State, stack.Unwind
		o.locks.Held(c.Lock, labels, stack.Frames, c.Weight*ns)
	})
}

// addWaitForCPU adds the part of a wait in which the thread had been let go on, and found no
// CPU: it is charged to the same holder, who does nothing for it any more.
func (r *replayer) addWaitForCPU(c *lock.Contention, e wait.Event, from, to uint64) {
	o := r.offCPU
	if e.Preempted() { // it is told apart from the part in which it was blocked
		for _, h := range o.futexes.locks.Holders(e, futex.Unknown, from, to) {
			c.Holder = o.holder(c.Waiter, h.By)
			c.ReleaseStack, c.ReleaseUnwind = o.releaseStack(h.By)
		}
	}
	c.Length = to - from
	r.addPart(c)
	if c.Holder.TID == 0 {
		return
	}
	o.locks.Holding(c.Lock, c.Holder, c.Benchmark, c.Phase, c.Weight*float64(c.Length))
	o.addFree(c, c.Length)
}

// addFree adds time in which a lock was free, and the one to have it next had no CPU.
func (o *offCPU) addFree(c *lock.Contention, length uint64) {
	labels := o.labels(c.Holder, c)
	labels.State = wait.Runnable
	o.locks.Held(c.Lock, labels, []window.Frame{o.pseudo("[let go, the next had no CPU]")}, c.Weight*float64(length))
}

func (r *replayer) addPart(c *lock.Contention) {
	r.offCPU.locks.Add(*c)
	c.First, c.Continued = false, true
}

// labels are a holder's, in the phase of a wait for it.
func (o *offCPU) labels(holder lock.Thread, c *lock.Contention) window.Labels {
	return window.Labels{
		Service: holder.Service, Process: holder.Process, Thread: holder.Name, Container: holder.Container,
		Benchmark: c.Benchmark, Phase: c.Phase, PID: holder.PID, TID: holder.TID,
	}
}

// holder is a thread by its numbers. What is not known of one of the same process is as the
// waiter has it.
func (o *offCPU) holder(waiter lock.Thread, by wait.Waker) lock.Thread {
	t := o.thread(by.PID, by.TID)
	if t.Process == "" && t.PID == waiter.PID && t.TID != 0 {
		t.Process, t.Service, t.Container = waiter.Process, waiter.Service, waiter.Container
	}
	return t
}

// releaseStack is where a thread let go of a lock.
func (o *offCPU) releaseStack(by wait.Waker) ([]window.Frame, string) {
	if by.TID == 0 {
		return nil, ""
	}
	stack, ok := o.stacks.Get(by.Stack)
	if !ok {
		o.futexes.release = append(o.futexes.release[:0], o.pseudo("[no stack: not taken]"))
		return o.futexes.release, "no stack"
	}
	o.futexes.release = append(o.futexes.release[:0], stack.Frames...)
	return o.futexes.release, stack.Unwind
}

// stackOf is where a holder was.
func (o *offCPU) stackOf(a lock.Activity) window.Resolved {
	stacks := o.stacks
	if a.Length > 0 {
		stacks = o.futexes.samples
	}
	if stack, ok := stacks.Get(a.Stack); ok {
		return stack
	}
	return window.Resolved{Frames: []window.Frame{o.pseudo("[no stack: not taken]")}, Unwind: "no stack"}
}

// pseudo is a frame that says something in the place of code.
func (o *offCPU) pseudo(name string) window.Frame {
	f := o.none[name]
	if f == nil {
		f = &jit.Function{Name: name, SystemName: name}
		o.none[name] = f
	}
	return window.Frame{Function: f}
}
