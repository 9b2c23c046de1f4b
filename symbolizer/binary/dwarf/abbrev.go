package dwarf

import (
	"fmt"
	"slices"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// A kind is what an entry means to the search for functions.
type kind uint8

const (
	kindOther     kind = iota // may still have functions among its children
	kindLeaf                  // has none, whatever its children
	kindFunction              // a function, which may have code
	kindInlined               // a copy of a function inlined into the one around it
	kindContainer             // gives its name to the functions in it
)

func kindOf(tag uint64) kind {
	switch tag {
	case tagSubprogram, tagEntryPoint:
		return kindFunction
	case tagInlinedSubroutine:
		return kindInlined
	case tagNamespace, tagClassType, tagStructureType, tagUnionType, tagInterfaceType, tagModule:
		return kindContainer
	case tagEnumerationType:
		return kindLeaf
	}
	return kindOther
}

// An attribute of an abbreviation: its value's form, and the value itself where the
// form says that it is here.
type attribute struct {
	name, form uint16
	constant   int64
}

// An abbreviation is the shape that entries of one code have.
type abbreviation struct {
	kind       kind
	children   bool
	fixed      int32 // bytes that its values take; -1 where they vary
	tag        uint32
	attributes []attribute
}

// abbreviations is one table, by code. Compilers number from 1.
type abbreviations struct {
	dense  []abbreviation // code i+1
	sparse map[uint64]abbreviation
	memory int

	room []attribute // for those to come
}

// keep copies the attributes of an abbreviation, those of many into one piece of memory.
func (t *abbreviations) keep(attributes []attribute) []attribute {
	const together = 256
	if len(t.room) < len(attributes) {
		t.room = make([]attribute, max(together, len(attributes)))
	}
	kept := t.room[:len(attributes):len(attributes)]
	t.room = t.room[len(attributes):]
	copy(kept, attributes)
	return kept
}

func (t *abbreviations) find(code uint64) *abbreviation {
	if code-1 < uint64(len(t.dense)) {
		return &t.dense[code-1]
	}
	if a, ok := t.sparse[code]; ok {
		return &a
	}
	return nil
}

// abbreviationKey tells tables apart: what values take depends on the unit.
type abbreviationKey struct {
	offset  uint64
	format  format
	version uint8
}

// maxAbbreviationMemory bounds the tables that are kept.
const maxAbbreviationMemory = 8 << 20

// abbreviations returns the table of a unit.
func (d *Data) abbreviations(u *unit) (*abbreviations, error) {
	key := abbreviationKey{u.abbreviations, u.format, u.version}
	if t, ok := d.tables[key]; ok {
		return t, nil
	}
	t := &abbreviations{}
	room := d.buffers()
	dense := room.dense[:0]
	err := d.scanAbbreviations(u, func(code uint64, a abbreviation) bool {
		t.memory += 48 + 16*len(a.attributes)
		a.attributes = t.keep(a.attributes)
		if code == uint64(len(dense))+1 {
			dense = append(dense, a)
			return true
		}
		if t.sparse == nil {
			t.sparse = make(map[uint64]abbreviation)
		}
		t.sparse[code] = a
		t.memory += 48
		return true
	})
	t.dense = slices.Clone(dense)
	clear(dense)
	room.dense = dense[:0]
	if err != nil {
		return nil, err
	}
	if d.tablesMemory += t.memory; d.tablesMemory > maxAbbreviationMemory {
		clear(d.tables)
		d.tablesMemory = t.memory
	}
	d.tables[key] = t
	return t, nil
}

// scanAbbreviations decodes a unit's table until yield answers false. The attributes of
// an abbreviation are valid until the next one.
func (d *Data) scanAbbreviations(u *unit, yield func(code uint64, a abbreviation) bool) error {
	for n := uint64(2 << 10); ; n *= 4 {
		data, err := d.sections.upTo(&d.buffers().abbrevs, sectionAbbrev, u.abbreviations, n)
		if err != nil {
			return err
		}
		c := cursor{data: data, big: d.big}
		done := false
		seen := 0
		for !c.bad && !done {
			at := c.at
			code := c.uleb()
			if code == 0 {
				break
			}
			a := d.abbreviation(&c, u)
			if seen++; seen > maxAbbreviations || len(a.attributes) > maxAttributes {
				c.bad, n = true, 1<<63
			}
			if c.bad {
				c.at = at
				break
			}
			done = !yield(code, a)
		}
		if !c.bad {
			return nil
		}
		if uint64(len(data)) < n {
			return fmt.Errorf("abbreviations at %#x: %w", u.abbreviations, binary.ErrMalformed)
		}
	}
}

func (d *Data) abbreviation(c *cursor, u *unit) abbreviation {
	tag := c.uleb()
	a := abbreviation{kind: kindOf(tag), tag: uint32(min(tag, 1<<32-1)), children: c.u8() != 0, attributes: d.buffers().attributes[:0]}
	for !c.bad {
		name, form := c.uleb(), c.uleb()
		if name == 0 && form == 0 {
			break
		}
		if name > 0xffff {
			name = 0xffff // a vendor's, which means nothing here
		}
		if form > 0xffff || len(a.attributes) > maxAttributes {
			c.bad = true
			break
		}
		at := attribute{name: uint16(name), form: uint16(form)}
		if form == formImplicitConst {
			at.constant = c.sleb()
		}
		a.attributes = append(a.attributes, at)
		size, fixed := u.size(at.form)
		switch {
		case a.fixed < 0 || !fixed:
			a.fixed = -1
		default:
			a.fixed += int32(size)
		}
	}
	d.room.attributes = a.attributes
	return a
}
