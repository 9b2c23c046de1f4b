package rank

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestIntervalsCoverTheTruth simulates sessions in which the share differs from
// window to window around a known truth, as a service's work does, and counts
// how often the interval holds the truth.
func TestIntervalsCoverTheTruth(t *testing.T) {
	const sessions, truth = 1000, 0.3
	for _, test := range []struct {
		windows int
		spread  float64 // standard deviation of the share between windows
		method  Method
	}{
		{12, 0.05, RatioOverWindows}, {6, 0, RatioOverWindows}, {1, 0, WilsonOfSamples},
	} {
		random := rand.New(rand.NewPCG(1, uint64(test.windows)))
		covered := 0
		for range sessions {
			var windows []*builder
			for range test.windows {
				share := truth + test.spread*random.NormFloat64()
				n := 500 + random.IntN(500)
				hits := int64(0)
				for range n {
					if random.Float64() < share {
						hits++
					}
				}
				windows = append(windows, newBuilder().add("f", hits, ryot).add("g", int64(n)-hits, ryot))
			}
			for _, b := range rankAll(t, nil, windows...).Ranked[0].Services[0].Bottlenecks {
				if b.Function != "f" {
					continue
				}
				if b.Interval.Method != test.method {
					t.Fatalf("method %q, want %q", b.Interval.Method, test.method)
				}
				if b.Interval.Low <= truth && truth <= b.Interval.High {
					covered++
				}
			}
		}
		// Four standard errors of a coverage of 95 % over so many sessions.
		margin := 4 * math.Sqrt(0.95*0.05/sessions)
		if got := float64(covered) / sessions; math.Abs(got-0.95) > margin {
			t.Errorf("%d windows: %.1f %% of the intervals hold the truth, want 95 ± %.1f", test.windows, 100*got, 100*margin)
		}
	}
}

func TestEqualWindowsClaimNoCertainty(t *testing.T) {
	var windows []*builder
	for range 5 {
		windows = append(windows, newBuilder().add("f", 300, ryot).add("g", 700, ryot))
	}
	for _, b := range rankAll(t, nil, windows...).Ranked[0].Services[0].Bottlenecks {
		if b.Interval.Method != WilsonOfSamples || b.Interval.High-b.Interval.Low < 0.02 {
			t.Errorf("%s: %+v from five equal windows", b.Function, b.Interval)
		}
	}
}

func TestSmallWindowsArePooled(t *testing.T) {
	var windows []*builder
	for range 10 { // 12 samples each: pools of three windows, the tenth joins the last
		windows = append(windows, newBuilder().add("f", 5+int64(len(windows)%2), ryot).add("g", 7-int64(len(windows)%2), ryot))
	}
	for _, b := range rankAll(t, nil, windows...).Ranked[0].Services[0].Bottlenecks {
		if b.Interval.Method != RatioOverWindows || b.Interval.Replicates != 3 {
			t.Errorf("%s: %+v, want 3 replicates", b.Function, b.Interval)
		}
	}
	two := rankAll(t, nil, windows[:6]...).Ranked[0].Services[0].Bottlenecks
	if len(two) != 2 || slices.ContainsFunc(two, func(b Bottleneck) bool { return b.Interval.Method != WilsonOfSamples }) {
		t.Errorf("two replicates: %+v, want Wilson's interval", two)
	}
}
