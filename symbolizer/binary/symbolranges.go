package binary

import (
	"iter"
	"sort"
)

// A SymbolRange is code of which Lookup answers Symbol: all of it, or what the
// symbols that lie within it leave.
type SymbolRange struct {
	Low, High uint64
	Symbol    Symbol
}

// Ranges yields the code that symbols cover in the addresses from low up to high,
// in order of address. The first and the last may reach beyond them.
func (s *Symbols) Ranges(low, high uint64) iter.Seq[SymbolRange] {
	return func(yield func(SymbolRange) bool) {
		first := sort.Search(len(s.rows), func(i int) bool { return s.base+uint64(s.rows[i].start) > low })
		for i := max(first-1, 0); i < len(s.rows) && s.base+uint64(s.rows[i].start) < high; i++ {
			at, end := uint64(s.rows[i].start), uint64(1)<<32
			if i+1 < len(s.rows) {
				end = uint64(s.rows[i+1].start)
			}
			// First the row itself, then those around it, as far as nothing else
			// begins.
			inner := i
			for range maxEnclosing {
				row := s.rows[inner]
				until := min(uint64(row.start)+uint64(row.size), end)
				if until > at {
					start := s.base + uint64(row.start)
					symbol := Symbol{Start: start, End: start + uint64(row.size), name: row.name}
					if !yield(SymbolRange{s.base + at, s.base + until, symbol}) {
						return
					}
					at = until
				}
				if row.name&nameEnclosed == 0 {
					break
				}
				inner = int(s.enclosing[uint32(inner)])
			}
		}
	}
}
