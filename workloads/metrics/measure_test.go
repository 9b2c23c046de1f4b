package metrics

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// filled is a document whose metric "time_p95_ms" is the p95 of a sample.
func filled(sample []float64, failures int) *Document {
	d := New("other", "ExampleBenchmark", "nothing was run")
	d.Status = Complete
	d.SetQuantile("time_p95_ms", sample, 0.95)
	d.JudgeQuantile(Target{Metric: "time_p95_ms", Comparison: "<", Value: 100, Unit: "ms"}, sample, failures, 0.95)
	return d
}

// upTo returns 1, 2, ... n.
func upTo(n int) []float64 {
	sample := make([]float64, n)
	for i := range sample {
		sample[i] = float64(i + 1)
	}
	return sample
}

func TestPercentilesNeedTheirSample(t *testing.T) {
	for _, test := range []struct {
		q     float64
		least int
	}{{0.5, 5}, {0.95, 59}, {0.99, 299}} {
		d := New("other", "ExampleBenchmark", "nothing was run")
		d.SetQuantile("few", upTo(test.least-1), test.q)
		d.SetQuantile("enough", upTo(test.least), test.q)
		if d.Metrics["few"] != nil || d.Unavailable["few"] == "" || d.Metrics["enough"] == nil {
			t.Errorf("quantile %v: few %v (%q), enough %v", test.q, d.Metrics["few"], d.Unavailable["few"], d.Metrics["enough"])
		}
	}
}

// With X binomial (100, 0.05), P(X >= 11) = 0.0115 and P(X >= 10) = 0.0282 make
// the 90th value the lower end; P(X <= 1) = 0.037 and P(X = 0) = 0.0059 make the
// 100th the upper one.
func TestQuantileInterval(t *testing.T) {
	d := filled(upTo(100), 0)
	if *d.Metrics["time_p95_ms"] != 95 {
		t.Errorf("p95 of 1 to 100 is %v", *d.Metrics["time_p95_ms"])
	}
	if interval := d.CI["time_p95_ms"]; interval.Low != 90 || interval.High != 100 {
		t.Errorf("interval %+v, want 90 to 100", interval)
	}
}

func TestVerdicts(t *testing.T) {
	scaled := func(factor float64) []float64 {
		sample := upTo(100)
		for i := range sample {
			sample[i] *= factor
		}
		return sample
	}
	for name, test := range map[string]struct {
		sample   []float64
		failures int
		want     Verdict
		reason   string
	}{
		"wholly below":        {scaled(0.99), 0, Met, "89.1 to 99"},
		"upper end on target": {scaled(1), 0, Undecided, "includes"},
		"wholly above":        {scaled(1.2), 0, Missed, "beyond"},
		"across":              {scaled(1.06), 0, Undecided, "includes"},
		"enough for bounds":   {scaled(0.1)[:60], 0, Met, "90 % interval"},
		"too few for a p95":   {scaled(0.1)[:58], 0, Undecided, "needs at least 59"},
		"failures above":      {scaled(0.1), 6, Undecided, "unbounded"},
		"mostly failures":     {scaled(0.1), 100, Missed, "100 requests got no valid answer"},
		"one failure of many": {append(scaled(0.1), scaled(0.1)...), 1, Met, "1 requests got no valid answer"},
	} {
		target := filled(test.sample, test.failures).Targets[0]
		if target.Verdict != test.want || !strings.Contains(target.Reason, test.reason) {
			t.Errorf("%s: %s: %s; want %s with %q", name, target.Verdict, target.Reason, test.want, test.reason)
		}
	}
}

func TestMeanVerdicts(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	rates := make([]float64, 100)
	for i := range rates {
		rates[i] = 60 + random.NormFloat64()
	}
	for name, test := range map[string]struct {
		target   float64
		failures int
		want     Verdict
	}{
		"above": {50, 0, Met}, "below": {70, 0, Missed}, "at": {mean(rates), 0, Undecided},
		"above but for failures": {50, 60, Missed},
	} {
		d := New("other", "ExampleBenchmark", "nothing was run")
		d.Status = Complete
		d.SetMean("rate", rates)
		d.JudgeMean(Target{Metric: "rate", Comparison: ">", Value: test.target, Unit: "tokens/s"}, rates, test.failures, 0)
		if got := d.Targets[0]; got.Verdict != test.want {
			t.Errorf("%s: %s: %s", name, got.Verdict, got.Reason)
		}
	}
}

func TestOnlyCompleteRunsAreJudged(t *testing.T) {
	d := New("other", "ExampleBenchmark", "nothing was run")
	d.Status, d.StatusReason = Invalid, "stopped after 90 of 100"
	d.SetQuantile("time_p95_ms", upTo(90), 0.95)
	d.JudgeQuantile(Target{Metric: "time_p95_ms", Comparison: "<", Value: 1000, Unit: "ms"}, upTo(90), 0, 0.95)
	if target := d.Targets[0]; target.Verdict != Undecided || !strings.Contains(target.Reason, "stopped") {
		t.Errorf("%+v", target)
	}
}

// A p99 is printed from 299 values on, and then judged too: by the largest of them,
// which it exceeds with a probability of 0.99^299 < 5 %.
func TestVerdictsOfJustEnoughValues(t *testing.T) {
	for _, test := range []struct {
		n      int
		target float64
		want   Verdict
	}{{298, 1000, Undecided}, {299, 1000, Met}, {300, 1000, Met}, {300, 300, Undecided}, {300, 300.5, Met}, {300, 200, Missed}, {400, 1000, Met}} {
		d := New("other", "ExampleBenchmark", "nothing was run")
		d.Status = Complete
		d.SetQuantile("time_p99_ms", upTo(test.n), 0.99)
		d.JudgeQuantile(Target{Metric: "time_p99_ms", Comparison: "<", Value: test.target, Unit: "ms"}, upTo(test.n), 0, 0.99)
		if got := d.Targets[0]; got.Verdict != test.want || test.n == 300 && !strings.Contains(got.Reason, "90 % interval") {
			t.Errorf("%d values, target %v: %s: %s", test.n, test.target, got.Verdict, got.Reason)
		}
	}
}

func TestPooledValues(t *testing.T) {
	d := New("other", "ExampleBenchmark", "nothing was run")
	d.SetPooledQuantile("few", upTo(5000), 58, 0.95)
	d.SetPooledQuantile("enough", upTo(5000), 59, 0.95)
	d.SetPooledMean("mean", upTo(9))
	if d.Metrics["few"] != nil || *d.Metrics["enough"] != 4750 || *d.Metrics["mean"] != 5 || len(d.CI) != 0 {
		t.Errorf("few %v, enough %v, mean %v, intervals %v", d.Metrics["few"], *d.Metrics["enough"], *d.Metrics["mean"], d.CI)
	}
}

func TestNewHasEveryFieldAndItsReason(t *testing.T) {
	d := New("ryot", "FirstTokenLatencyBenchmark", "nothing was run")
	for _, name := range RequiredFields("ryot") {
		if v, ok := d.Metrics[name]; !ok || v != nil || d.Unavailable[name] == "" {
			t.Errorf("%s: %v, %q", name, v, d.Unavailable[name])
		}
	}
}
