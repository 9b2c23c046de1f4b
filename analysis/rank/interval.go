package rank

import (
	"maps"
	"slices"

	"github.com/narrows-profiler/narrows/analysis/statistics"
)

const (
	// minReplicates windows are needed to judge how a share varies.
	minReplicates = 3
	// minReplicateSamples keeps a replicate's share from being mostly chance.
	minReplicateSamples = 30
	// rounding is far below the share of a single sample.
	rounding = 1e-12
)

// shareInterval returns the confidence interval of a place's share of its
// group's time.
func shareInterval(g *group, p *place, confidence float64) Interval {
	part, whole := replicates(g, p)
	if len(whole) >= minReplicates {
		// Equal shares in all windows, as of a function that is all there is,
		// leave no width but rounding, though they say nothing about chance.
		if _, i, ok := statistics.RatioInterval(part, whole, confidence); ok && i.High-i.Low > rounding {
			i = i.Clamp(0, 1)
			return Interval{Low: i.Low, High: i.High, Confidence: confidence, Method: RatioOverWindows, Replicates: int64(len(whole))}
		}
	}
	share := ratio(p.self.ns, g.total.ns)
	i, ok := statistics.WilsonInterval(int(p.self.samples), int(g.total.samples), confidence)
	if !ok { // time without samples: nothing is known
		i = statistics.Interval{Low: 0, High: 1}
	}
	// Shares are of time, Wilson's interval is of samples: where samples stand
	// for different times, it may lie beside the share.
	return Interval{Low: min(i.Low, share), High: max(i.High, share), Confidence: confidence, Method: WilsonOfSamples, Replicates: g.total.samples}
}

// replicates returns a place's and its group's time by window. Windows with few
// samples of the group are pooled with the ones after them (the last with the
// ones before), so that the sums stay those of all windows.
func replicates(g *group, p *place) (part, whole []float64) {
	var pool, inPlace weight
	flush := func() {
		part, whole = append(part, float64(inPlace.ns)), append(whole, float64(pool.ns))
		pool, inPlace = weight{}, weight{}
	}
	for _, window := range slices.Sorted(maps.Keys(g.windows)) {
		pool.add(g.windows[window])
		inPlace.add(p.windows[window])
		if pool.samples >= minReplicateSamples {
			flush()
		}
	}
	switch last := len(whole) - 1; {
	case pool.samples == 0:
	case last < 0:
		flush()
	default:
		part[last] += float64(inPlace.ns)
		whole[last] += float64(pool.ns)
	}
	return part, whole
}

// ratio is part/whole, and 0 of nothing.
func ratio(part, whole int64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}
