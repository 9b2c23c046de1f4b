package kernellock_test

import (
	"math"
	"testing"
	"time"

	"github.com/narrows-profiler/narrows/collector/kernellock"
	"github.com/narrows-profiler/narrows/internal/heldlock"
)

// contend has threads contend for the mutex of a pipe.
func contend(t *testing.T, threads int, duration time.Duration) []int {
	t.Helper()
	_, tids, err := heldlock.Contend(threads, duration)
	if err != nil {
		t.Error(err)
	}
	return tids
}

// TestSumsAreTrue checks that what is sent, with its weights, adds up to all there was,
// though most short waits are not; that waits within waits are seen, and counted once.
func TestSumsAreTrue(t *testing.T) {
	var tids []int
	seen := watch(t, 0, func() { tids = contend(t, 8, 3*time.Second) })
	type sum struct{ waits, time, nested, squares float64 }
	sent := map[kernellock.Flags]*sum{}
	var threads float64
	for _, e := range seen.events {
		s := sent[e.Kind]
		if s == nil {
			s = &sum{}
			sent[e.Kind] = s
		}
		length := e.Weight * float64(e.Length())
		s.waits += e.Weight
		s.time += length
		s.nested += e.Weight * float64(e.Nested)
		s.squares += length * length
		if !e.Interrupt {
			threads += length
		}
	}
	var nested, waits float64
	for flags, total := range seen.totals {
		s := sent[flags]
		if s == nil {
			s = &sum{}
		}
		nested += float64(total.Nested)
		waits += float64(total.Waits)
		t.Logf("%s (%d): %d waits of %v, and %v within them; sent: %.0f of %v, and %v", total.Kind, flags, total.Waits, total.Time, total.Nested,
			s.waits, time.Duration(s.time), time.Duration(s.nested))
		// What chance explains: four standard deviations, were all of it drawn.
		if off := math.Abs(s.time - float64(total.Time)); off > 4*math.Sqrt(s.squares)+0.01*float64(total.Time)+1e6 {
			t.Errorf("%s: %v sent, where there were %v", total.Kind, time.Duration(s.time), total.Time)
		}
	}
	if nested == 0 && !emulated() { // where two CPUs take turns there is hardly any
		t.Error("no wait within a wait was seen")
	}
	// A thread whose first wait is one inside of the making of what is noted of threads has nothing
	// to note it in.
	const untracked = "wait for a kernel lock nested too deep, or no memory for it"
	if n := seen.losses[untracked]; float64(n) > waits/10_000 {
		t.Errorf("%d × %s", n, untracked)
	}
	t.Logf("%d events, %d threads, lost: %v", len(seen.events), len(tids), seen.losses)
}

// TestTimesAddUp checks that no thread waits longer for all locks together than there was
// time.
func TestTimesAddUp(t *testing.T) {
	var tids []int
	const duration = 2 * time.Second
	seen := watch(t, 0, func() { tids = contend(t, 4, duration) })
	sums := map[uint32]float64{}
	for _, e := range seen.events {
		if !e.Interrupt {
			sums[e.Thread.TID] += e.Weight * float64(e.Length())
		}
	}
	for _, tid := range tids {
		if sum := sums[uint32(tid)]; sum > 1.1*float64(duration) {
			t.Errorf("thread %d waited %v of %v", tid, time.Duration(sum), duration)
		}
	}
}
