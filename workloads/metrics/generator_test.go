package metrics

import (
	"strings"
	"testing"
)

// judged is a document with one target that was missed by 3 ms, after the generator
// was judged.
func judged(cpu, ownLate, exchange, latency float64) *Document {
	d := New("ryot", "FirstTokenLatencyBenchmark", "not measured")
	d.Status = Complete
	d.Load = Load{Model: "open-loop", OwnLateP50Ms: ownLate, OwnLateP99Ms: 2 * ownLate, GeneratorCPURatio: cpu}
	d.Set("ttft_p95_ms", 105)
	d.CI["ttft_p95_ms"] = Interval{Low: 103, High: 108, Confidence: 0.95, Method: "order statistics"}
	d.Targets = []Target{{Metric: "ttft_p95_ms", Comparison: "<", Value: 100, Unit: "ms", Verdict: Missed, Reason: "beyond"}}
	d.JudgeGenerator(&Generator{
		Requests: 300, SendLateP50Ms: 0.05, SendLateP99Ms: 0.2, ExchangeP50Ms: exchange, ExchangeP99Ms: 2 * exchange,
		AddedP50Ms: exchange + 0.05, AddedP99Ms: 2*exchange + 0.2, CPURatio: cpu,
	}, "", latency, 1)
	return d
}

func TestAGeneratorThatIsTheBottleneckSpoilsItsRun(t *testing.T) {
	for name, test := range map[string]struct {
		cpu, ownLate, exchange, latency float64
		status                          Status
		verdict                         Verdict
		noted                           string
	}{
		"hardly there":                      {0.02, 0.05, 0.2, 100, Complete, Missed, ""},
		"busy with a fast schedule":         {0.9, 0.05, 0.2, 2, Complete, Missed, ""},
		"cannot keep the schedule":          {0.9, 400, 0.2, 500, Invalid, Undecided, ""},
		"is most of a fast closed loop":     {1.8, 0, 0.2, 0.3, Invalid, Undecided, ""},
		"on a host that others keep busy":   {0.1, 60, 0.2, 100, Complete, Undecided, "the host was too busy"},
		"at a service as fast as none":      {0.1, 0.05, 0.2, 0.3, Complete, Missed, "a server that does nothing"},
		"slower than the target was missed": {0.02, 0.05, 2, 100, Complete, Undecided, ""},
	} {
		d := judged(test.cpu, test.ownLate, test.exchange, test.latency)
		if d.Status != test.status || d.Targets[0].Verdict != test.verdict || d.Load.Generator == nil {
			t.Errorf("%s: the run is %s (%s), its target %+v", name, d.Status, d.StatusReason, d.Targets[0])
		}
		if test.status == Invalid && (!strings.Contains(d.StatusReason, "bottleneck") || !strings.Contains(d.Targets[0].Reason, d.StatusReason)) {
			t.Errorf("%s: %q and %q do not say so", name, d.StatusReason, d.Targets[0].Reason)
		}
		if notes := strings.Join(d.Notes, " "); !strings.Contains(notes, test.noted) || (test.noted == "") != (notes == "") {
			t.Errorf("%s: notes %q, want one with %q", name, notes, test.noted)
		}
	}
}

func TestTheGeneratorLeavesAloneWhatItCannotTurn(t *testing.T) {
	target := func(comparison, unit string, verdict Verdict) Target {
		return Target{Metric: "ttft_p95_ms", Comparison: comparison, Value: 100, Unit: unit, Verdict: verdict, Reason: "measured"}
	}
	for _, kept := range []Target{target("<", "ms", Met), target(">", "ms", Missed), target("<", "MB", Missed)} {
		d := judged(0.02, 0.05, 2, 100)
		d.Targets = []Target{kept}
		d.JudgeGenerator(d.Load.Generator, "", 100, 1)
		if d.Targets[0] != kept {
			t.Errorf("%+v became %+v", kept, d.Targets[0])
		}
	}
	d := judged(0.9, 400, 0.2, 500)
	d.Status, d.StatusReason = Failed, "none answered"
	d.JudgeGenerator(d.Load.Generator, "", 500, 1)
	if d.Status != Failed || d.StatusReason != "none answered" {
		t.Errorf("a failed run became %s: %s", d.Status, d.StatusReason)
	}
	d = New("ryot", "FirstTokenLatencyBenchmark", "not measured")
	d.JudgeGenerator(nil, "no null server", 0, 1)
	if d.Load.Generator != nil || d.Load.GeneratorUnknown != "no null server" {
		t.Errorf("%+v", d.Load)
	}
}

func TestEachClientMayKeepItsCoreBusy(t *testing.T) {
	for _, test := range []struct {
		cpu     float64
		clients int
		want    Status
	}{{0.6, 0, Invalid}, {0.6, 1, Invalid}, {0.6, 2, Complete}, {1.1, 2, Invalid}} {
		d := judged(0.1, 0.05, 0.2, 0.3)
		d.Load.GeneratorCPURatio = test.cpu
		if d.JudgeGenerator(d.Load.Generator, "", 0.3, test.clients); d.Status != test.want {
			t.Errorf("%+v: %s", test, d.Status)
		}
	}
}
