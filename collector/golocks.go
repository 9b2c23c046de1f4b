package collector

import (
	"fmt"

	"github.com/narrows-profiler/narrows/collector/accounting"
	"github.com/narrows-profiler/narrows/collector/golock"
	"github.com/narrows-profiler/narrows/collector/lifecycle"
	"github.com/narrows-profiler/narrows/collector/lock"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/unwind"
	"github.com/narrows-profiler/narrows/collector/wait"
	"github.com/narrows-profiler/narrows/collector/window"
)

// goroutines records the waits of goroutines in the processes that were asked for.
type goroutines struct {
	watcher *golock.Watcher
	family  *golock.Family
}

// openGoroutines makes ready to probe Go programs. Their waits name stacks as those of
// threads do, and are not recorded without.
func (c *Collector) openGoroutines(scanned []process.Scanned) error {
	if c.waits == nil || c.config.MaxSlowdown < 0 {
		return nil
	}
	limit := golock.Limit{Slowdown: c.config.MaxSlowdown}
	if limit.Slowdown == 0 {
		limit.Slowdown = golock.DefaultSlowdown
	}
	watcher, err := golock.Open(c.core, limit)
	if c.goroutinesErr = err; err != nil {
		return nil // the report says so
	}
	c.goroutines = &goroutines{watcher: watcher, family: golock.NewFamily(scanned)}
	c.replayer.goWaits = newGoWaits(watcher)
	for _, pid := range c.config.Selection.PIDs {
		c.probe(uint32(pid))
	}
	return nil
}

// probe has a process and its descendants probed, as far as they are Go programs, and for
// their allocations.
func (c *Collector) probe(pid uint32) {
	c.probeAllocs(pid)
	if c.goroutines == nil {
		return
	}
	for _, member := range c.goroutines.family.Add(pid) {
		if scanned, ok := process.ScanOne(member, c.binaries); ok {
			c.goroutines.watcher.Attach(member, scanned.Mappings)
		}
	}
}

// apply follows the processes' lives. Events come in the order of their times.
func (g *goroutines) apply(events []unwind.Event) {
	for _, e := range events {
		switch e.Kind {
		case lifecycle.Fork:
			g.family.Forked(e.PID, e.Parent)
		case lifecycle.Map: // of a program's code, after an exec too: that is told by it
			if g.family.Has(e.PID) {
				m := e.Mapping
				g.watcher.Attach(e.PID, []process.Mapping{{Start: m.Start, End: m.End, Offset: m.Offset, Binary: e.Binary}})
			}
		case lifecycle.Exit:
			if g.family.Has(e.PID) {
				g.watcher.Detach(e.PID)
			}
			g.family.Exited(e.PID)
		}
	}
}

// goWaits turns the events into waits for locks. It is used by one goroutine.
type goWaits struct {
	watcher goWatcher
	trimmed map[window.StackID]trimmed
	queues  map[goLock]*releases
	unknown uint64 // events of which the process or the reason is not known
}

// goWatcher is what is asked of golock.Watcher.
type goWatcher interface {
	Explain(golock.Event) (golock.Wait, bool)
	Trim(target uint32, stack []window.Frame) (drop int, waitGroup bool)
}

// trimmed is how much of a stack is the runtime's own.
type trimmed struct {
	drop      int
	waitGroup bool
}

// maxTrimmed bounds the stacks of which that is remembered.
const maxTrimmed = 64 << 10

func newGoWaits(watcher goWatcher) *goWaits {
	return &goWaits{watcher: watcher, trimmed: map[window.StackID]trimmed{}, queues: map[goLock]*releases{}}
}

// stack is what a stack of a goroutine has below the runtime's own frames. It is valid
// until the next call.
func (g *goWaits) stack(stacks *window.Stacks, target uint32, id window.StackID) (frames []window.Frame, reason string, waitGroup bool) {
	resolved, ok := stacks.Get(id)
	if !ok {
		return nil, "no stack", false
	}
	t, known := g.trimmed[id]
	if !known {
		t.drop, t.waitGroup = g.watcher.Trim(target, resolved.Frames)
		if len(g.trimmed) >= maxTrimmed {
			clear(g.trimmed)
		}
		g.trimmed[id] = t
	}
	return resolved.Frames[t.drop:], resolved.Unwind, t.waitGroup
}

// goWait adds a goroutine's wait to the window.
func (r *replayer) goWait(e golock.Event) {
	o, g := r.offCPU, r.goWaits
	if r.opened == nil {
		return
	}
	if e.Since = max(e.Since, o.began); e.Since > e.Time {
		return
	}
	p := r.table.Process(e.Releaser.Identity, e.Time)
	if !r.selection.All && !p.Selected && !r.cgroups[e.Releaser.Cgroup] {
		return
	}
	what, ok := g.watcher.Explain(e)
	if !ok {
		g.unknown++
		return
	}
	stack, unwound, waitGroup := g.stack(o.stacks, e.Target, e.Stack)
	if waitGroup && what.Kind == "semaphore" {
		what.Kind = "sync.WaitGroup"
	}
	by := release{time: e.Time, holder: o.see(e.Releaser, p), stack: e.ReleaseStack}
	waiter := o.thread(e.Releaser.PID, e.WaiterTID)
	waiter.Process, waiter.Service, waiter.Container = e.Releaser.ProcessName, p.Service, p.Container
	c := lock.Contention{
		Lock:   lock.Identity{ID: goLockID(e.Releaser.PID, e.Lock, stack), Kind: what.Kind, PID: e.Releaser.PID, Address: e.Lock},
		Waiter: waiter, Stack: stack, Unwind: unwound, Holder: by.holder,
		Weight: e.Weight, Outcome: lock.Woken, State: wait.Go,
	}
	r.addGoWait(c, e.Since, e.Time)
	r.blameGo(c, e, what.Lock, by)
}

