package debuginfo

import (
	"cmp"
	"slices"
	"strings"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// A stub is a piece of the procedure linkage table and its name.
type stub struct {
	span
	scope *Scope
}

func (t *Table) openStubs(code *binary.File) {
	found, err := code.Stubs()
	if err != nil {
		t.problems = append(t.problems, err)
		return
	}
	t.stubs = make([]stub, 0, len(found))
	scopes := make([]Scope, len(found))
	for i, s := range found {
		name := s.Name
		if name == "" {
			resolver, err := t.symbol(s.Resolver)
			if err != nil || resolver == nil {
				continue
			}
			name = resolver.Function
		}
		name, _, _ = strings.Cut(name, "@")
		scopes[i] = Scope{Function: name + "@plt", Source: Stub}
		t.stubs = append(t.stubs, stub{span{s.Low, s.High}, &scopes[i]})
	}
	slices.SortFunc(t.stubs, func(a, b stub) int { return cmp.Compare(a.low, b.low) })
	// Sections of a hostile file may overlap; the stub that begins first is it.
	until := uint64(0)
	t.stubs = slices.DeleteFunc(t.stubs, func(s stub) bool {
		overlaps := s.low < until
		until = max(until, s.high)
		return overlaps
	})
}

// stub returns the stub at an address as a function, nil if there is none.
func (t *Table) stub(addr uint64) *Scope {
	i, found := slices.BinarySearchFunc(t.stubs, addr, func(s stub, addr uint64) int {
		switch {
		case addr < s.low:
			return 1
		case addr >= s.high:
			return -1
		}
		return 0
	})
	if !found {
		return nil
	}
	return t.stubs[i].scope
}
