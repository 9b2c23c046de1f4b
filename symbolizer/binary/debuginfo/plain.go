package debuginfo

import (
	"iter"
)

// A NamedRange is code of which nothing but a symbol or a stub is known.
type NamedRange struct {
	Low, High uint64
	Name      []byte // valid until the next range is asked for
	Source    Source
}

// Plain reports whether nothing is known of the code but one file's symbols, and stubs, as
// of most binaries of a distribution. PlainRanges then has all that Ranges has.
func (t *Table) Plain() bool { return t.golang == nil && t.dwarf == nil && len(t.symbols) <= 1 }

// PlainRanges yields what Ranges does where the table is Plain, in the same order, without
// making anything for each of what may be a million symbols.
func (t *Table) PlainRanges() iter.Seq2[NamedRange, error] {
	return func(yield func(NamedRange, error) bool) {
		for _, s := range t.symbols {
			for r := range s.table.Ranges(0, 1<<64-1) {
				name, err := s.table.NameBytes(r.Symbol)
				if len(name) == 0 && err == nil {
					continue
				}
				if !yield(NamedRange{r.Low, r.High, name, Symbol}, err) {
					return
				}
			}
		}
		t.plainStubs(yield)
	}
}

// plainStubs yields the parts of stubs that no symbol has.
func (t *Table) plainStubs(yield func(NamedRange, error) bool) {
	var taken, parts []span
	var name []byte
	for _, stub := range t.stubs {
		taken = taken[:0]
		for _, s := range t.symbols {
			for r := range s.table.Ranges(stub.low, stub.high) {
				if name, err := s.table.NameBytes(r.Symbol); err == nil && len(name) > 0 {
					taken = append(taken, span{r.Low, r.High})
				}
			}
		}
		parts = appendWithout(parts[:0], stub.span, taken)
		name = append(name[:0], stub.scope.Function...)
		for _, part := range parts {
			if !yield(NamedRange{part.low, part.high, name, Stub}, nil) {
				return
			}
		}
	}
}

// Strings is how many bytes of names the symbol tables have, about.
func (t *Table) Strings() int {
	n := uint64(0)
	for _, s := range t.symbols {
		n += s.table.Strings()
	}
	return int(min(n, 1<<30))
}
