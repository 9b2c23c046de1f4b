package debuginfo

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
	"github.com/narrows-profiler/narrows/symbolizer/binary/dwarf"
)

// defaultMemory is what Options.MaxMemory of 0 stands for: a recording names while it
// records, and is to stay small.
const defaultMemory = 64 << 20

// Options say what to take into account beside the binary itself. The zero value
// is the binary alone.
type Options struct {
	// Debug is the separate file with the binary's debug information, opened with
	// binary.OpenDebug, or nil.
	Debug *binary.File
	// Supplement is the file that the debug information refers to by its
	// SupplementLink, opened with binary.OpenSupplement, or nil.
	Supplement *binary.File
	// MaxMemory bounds the bytes that decompressed sections and parsed units take
	// at one time, about; 0 means 64 MiB. What does not fit has the names that the
	// symbols have. Only compressed sections, and single units, can be so large:
	// others are read piece by piece.
	MaxMemory int
}

// A Table is what is known about the code of one binary. It keeps the files of
// which it was opened, reads from them when asked, and is not safe for concurrent
// use.
type Table struct {
	golang   *binary.GoTable // nil if the binary has none
	dwarf    *dwarf.Data     // nil if there is none
	symbols  []*symbols      // in the order in which they are asked
	stubs    []stub          // sorted
	held     int             // bytes of symbols that the binary carried compressed
	problems []error
}

// Open reads the headers of whatever the binary has. It never fails as a whole: a
// binary without any function has a Table that knows none, and what could not be
// read is among its Problems.
func Open(code *binary.File, o Options) *Table {
	o.MaxMemory = cmp.Or(o.MaxMemory, defaultMemory)
	t := &Table{}
	golang, err := code.GoTable()
	if t.usable(err, binary.ErrNoGoTable) {
		t.golang = golang
	}
	if !t.allGo(code) {
		t.openDWARF(code, o)
	}
	t.openSymbols(code, o)
	t.openStubs(code)
	return t
}

// usable reports whether there was no error; one that does not just say that there
// is nothing is a problem.
func (t *Table) usable(err, none error) bool {
	if err != nil && !errors.Is(err, none) {
		t.problems = append(t.problems, err)
	}
	return err == nil
}

// allGo tells whether Go's table covers all of the code, so that nobody would ask DWARF,
// which Go's linker compresses: of a large program it takes 20 MB of memory. C code in a
// Go program comes with at least its start files, which are longer than padding.
func (t *Table) allGo(code *binary.File) bool {
	const padding = 64
	if t.golang == nil {
		return false
	}
	low, high := t.golang.Reach()
	for s := range code.Code() {
		if s.Low+padding < low || s.High > high+padding {
			return false
		}
	}
	return true
}

// openDWARF takes the debug information of the binary, or else of the debug file.
func (t *Table) openDWARF(code *binary.File, o Options) {
	for _, f := range []*binary.File{code, o.Debug} {
		if f == nil || t.dwarf != nil {
			continue
		}
		data, err := dwarf.Open(f, o.MaxMemory)
		if t.usable(err, dwarf.ErrNone) {
			t.dwarf = data
			if o.Supplement != nil {
				if err := data.SetSupplement(o.Supplement); err != nil {
					t.problems = append(t.problems, err)
				}
			}
		}
	}
}

// openSymbols opens the symbol tables, the fullest first: .dynsym alone has what a
// library exports and nothing else.
func (t *Table) openSymbols(code *binary.File, o Options) {
	files := []*binary.File{code}
	if o.Debug != nil {
		files = append(files, o.Debug)
	}
	if mini, held, err := code.MiniDebug(o.MaxMemory / 4); t.usable(err, binary.ErrNoSection) {
		files = append(files, mini)
		t.held += held
	}
	if !code.HasSymbolTable() {
		files = append(files[1:], code)
	}
	for _, f := range files {
		table, err := f.Symbols()
		if t.usable(err, binary.ErrNoSymbols) {
			t.symbols = append(t.symbols, newSymbols(table))
		}
	}
}

// ErrElsewhere is what a problem wraps where debug information refers to files that
// are not followed: .dwo files, and supplementary files, made by dwz, that are not there.
var ErrElsewhere = errors.New("debug information in another file")

