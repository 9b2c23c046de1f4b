package eval

import (
	"testing"

	"github.com/narrows-profiler/narrows/analysis/memory"
	"github.com/narrows-profiler/narrows/analysis/rank"
	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/workloads/plant"
)

// A planted leak is found among those of its service; what just lives is none.
func TestFindLeak(t *testing.T) {
	place := func(verdict memory.Verdict, service, function string) memory.LivePlace {
		return memory.LivePlace{Verdict: verdict, Service: service, Function: function, Live: session.MemoryEstimate{Bytes: 3_000_000}}
	}
	d := &memory.Document{Sites: []memory.LivePlace{
		place(memory.Leak, "other", "x/log.keep"), place(memory.Leak, "s", "x/log.spill"), place(memory.Leak, "s", "x/log.keep"), place(memory.Steady, "s", "x/cache.fill"),
	}}
	for planted, want := range map[string]int{"log.spill": 1, "log.keep": 2, "cache.fill": 0} {
		r := Result{Subject: Subject{"s", plant.Fault{Place: planted, Signal: plant.Leak}}}
		r.findLeak(d)
		if r.Rank != want || r.First != "x/log.spill" || r.FirstWhat != "leak of 3 MB" {
			t.Errorf("%s: %+v", planted, r)
		}
	}
}

// A fault that shows in what memory costs is found there, and not where its function computes or
// waits.
func TestFindAmongMemory(t *testing.T) {
	const planted = "example.org/x/glyph.newWorkspace"
	speedup := 2.0
	entries := []rank.Entry{
		{Signal: rank.CPU, Function: planted}, {Signal: rank.Lock, Function: planted},
		{Signal: rank.Heap, What: "garbage", Function: planted, Cause: "garbage collection", Payoff: &rank.Payoff{SpeedupAtMost: &speedup}},
	}
	r := Result{Subject: Subject{"s", plant.Fault{Place: "glyph.newWorkspace", Signal: plant.Alloc}}}
	r.findEntry(entries)
	if r.Rank != 3 || r.Cause != "garbage collection" || r.Predicted != 2 {
		t.Errorf("%+v", r)
	}
	r = Result{Subject: Subject{"s", plant.Fault{Place: "glyph.newWorkspace", Signal: plant.Lock}}}
	if r.findEntry(entries); r.Rank != 2 {
		t.Errorf("a wait: %+v", r)
	}
}
