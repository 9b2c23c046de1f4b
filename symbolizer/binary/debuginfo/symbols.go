package debuginfo

import "github.com/narrows-profiler/narrows/symbolizer/binary"

// symbols is a symbol table with the names read of it so far.
type symbols struct {
	table  *binary.Symbols
	scopes map[binary.Symbol]*Scope // nil for one without a name
	names  int                      // bytes of names
}

func newSymbols(table *binary.Symbols) *symbols {
	return &symbols{table: table, scopes: map[binary.Symbol]*Scope{}}
}

// scope returns a symbol as a function, the same one each time; nil if it has no
// name.
func (s *symbols) scope(symbol binary.Symbol) (*Scope, error) {
	if scope, ok := s.scopes[symbol]; ok {
		return scope, nil
	}
	name, err := s.table.Name(symbol)
	if err != nil {
		return nil, err
	}
	var scope *Scope
	if name != "" {
		scope = &Scope{Function: name, Source: Symbol}
	}
	s.scopes[symbol] = scope
	s.names += len(name)
	return scope, nil
}

func (s *symbols) memory() int { return s.table.Memory() + len(s.scopes)*160 + s.names }