// Problems tells what could not be read of the binary so far: errors that wrap
// ErrElsewhere, the sentinels of package binary and of the DWARF reader, or what a
// file's reader answered. That a source does not exist is no problem.
func (t *Table) Problems() []error {
	problems := slices.Clone(t.problems)
	if t.dwarf == nil {
		return problems
	}
	c := t.dwarf.Counts()
	if c.Malformed+c.MalformedLines > 0 {
		problems = append(problems, fmt.Errorf("%d units and %d line tables were left out: %w", c.Malformed, c.MalformedLines, c.Detail))
	}
	if c.Split > 0 {
		problems = append(problems, fmt.Errorf("functions of %d units: %w", c.Split, ErrElsewhere))
	}
	if c.Elsewhere > 0 {
		problems = append(problems, fmt.Errorf("names of %d functions: %w", c.Elsewhere, ErrElsewhere))
	}
	return problems
}

// Symbols is how many functions the symbol tables have, about.
func (t *Table) Symbols() int {
	n := 0
	for _, s := range t.symbols {
		n += s.table.Len()
	}
	return n
}

// Empty reports whether no source was found that could name anything.
func (t *Table) Empty() bool {
	return t.golang == nil && t.dwarf == nil && len(t.symbols) == 0 && len(t.stubs) == 0
}

// DWARFCounts says what the debug information had, and false if there is none.
func (t *Table) DWARFCounts() (dwarf.Counts, bool) {
	if t.dwarf == nil {
		return dwarf.Counts{}, false
	}
	return t.dwarf.Counts(), true
}

// Memory returns about how many bytes the table takes now, for a cache's budget.
func (t *Table) Memory() int {
	n := 512
	if t.golang != nil {
		n += t.golang.Memory()
	}
	if t.dwarf != nil {
		n += t.dwarf.Memory()
	}
	for _, s := range t.symbols {
		n += s.memory()
	}
	return n + t.held + len(t.stubs)*128
}

// Frames returns the functions at the ELF virtual address addr, innermost first,
// and none if no function covers it. The error is what kept a source that covers
// the address from answering; another source may have answered all the same.
func (t *Table) Frames(addr uint64) ([]Frame, error) {
	var failure error
	if t.golang != nil && t.golang.Covers(addr) {
		frames, err := t.goFrames(addr)
		if err == nil && len(frames) > 0 {
			return frames, nil
		}
		failure = err
	} else if t.dwarf != nil {
		frames, err := t.dwarfFrames(addr)
		if err == nil && len(frames) > 0 {
			return frames, nil
		}
		failure = err
	}
	scope, err := t.symbol(addr)
	if scope == nil {
		scope = t.stub(addr)
	}
	if scope == nil {
		return nil, errors.Join(failure, err)
	}
	return Range{Scope: scope}.Frames(), failure
}

func (t *Table) goFrames(addr uint64) ([]Frame, error) {
	found, err := t.golang.Frames(addr)
	if err != nil {
		return nil, err
	}
	frames := make([]Frame, len(found))
	for i, f := range found {
		frames[i] = Frame{Function: f.Function, File: f.File, Line: f.Line, StartLine: f.StartLine, Source: GoTable}
	}
	return frames, nil
}

// dwarfFrames asks DWARF, and the symbols for what it leaves open.
func (t *Table) dwarfFrames(addr uint64) ([]Frame, error) {
	answer, ok, err := t.dwarf.Lookup(addr)
	if err != nil || !ok {
		return nil, err
	}
	r := Range{Scope: answer.Scope, File: answer.File, Line: answer.Line}
	if rootName(answer.Scope) == "" {
		symbol, err := t.symbol(addr)
		if err != nil {
			return nil, err
		}
		r.Scope = rooted(answer.Scope, symbol)
	}
	return r.Frames(), nil
}

// rootName is the name of the outermost function, "" if there is none.
func rootName(s *Scope) string {
	if s == nil {
		return ""
	}
	for s.Caller != nil {
		s = s.Caller
	}
	return s.Function
}

// rooted returns a scope whose outermost function, which has no name, is replaced
// by what the symbols say, or taken away where they say nothing.
func rooted(s, symbol *Scope) *Scope {
	if s == nil || s.Caller == nil {
		return symbol
	}
	copied := *s
	copied.Caller = rooted(s.Caller, symbol)
	return &copied
}

// symbol returns the function that the symbols have at an address, nil if none.
func (t *Table) symbol(addr uint64) (*Scope, error) {
	for _, s := range t.symbols {
		symbol, ok := s.table.Lookup(addr)
		if !ok {
			continue
		}
		scope, err := s.scope(symbol)
		if err != nil {
			return nil, fmt.Errorf("reading the symbol at %#x: %w", addr, err)
		}
		if scope != nil {
			return scope, nil
		}
	}
	return nil, nil
}
