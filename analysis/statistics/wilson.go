package statistics

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// WilsonInterval returns the score interval of a proportion of which successes
// out of n independent trials were seen:
//
//	(p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n),  p = successes/n
//
// with z the two-sided normal quantile (Wilson, "Probable Inference, the Law of
// Succession, and Statistical Inference", Journal of the American Statistical
// Association 22, 1927). Unlike p ± z s it holds for few trials and for
// proportions near 0 and 1, and never leaves [0, 1]. It answers false for n < 1
// and for successes outside of [0, n].
func WilsonInterval(successes, n int, confidence float64) (Interval, bool) {
	if n < 1 || successes < 0 || successes > n || !isConfidence(confidence) {
		return Interval{}, false
	}
	z := distuv.UnitNormal.Quantile((1 + confidence) / 2)
	trials := float64(n)
	p := float64(successes) / trials
	middle := p + z*z/(2*trials)
	half := z * math.Sqrt(p*(1-p)/trials+z*z/(4*trials*trials))
	scale := 1 + z*z/trials
	i := Interval{Low: (middle - half) / scale, High: (middle + half) / scale}.Clamp(0, 1)
	// Where nothing or everything succeeded the end is exact, not its rounding.
	if successes == 0 {
		i.Low = 0
	}
	if successes == n {
		i.High = 1
	}
	return i, true
}
