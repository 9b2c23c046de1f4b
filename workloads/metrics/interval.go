package metrics

import (
	"fmt"
	"math"
	"slices"

	"github.com/narrows-profiler/narrows/analysis/statistics"
)

// quantileBounded says why n values are too few to print a q-quantile.
func quantileBounded(n int, q float64) error {
	if needed := statistics.SamplesForUpperBound(q, confidence); n < needed {
		return fmt.Errorf("needs at least %d valid answers for a distribution-free upper bound of %g %% confidence, has %d", needed, confidence*100, n)
	}
	return nil
}

// quantileInterval is the two-sided interval of a quantile.
func quantileInterval(sorted []float64, q float64) (Interval, error) {
	found, ok := statistics.QuantileInterval(sorted, q, confidence)
	if !ok {
		needed := statistics.SamplesForUpperBound(max(q, 1-q), 1-(1-confidence)/2)
		return Interval{}, fmt.Errorf("a two-sided interval of this quantile needs at least %d values, has %d", needed, len(sorted))
	}
	return Interval{Low: found.Low, High: found.High, Confidence: confidence, Method: "order statistics (binomial, distribution-free)"}, nil
}

// verdictInterval is quantileInterval or, where the sample is too small for it, the
// interval that the quantile exceeds on neither side with the usual confidence.
func verdictInterval(sorted []float64, q float64) (Interval, error) {
	interval, err := quantileInterval(sorted, q)
	if err == nil {
		return interval, nil
	}
	const bothSides = 1 - 2*(1-confidence)
	if found, ok := statistics.QuantileInterval(sorted, q, bothSides); ok {
		return Interval{Low: found.Low, High: found.High, Confidence: bothSides, Method: "order statistics (binomial, distribution-free)"}, nil
	}
	return Interval{}, err
}

// meanInterval is the interval of a mean.
func meanInterval(sample []float64) (Interval, error) {
	_, found, ok := statistics.MeanInterval(sample, confidence)
	if !ok {
		return Interval{}, fmt.Errorf("the interval of a mean needs at least 2 values, has %d", len(sample))
	}
	return Interval{Low: found.Low, High: found.High, Confidence: confidence, Method: "Student's t"}, nil
}

func mean(sample []float64) float64 {
	var sum float64
	for _, value := range sample {
		sum += value
	}
	return sum / float64(len(sample))
}

func withFailures(sample []float64, failures int, value float64) []float64 {
	return append(slices.Clone(sample), slices.Repeat([]float64{value}, failures)...)
}

// worst is a value that no answer can be worse than.
func worst(comparison string) float64 {
	if comparison == ">" {
		return -math.MaxFloat64
	}
	return math.MaxFloat64
}

// bound prints an interval's end; a failure's stand-in is no number to print.
func bound(value float64) string {
	switch value {
	case math.MaxFloat64, -math.MaxFloat64:
		return "unbounded"
	}
	return fmt.Sprintf("%.4g", value)
}

func failureNote(failures int, meaning string) string {
	if failures == 0 {
		return ""
	}
	return fmt.Sprintf("; %d requests got no valid answer, %s", failures, meaning)
}
