package statistics

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
	"pgregory.net/rapid"
)

const replications = 2000

// covers draws replications samples with a fixed seed and checks how often the
// interval made of each holds the truth: within 4.5 standard deviations of want,
// which chance leaves once in 150,000 seeds.
func covers(t *testing.T, what string, want float64, hit func(r *rand.Rand) bool) {
	t.Helper()
	r := rand.New(rand.NewPCG(20, 26))
	hits := 0
	for range replications {
		if hit(r) {
			hits++
		}
	}
	got := float64(hits) / replications
	if slack := 4.5 * math.Sqrt(want*(1-want)/replications); math.Abs(got-want) > slack {
		t.Errorf("%s: covers in %.4f of %d samples, want %.4f ± %.4f", what, got, replications, want, slack)
	}
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s: %v, want %v ± %v", what, got, want, tolerance)
	}
}

// ranks is 1, 2, ..., n: each value is its own rank.
func ranks(n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = float64(i + 1)
	}
	return v
}

func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		n    int
		q    float64
		want float64
	}{
		{1, 0.99, 1}, {2, 0.5, 1}, {3, 0.5, 2}, {4, 0.5, 2}, {100, 0.95, 95}, {100, 0.99, 99}, {101, 0.99, 100},
		{100, 0.07, 7}, {100, 0.29, 29}, {1000, 0.999, 999}, {10, 0, 1}, {10, 1, 10}, {59, 0.95, 57}, {1_000_000, 0.95, 950_000},
	} {
		got, ok := Quantile(ranks(c.n), c.q)
		if !ok || got != c.want {
			t.Errorf("%v-quantile of 1..%d: %v, %v, want %v", c.q, c.n, got, ok, c.want)
		}
	}
}

func TestUpperBoundExistsFrom(t *testing.T) {
	for _, c := range []struct {
		q, confidence float64
		n             int
	}{{0.95, 0.95, 59}, {0.99, 0.95, 299}, {0.5, 0.95, 5}, {0.9, 0.95, 29}, {0.99, 0.99, 459}, {0.999, 0.95, 2995}} {
		if got := SamplesForUpperBound(c.q, c.confidence); got != c.n {
			t.Errorf("p%v at %v needs %d values, want %d", 100*c.q, c.confidence, got, c.n)
		}
		if _, ok := QuantileUpperBound(ranks(c.n-1), c.q, c.confidence); ok {
			t.Errorf("p%v has a bound from %d values", 100*c.q, c.n-1)
		}
		if got, ok := QuantileUpperBound(ranks(c.n), c.q, c.confidence); !ok || got != float64(c.n) {
			t.Errorf("p%v of 1..%d: bound %v, %v, want the largest", 100*c.q, c.n, got, ok)
		}
	}
	for _, bad := range [][2]float64{{0, 0.95}, {1, 0.95}, {0.5, 1}, {0.5, 0}, {math.NaN(), 0.5}, {0.5, math.NaN()}} {
		if got := SamplesForUpperBound(bad[0], bad[1]); got != 0 {
			t.Errorf("SamplesForUpperBound(%v) = %d, want 0", bad, got)
		}
	}
}

// TestQuantileIntervalOfTheMedian uses the ranks of the sign test's interval,
// found in tables of the median's confidence limits.
func TestQuantileIntervalOfTheMedian(t *testing.T) {
	for n, want := range map[int]Interval{6: {1, 6}, 8: {1, 8}, 9: {2, 8}, 10: {2, 9}, 12: {3, 10}, 15: {4, 12}, 20: {6, 15}, 25: {8, 18}, 30: {10, 21}, 50: {18, 33}, 100: {40, 61}} {
		if got, ok := QuantileInterval(ranks(n), 0.5, 0.95); !ok || got != want {
			t.Errorf("median of 1..%d: %v, %v, want %v", n, got, ok, want)
		}
	}
	for q, n := range map[float64]int{0.5: 6, 0.95: 72, 0.99: 368} {
		_, few := QuantileInterval(ranks(n-1), q, 0.95)
		_, enough := QuantileInterval(ranks(n), q, 0.95)
		if few || !enough {
			t.Errorf("p%v has an interval from %d: %v, from %d: %v", 100*q, n-1, few, n, enough)
		}
	}
}

