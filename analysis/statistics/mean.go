package statistics

import (
	"math"

	"gonum.org/v1/gonum/stat"
)

// MeanInterval returns the mean of independent values and Student's interval for
// it: mean ± t s/sqrt(n), with s the sample standard deviation and t the quantile
// of n-1 degrees of freedom ("The Probable Error of a Mean", Biometrika 6, 1908).
// It is exact for normal values and good for the means of many; the long tail of
// latencies makes it too narrow for few. It answers false for fewer than two
// values; the mean of one is known, its error is not.
func MeanInterval(values []float64, confidence float64) (mean float64, interval Interval, ok bool) {
	if len(values) < 2 || !isConfidence(confidence) || !finite(values...) {
		return 0, Interval{}, false
	}
	mean, deviation := stat.MeanStdDev(values, nil)
	half := studentT(len(values)-1, confidence) * deviation / math.Sqrt(float64(len(values)))
	interval = Interval{Low: mean - half, High: mean + half}
	if !finite(interval.Low, interval.High) {
		return 0, Interval{}, false // values near the largest float64
	}
	return mean, interval, true
}
