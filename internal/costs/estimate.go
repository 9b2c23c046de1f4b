package costs

import (
	"math"
	"slices"

	"github.com/narrows-profiler/narrows/analysis/statistics"
)

// confidence is that of every interval.
const confidence = 0.95

// Estimate is the median of repeated measurements.
type Estimate struct {
	Median float64
	// Interval is the distribution-free one of the median at 95 %, nil where there
	// are too few measurements (less than six).
	Interval *statistics.Interval
	N        int
}

// Median estimates from measurements in any order; without any, the median is NaN.
func Median(values []float64) Estimate {
	n := len(values)
	if n == 0 {
		return Estimate{Median: math.NaN()}
	}
	sorted := slices.Sorted(slices.Values(values))
	e := Estimate{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, N: n}
	if interval, ok := statistics.QuantileInterval(sorted, 0.5, confidence); ok {
		e.Interval = &interval
	}
	return e
}
