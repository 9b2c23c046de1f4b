package unwind

import "slices"

// space hands out ranges of numbers 0 to size-1, contiguous ones.
type space struct {
	size int
	free []span // sorted, with gaps between them
}

// span is the numbers from at to at+n-1.
type span struct{ at, n int }

func newSpace(first, size int) space {
	return space{size: size - first, free: []span{{first, size - first}}}
}

// take gives the first range of n that is free, if there is one.
func (s *space) take(n int) (at int, ok bool) {
	for i, f := range s.free {
		if f.n < n {
			continue
		}
		if f.n == n {
			s.free = slices.Delete(s.free, i, i+1)
		} else {
			s.free[i] = span{f.at + n, f.n - n}
		}
		return f.at, true
	}
	return 0, false
}

// give takes a range back.
func (s *space) give(at, n int) {
	if n == 0 {
		return
	}
	i, _ := slices.BinarySearchFunc(s.free, at, func(f span, at int) int { return f.at - at })
	s.free = slices.Insert(s.free, i, span{at, n})
	s.join(i)
	if i > 0 {
		s.join(i - 1)
	}
}

// join makes one of a free range and the next, where they touch.
func (s *space) join(i int) {
	if i+1 < len(s.free) && s.free[i].at+s.free[i].n == s.free[i+1].at {
		s.free[i].n += s.free[i+1].n
		s.free = slices.Delete(s.free, i+1, i+2)
	}
}

// left is how many numbers are free.
func (s *space) left() int {
	total := 0
	for _, f := range s.free {
		total += f.n
	}
	return total
}
