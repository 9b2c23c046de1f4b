package lock

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/narrows-profiler/narrows/collector/window"
)

// Quantiles are those of the sorted lengths, but for the width of a class.
func TestHistogram(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var h, half Histogram
	var lengths []uint64
	for i := range 10_000 {
		length := uint64(math.Exp(random.Float64() * 20))
		lengths = append(lengths, length)
		if i%2 == 0 {
			h.Add(length, 1)
		} else {
			half.Add(length, 1)
		}
	}
	h.Merge(&half)
	slices.Sort(lengths)
	for _, q := range []float64{0.01, 0.5, 0.9, 0.99} {
		want := float64(lengths[int(q*float64(len(lengths)))-1])
		if got := float64(h.Quantile(q)); math.Abs(got/want-1) > 0.035 && math.Abs(got-want) > 1 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if h.Longest() != lengths[len(lengths)-1] || h.Quantile(1) > h.Longest() || h.Total() != 10_000 {
		t.Errorf("longest %d, of all %d, total %v", h.Longest(), h.Quantile(1), h.Total())
	}
	var none Histogram
	if none.Quantile(0.5) != 0 {
		t.Error("nothing has a median")
	}
	for _, length := range []uint64{0, 1, 15, 16, 17, 1 << 40, math.MaxUint64} {
		var one Histogram
		one.Add(length, 1)
		if got := one.Quantile(0.5); float64(got) < 0.96*float64(length) || got > length {
			t.Errorf("the median of %d is %d", length, got)
		}
	}
}

// Weights need not be whole; what profiles count adds up to them, and delays are exact.
func TestWeights(t *testing.T) {
	w := NewWindow()
	waiter, holder := Thread{PID: 1, TID: 2}, Thread{PID: 1, TID: 3, Name: "holder"}
	for range 1000 {
		w.Add(Contention{
			Lock: Identity{ID: "1:0x10", Kind: "mutex"}, Waiter: waiter, Holder: holder, Stack: []window.Frame{{Address: 1 << 63}},
			Length: 1000, Weight: 1.25, First: true, State: "futex",
		})
	}
	wait, blame, held := w.Profiles(time.Unix(0, 0), time.Second)
	for name, samples := range map[string][]int64{"wait": wait.Sample[0].Value, "blame": blame.Sample[0].Value} {
		if samples[0] != 1250 || samples[1] != 1_250_000 {
			t.Errorf("%s: %v, want 1250 contentions and 1250000 ns", name, samples)
		}
	}
	if len(held.Sample) != 0 {
		t.Errorf("nobody said what the holder did: %v", held.Sample)
	}
	if s := wait.Sample[0]; !s.HasLabel("lock", "1:0x10") || !s.HasLabel("lock_kind", "mutex") || s.NumLabel["owner"][0] != 3 {
		t.Errorf("labels %v %v", s.Label, s.NumLabel)
	}
	if s := blame.Sample[0]; !s.HasLabel("thread", "holder") || s.NumLabel["tid"][0] != 3 {
		t.Errorf("labels %v %v", s.Label, s.NumLabel)
	}
	l := w.Locks["1:0x10"]
	if l.Acquisitions != 1250 || l.Total != 1_250_000 || len(l.Waiters) != 1 {
		t.Errorf("%+v", l)
	}
	if e := w.Edges[EdgeKey{Waiter: waiter, Holder: holder, State: "futex", Lock: l.ID}]; e == nil || e.Waits != 1250 || e.Longest != 1000 {
		t.Errorf("%+v", w.Edges)
	}
}

// Twice as many locks as there is room for take no more room than what is set for them, and nothing is lost of sums.
func TestTablesAreBounded(t *testing.T) {
	w := NewWindow()
	for i := range 2 * maxLocks {
		w.Add(Contention{Lock: Identity{ID: strconv.Itoa(i)}, Waiter: Thread{TID: uint32(i + 1)}, Length: 1, Weight: 1, First: true})
	}
	var locks, edges float64
	for _, l := range w.Locks {
		locks += l.Total
	}
	for _, e := range w.Edges {
		edges += e.Total
	}
	if len(w.Locks) > maxLocks+1 || len(w.Edges) > maxEdges+1 || locks != 2*maxLocks || edges != 2*maxLocks {
		t.Errorf("%d locks with %v ns, %d edges with %v ns", len(w.Locks), locks, len(w.Edges), edges)
	}
}
