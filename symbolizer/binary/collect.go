package binary

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// A candidate is a function symbol as a table has it, before it is known which
// of several at one address gives the name and how far those without a size go.
type candidate struct {
	start, size uint32 // relative to the collector's base
	name        uint32 // offset in its string table, with nameDynamic
	section     uint16
	rank        uint8 // lower wins
}

// A symbolCollector gathers the candidates of both symbol tables.
type symbolCollector struct {
	file            *File
	base            uint64
	candidates      []candidate
	static, dynamic section
	room            *candidateRoom
}

// candidateRoom is memory that one file's candidates take after the other's.
type candidateRoom struct{ candidates, sorted []candidate }

var candidateRooms = sync.Pool{New: func() any { return new(candidateRoom) }}

func (f *File) collectSymbols() (*symbolCollector, error) {
	c := &symbolCollector{file: f, base: ^uint64(0), room: candidateRooms.Get().(*candidateRoom)}
	c.candidates = c.room.candidates[:0]
	for _, p := range f.programs {
		if p.executable() {
			c.base = min(c.base, p.vaddr)
		}
	}
	var err error
	if c.static, err = c.collectKind(sectionSymbolTable, 0); err != nil {
		return nil, err
	}
	if c.dynamic, err = c.collectKind(sectionDynamicSymbolTable, nameDynamic); err != nil {
		return nil, err
	}
	return c, nil
}

// collectKind adds the function symbols of the first table of a kind and
// returns the table of their names.
func (c *symbolCollector) collectKind(kind, dynamic uint32) (section, error) {
	table, names, ok := c.file.symbolTable(kind)
	if !ok {
		return section{}, nil
	}
	return names, c.collect(table, names.size, dynamic)
}

// symbolTable returns the first symbol table of a kind, with the table of its
// names. The gABI allows one of each kind.
func (f *File) symbolTable(kind uint32) (table, names section, ok bool) {
	i := slices.IndexFunc(f.sections, func(s section) bool { return s.kind == kind })
	if i < 0 || uint64(f.sections[i].link) >= uint64(len(f.sections)) {
		return section{}, section{}, false
	}
	table = f.sections[i]
	names = f.sections[table.link]
	return table, names, names.kind != sectionNoBits
}

// collect adds the function symbols of one table whose strings take
// stringsSize bytes.
func (c *symbolCollector) collect(s section, stringsSize uint64, dynamic uint32) error {
	f := c.file
	row := uint64(16)
	if f.wide {
		row = 24
	}
	count := s.size / row
	if count > maxSymbolEntries {
		return fmt.Errorf("%d symbols, more than %d: %w", count, maxSymbolEntries, ErrMalformed)
	}
	chunk := chunks.Get().(*[chunkSize]byte)
	defer chunks.Put(chunk)
	for at := uint64(0); at < count; {
		n := min(count-at, chunkSize/row)
		data := chunk[:n*row]
		if err := f.readInto(data, s.offset+at*row); err != nil {
			return err
		}
		for ; len(data) > 0; data = data[row:] {
			if !c.function(data) {
				continue // most symbols are of data, or of other files
			}
			if cand, ok := c.candidate(data, stringsSize, dynamic); ok {
				if len(c.candidates) == maxSymbols {
					return fmt.Errorf("more than %d function symbols: %w", maxSymbols, ErrMalformed)
				}
				c.candidates = append(c.candidates, cand)
			}
		}
		at += n
	}
	return nil
}

// function tells from the type of a row of a symbol table whether it may name code.
func (c *symbolCollector) function(b []byte) bool {
	info := b[12]
	if c.file.wide {
		info = b[4]
	}
	kind := info & 0xf
	return kind == symbolFunction || kind == symbolIndirect || kind == symbolNoType
}

