package collector

import (
	"math"
	"testing"
	"time"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/accounting"
	"github.com/narrows-profiler/narrows/collector/cpu"
	"github.com/narrows-profiler/narrows/collector/lifecycle"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/replay"
	"github.com/narrows-profiler/narrows/collector/unwind"
)

const period = 10 * time.Millisecond

// replayed feeds events into a replayer, in whatever order, and collects the windows.
type replayed struct {
	*replayer
	windows chan Window
	batch   uint64
	file    *process.Binary
}

func newReplayed(t *testing.T, source cpu.Source, selection Selection) *replayed {
	t.Helper()
	binaries := process.NewBinaries()
	t.Cleanup(func() {
		if err := binaries.Close(); err != nil {
			t.Error(err)
		}
	})
	windows := make(chan Window, 10)
	return &replayed{
		replayer: &replayer{
			queue: &replay.Queue[any]{}, timeline: &replay.Timeline{}, windows: windows,
			table: process.NewTable(nil, nil), source: source, period: period, selection: selection,
			cgroups: map[uint64]bool{}, unwinding: map[*process.Binary]*ends{}, memory: &memoryBudget{},
			wall: func(ns uint64) time.Time { return time.Unix(0, int64(ns)) },
		},
		windows: windows,
		file:    binaries.Get(1, lifecycle.Mapping{Path: "//anon"}),
	}
}

func (r *replayed) boundary(at, idle time.Duration, count uint64, kind boundaryKind) {
	r.queue.Push(uint64(at), boundary{
		reading: accounting.Reading{Time: uint64(at), CPUs: map[int]accounting.Times{0: {Idle: idle}}}, count: count, kind: kind,
	})
}

func (r *replayed) fork(at time.Duration, parent, pid uint32) {
	r.lifecycle(lifecycle.Event{Time: uint64(at), Kind: lifecycle.Fork, PID: pid, Parent: parent})
}

func (r *replayed) mmap(at time.Duration, pid uint32, start, end uint64) {
	r.lifecycle(lifecycle.Event{Time: uint64(at), Kind: lifecycle.Map, PID: pid, Mapping: lifecycle.Mapping{Start: start, End: end}})
}

func (r *replayed) lifecycle(e lifecycle.Event) {
	r.batch++
	r.queue.Push(e.Time, lifecycleEvent{unwind.Event{Event: e, Binary: r.file}, r.batch})
}

func (r *replayed) tick(at time.Duration, pid uint32, weight uint64, user ...uint64) {
	r.queue.Push(uint64(at), cpu.Sample{
		Stack: unwind.Stack{
			Walked: unwind.Walked{Time: uint64(at), Process: process.Identity{PID: pid, Start: uint64(pid)}}, User: user,
		},
		Thread: process.Thread{TID: pid, ProcessName: "p"}, Weight: weight,
	})
}

func (r *replayed) all(t *testing.T) []Window {
	t.Helper()
	r.release(math.MaxUint64)
	close(r.windows)
	var all []Window
	for w := range r.windows {
		if err := w.Profiles[CPU].CheckValid(); err != nil {
			t.Error(err)
		}
		all = append(all, w)
	}
	return all
}

func clock() cpu.Source { return cpu.Source{Name: "cpu-clock", Unit: cpu.Nanoseconds} }

// Events come in the wrong order; each sample still lands in its window, with the
// phase and the mappings of its time.
func TestReplayJoinsByTime(t *testing.T) {
	r := newReplayed(t, clock(), Selection{All: true})
	const s = time.Second
	r.timeline.Mark(uint64(3*s/2), "B", "decode")
	r.tick(5*s/2, 10, uint64(period), 0x1500) // before its mapping is known of
	r.tick(3*s/4, 10, uint64(period), 0x1500)
	r.tick(s/4, 10, uint64(period), 0x1500) // before the first window
	r.fork(s/8, 1, 10)
	r.mmap(2*s, 10, 0x1000, 0x2000)
	r.boundary(3*s, 0, 0, last)
	r.boundary(s/2, 0, 0, scheduled)
	r.boundary(2*s, 0, 0, scheduled)
	windows := r.all(t)
	if len(windows) != 2 || r.outside != 1 {
		t.Fatalf("%d windows and %d samples outside, want 2 and 1", len(windows), r.outside)
	}
	first, second := windows[0].Profiles[CPU], windows[1].Profiles[CPU]
	if len(first.Sample[0].Location) != 0 || !first.Sample[0].HasLabel("unwind", outsideCode) {
		t.Errorf("a sample before the mapping has %d frames, labels %v", len(first.Sample[0].Location), first.Sample[0].Label)
	}
	if first.Sample[0].HasLabel("benchmark", "B") || !second.Sample[0].HasLabel("benchmark", "B") || !second.Sample[0].HasLabel("phase", "decode") {
		t.Errorf("labels %v, then %v", first.Sample[0].Label, second.Sample[0].Label)
	}
	if len(second.Sample[0].Location) != 1 || second.Sample[0].Location[0].Address != 0x1500 {
		t.Errorf("a sample after the mapping: %v", second.Sample[0].Location)
	}
	if windows[1].Index != 1 || windows[1].End.Sub(windows[1].Start) != s {
		t.Errorf("window %d of %v", windows[1].Index, windows[1].End.Sub(windows[1].Start))
	}
}

