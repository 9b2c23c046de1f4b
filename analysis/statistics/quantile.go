package statistics

import (
	"math"
	"slices"
	"sort"

	"gonum.org/v1/gonum/stat/distuv"
)

// Quantile returns the q-quantile of values sorted in ascending order: the
// smallest value such that at least the fraction q of all values are not above
// it, x_(k) with k = ceil(n q). That is the inverse of the empirical distribution
// function, definition 1 of Hyndman and Fan, "Sample Quantiles in Statistical
// Packages", The American Statistician 50 (1996). It is always one of the values:
// a latency that a request really had. q = 0 is the least value.
//
// It answers false where there are no values, where they are not sorted or not
// finite, or where q is not in [0, 1].
func Quantile(sorted []float64, q float64) (value float64, ok bool) {
	if !(q >= 0 && q <= 1) || !usable(sorted) {
		return 0, false
	}
	return sorted[rank(len(sorted), q)-1], true
}

// rank returns ceil(n q), at least 1, without the rounding of n q pushing a
// whole number up to the next (100 x 0.07 is 7.000000000000001).
func rank(n int, q float64) int {
	x := float64(n) * q
	if whole := math.Round(x); math.Abs(x-whole) <= 1e-12*whole {
		x = whole
	}
	return min(max(int(math.Ceil(x)), 1), n)
}

// QuantileUpperBound returns a bound that the true q-quantile exceeds with a
// probability of at most 1 - confidence, whatever the distribution.
//
// The bound is the order statistic x_(r) of the smallest r for which
// P(B <= r-1) >= confidence, B being binomial with n trials of probability q: the
// number of values below the true quantile. See David and Nagaraja, "Order
// Statistics", third edition (2003), section 7.1. The coverage is exact or, for
// ties and because r is whole, above. Even the largest value is a bound only if
// 1 - q^n >= confidence, else the answer is false: at 95 % p95 needs 59 values and
// p99 needs 299 (see [SamplesForUpperBound]).
func QuantileUpperBound(sorted []float64, q, confidence float64) (bound float64, ok bool) {
	if !(q > 0 && q < 1) || !isConfidence(confidence) || !usable(sorted) {
		return 0, false
	}
	r := upperRank(len(sorted), q, confidence)
	if r > len(sorted) {
		return 0, false
	}
	return sorted[r-1], true
}

// QuantileInterval returns the interval [x_(l), x_(u)] that misses the true
// q-quantile on either side with a probability of at most (1 - confidence)/2,
// whatever the distribution: u as in [QuantileUpperBound], and l the largest rank
// for which P(B <= l-1) <= (1 - confidence)/2. It answers false where either end
// would lie beyond the values: at 95 %, the median needs 6 values, p95 72 and p99
// 368.
func QuantileInterval(sorted []float64, q, confidence float64) (Interval, bool) {
	if !(q > 0 && q < 1) || !isConfidence(confidence) || !usable(sorted) {
		return Interval{}, false
	}
	tail := (1 - confidence) / 2
	n := len(sorted)
	u := upperRank(n, q, 1-tail)
	b := distuv.Binomial{N: float64(n), P: q}
	l := sort.Search(n, func(i int) bool { return b.CDF(float64(i)) > tail })
	if l < 1 || u > n {
		return Interval{}, false
	}
	return Interval{Low: sorted[l-1], High: sorted[u-1]}, true
}

// SamplesForUpperBound returns the least number of values from which
// [QuantileUpperBound] exists: ceil(ln(1 - confidence) / ln(q)), from
// 1 - q^n >= confidence. It is 0 where q or confidence is not in (0, 1).
func SamplesForUpperBound(q, confidence float64) int {
	if !(q > 0 && q < 1) || !isConfidence(confidence) {
		return 0
	}
	return int(math.Ceil(math.Log1p(-confidence) / math.Log(q)))
}

// upperRank returns the smallest r with P(B <= r-1) >= confidence, n+1 if even
// r = n does not reach it.
func upperRank(n int, q, confidence float64) int {
	b := distuv.Binomial{N: float64(n), P: q}
	return 1 + sort.Search(n, func(i int) bool { return b.CDF(float64(i)) >= confidence })
}

// usable tells whether values are there, in order, and finite: in order, NaN and
// the infinities stand at the ends.
func usable(sorted []float64) bool {
	return len(sorted) > 0 && slices.IsSorted(sorted) && finite(sorted[0], sorted[len(sorted)-1])
}
