package collector

import (
	"errors"
	"fmt"
	"math"
	"os"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/collector/jit"
	"github.com/narrows-profiler/narrows/collector/kernellock"
	"github.com/narrows-profiler/narrows/collector/lock"
	"github.com/narrows-profiler/narrows/collector/wait"
	"github.com/narrows-profiler/narrows/collector/window"
)

// kernelLocks is how the kernel's locks are watched, as part of the waits.
type kernelLocks struct {
	watcher *kernellock.Watcher // nil if they are not
	err     error               // why not, if they were wanted
	symbols *os.File            // open while the recording may need it: later nobody may
	namer   *kernellock.Namer
	frames  *kernellock.Frames
	missing uint64 // contentions whose stack was taken and is not known
}

// openKernelLocks begins to watch the kernel's locks, where this kernel lets it.
func (c *Collector) openKernelLocks() {
	k := &kernelLocks{frames: kernellock.NewFrames(c.config.Kernel)}
	c.kernelLocks, c.replayer.offCPU.kernel = k, k
	if k.watcher, k.err = kernellock.Open(c.core); k.err != nil {
		return // the report says so
	}
	// What any of these lacks leaves locks to be called by who wanted them.
	queues, _ := k.watcher.Queues()
	types, _ := btf.LoadKernelSpec()
	sources := kernellock.Sources{Types: types, Queues: queues}
	if symbols, err := os.Open("/proc/kallsyms"); err == nil {
		k.symbols, sources.Symbols = symbols, symbols
	}
	k.namer = kernellock.NewNamer(sources)
}

// cut gives out the waits for kernel locks under way.
func (k *kernelLocks) cut(now uint64, record func([]byte)) error {
	if k == nil || k.watcher == nil {
		return nil
	}
	return k.watcher.Cut(now, record)
}

func (k *kernelLocks) stop() error {
	if k == nil || k.watcher == nil {
		return nil
	}
	return k.watcher.Stop()
}

func (k *kernelLocks) close() error {
	if k == nil {
		return nil
	}
	var err error
	if k.watcher != nil {
		err = k.watcher.Close()
	}
	if k.symbols != nil {
		err = errors.Join(err, k.symbols.Close())
	}
	return err
}

// report adds how the kernel's locks were watched.
func (k *kernelLocks) report(r *Report) error {
	if k == nil {
		return nil
	}
	r.KernelLocksErr = k.err
	if k.watcher == nil {
		return nil
	}
	runs, spent, err := k.watcher.Cost()
	if err != nil {
		return err
	}
	r.KernelLockRuns = runs
	r.WaitRuns += runs
	r.WaitTime += spent
	missed, err := k.watcher.Missed()
	if err != nil {
		return err
	}
	r.Losses = append(r.Losses,
		Loss{"kernel", "wait for a kernel lock while one was told of", missed},
		Loss{"user space", "wait for a kernel lock without its stack", k.missing},
	)
	r.KernelLocks, err = k.watcher.Totals()
	return err
}

// trim drops the frames of what watches: those inside of the scheduler, or of the function
// that waited for a lock, whichever comes first.
func (o *offCPU) trim(kernel []uint64) []uint64 {
	trimmed := o.reasons.Trim(kernel)
	if o.kernel == nil {
		return trimmed
	}
	ofLock := o.kernel.frames.Trim(kernel)
	if len(trimmed) == len(kernel) || len(ofLock) < len(kernel) && len(ofLock) > len(trimmed) {
		return ofLock
	}
	return trimmed
}

