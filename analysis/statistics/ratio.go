package statistics

import "math"

// minReplicates is the least number of windows for a variance between them that
// is worth printing.
const minReplicates = 3

// RatioInterval returns sum(numerators) / sum(denominators), such as a
// function's share of CPU time over the windows of a recording, and the interval
// of the classical ratio estimator with the k windows as replicates:
//
//	R ± t sqrt( sum (y_i - R x_i)² / (k-1) / k ) / mean(x)
//
// with y the numerators, x the denominators and t Student's quantile of k-1
// degrees of freedom. The variance is the linearised one of Cochran, "Sampling
// Techniques", third edition (1977), sections 2.11 and 6.3, without the
// correction for finite populations. A window weighs as much as it has samples,
// and samples that come in bursts make the interval as wide as they make the
// windows differ, which a binomial interval over all samples would not see.
// Windows of one and the same share leave no width at all: that nothing was seen
// k times is no proof that there is nothing.
//
// The interval is symmetric and may leave [0, 1]; [Interval.Clamp] cuts it. It
// answers false for fewer than three windows, for slices of different lengths,
// for a negative denominator, and where the denominators sum up to zero.
func RatioInterval(numerators, denominators []float64, confidence float64) (ratio float64, interval Interval, ok bool) {
	k := len(numerators)
	if k < minReplicates || len(denominators) != k || !isConfidence(confidence) || !finite(numerators...) || !finite(denominators...) {
		return 0, Interval{}, false
	}
	var y, x float64
	for i := range k {
		if denominators[i] < 0 {
			return 0, Interval{}, false
		}
		y += numerators[i]
		x += denominators[i]
	}
	if x == 0 {
		return 0, Interval{}, false
	}
	ratio = y / x
	var squares float64
	for i := range k {
		residual := numerators[i] - ratio*denominators[i]
		squares += residual * residual
	}
	replicates := float64(k)
	half := studentT(k-1, confidence) * math.Sqrt(squares/(replicates-1)/replicates) / (x / replicates)
	interval = Interval{Low: ratio - half, High: ratio + half}
	if !finite(ratio, interval.Low, interval.High) {
		return 0, Interval{}, false
	}
	return ratio, interval, true
}
