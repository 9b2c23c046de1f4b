package load

import (
	"math"
	"slices"
	"testing"
	"time"

	"gonum.org/v1/gonum/stat/distuv"
)

// gaps returns the first n times between starts, in seconds.
func gaps(t *testing.T, arrivals Arrivals, rate float64, seed uint64, n int) []float64 {
	t.Helper()
	schedule, err := Schedule(arrivals, rate, seed)
	if err != nil {
		t.Fatal(err)
	}
	var found []float64
	var last time.Duration
	for at := range schedule {
		if len(found) == n {
			break
		}
		found = append(found, (at - last).Seconds())
		last = at
	}
	return found
}

// distance is the Kolmogorov-Smirnov statistic of a sample against the
// exponential distribution of the given rate.
func distance(sample []float64, rate float64) float64 {
	exponential := distuv.Exponential{Rate: rate}
	sorted := slices.Sorted(slices.Values(sample))
	n := float64(len(sorted))
	var greatest float64
	for i, x := range sorted {
		p := exponential.CDF(x)
		greatest = max(greatest, p-float64(i)/n, float64(i+1)/n-p)
	}
	return greatest
}

// At the 5 % level one seed in twenty is rejected by chance; more than 6 of 40
// would be by less than one time in a hundred.
func TestPoissonGapsAreExponential(t *testing.T) {
	const n, rate, seeds = 5000, 37.0, 40
	critical := 1.358 / math.Sqrt(n)
	rejected := 0
	for seed := range uint64(seeds) {
		if distance(gaps(t, Poisson, rate, seed, n), rate) > critical {
			rejected++
		}
	}
	if rejected > 6 {
		t.Errorf("%d of %d seeds differ from exponential gaps at the 5 %% level", rejected, seeds)
	}
	if d := distance(gaps(t, Uniform, rate, 1, n), rate); d <= critical {
		t.Errorf("uniform gaps pass for exponential ones (D = %v), so the test shows nothing", d)
	}
	if d := distance(gaps(t, Poisson, rate*1.1, 1, n), rate); d <= critical {
		t.Errorf("a rate 10 %% off passes (D = %v), so the test shows nothing", d)
	}
}

// Exponential gaps could still come in an order; Poisson arrivals count the same
// variance as mean in windows of any length.
func TestPoissonCountsAreIndependent(t *testing.T) {
	schedule, err := Schedule(Poisson, 100, 3)
	if err != nil {
		t.Fatal(err)
	}
	const windows = 4000
	counts := make([]float64, windows)
	for at := range schedule {
		window := int(at / (100 * time.Millisecond))
		if window >= windows {
			break
		}
		counts[window]++
	}
	var sum, squares float64
	for _, count := range counts {
		sum += count
		squares += count * count
	}
	mean := sum / windows
	dispersion := (squares - windows*mean*mean) / mean
	chi := distuv.ChiSquared{K: windows - 1}
	if p := chi.CDF(dispersion); p < 0.005 || p > 0.995 {
		t.Errorf("dispersion %v of %d windows (mean %v) is at %v of chi-squared", dispersion, windows, mean, p)
	}
}

func TestScheduleIsSeeded(t *testing.T) {
	first := gaps(t, Poisson, 10, 1, 100)
	if !slices.Equal(first, gaps(t, Poisson, 10, 1, 100)) {
		t.Error("the same seed gave two schedules")
	}
	if slices.Equal(first, gaps(t, Poisson, 10, 2, 100)) {
		t.Error("two seeds gave the same schedule")
	}
}

func TestUniformDoesNotDrift(t *testing.T) {
	schedule, err := Schedule(Uniform, 3, 0)
	if err != nil {
		t.Fatal(err)
	}
	i := 0
	for at := range schedule {
		if want := time.Duration(float64(i) / 3 * 1e9); (at - want).Abs() > time.Nanosecond {
			t.Fatalf("start %d at %v, want %v", i, at, want)
		}
		if i++; i > 100_000 {
			break
		}
	}
}

func TestScheduleRefuses(t *testing.T) {
	for _, rate := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		if _, err := Schedule(Poisson, rate, 0); err == nil {
			t.Errorf("rate %v accepted", rate)
		}
	}
	if _, err := Schedule("sometimes", 1, 0); err == nil {
		t.Error("unknown arrivals accepted")
	}
}
