package load

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"time"
)

// Arrivals names how the starts of an open loop are spaced.
type Arrivals string

const (
	// Poisson spaces starts by exponential gaps: requests of many users that
	// know nothing of each other.
	Poisson Arrivals = "poisson"
	// Uniform spaces starts evenly.
	Uniform Arrivals = "uniform"
)

// Schedule yields the intended starts of an endless open loop as offsets from
// its beginning, never decreasing. Rate is in requests per second and must be
// positive. The same seed gives the same schedule. Poisson's first start is one
// exponential gap after the beginning, Uniform's is at the beginning.
func Schedule(arrivals Arrivals, rate float64, seed uint64) (iter.Seq[time.Duration], error) {
	// Negated, so that NaN is refused as well.
	if !(rate > 0 && rate <= 1e9) {
		return nil, fmt.Errorf("an arrival rate of %v per second cannot be scheduled", rate)
	}
	gap := float64(time.Second) / rate
	switch arrivals {
	case Poisson:
		return func(yield func(time.Duration) bool) {
			random := rand.New(rand.NewPCG(seed, 0x6172726976616c73))
			for at := random.ExpFloat64() * gap; yield(time.Duration(at)); {
				at += random.ExpFloat64() * gap
			}
		}, nil
	case Uniform:
		return func(yield func(time.Duration) bool) {
			for i := 0; yield(time.Duration(float64(i) * gap)); i++ {
			}
		}, nil
	}
	return nil, fmt.Errorf("unknown arrivals %q: take %q or %q", arrivals, Poisson, Uniform)
}