// candidate decodes one row of a symbol table and says whether it names code.
// Symbols without a type count if they have no size either: that is what the
// labels of hand-written assembly look like.
func (c *symbolCollector) candidate(b []byte, stringsSize uint64, dynamic uint32) (candidate, bool) {
	f := c.file
	name := uint64(f.order.Uint32(b))
	var info byte
	var index uint16
	var value, size uint64
	if f.wide {
		info, index = b[4], f.order.Uint16(b[6:])
		value, size = f.order.Uint64(b[8:]), f.order.Uint64(b[16:])
	} else {
		value, size = uint64(f.order.Uint32(b[4:])), uint64(f.order.Uint32(b[8:]))
		info, index = b[12], f.order.Uint16(b[14:])
	}
	kind, bind := info&0xf, info>>4
	label := kind == symbolNoType && size == 0
	if kind != symbolFunction && kind != symbolIndirect && !label {
		return candidate{}, false
	}
	if index == sectionIndexUndefined || index >= sectionIndexReserved ||
		name == 0 || name >= min(stringsSize, nameMask) {
		return candidate{}, false
	}
	if label && (int(index) >= len(f.sections) || f.sections[index].flags&sectionFlagExecute == 0) {
		return candidate{}, false
	}
	segment, ok := f.Executable(value)
	if !ok || value < c.base || value-c.base > 1<<32-1 {
		return candidate{}, false
	}
	size = min(size, segment.Filesz-(value-segment.Vaddr), 1<<32-1-(value-c.base))
	return candidate{
		start: uint32(value - c.base), size: uint32(size), section: index,
		name: uint32(name) | dynamic, rank: rank(kind, bind, dynamic != 0),
	}, true
}

// rank orders the aliases of one address: a function before a label, then
// global before weak before local, then .symtab before .dynsym.
func rank(kind, bind byte, dynamic bool) uint8 {
	r := uint8(6)
	switch bind {
	case bindGlobal, bindUnique:
		r = 0
	case bindWeak:
		r = 2
	case bindLocal:
		r = 4
	}
	if kind == symbolNoType {
		r += 8
	}
	if dynamic {
		r++
	}
	return r
}

// table turns the candidates into the final table and gives up the rest.
func (c *symbolCollector) table() *Symbols {
	s := &Symbols{file: c.file, base: c.base, static: c.static, dynamic: c.dynamic}
	c.sort()
	c.bound()
	kept := c.candidates[:0]
	for i := 0; i < len(c.candidates); {
		j := i + 1
		for j < len(c.candidates) && c.candidates[j].start == c.candidates[i].start {
			j++
		}
		if best := s.best(c.candidates[i:j]); best.size > 0 {
			kept = append(kept, best)
		}
		i = j
	}
	s.rows = make([]symbolRow, len(kept))
	for i, k := range kept {
		s.rows[i] = symbolRow{start: k.start, size: k.size, name: k.name}
	}
	s.enclose()
	return s
}

// rest gives the memory back.
func (c *symbolCollector) rest() {
	c.room.candidates, c.candidates = c.candidates, nil
	candidateRooms.Put(c.room)
}

// sort sorts the candidates.
func (c *symbolCollector) sort() {
	c.room.sorted = slices.Grow(c.room.sorted[:0], len(c.candidates))[:len(c.candidates)]
	sorted := sortCandidates(c.candidates, c.room.sorted)
	if len(sorted) > 0 && &sorted[0] != &c.candidates[0] {
		c.candidates, c.room.sorted = sorted, c.candidates
	}
}

// sortCandidates sorts by address, and those of one address the largest first. The
// addresses are sorted by their digits, since large programs have hundreds of thousands
// of symbols; few of them share one. The result is in one of the two slices, which are of
// the same length.
func sortCandidates(from, to []candidate) []candidate {
	const digit = 11
	const few = 256
	if len(from) < few {
		slices.SortFunc(from, func(a, b candidate) int {
			if a.start != b.start {
				return cmp.Compare(a.start, b.start)
			}
			return aliasOrder(a, b)
		})
		return from
	}
	for shift := 0; shift < 32; shift += digit {
		var starts [1 << digit]int
		for i := range from {
			starts[from[i].start>>shift&(1<<digit-1)]++
		}
		at := 0
		for i, n := range starts {
			starts[i], at = at, at+n
		}
		for i := range from {
			d := from[i].start >> shift & (1<<digit - 1)
			to[starts[d]] = from[i]
			starts[d]++
		}
		from, to = to, from
	}
	for i := 0; i < len(from); {
		j := i + 1
		for j < len(from) && from[j].start == from[i].start {
			j++
		}
		if j-i > 1 {
			slices.SortFunc(from[i:j], aliasOrder)
		}
		i = j
	}
	return from
}

