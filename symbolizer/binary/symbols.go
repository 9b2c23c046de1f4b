package binary

import (
	"bytes"
	"errors"
	"fmt"
	"sort"
)

// ErrNoSymbols is what Symbols wraps when a file has no function symbols, as
// after `strip` of a static executable.
var ErrNoSymbols = errors.New("no function symbols")

// A Symbol is a function of the ELF symbol table. Symbols.Name has its name.
type Symbol struct {
	Start uint64 // ELF virtual address of its first byte
	End   uint64 // address after its last byte

	name uint32
}

// Symbols is a file's function symbols in order of address, 12 bytes each.
// Names stay in the file and are read when asked for.
type Symbols struct {
	file *File
	base uint64 // rows are relative to it, which keeps them in 32 bits

	rows []symbolRow
	// enclosing maps the index of a row to the row that goes on after it, for
	// the few symbols that lie within another.
	enclosing map[uint32]uint32

	static, dynamic section // the string tables of .symtab and .dynsym
}

// A symbolRow is a symbol relative to Symbols.base. The top bits of name say
// where its string is and whether enclosing has the row.
type symbolRow struct {
	start, size, name uint32
}

const (
	nameDynamic  = 1 << 31 // in .dynsym's string table, not in .symtab's
	nameEnclosed = 1 << 30 // enclosing has this row
	nameMask     = nameEnclosed - 1

	// maxEnclosing bounds how many symbols may lie within each other before a
	// lookup gives up; compilers make two.
	maxEnclosing = 16
)

// Symbols reads the function symbols of .symtab and .dynsym. The error wraps
// ErrNoSymbols where there are none, ErrMalformed where the tables cannot be
// used, or what the reader answered.
func (f *File) Symbols() (*Symbols, error) {
	c, err := f.collectSymbols()
	if err != nil {
		return nil, fmt.Errorf("reading the symbol tables: %w", err)
	}
	defer c.rest()
	if len(c.candidates) == 0 {
		return nil, ErrNoSymbols
	}
	return c.table(), nil
}

// Len returns the number of distinct function addresses.
func (s *Symbols) Len() int { return len(s.rows) }

// Memory returns about how many bytes the table takes, for a cache's budget.
func (s *Symbols) Memory() int { return len(s.rows)*12 + len(s.enclosing)*16 + 256 }

// Lookup returns the innermost function that covers the ELF virtual address
// addr, and false if none does: an address past a function's last byte belongs
// to none, however near.
//
// A symbol covers the bytes that its size says. One of size 0, as hand-written
// assembly and start-up code have, covers the bytes up to the next symbol or
// the end of its section, whichever comes first, and none if it lies within a
// symbol that has a size, or if the file has no .symtab, which would list what may
// follow it. Of the symbols that begin at one address the first of
// this order is it: global, weak, local; .symtab, .dynsym; the largest; fewest
// leading underscores; shortest name; first in byte order.
func (s *Symbols) Lookup(addr uint64) (Symbol, bool) {
	if addr < s.base || addr-s.base > 1<<32-1 {
		return Symbol{}, false
	}
	at := uint32(addr - s.base)
	i := sort.Search(len(s.rows), func(i int) bool { return s.rows[i].start > at }) - 1
	for range maxEnclosing {
		if i < 0 {
			break
		}
		row := s.rows[i]
		if at-row.start < row.size {
			start := s.base + uint64(row.start)
			return Symbol{Start: start, End: start + uint64(row.size), name: row.name}, true
		}
		if row.name&nameEnclosed == 0 {
			break
		}
		i = int(s.enclosing[uint32(i)])
	}
	return Symbol{}, false
}

// Name reads the name of a symbol that Lookup returned: as the table has it,
// mangled, perhaps with @VERSION. A name of more than 64 KiB, or one that does
// not end, is empty. The error is the reader's.
func (s *Symbols) Name(sym Symbol) (string, error) {
	name, err := s.NameBytes(sym)
	return string(name), err
}

// NameBytes is Name, but the bytes are valid only until the file is read again: whoever
// goes through all symbols need not make a string of each.
func (s *Symbols) NameBytes(sym Symbol) ([]byte, error) {
	table := s.static
	if sym.name&nameDynamic != 0 {
		table = s.dynamic
	}
	return s.file.bytesAt(table, uint64(sym.name&nameMask))
}

// Strings is how many bytes the tables of names have.
func (s *Symbols) Strings() uint64 { return s.static.size + s.dynamic.size }

// stringAt reads the NUL-terminated string at off within table. A string that
// does not end within the table or within the limit is empty.
func (f *File) stringAt(table section, off uint64) (string, error) {
	data, err := f.bytesAt(table, off)
	return string(data), err
}

// bytesAt is stringAt, but the bytes are valid only until the file is read again.
func (f *File) bytesAt(table section, off uint64) ([]byte, error) {
	if name, ok := f.peekString(table, off); ok {
		return name, nil
	}
	for n := uint64(128); ; n *= 8 {
		if off >= table.size {
			return nil, nil
		}
		data := make([]byte, min(n, table.size-off))
		if err := f.readInto(data, table.offset+off); err != nil {
			return nil, fmt.Errorf("reading a name: %w", err)
		}
		if end := bytes.IndexByte(data, 0); end >= 0 {
			return data[:end], nil
		}
		if n >= maxNameLength || uint64(len(data)) < n {
			return nil, nil
		}
	}
}

// A Peeker is a reader that has a part of its bytes in memory: Peek returns some from an
// offset on, which are valid until something else is read.
type Peeker interface {
	Peek(off int64) ([]byte, error)
}

// peekString is bytesAt where the whole string is in memory.
func (f *File) peekString(table section, off uint64) ([]byte, bool) {
	p, ok := f.r.(Peeker)
	if !ok || off >= table.size {
		return nil, false
	}
	data, err := p.Peek(int64(table.offset + off))
	if err != nil {
		return nil, false
	}
	end := bytes.IndexByte(data[:min(uint64(len(data)), table.size-off)], 0)
	if end < 0 || end > maxNameLength {
		return nil, false
	}
	return data[:end], true
}

// HasSymbolTable reports whether the file has a .symtab, which lists all functions
// and not just those that a library exports.
func (f *File) HasSymbolTable() bool {
	_, _, ok := f.symbolTable(sectionSymbolTable)
	return ok
}
