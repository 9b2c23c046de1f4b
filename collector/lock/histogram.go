package lock

import (
	"iter"
	"math/bits"
)

// Histogram counts lengths in ns. Its classes are as wide as 1/16 of what they hold, so
// that quantiles are off by 3 % at most. The zero value is empty.
type Histogram struct {
	counts  map[int]float64
	total   float64
	longest uint64
}

const (
	classBits = 4
	classes   = 1 << classBits
)

// class is the number of the class of a length.
func class(length uint64) int {
	if length < classes {
		return int(length)
	}
	shift := bits.Len64(length) - 1 - classBits
	return (shift+1)<<classBits + int(length>>shift) - classes
}

// middle is the middle of a class.
func middle(class int) uint64 {
	if class < classes {
		return uint64(class)
	}
	shift := class>>classBits - 1
	low := uint64(classes+class&(classes-1)) << shift
	return low + (uint64(1)<<shift)/2
}

// Add counts a length with a weight.
func (h *Histogram) Add(length uint64, weight float64) {
	if h.counts == nil {
		h.counts = map[int]float64{}
	}
	h.counts[class(length)] += weight
	h.total += weight
	h.longest = max(h.longest, length)
}

// Merge adds what another one counted.
func (h *Histogram) Merge(other *Histogram) {
	if h.counts == nil {
		h.counts = map[int]float64{}
	}
	for c, n := range other.counts {
		h.counts[c] += n
	}
	h.total += other.total
	h.longest = max(h.longest, other.longest)
}

// Total is the sum of the weights.
func (h *Histogram) Total() float64 { return h.total }

// Lengths gives the middle of each class with a length in it, and how many those are.
func (h *Histogram) Lengths() iter.Seq2[uint64, float64] {
	return func(yield func(uint64, float64) bool) {
		for c, n := range h.counts {
			if !yield(middle(c), n) {
				return
			}
		}
	}
}

// Longest is the greatest length.
func (h *Histogram) Longest() uint64 { return h.longest }

// Quantile is the length that a share q of all does not exceed; 0 if there is none.
func (h *Histogram) Quantile(q float64) uint64 {
	highest := 0
	for c := range h.counts {
		highest = max(highest, c)
	}
	var sum float64
	for c := 0; c <= highest && h.total > 0; c++ {
		if sum += h.counts[c]; sum >= q*h.total {
			return min(middle(c), h.longest)
		}
	}
	return h.longest
}