func aliasOrder(a, b candidate) int {
	return cmp.Or(cmp.Compare(b.size, a.size), cmp.Compare(a.rank, b.rank), cmp.Compare(a.name, b.name))
}

// bound gives the candidates without a size their reach, and none to those
// within a symbol that has a size. The candidates are sorted, largest first
// among those of one address.
func (c *symbolCollector) bound() {
	covered := uint64(0) // end of the symbols with a size seen so far
	for i := 0; i < len(c.candidates); {
		first := c.candidates[i]
		j := i
		for j < len(c.candidates) && c.candidates[j].start == first.start {
			j++
		}
		covered = max(covered, uint64(first.start)+uint64(first.size))
		if uint64(first.start) >= covered {
			next := uint64(1<<32 - 1)
			if j < len(c.candidates) {
				next = uint64(c.candidates[j].start)
			}
			for k := i; k < j; k++ {
				// Where only what a library exports is listed, functions that are
				// not may follow, and "up to the next symbol" would name them.
				if c.candidates[k].name&nameDynamic != 0 && c.static == (section{}) {
					continue
				}
				if end := min(next, c.sectionEnd(c.candidates[k])); end > uint64(first.start) {
					c.candidates[k].size = uint32(end - uint64(first.start))
				}
			}
		}
		i = j
	}
}

// sectionEnd returns the end of the candidate's section relative to base,
// clipped to its segment; its own start if the section is not known.
func (c *symbolCollector) sectionEnd(k candidate) uint64 {
	start := c.base + uint64(k.start)
	if int(k.section) >= len(c.file.sections) {
		return uint64(k.start)
	}
	s := c.file.sections[k.section]
	segment, ok := c.file.Executable(start)
	if !ok || start < s.addr || start-s.addr >= s.size {
		return uint64(k.start)
	}
	end := min(s.size-(start-s.addr), segment.Filesz-(start-segment.Vaddr))
	return min(uint64(k.start)+end, 1<<32-1)
}

// best chooses among the symbols of one address: first by rank, then by size,
// the largest first, then by name in the order that Lookup documents. Symbols
// that cover nothing take no part.
func (s *Symbols) best(aliases []candidate) candidate {
	const compared = 32 // names read, at most; more aliases than that are a trap
	best, names := aliases[0], 0
	for _, a := range aliases[1:] {
		switch {
		case a.size == 0:
		case best.size == 0 || a.rank < best.rank:
			best = a
		case a.rank == best.rank && a.size == best.size && names < compared:
			names++
			if s.nameBefore(a, best) {
				best = a
			}
		}
	}
	return best
}

func (s *Symbols) nameBefore(a, b candidate) bool {
	if a.name == b.name {
		return false
	}
	// A name that cannot be read is empty; Name will meet the same error.
	left, _ := s.Name(Symbol{name: a.name})
	right, _ := s.Name(Symbol{name: b.name})
	underscores := func(n string) int { return len(n) - len(strings.TrimLeft(n, "_")) }
	return cmp.Or(cmp.Compare(underscores(left), underscores(right)),
		cmp.Compare(len(left), len(right)), cmp.Compare(left, right)) < 0
}

// enclose notes for each row that ends before an earlier one the nearest such
// earlier row, so that an address between the inner's end and the outer's finds
// the outer. The stack holds rows with decreasing ends.
func (s *Symbols) enclose() {
	var open []uint32
	for i := range s.rows {
		end := uint64(s.rows[i].start) + uint64(s.rows[i].size)
		for len(open) > 0 {
			top := s.rows[open[len(open)-1]]
			if uint64(top.start)+uint64(top.size) > end {
				break
			}
			open = open[:len(open)-1]
		}
		if len(open) > 0 {
			if s.enclosing == nil {
				s.enclosing = make(map[uint32]uint32)
			}
			s.enclosing[uint32(i)] = open[len(open)-1]
			s.rows[i].name |= nameEnclosed
		}
		open = append(open, uint32(i))
	}
}