// What is missing of a busy CPU's time is a sample of its own, in the same units.
func TestReplayComputesLoss(t *testing.T) {
	r := newReplayed(t, clock(), Selection{All: true})
	r.fork(0, 1, 10)
	r.boundary(1, 0, 0, scheduled)
	for i := range 60 { // of 100 ticks of a second that was never idle
		r.tick(time.Duration(i+1)*period, 10, uint64(period))
	}
	r.boundary(time.Second+1, 0, 0, last)
	windows := r.all(t)
	var seen, lost int64
	for _, s := range windows[0].Profiles[CPU].Sample {
		if len(s.Location) == 1 && s.Location[0].Line != nil {
			lost += s.Value[1]
			if s.Value[0] != 40 {
				t.Errorf("%d ticks lost, want 40", s.Value[0])
			}
		} else {
			seen += s.Value[1]
		}
	}
	if seen != int64(600*time.Millisecond) || lost != int64(400*time.Millisecond) {
		t.Errorf("seen %v and lost %v of a second", time.Duration(seen), time.Duration(lost))
	}
	if c := windows[0].Accounting[0]; c.Lost != 400*time.Millisecond || c.Samples != 60 {
		t.Errorf("accounting %+v", c)
	}
}

// Cycles are worth the busy time over all cycles counted, those between samples
// included: half of the cycles sampled is half of the time seen.
func TestReplayConvertsCycles(t *testing.T) {
	r := newReplayed(t, cpu.Source{Name: "cycles", Unit: cpu.Cycles}, Selection{All: true})
	r.fork(0, 1, 10)
	r.boundary(1, 0, 1_000, scheduled)
	for i := range 50 {
		r.tick(time.Duration(i+1)*period, 10, 30_000_000)
	}
	r.boundary(time.Second+1, 0, 3_000_001_000, last)
	w := r.all(t)[0]
	if w.Accounting[0].Seen != 500*time.Millisecond || w.Accounting[0].Lost != 500*time.Millisecond {
		t.Errorf("accounting %+v", w.Accounting[0])
	}
	var total int64
	for _, s := range w.Profiles[CPU].Sample {
		total += s.Value[1]
	}
	if total != int64(time.Second) {
		t.Errorf("seen and lost add up to %v, want the second that was there", time.Duration(total))
	}
}

// A selection keeps a process and what it forks later; the accounting stays that of
// the machine.
func TestReplaySelects(t *testing.T) {
	r := newReplayed(t, clock(), Selection{})
	r.fork(0, 1, 10)
	r.fork(0, 1, 20)
	r.queue.Push(1, assignment{10, process.Assignment{Selected: true, Service: "vault"}})
	r.boundary(2, 0, 0, scheduled)
	r.fork(3, 10, 11)
	for i, pid := range []uint32{10, 11, 20} {
		r.tick(time.Duration(i+1)*period, pid, uint64(period))
	}
	r.boundary(4*period, 0, 0, last)
	w := r.all(t)[0]
	pids := map[int64]bool{}
	for _, s := range w.Profiles[CPU].Sample {
		pids[s.NumLabel["pid"][0]] = true
		if !s.HasLabel("service", "vault") {
			t.Errorf("labels %v", s.Label)
		}
	}
	if len(pids) != 2 || !pids[10] || !pids[11] {
		t.Errorf("kept processes %v, want 10 and its child 11", pids)
	}
	if w.Accounting[0].Samples != 3 {
		t.Errorf("%d samples accounted for, want all 3", w.Accounting[0].Samples)
	}
}

// A stack is cut where an address is no code: what lies behind was read from garbage.
func TestResolveCutsGarbage(t *testing.T) {
	r := newReplayed(t, clock(), Selection{All: true})
	r.fork(0, 1, 10)
	r.mmap(1, 10, 0x1000, 0x2000)
	r.boundary(2, 0, 0, scheduled)
	r.tick(period, 10, uint64(period), 0x1000, 0x2000, 0xdead, 0x1800)
	r.boundary(2*period, 0, 0, last)
	s := r.all(t)[0].Profiles[CPU].Sample[0]
	var addresses []uint64
	for _, l := range s.Location {
		addresses = append(addresses, l.Address)
	}
	// The caller's return address is the first byte behind the mapping: the call is
	// the last one in it.
	if len(addresses) != 2 || addresses[0] != 0x1000 || addresses[1] != 0x1fff {
		t.Errorf("frames %#x, want the two in code", addresses)
	}
	if !s.HasLabel("unwind", outsideCode) {
		t.Errorf("labels %v", s.Label)
	}
}