// TestQuantileRanksAgainstSums compares the ranks with binomial sums added up
// term by term.
func TestQuantileRanksAgainstSums(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 400).Draw(t, "n")
		q := rapid.Float64Range(0.01, 0.99).Draw(t, "q")
		confidence := rapid.Float64Range(0.5, 0.999).Draw(t, "confidence")
		sum, want := 0.0, n+1
		for i := range n {
			logChoose, _ := math.Lgamma(float64(n + 1))
			a, _ := math.Lgamma(float64(i + 1))
			b, _ := math.Lgamma(float64(n - i + 1))
			sum += math.Exp(logChoose - a - b + float64(i)*math.Log(q) + float64(n-i)*math.Log1p(-q))
			if math.Abs(sum-confidence) < 1e-9 {
				t.Skip("the two sums may round to different sides")
			}
			if sum >= confidence {
				want = i + 1
				break
			}
		}
		got, ok := QuantileUpperBound(ranks(n), q, confidence)
		if ok != (want <= n) || ok && int(got) != want {
			t.Fatalf("rank %v, %v, want %d of %d", got, ok, want, n)
		}
	})
}

func TestQuantileBoundCovers(t *testing.T) {
	for _, c := range []struct {
		n int
		q float64
	}{{59, 0.95}, {100, 0.95}, {299, 0.99}, {300, 0.99}, {40, 0.5}} {
		// The rank is a whole number, so the coverage is not 95 % but this:
		rank, _ := QuantileUpperBound(ranks(c.n), c.q, 0.95)
		exact := distuv.Binomial{N: float64(c.n), P: c.q}.CDF(rank - 1)
		truth := -math.Log(1 - c.q)
		covers(t, "upper bound", exact, func(r *rand.Rand) bool {
			bound, ok := QuantileUpperBound(exponentials(r, c.n), c.q, 0.95)
			return ok && bound >= truth
		})
	}
	between, _ := QuantileInterval(ranks(100), 0.9, 0.95)
	b := distuv.Binomial{N: 100, P: 0.9}
	exact := b.CDF(between.High-1) - b.CDF(between.Low-1)
	if exact < 0.95 {
		t.Errorf("p90 of 100 values: the interval's exact coverage is %v", exact)
	}
	covers(t, "interval", exact, func(r *rand.Rand) bool {
		i, ok := QuantileInterval(exponentials(r, 100), 0.9, 0.95)
		return ok && i.Low <= -math.Log(0.1) && -math.Log(0.1) <= i.High
	})
}

// TestTiesOnlyWidenTheCoverage rounds values to whole numbers, where the true
// quantile is one that many values share.
func TestTiesOnlyWidenTheCoverage(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	hits := 0
	for range replications {
		v := exponentials(r, 100)
		for i := range v {
			v[i] = math.Ceil(2 * v[i])
		}
		// P(X <= 6) = 1 - exp(-3) = 0.9502, P(X <= 5) = 0.918: p95 is 6.
		if bound, ok := QuantileUpperBound(v, 0.95, 0.95); ok && bound >= 6 {
			hits++
		}
	}
	if hits < replications*95/100 {
		t.Errorf("covers in %d of %d samples", hits, replications)
	}
	if got, ok := QuantileInterval(slices.Repeat([]float64{7}, 100), 0.5, 0.95); !ok || got != (Interval{7, 7}) {
		t.Errorf("100 equal values: %v, %v", got, ok)
	}
}

func exponentials(r *rand.Rand, n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = r.ExpFloat64()
	}
	slices.Sort(v)
	return v
}

