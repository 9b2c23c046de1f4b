package dwarf

import (
	"cmp"
	"slices"
)

// flatten makes spans that may lie within each other, or overlap, into sorted ones
// that do not: of those at an address the one with the highest scope gives it. A
// scope's index is higher than those of the scopes around it. Neighbours of one
// scope become one.
func (r *room) flatten(spans []covered) []covered {
	slices.SortFunc(spans, func(a, b covered) int {
		if a.low != b.low {
			return cmp.Compare(a.low, b.low)
		}
		return cmp.Compare(a.scope, b.scope)
	})
	flat, active := r.flat[:0], r.active[:0]
	at := uint64(0)
	until := func(end uint64) {
		for len(active) > 0 && at < end {
			top := active[0]
			if top.high <= at {
				active.pop()
				continue
			}
			high := min(top.high, end)
			if n := len(flat); n > 0 && flat[n-1].high == at && flat[n-1].scope == top.scope {
				flat[n-1].high = high
			} else {
				flat = append(flat, covered{span{at, high}, top.scope})
			}
			at = high
		}
	}
	for _, s := range spans {
		until(s.low)
		at = s.low
		active.push(s)
	}
	until(1<<64 - 1)
	r.flat, r.active = flat, active
	return slices.Clone(flat)
}

// byScope is a heap with the highest scope on top.
type byScope []covered

func (h *byScope) push(c covered) {
	all := append(*h, c)
	*h = all
	for i := len(all) - 1; i > 0; {
		above := (i - 1) / 2
		if all[above].scope >= all[i].scope {
			return
		}
		all[above], all[i] = all[i], all[above]
		i = above
	}
}

func (h *byScope) pop() {
	all := *h
	last := len(all) - 1
	all[0] = all[last]
	all = all[:last]
	*h = all
	for i := 0; ; {
		below := 2*i + 1
		if below >= last {
			return
		}
		if below+1 < last && all[below+1].scope > all[below].scope {
			below++
		}
		if all[i].scope >= all[below].scope {
			return
		}
		all[i], all[below] = all[below], all[i]
		i = below
	}
}
