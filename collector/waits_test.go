package collector

import (
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/unwind"
	"github.com/narrows-profiler/narrows/collector/wait"
	"github.com/narrows-profiler/narrows/collector/window"
)

// kernelNames is a kernel of a few functions.
type kernelNames struct{}

const (
	scheduleAt uint64 = 1<<63 + 0x1000*(iota+1)
	futexAt
	pollAt
)

func (kernelNames) Lookup(address uint64) (string, string, bool) {
	name := map[uint64]string{scheduleAt: "__schedule", futexAt: "futex_do_wait", pollAt: "ep_poll"}[address&^0xfff]
	return name, "", name != ""
}

// newWaitReplayed is a replayer that records waits of process 10.
func newWaitReplayed(t *testing.T) *replayed {
	r := newReplayed(t, clock(), Selection{All: true})
	r.offCPU = newOffCPU(kernelNames{})
	r.fork(0, 1, 10)
	r.mmap(1, 10, 0x1000, 0x2000)
	return r
}

func (r *replayed) stack(at time.Duration, id window.StackID, user ...uint64) {
	thread := process.Thread{Identity: process.Identity{PID: 10, Start: 10}, TID: 11, Name: "t", ProcessName: "p"}
	r.queue.Push(uint64(at), wait.Stack{
		ID: id, Thread: thread,
		Stack: unwind.Stack{
			Walked: unwind.Walked{Time: uint64(at), Process: thread.Identity}, User: user, Kernel: []uint64{1<<63 + 1, scheduleAt, futexAt},
		},
	})
}

func (r *replayed) wait(since, woken, at time.Duration, change func(*wait.Event)) {
	e := wait.Event{
		Thread:       process.Thread{Identity: process.Identity{PID: 10, Start: 10}, TID: 11, Name: "t", ProcessName: "p"},
		NamespaceTID: 11, Since: uint64(since), Woken: uint64(woken), Time: uint64(at), Weight: 1, HasStack: true, Stack: window.StackID{1, 1},
	}
	change(&e)
	r.queue.Push(e.Time, e)
}

// parts are the samples of a profile by state, benchmark and phase.
func parts(p *profile.Profile) map[string][2]int64 {
	sums := map[string][2]int64{}
	for _, s := range p.Sample {
		key := ""
		for _, name := range []string{"state", "benchmark", "phase"} {
			for _, value := range s.Label[name] {
				key += value + " "
			}
		}
		sums[key] = [2]int64{sums[key][0] + s.Value[0], sums[key][1] + s.Value[1]}
	}
	return sums
}

// A wait is split into what it was blocked and what it then waited for a CPU, and by what
// the benchmark did meanwhile; it counts once.
func TestWaitIsSplit(t *testing.T) {
	r := newWaitReplayed(t)
	r.boundary(10, 0, 0, scheduled)
	r.timeline.Mark(200, "B", "one")
	r.timeline.Mark(300, "B", "two")
	r.stack(100, window.StackID{1, 1}, 0x1100)
	r.wait(100, 400, 450, func(e *wait.Event) { e.Waker = wait.Waker{PID: 20, TID: 21} })
	r.boundary(1000, 0, 0, last)
	w := r.all(t)[0]
	got := parts(w.Profiles[OffCPU])
	want := map[string][2]int64{"futex ": {0, 100}, "futex B one ": {0, 100}, "futex B two ": {1, 100}, "runnable B two ": {0, 50}}
	if len(got) != len(want) {
		t.Errorf("%v", got)
	}
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s: %v, want %v", key, got[key], value)
		}
	}
	if frames := w.Profiles[OffCPU].Sample[0].Location; len(frames) != 3 || frames[0].Address != scheduleAt {
		t.Errorf("the stack does not begin with the scheduler: %v", frames)
	}
	for key, e := range w.Edges {
		if key.Waiter.TID != 11 || key.Holder.TID != 21 || key.State != "futex" || e.Total != 300 {
			t.Errorf("%+v: %+v", key, e)
		}
	}
	if len(w.Edges) != 1 {
		t.Errorf("edges %v", w.Edges)
	}
}

// What a thread waited for before the recording is not part of it, nor what it did after;
// a wait without a stack says why.
func TestWaitsAtTheEdges(t *testing.T) {
	r := newWaitReplayed(t)
	r.boundary(1000, 0, 0, scheduled)
	r.wait(10, 0, 1500, func(e *wait.Event) { e.HasStack, e.Stack = false, window.StackID{} })
	r.wait(1600, 0, 1700, func(e *wait.Event) { e.Stack = window.StackID{7, 7} })
	r.wait(1700, 1700, 1900, func(e *wait.Event) { e.Flags = bpf.CoreWaitFlagWAIT_PREEMPTED })
	r.boundary(2000, 0, 0, last)
	r.wait(1900, 0, 2500, func(*wait.Event) {})
	p := r.all(t)[0].Profiles[OffCPU]
	if got := parts(p); got["other "] != [2]int64{2, 600} || got["runnable "] != [2]int64{1, 200} || len(got) != 2 {
		t.Errorf("%v", got)
	}
	reasons := map[string]int64{}
	for _, s := range p.Sample {
		reasons[s.Location[0].Line[0].Function.Name] += s.Value[1]
	}
	if reasons["[no stack: too many switches]"] != 500 || reasons["[no stack: lost]"] != 300 || r.offCPU.missing != 2 {
		t.Errorf("%v, %d missing", reasons, r.offCPU.missing)
	}
}

// Weights are part of every sum.
func TestWeightedWaits(t *testing.T) {
	r := newWaitReplayed(t)
	r.boundary(10, 0, 0, scheduled)
	r.stack(20, window.StackID{1, 1}, 0x1100)
	for i := range 100 {
		at := time.Duration(100 + 10*i)
		r.wait(at, 0, at+4, func(e *wait.Event) { e.Weight = 2.5 })
	}
	r.boundary(5000, 0, 0, last)
	if got := parts(r.all(t)[0].Profiles[OffCPU]); got["futex "] != [2]int64{250, 1000} {
		t.Errorf("%v, want 250 waits of 1000 ns", got)
	}
}
