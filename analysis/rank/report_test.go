package rank

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/workloads/metrics"
)

const (
	first = "benchmark=FirstTokenLatencyBenchmark"
	ryot  = "service=ryot"
)

func rankAll(t testing.TB, documents []metrics.Document, windows ...*builder) *Report {
	t.Helper()
	var tally Tally
	for _, w := range windows {
		if err := w.p.CheckValid(); err != nil {
			t.Fatal(err)
		}
		if err := tally.Add(w.p); err != nil {
			t.Fatal(err)
		}
	}
	r, err := tally.Report(documents, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func outcome(verdict metrics.Verdict, unit string) []metrics.Document {
	return []metrics.Document{{Benchmark: "FirstTokenLatencyBenchmark", Status: metrics.Complete,
		Targets: []metrics.Target{{Metric: "ttft_p95_ms", Comparison: "<", Value: 100, Unit: unit, Verdict: verdict}}}}
}

// shares returns function names and shares of a list of bottlenecks.
func shares(list []Bottleneck) map[string]float64 {
	m := map[string]float64{}
	for _, b := range list {
		m[b.Function] = b.Share
	}
	return m
}

func TestKnownSplitIsRankedAsItIs(t *testing.T) {
	b := newBuilder().
		add("matmul;forward;main", 500, first, ryot).
		add("softmax;forward;main", 300, first, ryot).
		add("sample;main", 200, first, ryot).
		add("kworker", 1000, first)
	r := rankAll(t, nil, b)
	if len(r.Ranked) != 1 || len(r.Ranked[0].Services) != 1 {
		t.Fatalf("ranked %+v, want one benchmark with one service", r.Ranked)
	}
	s := r.Ranked[0].Services[0]
	want := map[string]float64{"matmul": 0.5, "softmax": 0.3, "sample": 0.2}
	if diff := cmp.Diff(want, shares(s.Bottlenecks)); diff != "" {
		t.Errorf("shares (-want +got):\n%s", diff)
	}
	top := s.Bottlenecks[0]
	if top.Function != "matmul" || top.SelfNS != 500*tick || top.Samples != 500 || top.RecordedShare != 0.25 || top.File != "src/matmul.go" || top.Line != 6 {
		t.Errorf("first is %+v", top)
	}
	if s.RecordedShare != 0.5 || r.Ranked[0].NoServiceNS != 1000*tick {
		t.Errorf("the service has %v of the machine, no service %d ns", s.RecordedShare, r.Ranked[0].NoServiceNS)
	}
	if top.Payoff.SavingAtMost != 0.5 || *top.Payoff.SpeedupAtMost != 2 || !strings.Contains(top.Payoff.Statement, "at most 50.0 %") {
		t.Errorf("payoff %+v", top.Payoff)
	}
	for _, place := range r.Top {
		if place.Function == "forward" || place.Function == "main" {
			t.Errorf("%s has no time of its own but is ranked", place.Function)
		}
	}
}

func TestRecursionAndInliningCountOnce(t *testing.T) {
	b := newBuilder().
		add("walk;walk;walk;visit;main", 100, ryot).
		add("walk;visit;main", 100, ryot).
		add("dot|matmul;walk;main", 200, ryot)
	r := rankAll(t, nil, b)
	list := r.Ranked[0].Services[0].Bottlenecks
	if diff := cmp.Diff(map[string]float64{"dot": 0.5, "walk": 0.5}, shares(list)); diff != "" {
		t.Fatalf("shares (-want +got):\n%s", diff)
	}
	for _, p := range list {
		switch p.Function {
		case "walk":
			if p.TotalNS != 400*tick {
				t.Errorf("walk's total is %d ns, want each of 400 stacks once", p.TotalNS)
			}
			if diff := cmp.Diff([]Caller{{Function: "visit", Share: 1, Samples: 200}}, p.Callers); diff != "" {
				t.Errorf("walk's callers (-want +got):\n%s", diff)
			}
		case "dot":
			if diff := cmp.Diff([]Caller{{Function: "matmul", Share: 1, Samples: 200}}, p.Callers); diff != "" {
				t.Errorf("dot's callers (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"dot", "matmul", "walk", "main"}, p.Stacks[0].Functions); diff != "" {
				t.Errorf("dot's stack (-want +got):\n%s", diff)
			}
		}
	}
}

func TestLostTimeIsShownApart(t *testing.T) {
	b := newBuilder().
		add("f;main", 60, first, ryot).
		add("g;main", 40, first, ryot).
		add("[lost: missed ticks]", 300, first, ryot).
		add("[lost: ring buffer full]", 100)
	r := rankAll(t, nil, b)
	want := []Lost{{"missed ticks", 300 * tick, 0.6}, {"ring buffer full", 100 * tick, 0.2}}
	if diff := cmp.Diff(want, r.Lost); diff != "" {
		t.Errorf("lost (-want +got):\n%s", diff)
	}
	s := r.Ranked[0].Services[0]
	if diff := cmp.Diff(map[string]float64{"f": 0.6, "g": 0.4}, shares(s.Bottlenecks)); diff != "" {
		t.Errorf("shares (-want +got):\n%s", diff)
	}
	if r.SeenNS != 100*tick || s.CPUNS != 100*tick || s.LostNS != 300*tick {
		t.Errorf("seen %d, of the service %d, lost %d", r.SeenNS, s.CPUNS, s.LostNS)
	}
}

func TestSmallPlacesAreCountedNotShown(t *testing.T) {
	b := newBuilder().add("big", 1000, ryot).add("exactly", 30, ryot).add("small", 29, ryot).add("tiny", 1, ryot)
	s := rankAll(t, nil, b).Ranked[0].Services[0]
	if diff := cmp.Diff([]string{"big", "exactly"}, names(s.Bottlenecks)); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
	if s.Places != 4 || s.SuppressedPlaces != 2 || s.SuppressedNS != 30*tick {
		t.Errorf("%d places, %d suppressed with %d ns", s.Places, s.SuppressedPlaces, s.SuppressedNS)
	}
}

func names(list []Bottleneck) []string {
	var all []string
	for _, b := range list {
		all = append(all, b.Function)
	}
	return all
}

func TestPlacesAreKeyedByBinaryToo(t *testing.T) {
	b := newBuilder().add("copy;main", 100, ryot)
	other := &profile.Mapping{ID: 2, Start: 0x200000, Limit: 0x300000, File: "/lib/other.so"}
	b.p.Mapping = append(b.p.Mapping, other)
	l := &profile.Location{ID: 99, Mapping: other, Address: 0x200010, Line: []profile.Line{{Function: b.function("copy")}}}
	b.p.Location = append(b.p.Location, l)
	b.p.Sample = append(b.p.Sample, &profile.Sample{Location: []*profile.Location{l}, Value: []int64{300, 300 * tick}, Label: map[string][]string{"service": {"ryot"}}})
	list := rankAll(t, nil, b).Ranked[0].Services[0].Bottlenecks
	if len(list) != 2 || list[0].Binary != "/lib/other.so" || list[0].Share != 0.75 || list[1].Share != 0.25 {
		t.Errorf("ranked %+v", list)
	}
}

func TestUnnamedCodeIsOnePlaceOfItsBinary(t *testing.T) {
	b := newBuilder().add("named;main", 70, ryot)
	for range 3 { // none has enough samples alone
		b.add("[service+0x1a"+strings.Repeat("0", len(b.p.Sample))+"];main", 10, ryot)
	}
	list := rankAll(t, nil, b).Ranked[0].Services[0].Bottlenecks
	if diff := cmp.Diff(map[string]float64{"named": 0.7, "[unnamed code in service]": 0.3}, shares(list)); diff != "" {
		t.Fatalf("shares (-want +got):\n%s", diff)
	}
	if want := `-peek='^\[service\+0x[0-9a-f]+\]$'`; !strings.Contains(list[1].Evidence, want) {
		t.Errorf("the evidence is shown by %s, want %s", list[1].Evidence, want)
	}
}

func TestUnlabelledSamples(t *testing.T) {
	record := rankAll(t, nil, newBuilder().add("f;main", 100).add("g;main", 50))
	if got := record.Ranked[0]; got.Benchmark != "" || got.VerdictReason != "no benchmark ran" || len(got.Services[0].Bottlenecks) != 2 {
		t.Errorf("a recording without labels: %+v", got)
	}
	mixed := rankAll(t, nil, newBuilder().add("f;main", 100, first, ryot).add("idle;main", 300))
	if len(mixed.Ranked) != 1 || mixed.Outside != (Outside{NS: 300 * tick, Share: 0.75}) {
		t.Errorf("time between benchmarks: ranked %d, outside %+v", len(mixed.Ranked), mixed.Outside)
	}
	noStack := rankAll(t, nil, newBuilder().add("f;main", 100, ryot).add("", 100, ryot))
	s := noStack.Ranked[0].Services[0]
	if s.NoStackNS != 100*tick || s.Bottlenecks[0].Share != 0.5 {
		t.Errorf("samples without a stack: %d ns, f has %v", s.NoStackNS, s.Bottlenecks[0].Share)
	}
}

func TestNothingSampled(t *testing.T) {
	r := rankAll(t, outcome(metrics.Missed, "ms"), newBuilder())
	if len(r.Top) != 0 || len(r.Ranked) != 1 || r.Ranked[0].Verdict != metrics.Missed || len(r.Ranked[0].Services) != 0 {
		t.Errorf("no samples: %+v", r)
	}
	onlyLost := rankAll(t, nil, newBuilder().add("[lost: missed ticks]", 10, first, ryot))
	if len(onlyLost.Top) != 0 || onlyLost.Lost[0].Share != 1 {
		t.Errorf("only lost samples: %+v", onlyLost)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
	var tally Tally
	if err := tally.Add(&profile.Profile{SampleType: []*profile.ValueType{{Type: "waits", Unit: "count"}}}); err == nil {
		t.Error("a profile without CPU time was ranked")
	}
}

func TestTargetsDecideThePriority(t *testing.T) {
	b := newBuilder().
		add("large", 500, first, ryot).add("moderate", 120, first, ryot).add("small", 31, first, ryot).
		add("a", 29, first, ryot).add("b", 29, first, ryot)
	for _, test := range []struct {
		documents []metrics.Document
		want      []Priority
	}{
		{outcome(metrics.Missed, "ms"), []Priority{Critical, High, Medium}},
		{outcome(metrics.Missed, "tokens/s"), []Priority{Critical, High, Medium}},
		{outcome(metrics.Undecided, "ms"), []Priority{High, Medium, Low}},
		{nil, []Priority{High, Medium, Low}},
		{outcome(metrics.Met, "ms"), []Priority{Medium, Low, Low}},
		{outcome(metrics.Missed, "ratio"), []Priority{High, Medium, Low}},
		{[]metrics.Document{{Benchmark: "FirstTokenLatencyBenchmark", Status: metrics.Invalid, Targets: outcome(metrics.Missed, "ms")[0].Targets}}, []Priority{High, Medium, Low}},
	} {
		r := rankAll(t, test.documents, b)
		var got []Priority
		for _, place := range r.Ranked[0].Services[0].Bottlenecks {
			got = append(got, place.Priority)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", r.Ranked[0].VerdictReason, diff)
		}
	}
}

func TestTopListsAFunctionOnce(t *testing.T) {
	second := "benchmark=TokenGenerationBenchmark"
	b := newBuilder().
		add("matmul;main", 600, first, ryot).add("softmax;main", 400, first, ryot).
		add("matmul;main", 900, second, ryot).add("softmax;main", 100, second, ryot)
	r := rankAll(t, nil, b)
	if diff := cmp.Diff([]string{"matmul", "softmax"}, names(r.Top)); diff != "" {
		t.Errorf("top (-want +got):\n%s", diff)
	}
	if r.Top[0].Share != 0.9 || len(r.Top[0].AlsoIn) != 1 || r.Top[0].AlsoIn[0].Share != 0.6 {
		t.Errorf("matmul has %v, and elsewhere %+v", r.Top[0].Share, r.Top[0].AlsoIn)
	}
}

func TestForemostOfOneService(t *testing.T) {
	second, vault := "benchmark=RSUReadBenchmark", "service=sigmavault"
	b := newBuilder().
		add("matmul;main", 600, first, ryot).add("softmax;main", 300, first, ryot).add("exp;main", 100, first, ryot).
		add("matmul;main", 900, second, ryot).add("seal;main", 950, second, vault).add("open;main", 50, second, vault)
	r := rankAll(t, nil, b)
	before := names(r.Ranked[0].Services[0].Bottlenecks)
	if got := r.Foremost("ryot", 2); !slices.Equal(names(got), []string{"matmul", "softmax"}) || got[0].Share != 1 || len(got[0].AlsoIn) != 1 || got[0].AlsoIn[0].Share != 0.6 {
		t.Errorf("of ryot: %+v", got)
	}
	if got := names(r.Foremost("sigmavault", 3)); !slices.Equal(got, []string{"seal", "open"}) {
		t.Errorf("of sigmavault: %v", got)
	}
	if got := r.Foremost("agents", 3); len(got) != 0 {
		t.Errorf("of a service that did not run: %v", names(got))
	}
	if after := names(r.Ranked[0].Services[0].Bottlenecks); !slices.Equal(before, after) {
		t.Errorf("asking changed the report from %v to %v", before, after)
	}
}

func TestForgedWeightsAreRefused(t *testing.T) {
	for name, b := range map[string]*builder{
		"negative": newBuilder().add("f", -1, ryot),
		"overflow": newBuilder().add("f", math.MaxInt64/tick, ryot).add("g", math.MaxInt64/tick, ryot),
	} {
		var tally Tally
		if tally.Add(b.p) == nil {
			t.Errorf("%s: ranked", name)
		}
		if _, err := serviceProfile(b.p, Subject{Service: "ryot"}, 1); err == nil {
			t.Errorf("%s: listed", name)
		}
	}
}
