package statistics

import "gonum.org/v1/gonum/stat/distuv"

// WeightedInterval returns the interval of a sum that was estimated from things seen by
// chance, each with its weight: Fay and Feuer's ("Confidence intervals for directly
// standardized rates: a method based on the gamma distribution", Statistics in Medicine 16,
// 1997). variance is that of the sum, as estimated from what was seen; largest is the most
// that one thing which was not seen may have weighed. It is a little wide where few were
// seen, and never below 0. What is certain has variance and largest of 0.
func WeightedInterval(sum, variance, largest, confidence float64) (Interval, bool) {
	if !isConfidence(confidence) || !finite(sum, variance, largest) || sum < 0 || variance < 0 || largest < 0 {
		return Interval{}, false
	}
	i := Interval{Low: sum, High: sum}
	if sum > 0 && variance > 0 {
		i.Low = gammaQuantile(sum, variance, (1-confidence)/2)
	}
	if more := variance + largest*largest; more > 0 {
		i.High = gammaQuantile(sum+largest, more, (1+confidence)/2)
	}
	return i, true
}

// gammaQuantile is that of the gamma distribution with a mean and a variance.
func gammaQuantile(mean, variance, q float64) float64 {
	return distuv.Gamma{Alpha: mean * mean / variance, Beta: mean / variance}.Quantile(q)
}
