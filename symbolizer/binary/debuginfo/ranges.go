package debuginfo

import (
	"cmp"
	"iter"
	"slices"
)

// Ranges yields all code that has a function, in ranges that do not overlap, so
// that Frames of any address in a range are the range's. They ascend within one
// unit of compilation but not across units. An error says that a part of the
// binary could not be read and is left out; the rest follows.
func (t *Table) Ranges() iter.Seq2[Range, error] {
	return t.RangesOf(func(low, high uint64) bool { return true })
}

// RangesOf yields those of Ranges in which there are wanted addresses. It does not read
// what is known of other code. The ranges may reach into code of which more is known
// than they say, so they are true only of addresses that are wanted.
func (t *Table) RangesOf(wanted func(low, high uint64) bool) iter.Seq2[Range, error] {
	return func(yield func(Range, error) bool) {
		e := enumeration{table: t, yield: yield, wanted: wanted}
		_ = e.golang() && e.dwarf() && e.rest()
	}
}

// A span is addresses from low up to high.
type span struct{ low, high uint64 }

// An enumeration goes through the sources in the order in which Frames asks them,
// and gives each what those before it left.
type enumeration struct {
	table  *Table
	yield  func(Range, error) bool
	wanted func(low, high uint64) bool // whether there are wanted addresses
	taken  []span                      // that have been yielded
}

func (e *enumeration) give(r Range) bool {
	if !e.wanted(r.Low, r.High) {
		return true
	}
	if n := len(e.taken); n > 0 && e.taken[n-1].high == r.Low {
		e.taken[n-1].high = r.High
	} else {
		e.taken = append(e.taken, span{r.Low, r.High})
	}
	return e.yield(r, nil)
}

func (e *enumeration) golang() bool {
	if e.table.golang == nil {
		return true
	}
	for r, err := range e.table.golang.Ranges(e.wanted) {
		if err != nil {
			if !e.yield(Range{}, err) {
				return false
			}
		} else if !e.give(r) {
			return false
		}
	}
	return true
}

// dwarf takes all code that is not Go's, and asks the symbols for what DWARF leaves
// open.
func (e *enumeration) dwarf() bool {
	if e.table.dwarf == nil {
		return true
	}
	var goCode span
	if e.table.golang != nil {
		goCode.low, goCode.high = e.table.golang.Reach()
	}
	wanted := func(low, high uint64) bool {
		return (low < goCode.low || high > goCode.high) && e.wanted(low, high)
	}
	var open []Range // whose outermost function has no name
	var parts []span
	goCodes := []span{goCode}
	for r, err := range e.table.dwarf.Ranges(wanted) {
		if err != nil {
			if !e.yield(Range{}, err) {
				return false
			}
			continue
		}
		parts = appendWithout(parts[:0], span{r.Low, r.High}, goCodes)
		for _, part := range parts {
			cut := Range{Low: part.low, High: part.high, Scope: r.Scope, File: r.File, Line: r.Line}
			if rootName(r.Scope) == "" {
				open = append(open, cut)
			} else if !e.give(cut) {
				return false
			}
		}
	}
	for _, r := range open {
		if !e.symbols(span{r.Low, r.High}, nil, r) {
			return false
		}
	}
	return true
}

// rest yields what the symbols, and then the stubs, have where nothing was yielded
// yet.
func (e *enumeration) rest() bool {
	e.taken = join(e.taken)
	if !e.symbols(span{0, 1<<64 - 1}, slices.Clone(e.taken), Range{}) {
		return false
	}
	e.taken = join(e.taken)
	for _, s := range e.table.stubs {
		for _, part := range without(s.span, e.taken) {
			if e.wanted(part.low, part.high) && !e.yield(Range{Low: part.low, High: part.high, Scope: s.scope}, nil) {
				return false
			}
		}
	}
	return true
}

// symbols yields what the symbols have within a span, but not in what is taken of
// it, as the outermost functions around what is known already. It may reorder taken.
func (e *enumeration) symbols(within span, taken []span, known Range) bool {
	var parts, now []span
	for _, s := range e.table.symbols {
		taken = join(taken)
		now = now[:0]
		for r := range s.table.Ranges(within.low, within.high) {
			if !e.wanted(r.Low, r.High) {
				continue
			}
			parts = appendWithout(parts[:0], span{max(r.Low, within.low), min(r.High, within.high)}, taken)
			if len(parts) == 0 {
				continue
			}
			named, err := s.scopeOf(r)
			if err != nil && !e.yield(Range{}, err) {
				return false
			}
			if named == nil {
				continue
			}
			for _, part := range parts {
				now = append(now, part)
				if !e.give(Range{Low: part.low, High: part.high, Scope: rooted(known.Scope, named), File: known.File, Line: known.Line}) {
					return false
				}
			}
		}
		taken = append(slices.Clip(taken), now...)
	}
	return true
}

// join sorts spans that do not overlap, and joins those that touch.
func join(spans []span) []span {
	byAddress := func(a, b span) int { return cmp.Compare(a.low, b.low) }
	if !slices.IsSortedFunc(spans, byAddress) {
		slices.SortFunc(spans, byAddress)
	}
	joined := spans[:0]
	for _, s := range spans {
		if n := len(joined); n > 0 && joined[n-1].high == s.low {
			joined[n-1].high = s.high
		} else {
			joined = append(joined, s)
		}
	}
	return joined
}

// without returns the parts of a span that are in none of others, which are sorted
// and do not overlap.
func without(s span, others []span) []span { return appendWithout(nil, s, others) }

// appendWithout is without, into a slice.
func appendWithout(parts []span, s span, others []span) []span {
	i, _ := slices.BinarySearchFunc(others, s.low, func(o span, low uint64) int {
		if o.high <= low {
			return -1
		}
		return 1
	})
	for ; i < len(others) && others[i].low < s.high; i++ {
		if others[i].low > s.low {
			parts = append(parts, span{s.low, others[i].low})
		}
		s.low = others[i].high
	}
	if s.low < s.high {
		parts = append(parts, s)
	}
	return parts
}
