package rank

import (
	"maps"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

const (
	// minReplicates windows are needed to judge how a share varies.
	minReplicates = 3
	// minReplicateSamples keeps a replicate's share from being mostly chance.
	minReplicateSamples = 30
)

// shareInterval returns the confidence interval of a place's share of its
// group's time.
func shareInterval(g *group, p *place, confidence float64) Interval {
	part, whole := replicates(g, p)
	if len(whole) >= minReplicates {
		low, high := ratioInterval(part, whole, confidence)
		// Equal shares in all windows, as of a function that is all there is,
		// say nothing about chance.
		if high > low {
			return Interval{Low: max(low, 0), High: min(high, 1), Confidence: confidence, Method: RatioOverWindows, Replicates: int64(len(whole))}
		}
	}
	share := ratio(p.self.ns, g.total.ns)
	low, high := wilsonInterval(share, float64(g.total.samples), confidence)
	// At shares of 0 and 1 rounding may put the share just outside.
	return Interval{Low: min(low, share), High: max(high, share), Confidence: confidence, Method: WilsonOfSamples, Replicates: g.total.samples}
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

func ratioInterval(part, whole []float64, confidence float64) (low, high float64) {
	var y, x float64
	for i := range part {
		y, x = y+part[i], x+whole[i]
	}
	n := float64(len(part))
	r := y / x
	var sum float64
	for i := range part {
		d := part[i] - r*whole[i]
		sum += d * d
	}
	se := math.Sqrt(sum/(n-1)/n) / (x / n)
	t := distuv.StudentsT{Sigma: 1, Nu: n - 1}.Quantile(0.5 + confidence/2)
	return r - t*se, r + t*se
}

func wilsonInterval(p, n, confidence float64) (low, high float64) {
	z := distuv.UnitNormal.Quantile(0.5 + confidence/2)
	center := (p + z*z/(2*n)) / (1 + z*z/n)
	half := z / (1 + z*z/n) * math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	return max(center-half, 0), min(center+half, 1)
}
