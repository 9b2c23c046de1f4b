package debuginfo

import "github.com/narrows-profiler/narrows/symbolizer/binary"

// symbols is a symbol table with the names read of it so far.
type symbols struct {
	table  *binary.Symbols
	scopes map[binary.Symbol]*Scope // nil for one without a name
	names  int                      // bytes of names
	room   []Scope                  // for scopes that nobody keeps for long
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
	scope, err := s.newScope(symbol)
	if err != nil {
		return nil, err
	}
	s.scopes[symbol] = scope
	if scope != nil {
		s.names += len(scope.Function)
	}
	return scope, nil
}

// scopeOf returns the symbol of a range as a function. It keeps only those that have
// several ranges: all symbols of a large program would take much memory.
func (s *symbols) scopeOf(r binary.SymbolRange) (*Scope, error) {
	if r.Low != r.Symbol.Start || r.High != r.Symbol.End {
		return s.scope(r.Symbol)
	}
	name, err := s.table.Name(r.Symbol)
	if err != nil || name == "" {
		return nil, err
	}
	if len(s.room) == 0 {
		const together = 64
		s.room = make([]Scope, together)
	}
	scope := &s.room[0]
	s.room = s.room[1:]
	scope.Function, scope.Source = name, Symbol
	return scope, nil
}

func (s *symbols) newScope(symbol binary.Symbol) (*Scope, error) {
	name, err := s.table.Name(symbol)
	if err != nil || name == "" {
		return nil, err
	}
	return &Scope{Function: name, Source: Symbol}, nil
}

func (s *symbols) memory() int { return s.table.Memory() + len(s.scopes)*160 + s.names }
