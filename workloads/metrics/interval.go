package metrics

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// quantile is Hyndman and Fan's type 7 (R's default).
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	below := int(at)
	if below+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[below] + (at-float64(below))*(sorted[below+1]-sorted[below])
}

func mean(sample []float64) float64 { return stat.Mean(sample, nil) }

func quantileBounded(n int, q float64) error {
	needed := int(math.Ceil(math.Log(1-confidence)/math.Log(q) - 1e-9))
	if n < needed {
		return fmt.Errorf("needs at least %d valid answers for a distribution-free upper bound, has %d", needed, n)
	}
	return nil
}

func quantileInterval(sorted []float64, q float64) (Interval, error) {
	n := len(sorted)
	if n == 0 {
		return Interval{}, errors.New("no values")
	}
	count := distuv.Binomial{N: float64(n), P: q}
	low, high := -1, -1
	for i := range n {
		// The quantile lies below sorted[i] when at most i values do not exceed
		// it, and above it when more than i do not.
		if count.CDF(float64(i)) <= (1-confidence)/2 {
			low = i
		}
		if high < 0 && count.CDF(float64(i)) >= 1-(1-confidence)/2 {
			high = i
		}
	}
	if low < 0 || high < 0 {
		return Interval{}, fmt.Errorf("%d values have no two-sided %g %% interval of this quantile", n, confidence*100)
	}
	return Interval{Low: sorted[low], High: sorted[high], Confidence: confidence, Method: "order statistics (binomial)"}, nil
}

func meanInterval(sample []float64) (Interval, error) {
	n := float64(len(sample))
	if n < 2 {
		return Interval{}, errors.New("fewer than two values have no interval")
	}
	m, s := stat.MeanStdDev(sample, nil)
	half := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: n - 1}.Quantile(1-(1-confidence)/2) * s / math.Sqrt(n)
	return Interval{Low: m - half, High: m + half, Confidence: confidence, Method: "Student's t"}, nil
}

func withFailures(sample []float64, failures int, value float64) []float64 {
	return append(slices.Clone(sample), slices.Repeat([]float64{value}, failures)...)
}

// worst is the value that no answer can be worse than.
func worst(comparison string) float64 {
	if comparison == ">" {
		return math.Inf(-1)
	}
	return math.Inf(1)
}

func bound(value float64) string {
	switch {
	case math.IsInf(value, 1):
		return "no upper bound"
	case math.IsInf(value, -1):
		return "no lower bound"
	}
	return fmt.Sprintf("%.4g", value)
}

func failureNote(failures int, meaning string) string {
	if failures == 0 {
		return ""
	}
	return fmt.Sprintf("; %d requests got no valid answer, %s", failures, meaning)
}
