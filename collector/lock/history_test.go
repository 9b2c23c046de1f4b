package lock

import (
	"math"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/collector/window"
)

func TestHistoryBetween(t *testing.T) {
	h := NewHistory()
	h.Add(1, Activity{From: 100, To: 200, Weight: 1, State: "io"})
	h.Add(1, Activity{From: 250, To: 250, Length: 10, Weight: 1, State: "running"})
	h.Add(1, Activity{From: 300, To: 400, Weight: 2, State: "futex"})
	h.Add(2, Activity{From: 0, To: 1000, Weight: 1, State: "sleep"})
	for _, c := range []struct {
		from, to uint64
		want     map[string]float64
	}{
		{0, 1000, map[string]float64{"io": 100, "running": 10, "futex": 200}},
		{150, 350, map[string]float64{"io": 50, "running": 10, "futex": 100}},
		{200, 250, map[string]float64{}},
		{250, 251, map[string]float64{"running": 10}},
		{400, 500, map[string]float64{}},
	} {
		got := map[string]float64{}
		h.Between(1, c.from, c.to, func(a Activity, ns float64) { got[a.State] += ns })
		if len(got) != len(c.want) {
			t.Errorf("from %d to %d: %v, want %v", c.from, c.to, got, c.want)
		}
		for state, ns := range c.want {
			if got[state] != ns {
				t.Errorf("from %d to %d: %s for %v ns, want %v", c.from, c.to, state, got[state], ns)
			}
		}
	}
	h.Forget(260)
	h.Between(1, 0, 1000, func(a Activity, _ float64) {
		if a.State != "futex" {
			t.Errorf("%s was to be forgotten", a.State)
		}
	})
}

func TestHistoryIsBounded(t *testing.T) {
	h := NewHistory()
	for i := range uint64(3 * maxPasts) {
		h.Add(uint32(i%1000), Activity{From: i, To: i + 1, Weight: 1})
	}
	if h.entries > maxPasts || h.Dropped == 0 && h.entries > 1000*maxPast {
		t.Errorf("%d entries, %d times dropped", h.entries, h.Dropped)
	}
}

func total(p *profile.Profile, value int) (sum int64) {
	for _, s := range p.Sample {
		sum += s.Value[value]
	}
	return sum
}

// What holders did adds up to how long others waited, whether samples are too few or too many.
func TestHoldingIsBalanced(t *testing.T) {
	id := Identity{ID: "1:0x10", Kind: "mutex", PID: 1}
	holder := Thread{PID: 1, TID: 2}
	stack := []window.Frame{{Address: 0xffffffff81000000}}
	for _, told := range []float64{0, 400, 1000, 5000} {
		w := NewWindow()
		w.Add(Contention{Lock: id, Waiter: Thread{PID: 1, TID: 3}, Stack: stack, Holder: holder, ReleaseStack: stack, Length: 1000, Weight: 1, First: true})
		w.Holding(id, holder, "", "", 1000)
		if told > 0 {
			w.Held(id, window.Labels{PID: 1, TID: 2, State: "running"}, stack, told)
		}
		_, _, held := w.Profiles(time.Unix(0, 0), time.Second)
		if got := total(held, 0); got != 1000 {
			t.Errorf("told of %v of 1000 ns: %d in all", told, got)
		}
	}
}

// What was sampled of a lock is brought to what was counted, in everything that is given out.
func TestExactSums(t *testing.T) {
	stack := []window.Frame{{Address: 0xffffffff81000000}}
	id, other, unseen := Identity{ID: "1:0x10", Kind: "mutex", PID: 1}, Identity{ID: "1:0x20", PID: 1}, Identity{ID: "1:0x30", PID: 1}
	waiter, holder := Thread{PID: 1, TID: 3}, Thread{PID: 1, TID: 2}
	w := NewWindow()
	for range 10 {
		w.Add(Contention{Lock: id, Waiter: waiter, Stack: stack, Holder: holder, ReleaseStack: stack, Length: 100, Weight: 2, First: true})
	}
	w.Add(Contention{Lock: other, Waiter: waiter, Stack: stack, Length: 70, Weight: 1, First: true})
	w.Exact(id, waiter, Sums{Acquisitions: 15, Waits: 20, Waited: 1500})
	w.Exact(id, waiter, Sums{Acquisitions: 15, Waits: 20, Waited: 1500, TimedOut: 3, Holds: 4, HeldFor: 50})
	w.Exact(unseen, Thread{PID: 1, Process: "p"}, Sums{Acquisitions: 1, Waits: 2, Waited: 30})
	wait, blame, _ := w.Profiles(time.Unix(0, 0), time.Second)

	l := w.Locks[id.ID]
	if l.Acquisitions != 30 || l.Waits != 40 || l.Total != 3000 || l.Outcomes[TimedOut] != 3 || l.Outcomes[Woken] != 37 || l.Holds != 4 {
		t.Errorf("lock %+v", l)
	}
	if n := l.Lengths.Total(); math.Abs(n-40) > 1e-9 {
		t.Errorf("%v lengths of 40 waits", n)
	}
	e := w.Edges[EdgeKey{Waiter: waiter, Holder: holder, Lock: id.ID}]
	if e.Waits != 40 || e.Total != 3000 {
		t.Errorf("edge %+v", e)
	}
	if got := total(wait, 1); got != 3000+70+30 {
		t.Errorf("the profile of waits has %d ns", got)
	}
	if got := total(wait, 0); got != 30+1+1 {
		t.Errorf("the profile of waits has %d contentions", got)
	}
	if got := total(blame, 1); got != 3000 {
		t.Errorf("the profile of who let go has %d ns", got)
	}
	if u := w.Locks[unseen.ID]; u == nil || u.Waits != 2 || u.Total != 30 || len(u.Waiters) != 0 {
		t.Errorf("a lock of which no wait was sampled: %+v", u)
	}
}

func TestCycles(t *testing.T) {
	wait := func(waiter, holder uint32) Waiting {
		return Waiting{Waiter: Thread{PID: 1, TID: waiter}, Holder: Thread{PID: 1, TID: holder}}
	}
	for name, c := range map[string]struct {
		waits []Waiting
		want  [][]uint32
	}{
		"none":            {nil, nil},
		"a chain":         {[]Waiting{wait(1, 2), wait(2, 3)}, nil},
		"two":             {[]Waiting{wait(2, 1), wait(1, 2)}, [][]uint32{{1, 2}}},
		"with a tail":     {[]Waiting{wait(1, 5), wait(5, 6), wait(6, 5), wait(7, 1)}, [][]uint32{{5, 6}}},
		"three":           {[]Waiting{wait(9, 8), wait(8, 7), wait(7, 9)}, [][]uint32{{7, 9, 8}}},
		"one with itself": {[]Waiting{wait(4, 4)}, [][]uint32{{4}}},
		"two of two":      {[]Waiting{wait(1, 2), wait(2, 1), wait(3, 4), wait(4, 3)}, [][]uint32{{1, 2}, {3, 4}}},
	} {
		got := Cycles(c.waits)
		if len(got) != len(c.want) {
			t.Errorf("%s: %v", name, got)
			continue
		}
		for i, cycle := range got {
			for j, w := range cycle {
				if j >= len(c.want[i]) || w.Waiter.TID != c.want[i][j] {
					t.Errorf("%s: %v, want %v", name, cycle, c.want[i])
				}
			}
		}
	}
}
