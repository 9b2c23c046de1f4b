// Package statistics gives the intervals that stand beside the numbers Narrows
// prints: of percentiles without an assumption on their distribution, of means,
// of proportions, and of shares over the windows of a recording.
//
// Values enter as plain slices, which are not changed; an [Interval] leaves. Each
// function answers ok = false where its method gives no interval: too few values,
// a value that is NaN or infinite, a confidence outside of (0, 1). There is no
// value to print then, and the caller says why.
package statistics

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// Interval is a confidence interval, Low <= High, both ends included.
type Interval struct{ Low, High float64 }

// Clamp returns the part of the interval within [low, high], for quantities that
// cannot leave it, such as shares in [0, 1]. An interval outside of the range
// becomes the nearer end.
func (i Interval) Clamp(low, high float64) Interval {
	return Interval{Low: min(max(i.Low, low), high), High: min(max(i.High, low), high)}
}

// isConfidence tells whether a confidence level lies strictly between 0 and 1.
func isConfidence(c float64) bool { return c > 0 && c < 1 }

// finite tells whether no value is NaN or infinite.
func finite(values ...float64) bool {
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}

// studentT returns the two-sided quantile of Student's t distribution: the value
// that |t| does not exceed with probability confidence.
func studentT(degrees int, confidence float64) float64 {
	return distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(degrees)}.Quantile((1 + confidence) / 2)
}
