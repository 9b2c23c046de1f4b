package collector

import (
	"math"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/collector/golock"
	"github.com/narrows-profiler/narrows/collector/jit"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/wait"
	"github.com/narrows-profiler/narrows/collector/window"
)

// knowsAll takes a reason of 1 for a mutex and all others for channels.
type knowsAll struct{}

func (knowsAll) Explain(e golock.Event) (golock.Wait, bool) {
	if e.Reason == 1 {
		return golock.Wait{Kind: "sync.Mutex", Lock: true}, true
	}
	return golock.Wait{Kind: "chan receive"}, e.Reason == 2
}

func (knowsAll) Trim(_ uint32, stack []window.Frame) (int, bool) { return min(1, len(stack)-1), false }

func newGoReplayed(t *testing.T) *replayed {
	t.Helper()
	r := newReplayed(t, clock(), Selection{All: true})
	r.offCPU = newOffCPU(nil)
	r.goWaits = newGoWaits(knowsAll{})
	for i, name := range []string{"waiter", "one", "two"} {
		f := func(name string) window.Frame {
			return window.Frame{Function: &jit.Function{Name: name, SystemName: name}}
		}
		r.offCPU.stacks.Put(window.StackID{uint64(i), 1}, window.Resolved{Frames: []window.Frame{f("runtime"), f(name)}})
	}
	return r
}

func (r *replayed) goWait(since, at time.Duration, reason, by uint32, weight float64) {
	r.queue.Push(uint64(at), golock.Event{
		Releaser: process.Thread{Identity: process.Identity{PID: 10, Start: 10}, TID: by, ProcessName: "p"}, ReleaseStack: window.StackID{uint64(by), 1},
		WaiterTID: 9, Stack: window.StackID{0, 1}, Lock: 0x1000, Since: uint64(since), Time: uint64(at), Weight: weight, Reason: reason,
	})
}

// delaysOf adds up by the function that the stacks begin with.
func delaysOf(p *profile.Profile) map[string]int64 {
	sums := map[string]int64{}
	for _, s := range p.Sample {
		sums[s.Location[0].Line[0].Function.Name] += s.Value[1]
	}
	return sums
}

// Two wait for a lock in a queue: who has it first is charged with what both waited
// meanwhile.
func TestGoBlameOfAQueue(t *testing.T) {
	r := newGoReplayed(t)
	const ms = time.Millisecond
	r.fork(0, 1, 10)
	r.boundary(ms, 0, 0, scheduled)
	r.goWait(10*ms, 30*ms, 1, 1, 1)
	r.goWait(20*ms, 60*ms, 1, 2, 1)
	r.goWait(70*ms, 75*ms, 3, 1, 1) // of no known reason
	r.boundary(100*ms, 0, 0, last)
	w := r.all(t)[0]
	if got := delaysOf(w.Profiles[LockWait]); got["waiter"] != int64(60*ms) || len(got) != 1 {
		t.Errorf("waits %v, want 60 ms", got)
	}
	got := delaysOf(w.Profiles[LockBlame])
	if got["one"] != int64(30*ms) || got["two"] != int64(30*ms) {
		t.Errorf("blame %v, want 20 + 10 ms for the first and 30 for the second", got)
	}
	l := w.Locks["10:go:0x1000"]
	if l == nil || l.Kind != "sync.Mutex" || l.Waits != 2 || l.Acquisitions != 2 || r.goWaits.unknown != 1 {
		t.Errorf("lock %+v, %d unknown", l, r.goWaits.unknown)
	}
	for _, s := range w.Profiles[LockWait].Sample {
		if !s.HasLabel("state", wait.Go) || !s.HasLabel("lock_kind", "sync.Mutex") {
			t.Errorf("labels %v", s.Label)
		}
	}
}

// Who ends a wait for a channel is charged with all of it; the weight counts, and what was
// before the recording does not.
func TestGoBlameOfAChannel(t *testing.T) {
	r := newGoReplayed(t)
	const ms = time.Millisecond
	r.fork(0, 1, 10)
	r.boundary(5*ms, 0, 0, scheduled)
	r.goWait(0, 15*ms, 2, 1, 1)
	r.goWait(10*ms, 20*ms, 2, 2, 2.5)
	r.boundary(100*ms, 0, 0, last)
	w := r.all(t)[0]
	got := delaysOf(w.Profiles[LockBlame])
	if got["one"] != int64(10*ms) || got["two"] != int64(25*ms) {
		t.Errorf("blame %v, want 10 and 25 ms", got)
	}
	if l := w.Locks["10:go:0x1000"]; l == nil || math.Abs(l.Total-35e6) > 1 || l.Acquisitions != 3.5 {
		t.Errorf("lock %+v", l)
	}
}