// A window whose stacks have become too many ends at the next possible boundary; a
// possible boundary does nothing else.
func TestWindowsEndEarlyWhenStacksAreMany(t *testing.T) {
	r := newReplayed(t, cpu.Source{Unit: cpu.Nanoseconds}, Selection{All: true})
	const deep = 1000
	stack := make([]uint64, deep)
	for i := range stack {
		stack[i] = 0x1000 + uint64(i)
	}
	at := time.Duration(0)
	r.boundary(at, 0, 0, scheduled)
	r.fork(at, 1, 7)
	r.mmap(at, 7, 0x1000, 0x100000)
	ticks, expected := 0, []int{}
	take := func(n int) {
		for range n {
			at += period
			ticks++
			stack := append([]uint64(nil), stack...)
			stack[ticks%deep] += 0x10000 // each stack differs
			stack[0] += uint64(ticks)
			r.tick(at, 7, uint64(period), stack...)
		}
	}
	const full = MaxWindowFrames/deep + 1
	take(full / 2)
	r.boundary(at, 0, 0, possible)
	take(full)
	r.boundary(at, 0, 0, possible)
	expected = append(expected, ticks)
	take(3)
	r.boundary(at, 0, 0, possible)
	r.boundary(at, 0, 0, last)
	r.boundary(at, 0, 0, possible)
	expected = append(expected, 3)
	windows := r.all(t)
	if len(windows) != len(expected) {
		t.Fatalf("%d windows, want %d", len(windows), len(expected))
	}
	for i, w := range windows {
		var samples int64
		for _, s := range w.Profiles[CPU].Sample {
			samples += s.Value[0]
		}
		if w.Index != i || samples != int64(expected[i]) || w.Accounting[0].Lost != 0 {
			t.Errorf("window %d has index %d and %d samples, lost %v; want %d", i, w.Index, samples, w.Accounting[0].Lost, expected[i])
		}
	}
	if !windows[0].End.Equal(windows[1].Start) {
		t.Errorf("a window ends at %v and the next begins at %v", windows[0].End, windows[1].Start)
	}
}

// A mapping that the kernel's walker could not know yet had other code before, by whose
// rules it went on: what it found from there is not believed.
func TestResolveCutsWhereMappingsChanged(t *testing.T) {
	r := newReplayed(t, clock(), Selection{All: true})
	r.fork(0, 1, 10)
	r.mmap(1, 10, 0x1000, 0x2000) // the second batch
	known := r.batch
	r.mmap(2, 10, 0x3000, 0x4000)
	r.boundary(3, 0, 0, scheduled)
	for i, version := range []uint64{known, known + 1} {
		r.queue.Push(uint64(i+1)*uint64(period), cpu.Sample{
			Stack: unwind.Stack{
				Walked:  unwind.Walked{Time: uint64(i+1) * uint64(period), Process: process.Identity{PID: 10, Start: 10}},
				Version: unwind.Version(version), User: []uint64{0x1100, 0x3100, 0x1200},
			},
			Weight: uint64(period),
		})
	}
	r.boundary(3*period, 0, 0, last)
	samples := r.all(t)[0].Profiles[CPU].Sample
	if s := samples[0]; len(s.Location) != 2 || !s.HasLabel("unwind", changedMeanwhile) {
		t.Errorf("by mappings older than the last: %d frames, labels %v", len(s.Location), s.Label)
	}
	if s := samples[1]; len(s.Location) != 3 || len(s.Label["unwind"]) != 0 {
		t.Errorf("by the present mappings: %d frames, labels %v", len(s.Location), s.Label)
	}
}

// continued is a walker that finds always the same callers.
type continued struct{ callers []uint64 }

func (c continued) Walk(frames []uint64, _ *unwind.Memory, _ func(uint64) (process.Mapping, bool)) ([]uint64, bpf.CoreUnwindEnd) {
	return append(frames, c.callers...), bpf.CoreUnwindEndUNWIND_COMPLETE
}

// A walk that lacked something in the kernel is completed in user space, and counted as
// such; its memory is given back.
func TestResolveContinuesInMemory(t *testing.T) {
	r := newReplayed(t, clock(), Selection{All: true})
	r.walker = continued{[]uint64{0x1200, 0x1300}}
	r.fork(0, 1, 10)
	r.mmap(1, 10, 0x1000, 0x2000)
	r.boundary(2, 0, 0, scheduled)
	memory := &unwind.Memory{PC: 0x1100}
	r.memory.take(memory.Size()+7, maxHeldMemory)
	r.queue.Push(uint64(period), cpu.Sample{
		Stack: unwind.Stack{
			Walked: unwind.Walked{
				Time: uint64(period), Process: process.Identity{PID: 10, Start: 10},
				End: bpf.CoreUnwindEndUNWIND_NO_PROCESS, Memory: memory,
			},
			User: []uint64{0x1100},
		},
		Weight: uint64(period),
	})
	r.boundary(2*period, 0, 0, last)
	s := r.all(t)[0].Profiles[CPU].Sample[0]
	if len(s.Location) != 3 || len(s.Label["unwind"]) != 0 {
		t.Errorf("%d frames, labels %v", len(s.Location), s.Label)
	}
	if e := r.unwinding[r.file]; e == nil || e.complete != 1 || e.inUser != 1 {
		t.Errorf("counted as %+v", e)
	}
	if held := r.memory.held.Load(); held != 7 {
		t.Errorf("%d bytes are still held, want 7", held)
	}
}
