package ryot

import (
	"math"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/narrows-profiler/narrows/analysis/statistics"
	"github.com/narrows-profiler/narrows/workloads/load"
)

// A server that does nothing for one second of ten must show it in the 99th
// percentile: what is due t into the stall gets its first token 1 s - t later than
// usual, sent or not. The whole way is tested, the HTTP client included.
func TestAStallShowsInTheTailAsTheScheduleSays(t *testing.T) {
	const (
		rate, seed     = 100, 3
		stallAt, stall = 4 * time.Second, time.Second
		usual          = 5 * time.Millisecond
	)
	schedule, err := load.Schedule(load.Poisson, rate, seed)
	if err != nil {
		t.Fatal(err)
	}
	var expected []float64
	var first time.Duration
	for at := range schedule {
		if at >= 10*time.Second {
			break
		}
		if len(expected) == 0 {
			first = at
		}
		latency := usual
		if at >= stallAt && at < stallAt+stall {
			latency += stallAt + stall - at
		}
		expected = append(expected, milliseconds(latency))
	}
	slices.Sort(expected)
	want, _ := statistics.Quantile(expected, 0.99)
	if want < 800 {
		t.Fatalf("the schedule's 99th percentile is %v ms: the stall would not be seen", want)
	}
	synctest.Test(t, func(t *testing.T) {
		var stalled, over time.Time
		model := script{prefill: usual, perToken: time.Millisecond, fault: func(number int, _ http.ResponseWriter) bool {
			now := time.Now()
			if number == 0 {
				stalled = now.Add(stallAt - first)
				over = stalled.Add(stall)
			}
			if !now.Before(stalled) && now.Before(over) {
				time.Sleep(over.Sub(now))
			}
			return false
		}}
		got := drive(t.Context(), t, "FirstTokenLatencyBenchmark", firstTokenLatency(), model, load.Options{Duration: 10 * time.Second, Rate: rate, Seed: seed})
		if got.err != nil {
			t.Fatal(got.err)
		}
		if got.document.N != len(expected) {
			t.Fatalf("%d of %d answers are valid: %v", got.document.N, len(expected), got.document.Errors)
		}
		for _, q := range []struct {
			name string
			at   float64
		}{{"ttft_p50_ms", 0.5}, {"ttft_p95_ms", 0.95}, {"ttft_p99_ms", 0.99}} {
			want, _ := statistics.Quantile(expected, q.at)
			if found := value(t, got.document, q.name); math.Abs(found-want) > 0.05*want {
				t.Errorf("%s is %v ms, by the schedule %v ms", q.name, found, want)
			}
		}
	})
}

// A service that became twice as slow is reported as twice as slow, queueing
// included: with the same seed as exactly that, with another one within its
// interval, which excludes no change.
func TestTwiceAsSlowShowsAsTwice(t *testing.T) {
	run := func(model script, seed uint64) outcome {
		var got outcome
		synctest.Test(t, func(t *testing.T) {
			got = drive(t.Context(), t, "FirstTokenLatencyBenchmark", firstTokenLatency(), model, load.Options{Iterations: 300, Seed: seed})
			if got.err != nil {
				t.Fatal(got.err)
			}
		})
		return got
	}
	model := script{prefill: 40 * time.Millisecond, perToken: 4 * time.Millisecond, slots: 1}
	slow := script{prefill: 2 * model.prefill, perToken: 2 * model.perToken, slots: 1}
	usual, slower, other := run(model, 5), run(slow, 5), run(slow, 6)
	for _, name := range []string{"ttft_mean_ms", "ttft_p50_ms", "ttft_p95_ms", "request_mean_ms"} {
		before := value(t, usual.document, name)
		if after := value(t, slower.document, name); math.Abs(after/before-2) > 1e-3 {
			t.Errorf("%s grew from %v to %v, %v times", name, before, after, after/before)
		}
		if ci := other.document.CI[name]; ci.Low > 2*before || ci.High < 2*before || ci.Low < 1.2*before {
			t.Errorf("%s: %v before, with another seed %v to %v, which is not twice", name, before, ci.Low, ci.High)
		}
	}
}
