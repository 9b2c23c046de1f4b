package perfmap

import (
	"container/heap"
	"iter"
	"slices"
)

// flatten makes pieces of code that may overlap into sorted ones that do not. Where
// two overlap, the one with the higher entry is it, or, if not later, with the lower.
func flatten(pieces []code, later bool) []code {
	sorted := slices.Clone(pieces)
	slices.SortStableFunc(sorted, byAddress)
	var flat []code
	active := byEntry{later: later}
	at := uint64(0)
	until := func(end uint64) {
		for len(active.pieces) > 0 && at < end {
			top := active.pieces[0]
			if top.high <= at {
				heap.Pop(&active)
				continue
			}
			high := min(top.high, end)
			flat = append(flat, code{at, high, top.entry})
			at = high
		}
	}
	for _, c := range sorted {
		until(c.low)
		at = c.low
		heap.Push(&active, c)
	}
	until(1<<64 - 1)
	return flat
}

// byEntry is a heap with the latest entry on top, or the earliest.
type byEntry struct {
	pieces []code
	later  bool
}

func (h *byEntry) Len() int { return len(h.pieces) }
func (h *byEntry) Less(i, j int) bool {
	return h.pieces[i].entry != h.pieces[j].entry && h.pieces[i].entry > h.pieces[j].entry == h.later
}
func (h *byEntry) Swap(i, j int) { h.pieces[i], h.pieces[j] = h.pieces[j], h.pieces[i] }
func (h *byEntry) Push(x any)    { h.pieces = append(h.pieces, x.(code)) }
func (h *byEntry) Pop() any {
	last := h.pieces[len(h.pieces)-1]
	h.pieces = h.pieces[:len(h.pieces)-1]
	return last
}

// overlaps yields the parts of old that lie in a piece of another entry in young,
// with old's entries. Both are sorted and without overlap.
func overlaps(old, young []code) iter.Seq[code] {
	return func(yield func(code) bool) {
		for len(old) > 0 && len(young) > 0 {
			low, high := max(old[0].low, young[0].low), min(old[0].high, young[0].high)
			if low < high && old[0].entry != young[0].entry && !yield(code{low, high, old[0].entry}) {
				return
			}
			if old[0].high < young[0].high {
				old = old[1:]
			} else {
				young = young[1:]
			}
		}
	}
}

// over returns young and those parts of old that it leaves. Both are sorted and
// without overlap.
func over(old, young []code) []code {
	all := make([]code, 0, len(old)+len(young))
	for _, o := range old {
		for len(young) > 0 && young[0].high <= o.low {
			all, young = append(all, young[0]), young[1:]
		}
		for len(young) > 0 && young[0].low < o.high && o.low < o.high {
			y := young[0]
			if o.low < y.low {
				all = append(all, code{o.low, y.low, o.entry})
			}
			o.low = max(o.low, y.high)
			if y.high <= o.high {
				all, young = append(all, y), young[1:]
			} else {
				o.low = o.high // y goes on; it is added when it is passed
			}
		}
		if o.low < o.high {
			all = append(all, o)
		}
	}
	return append(all, young...)
}
