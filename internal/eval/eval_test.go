package eval

import (
	"strings"
	"testing"

	"github.com/narrows-profiler/narrows/analysis/rank"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/plant"
)

func bottleneck(function string, share float64, stack ...string) rank.Bottleneck {
	speedup := 1 / (1 - share)
	return rank.Bottleneck{
		Function: function, Share: share, Payoff: rank.Payoff{SavingAtMost: share, SpeedupAtMost: &speedup},
		Stacks: []rank.Stack{{Functions: stack}},
	}
}

func ranking(service string, places ...rank.Bottleneck) *rank.Report {
	return &rank.Report{Ranked: []rank.Measured{
		{Benchmark: "Other", Services: []rank.Service{{Service: service, Bottlenecks: []rank.Bottleneck{bottleneck("decoy", 0.9)}}}},
		{Benchmark: "B", Services: []rank.Service{
			{Service: "another", Bottlenecks: []rank.Bottleneck{bottleneck("decoy", 0.9)}},
			{Service: service, Bottlenecks: places},
		}},
	}}
}

func TestFind(t *testing.T) {
	places := []rank.Bottleneck{
		bottleneck("example.org/x/engine.hot", 0.5, "engine.hot", "engine.good"),
		bottleneck("example.org/x/engine.scan", 0.2, "engine.scan", "example.org/x/engine.bad"),
	}
	for name, test := range map[string]struct {
		fault     plant.Fault
		rank      int
		predicted float64
	}{
		"first":             {plant.Fault{Place: "engine.hot"}, 1, 2},
		"second":            {plant.Fault{Place: "engine.scan"}, 2, 1.25},
		"through":           {plant.Fault{Place: "engine.scan", Through: "engine.bad"}, 2, 1.25},
		"through another":   {plant.Fault{Place: "engine.hot", Through: "engine.bad"}, 0, 0},
		"part of the name":  {plant.Fault{Place: "hot"}, 0, 0},
		"other benchmark's": {plant.Fault{Place: "decoy"}, 0, 0},
	} {
		test.fault.Benchmark = "B"
		r := Result{Subject: Subject{"s", test.fault}}
		r.find(ranking("s", places...))
		if r.Rank != test.rank || r.Predicted != test.predicted || r.First != "example.org/x/engine.hot" || r.FirstShare != 0.5 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func measured(metric string, value, low, high float64) *metrics.Document {
	d := metrics.New("s", "B", "")
	d.Set(metric, value)
	if high > 0 {
		d.CI[metric] = metrics.Interval{Low: low, High: high}
	}
	return d
}

// A gain is above 1 where the fix made the metric better, whichever way is better.
func TestCompare(t *testing.T) {
	for name, test := range map[string]struct {
		metric                string
		before, after         *metrics.Document
		gained, lowest, above float64
	}{
		"latency":     {"p50_ms", measured("p50_ms", 20, 16, 24), measured("p50_ms", 10, 8, 12), 2, 16.0 / 12, 3},
		"rate":        {"per_second", measured("per_second", 10, 8, 12), measured("per_second", 20, 16, 24), 2, 16.0 / 12, 3},
		"worse":       {"p50_ms", measured("p50_ms", 10, 8, 12), measured("p50_ms", 20, 16, 24), 0.5, 8.0 / 24, 12.0 / 16},
		"no interval": {"p50_ms", measured("p50_ms", 20, 0, 0), measured("p50_ms", 10, 8, 12), 2, 0, 0},
	} {
		r := Result{Subject: Subject{"s", plant.Fault{Metric: test.metric}}}
		if err := r.compare(test.before, test.after); err != nil || r.Gained != test.gained || r.GainedLow != test.lowest || r.GainedHigh != test.above {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	r := Result{Subject: Subject{"s", plant.Fault{Metric: "p99_ms"}}}
	none := metrics.New("s", "B", "")
	none.SetUnavailable("p99_ms", "too few answers")
	if err := r.compare(none, measured("p99_ms", 1, 1, 1)); err == nil || !strings.Contains(err.Error(), "too few answers") {
		t.Errorf("%v", err)
	}
}

// What is not found is said to be missed only where its signal was recorded.
func TestTableSaysWhatWasNotFound(t *testing.T) {
	var b strings.Builder
	err := WriteTable(&b, []Result{
		{Subject: Subject{"s", plant.Fault{Name: "a", Signal: plant.CPU}}, First: "x/y.f", FirstShare: 0.42, Rank: 1, Predicted: 2, Gained: 1.5, GainedLow: 1.25, GainedHigh: 1.75},
		{Subject: Subject{"s", plant.Fault{Name: "b", Signal: plant.CPU}}},
		{Subject: Subject{"s", plant.Fault{Name: "c", Signal: plant.Alloc}}, Gained: 3},
		{Subject: Subject{"s", plant.Fault{Name: "d", Signal: plant.Lock}}, First: "x/y.f", FirstShare: 1.2, FirstWhat: "sync.Mutex", FirstHolder: "x/y.g", Rank: 1, Cause: "convoy"},
	}, plant.CPU, plant.Lock)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| `y.f` 42 % | 1 | 2.00 × | 1.50 × (1.25 to 1.75) |", "| nothing | **not found** | - | unknown |", "| nothing | not yet seen: shows in alloc | - | 3.00 × |",
		"| `y.f` 120 % of the time, sync.Mutex, let go by `y.g` | 1 (convoy) | - | unknown |",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, &b)
		}
	}
}

// A fault that shows in waits is where its function waits, or lets go what others wait for;
// where it computes it is not.
func TestFindAmongWaits(t *testing.T) {
	const planted = "example.org/x/vault.(*Vault).putLocked"
	computes := rank.Entry{Signal: rank.CPU, What: "CPU", Function: planted, TimeShare: 2}
	waits := rank.Entry{Signal: rank.Lock, What: "sync.Mutex", Function: planted, TimeShare: 1.5, Cause: "lock held across I/O"}
	speedup := 4.0
	waited := rank.Entry{Signal: rank.Lock, What: "sync.Mutex", Function: "vault.get", TimeShare: 0.5, Holders: []rank.Part{{What: planted}}, Cause: "convoy", Payoff: &rank.Payoff{SpeedupAtMost: &speedup}}
	second := rank.Entry{Signal: rank.Lock, What: "sync.Mutex", Function: "vault.get", Holders: []rank.Part{{What: "other"}, {What: planted}}}
	for name, test := range map[string]struct {
		signal    plant.Signal
		entries   []rank.Entry
		rank      int
		cause     string
		predicted float64
	}{
		"waits":            {plant.Lock, []rank.Entry{computes, waits}, 2, "lock held across I/O", 0},
		"off-cpu":          {plant.OffCPU, []rank.Entry{waits}, 1, "lock held across I/O", 0},
		"lets go":          {plant.Lock, []rank.Entry{waited, waits}, 1, "convoy", 4},
		"not the foremost": {plant.Lock, []rank.Entry{second}, 0, "", 0},
		"of CPU time":      {plant.CPU, []rank.Entry{waits}, 0, "", 0},
	} {
		r := Result{Subject: Subject{"s", plant.Fault{Place: "vault.(*Vault).putLocked", Signal: test.signal, Benchmark: "B"}}}
		r.find(&rank.Report{Ranked: []rank.Measured{{Benchmark: "B", Services: []rank.Service{{Service: "s", ByTime: test.entries}}}}})
		if r.Rank != test.rank || r.Cause != test.cause || r.Predicted != test.predicted {
			t.Errorf("%s: %+v", name, r)
		}
	}
}