func TestQuantileRefuses(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	many := ranks(1000)
	for name, c := range map[string]struct {
		values        []float64
		q, confidence float64
	}{
		"empty": {nil, 0.5, 0.95}, "NaN": {append([]float64{nan}, many...), 0.5, 0.95}, "NaN last": {append(ranks(1000), nan), 0.5, 0.95},
		"infinite": {append(ranks(1000), inf), 0.5, 0.95}, "unsorted": {[]float64{2, 1, 3, 4, 5, 6, 7, 8}, 0.5, 0.95},
		"q NaN": {many, nan, 0.95}, "q negative": {many, -0.1, 0.95}, "q above 1": {many, 1.1, 0.95},
	} {
		_, a := Quantile(c.values, c.q)
		_, b := QuantileUpperBound(c.values, c.q, c.confidence)
		_, d := QuantileInterval(c.values, c.q, c.confidence)
		if a || b || d {
			t.Errorf("%s is accepted: %v %v %v", name, a, b, d)
		}
	}
	for _, confidence := range []float64{0, 1, -1, 2, nan} {
		_, a := QuantileUpperBound(many, 0.5, confidence)
		_, b := QuantileInterval(many, 0.5, confidence)
		_, _, c := MeanInterval(many, confidence)
		_, d := WilsonInterval(1, 2, confidence)
		_, _, e := RatioInterval(many, many, confidence)
		if a || b || c || d || e {
			t.Errorf("confidence %v is accepted: %v %v %v %v %v", confidence, a, b, c, d, e)
		}
	}
}

func TestMeanInterval(t *testing.T) {
	// t.test(1:10) of R: 5.5, 3.334149 to 7.665851.
	mean, i, ok := MeanInterval(ranks(10), 0.95)
	if !ok || mean != 5.5 {
		t.Fatalf("mean of 1..10: %v, %v", mean, ok)
	}
	near(t, "low", i.Low, 3.334149, 1e-6)
	near(t, "high", i.High, 7.665851, 1e-6)
	for degrees, want := range map[int]float64{1: 12.7062, 2: 4.3027, 4: 2.7764, 9: 2.2622, 30: 2.0423, 120: 1.9799} {
		near(t, "t table", studentT(degrees, 0.95), want, 5e-5)
	}
	covers(t, "mean of 8 normal values", 0.95, func(r *rand.Rand) bool {
		v := make([]float64, 8)
		for i := range v {
			v[i] = 100 + 15*r.NormFloat64()
		}
		_, i, ok := MeanInterval(v, 0.95)
		return ok && i.Low <= 100 && 100 <= i.High
	})
	if _, i, ok := MeanInterval([]float64{3, 3}, 0.95); !ok || i != (Interval{3, 3}) {
		t.Errorf("two equal values: %v, %v", i, ok)
	}
	for _, bad := range [][]float64{nil, {1}, {1, math.NaN()}, {1, math.Inf(-1)}, {math.MaxFloat64, -math.MaxFloat64}} {
		if _, i, ok := MeanInterval(bad, 0.95); ok {
			t.Errorf("%v is accepted: %v", bad, i)
		}
	}
}

// TestWilsonInterval uses the examples of Newcombe, "Two-sided confidence
// intervals for the single proportion", Statistics in Medicine 17 (1998), table
// I, method 3.
func TestWilsonInterval(t *testing.T) {
	for _, c := range []struct {
		successes, n int
		want         Interval
	}{{81, 263, Interval{0.2553, 0.3662}}, {15, 148, Interval{0.0624, 0.1605}}, {0, 20, Interval{0, 0.1611}}, {1, 29, Interval{0.0061, 0.1718}}} {
		got, ok := WilsonInterval(c.successes, c.n, 0.95)
		if !ok {
			t.Fatalf("%d of %d is refused", c.successes, c.n)
		}
		near(t, "low", got.Low, c.want.Low, 5e-5)
		near(t, "high", got.High, c.want.High, 5e-5)
	}
	if got, ok := WilsonInterval(0, 1, 0.95); !ok || got.Low != 0 {
		t.Errorf("0 of 1: %v, %v", got, ok)
	}
	if got, ok := WilsonInterval(7, 7, 0.95); !ok || got.High != 1 {
		t.Errorf("7 of 7: %v, %v", got, ok)
	}
	for _, bad := range [][2]int{{0, 0}, {1, 0}, {-1, 5}, {6, 5}, {0, -1}} {
		if got, ok := WilsonInterval(bad[0], bad[1], 0.95); ok {
			t.Errorf("%d of %d is accepted: %v", bad[0], bad[1], got)
		}
	}
}

