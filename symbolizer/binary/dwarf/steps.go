package dwarf

// steps goes through the code of a tree in order of address.
type steps struct {
	tree *tree
	span int // the first that ends behind the last address
	row  int // the first that begins behind it
}

// next returns what holds at an address, no lower than the last, and up to where, at most
// up to end. -1 stands for none.
func (s *steps) next(at, end uint64) (scope int32, row int, until uint64) {
	scope, row = -1, -1
	spans := s.tree.spans
	s.span = ahead(s.span, len(spans), func(i int) bool { return spans[i].high > at })
	if s.span < len(spans) {
		if c := spans[s.span]; c.low <= at {
			scope, end = c.scope, min(end, c.high)
		} else {
			end = min(end, c.low)
		}
	}
	if s.tree.lines == nil {
		return scope, row, end
	}
	rows := s.tree.lines.rows
	s.row = ahead(s.row, len(rows), func(i int) bool { return rows[i].addr > at })
	if s.row < len(rows) {
		end = min(end, rows[s.row].addr)
	}
	if s.row > 0 && rows[s.row-1].file != noFile {
		row = s.row - 1
	}
	return scope, row, end
}

// ahead returns the first index from i up to n at which is is true, which stays so. It
// mostly is near.
func ahead(i, n int, is func(int) bool) int {
	step := 1
	for i+step <= n && !is(i+step-1) {
		i += step
		step *= 2
	}
	high := min(i+step-1, n)
	for i < high {
		if middle := int(uint(i+high) / 2); is(middle) {
			high = middle
		} else {
			i = middle + 1
		}
	}
	return i
}
