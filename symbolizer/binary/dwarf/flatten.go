package dwarf

import (
	"cmp"
	"container/heap"
	"slices"
)

// flatten makes spans that may lie within each other, or overlap, into sorted ones
// that do not: of those at an address the one with the highest scope gives it. A
// scope's index is higher than those of the scopes around it. Neighbours of one
// scope become one.
func flatten(spans []covered) []covered {
	slices.SortFunc(spans, func(a, b covered) int {
		return cmp.Or(cmp.Compare(a.low, b.low), cmp.Compare(a.scope, b.scope))
	})
	flat := make([]covered, 0, len(spans))
	var active byScope
	at := uint64(0)
	until := func(end uint64) {
		for len(active) > 0 && at < end {
			top := active[0]
			if top.high <= at {
				heap.Pop(&active)
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
		heap.Push(&active, s)
	}
	until(1<<64 - 1)
	return slices.Clip(flat)
}

// byScope is a heap with the highest scope on top.
type byScope []covered

func (h byScope) Len() int           { return len(h) }
func (h byScope) Less(i, j int) bool { return h[i].scope > h[j].scope }
func (h byScope) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *byScope) Push(x any)        { *h = append(*h, x.(covered)) }
func (h *byScope) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