// TestWilsonCoverage adds up the exact coverage over every outcome: it swings
// around 95 % with the proportion, and is 95 % on average.
func TestWilsonCoverage(t *testing.T) {
	const n = 50
	sum, steps := 0.0, 0
	for p := 0.05; p < 0.951; p += 0.01 {
		b := distuv.Binomial{N: n, P: p}
		coverage := 0.0
		for k := range n + 1 {
			if i, ok := WilsonInterval(k, n, 0.95); ok && i.Low <= p && p <= i.High {
				coverage += b.Prob(float64(k))
			}
		}
		if coverage < 0.92 {
			t.Errorf("p = %.2f: coverage %.3f", p, coverage)
		}
		sum, steps = sum+coverage, steps+1
	}
	near(t, "mean coverage", sum/float64(steps), 0.95, 0.005)
}

func TestRatioInterval(t *testing.T) {
	// By hand: R = 7/12, residuals -1/6, -1/3, 1/2, squares 7/18, mean of the
	// denominators 4, t(2) = 4.302653: half = 4.302653 sqrt(7/18/2/3)/4.
	ratio, i, ok := RatioInterval([]float64{1, 2, 4}, []float64{2, 4, 6}, 0.95)
	if !ok {
		t.Fatal("refused")
	}
	near(t, "ratio", ratio, 7.0/12, 1e-15)
	near(t, "low", i.Low, 7.0/12-0.2738495, 1e-6)
	near(t, "high", i.High, 7.0/12+0.2738495, 1e-6)

	if ratio, i, ok := RatioInterval([]float64{2, 4, 0}, []float64{10, 20, 0}, 0.95); !ok || math.Abs(ratio-0.2) > 1e-15 || i.High-i.Low > 1e-15 {
		t.Errorf("one share in all windows, one of them empty: %v %v %v", ratio, i, ok)
	}
	if _, i, _ := RatioInterval([]float64{0, 0, 9}, []float64{10, 10, 10}, 0.95); i.Low >= 0 || i.Clamp(0, 1).Low != 0 {
		t.Errorf("the interval is cut unasked, or not when asked: %v, %v", i, i.Clamp(0, 1))
	}
}

func TestRatioCovers(t *testing.T) {
	// Windows of 800 to 1200 samples, a fifth of them in the function, in
	// bursts: its probability differs from window to window.
	covers(t, "share over 12 windows", 0.95, func(r *rand.Rand) bool {
		num, den := make([]float64, 12), make([]float64, 12)
		for i := range num {
			n := 800 + r.IntN(401)
			p := 0.2 + 0.05*(2*r.Float64()-1)
			for range n {
				if r.Float64() < p {
					num[i]++
				}
			}
			den[i] = float64(n)
		}
		_, i, ok := RatioInterval(num, den, 0.95)
		return ok && i.Low <= 0.2 && 0.2 <= i.High
	})
}

func TestRatioRefuses(t *testing.T) {
	nan := math.NaN()
	for name, c := range map[string][2][]float64{
		"none": {nil, nil}, "two windows": {{1, 2}, {3, 4}}, "lengths": {{1, 2, 3}, {1, 2, 3, 4}}, "no weight": {{0, 0, 0}, {0, 0, 0}},
		"NaN above": {{1, nan, 3}, {1, 2, 3}}, "NaN below": {{1, 2, 3}, {1, nan, 3}}, "negative": {{1, 2, 3}, {4, -1, 4}},
		"overflow": {{math.MaxFloat64, math.MaxFloat64, 1}, {1, 1, 1}}, "infinite": {{math.Inf(1), 1, 1}, {1, 1, 1}},
	} {
		if ratio, i, ok := RatioInterval(c[0], c[1], 0.95); ok {
			t.Errorf("%s is accepted: %v %v", name, ratio, i)
		}
	}
}

func TestClamp(t *testing.T) {
	for in, want := range map[Interval]Interval{{-1, 2}: {0, 1}, {0.2, 0.4}: {0.2, 0.4}, {-3, -2}: {0, 0}, {2, 3}: {1, 1}} {
		if got := in.Clamp(0, 1); got != want {
			t.Errorf("%v clamped: %v, want %v", in, got, want)
		}
	}
}