// contention adds a wait for a lock of the kernel to the window, each of its parts with the
// phase it fell into.
func (r *replayer) contention(e kernellock.Event) {
	o := r.offCPU
	if r.opened == nil || o.kernel.namer == nil || e.Time <= o.began {
		return
	}
	if e.Since < o.began {
		e.Nested = min(e.Nested, e.Time-o.began)
		e.Since = o.began
	}
	stack, caller := o.contended(&e)
	var waiter lock.Thread
	if !e.Interrupt {
		p := r.table.Process(e.Thread.Identity, e.Time)
		if !r.selection.All && !p.Selected && !r.cgroups[e.Thread.Cgroup] {
			return
		}
		waiter = o.see(e.Thread, p)
	} else if !r.selection.All {
		return
	}
	c := lock.Contention{
		Lock: o.identity(e, caller), Waiter: waiter, Stack: stack.Frames, Unwind: stack.Unwind,
		Weight: e.Weight, Outcome: contentionOutcome(e), State: wait.Lock,
	}
	o.blame(e, &c)
	r.addContention(e, c)
}

// addContention adds the parts of it that phases have. What it waited for other locks
// meanwhile is taken from each by its length.
func (r *replayer) addContention(e kernellock.Event, c lock.Contention) {
	part := 1.0
	if whole := e.Time - e.Since; whole > 0 {
		part = float64(e.Length()) / float64(whole)
	}
	first := !e.Continued
	r.timeline.Split(e.Since, e.Time, func(benchmark, phase string, length uint64) {
		c.Benchmark, c.Phase, c.First = benchmark, phase, first
		c.Length = uint64(math.Round(float64(length) * part))
		r.offCPU.locks.Add(c)
		first = false
	})
}

// contended is the stack that waited, and the function that wanted the lock. It may tell
// that an interrupt did.
func (o *offCPU) contended(e *kernellock.Event) (window.Resolved, string) {
	stack, ok := o.stacks.Get(e.Stack)
	if !ok {
		if e.HasStack {
			o.kernel.missing++
			return o.unknown("lost"), ""
		}
		return o.unknown("it still waits"), ""
	}
	stack.Frames = append([]window.Frame(nil), stack.Frames...) // another one is asked for
	kernel := make([]uint64, 0, stack.Kernel)
	for _, f := range stack.Frames[:min(stack.Kernel, len(stack.Frames))] {
		kernel = append(kernel, f.Address)
	}
	if e.NoCall && o.kernel.frames.Interrupted(kernel) {
		e.Interrupt, stack.Unwind = true, ""
		stack.Frames = stack.Frames[:len(kernel)]
	}
	return stack, o.kernel.frames.Caller(kernel)
}

// identity is the lock by its name.
func (o *offCPU) identity(e kernellock.Event, caller string) lock.Identity {
	named := o.kernel.namer.Name(e, caller)
	id := lock.Identity{ID: "kernel:" + named.Name, Kind: named.Kind, Name: named.Name}
	if named.Single {
		id.Address = e.Lock
	}
	return id
}

// blame says who held the lock: who let go of it in the end, else who had it when the wait
// began.
func (o *offCPU) blame(e kernellock.Event, c *lock.Contention) {
	switch {
	case e.Waker.TID != 0:
		c.Holder = o.thread(e.Waker.PID, e.Waker.TID)
		if release, ok := o.stacks.Get(e.ReleaseStack); ok {
			c.ReleaseStack, c.ReleaseUnwind = release.Frames, release.Unwind
			return
		}
	case e.Owner.TID != 0:
		c.Holder = o.thread(e.Owner.PID, e.Owner.TID)
	default:
		return
	}
	release := o.unknown("none was taken")
	c.ReleaseStack, c.ReleaseUnwind = release.Frames, release.Unwind
}

func contentionOutcome(e kernellock.Event) lock.Outcome {
	switch {
	case e.Open:
		return lock.Open
	case e.Result == 0:
		return lock.Woken
	case e.Result == -kernellock.Result(unix.ETIME), e.Result == -kernellock.Result(unix.ETIMEDOUT):
		return lock.TimedOut
	default:
		return lock.Interrupted
	}
}

// unknown is one frame that says why there is no stack.
func (o *offCPU) unknown(reason string) window.Resolved {
	f := o.none[reason]
	if f == nil {
		name := fmt.Sprintf("[no stack: %s]", reason)
		f = &jit.Function{Name: name, SystemName: name}
		o.none[reason] = f
	}
	return window.Resolved{Frames: []window.Frame{{Function: f}}, Unwind: "no stack"}
}
