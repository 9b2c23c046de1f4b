package statistics_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/narrows-profiler/narrows/analysis/statistics"
)

// TestWeightedInterval: of equal weights it is Poisson's exact interval (Garwood's table:
// 10 seen are 4.795 to 18.39), and the truth lies in it as often as it says.
func TestWeightedInterval(t *testing.T) {
	for n, want := range map[float64]statistics.Interval{0: {Low: 0, High: 3.689}, 1: {Low: 0.0253, High: 5.572}, 10: {Low: 4.795, High: 18.390}} {
		got, ok := statistics.WeightedInterval(n, n, 1, 0.95)
		if !ok || math.Abs(got.Low-want.Low) > 1e-3 || math.Abs(got.High-want.High) > 1e-3 {
			t.Errorf("of %v: %+v, want %+v", n, got, want)
		}
	}
	if got, ok := statistics.WeightedInterval(7, 0, 0, 0.95); !ok || got.Low != 7 || got.High != 7 {
		t.Errorf("of what is certain: %+v", got)
	}
	if _, ok := statistics.WeightedInterval(-1, 1, 1, 0.95); ok {
		t.Error("a sum below 0 has an interval")
	}
	random := rand.New(rand.NewPCG(1, 2))
	const runs, mean = 2000, 4096.0
	inside := 0
	for range runs {
		var truth, sum, variance, largest float64
		for range 300 {
			size := math.Exp(random.Float64() * 11)
			p := -math.Expm1(-size / mean)
			truth += size
			if random.Float64() < p {
				sum += size / p
				variance += (1 - p) * size * size / (p * p)
				largest = max(largest, (1-p)*size/p)
			}
		}
		if i, ok := statistics.WeightedInterval(sum, variance, largest, 0.95); ok && i.Low <= truth && truth <= i.High {
			inside++
		}
	}
	if inside < runs*94/100 {
		t.Errorf("the truth lay in %d of %d intervals", inside, runs)
	}
}