// goWaiting adds the wait of a goroutine that goes on at the end.
func (r *replayer) goWaiting(e golock.Waiting) {
	o := r.offCPU
	p := r.table.Known(e.PID)
	what, ok := r.goWaits.watcher.Explain(e.Event)
	if r.opened == nil || !ok || p == nil || !r.selection.All && !p.Selected {
		return
	}
	if e.Since = max(e.Since, o.began); e.Since > e.Time {
		return
	}
	stack, reason := r.resolve(p, e.Saved)
	drop, waitGroup := r.goWaits.watcher.Trim(e.Target, stack)
	if waitGroup && what.Kind == "semaphore" {
		what.Kind = "sync.WaitGroup"
	}
	waiter := o.thread(e.PID, e.WaiterTID)
	waiter.Service, waiter.Container = p.Service, p.Container
	r.addGoWait(lock.Contention{
		Lock:   lock.Identity{ID: goLockID(e.PID, e.Lock, stack[drop:]), Kind: what.Kind, PID: e.PID, Address: e.Lock},
		Waiter: waiter, Stack: stack[drop:], Unwind: reason, Weight: e.Weight, Outcome: lock.Open, State: wait.Go,
	}, e.Since, e.Time)
}

// addGoWait adds the wait itself, each part with the phase it fell into. The last one counts.
func (r *replayer) addGoWait(c lock.Contention, from, to uint64) {
	r.timeline.Split(from, to, func(benchmark, phase string, length uint64) {
		c.Benchmark, c.Phase, c.Length = benchmark, phase, length
		from += length
		c.First = from == to
		r.offCPU.locks.AddWait(c)
	})
}

// goLockID names a lock by its address, or, where there is none, by the place that waits.
func goLockID(pid uint32, address uint64, stack []window.Frame) string {
	switch {
	case address != 0:
		return fmt.Sprintf("%d:go:%#x", pid, address)
	case len(stack) > 1: // who calls runtime.selectgo
		return fmt.Sprintf("%d:go:at:%#x", pid, stack[1].Address)
	}
	return fmt.Sprintf("%d:go", pid)
}

// goLock is a lock of a process.
type goLock struct {
	pid     uint32
	address uint64
}

// release is somebody letting a lock go.
type release struct {
	time   uint64
	holder lock.Thread
	stack  window.StackID
}

// releases are the last ones of a lock, the oldest first.
type releases struct{ last []release }

const (
	maxReleases = 32
	maxQueues   = 10_000
)

// blameGo charges the wait to those who made it last. Who waits for a lock in a queue waits
// for each that has it meanwhile, so that each is charged with the time until it let
// go, as by Go's mutex profile. Of channels and wait groups it is the one who ends it.
func (r *replayer) blameGo(c lock.Contention, e golock.Event, held bool, by release) {
	blame := func(by release, length uint64, last bool) {
		c.Benchmark, c.Phase = r.timeline.At(by.time)
		c.Holder, c.Length, c.First = by.holder, length, last
		c.ReleaseStack, c.ReleaseUnwind, _ = r.goWaits.stack(r.offCPU.stacks, e.Target, by.stack)
		r.offCPU.locks.Blame(c)
	}
	if !held || e.Lock == 0 {
		blame(by, e.Length(), true)
		return
	}
	key := goLock{e.Releaser.PID, e.Lock}
	queue := r.goWaits.queues[key]
	if queue == nil {
		if len(r.goWaits.queues) >= maxQueues {
			clear(r.goWaits.queues)
		}
		queue = &releases{}
		r.goWaits.queues[key] = queue
	}
	from := e.Since
	for _, earlier := range queue.last {
		if earlier.time > from && earlier.time < e.Time {
			blame(earlier, earlier.time-from, false)
			from = earlier.time
		}
	}
	blame(by, e.Time-from, true)
	if len(queue.last) == maxReleases {
		queue.last = append(queue.last[:0], queue.last[1:]...)
	}
	queue.last = append(queue.last, by)
}

// reportGoroutines adds how the recording of goroutines' waits went.
func (c *Collector) reportGoroutines(r *Report) {
	r.GoTargetsErr = c.goroutinesErr
	if c.goroutines == nil {
		return
	}
	r.GoTargets = c.goroutines.watcher.Targets()
	r.Losses = append(r.Losses,
		Loss{"user space", "wait of a goroutine without a reason", c.replayer.goWaits.unknown},
		Loss{"user space", "Go program not probed: too many waited for it", c.goroutines.watcher.Dropped()},
	)
}

// GoTargets are the Go programs that have or had probes so far, or could not have any.
func (c *Collector) GoTargets() []golock.Target {
	if c.goroutines == nil {
		return nil
	}
	return c.goroutines.watcher.Targets()
}

// waiting gives out the waits of goroutines that have not ended.
func (c *Collector) waiting() {
	if c.goroutines == nil {
		return
	}
	c.goroutines.watcher.Waiting(accounting.Monotonic(), func(w golock.Waiting) { c.queue.Push(w.Time, w) })
}

func (g *goroutines) stop() error {
	if g == nil {
		return nil
	}
	return g.watcher.Stop()
}

func (g *goroutines) close() error {
	if g == nil {
		return nil
	}
	return g.watcher.Close()
}
