package dwarf

import (
	"slices"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// A tree is the functions of a unit that have code, and its lines: all that a
// lookup needs, but for names.
type tree struct {
	unit   *unit
	scopes []scope
	spans  []covered // sorted, without overlap
	lines  *lines    // nil if the unit has none, or none that could be read
	named  []*binary.Scope

	containers []container // sorted by begin

	memory int
}

// A scope is a function that has code, or a copy of one inlined into another.
type scope struct {
	entry    uint64 // offset in .debug_info of what its name is to be found by
	caller   int32  // the scope it is inlined into; -1 where it is not
	callFile uint32
	callLine uint32
}

// A covered is a span and the innermost scope whose code it is.
type covered struct {
	span
	scope int32
}

// A container is an entry that gives its name to what is in it.
type container struct {
	begin, end uint64 // offsets in .debug_info
	around     int32  // the container around it; -1 if there is none
}

// A walk reads the entries of a unit into its tree.
type walk struct {
	data   *Data
	unit   *unit
	cursor cursor
	tree   *tree
	table  *abbreviations
	spans  []covered // in the order of entries, overlapping
	open   []level
}

// A level is an entry whose children are being read.
type level struct {
	scope     int32 // innermost around the children, -1 for none
	container int32 // likewise
	ends      bool  // the container ends where the level does
}

// parse reads a unit.
func (d *Data) parse(u *unit) (*tree, error) {
	data, err := d.unitBytes(u)
	if err != nil {
		return nil, err
	}
	table, err := d.abbreviations(u)
	if err != nil {
		return nil, err
	}
	d.budget = 4 * maxRanges
	w := walk{data: d, unit: u, table: table, tree: &tree{unit: u, scopes: d.buffers().scopes[:0]}, spans: d.buffers().spans[:0], cursor: cursor{data: data, at: int(u.root - u.offset), big: d.big}}
	err = w.entries()
	t := w.tree
	d.room.scopes, d.room.spans = t.scopes[:0], w.spans[:0]
	if err != nil {
		return nil, err
	}
	room := d.buffers()
	t.spans = room.flatten(w.spans)
	t.scopes = slices.Clone(t.scopes)
	t.named = make([]*binary.Scope, len(t.scopes))
	if t.lines, err = d.readLines(u); err != nil {
		d.counts.MalformedLines++
		d.counts.note(err)
	}
	t.memory = 256 + cap(t.scopes)*24 + cap(t.spans)*24 + len(t.named)*8 + cap(t.containers)*24 + t.lines.memory()
	return t, nil
}

// entries reads all entries of the unit.
func (w *walk) entries() error {
	c := &w.cursor
	for c.left() > 0 {
		at := w.unit.offset + uint64(c.at)
		code := c.uleb()
		if code == 0 {
			if w.close(at); len(w.open) == 0 {
				return nil
			}
			continue
		}
		a := w.table.find(code)
		if a == nil || c.bad {
			return errMalformed("an entry at %#x of the unknown code %d", at, code)
		}
		if err := w.entry(at, a); err != nil {
			return err
		}
		if c.bad {
			return errMalformed("an entry at %#x", at)
		}
		if len(w.open) == 0 {
			return nil // a root without children
		}
	}
	return nil // whoever wrote it left the last zeros out
}

// entry reads one entry and opens the level of its children.
func (w *walk) entry(at uint64, a *abbreviation) error {
	around := level{scope: -1, container: -1}
	if len(w.open) > 0 {
		around = w.open[len(w.open)-1]
	}
	inside := level{scope: around.scope, container: around.container}
	switch a.kind {
	case kindFunction, kindInlined:
		s, err := w.function(at, a, around.scope)
		if err != nil {
			return err
		}
		inside.scope = s
		if a.kind == kindInlined && s < 0 {
			inside.scope = around.scope
		}
	case kindLeaf:
		return w.leaf(a)
	default:
		w.unit.skip(&w.cursor, a)
	}
	if !a.children {
		return nil
	}
	if len(w.open) == maxDepth {
		return errMalformed("entries more than %d deep", maxDepth)
	}
	if a.kind == kindContainer {
		inside.container, inside.ends = int32(len(w.tree.containers)), true
		w.tree.containers = append(w.tree.containers, container{at, w.unit.end, around.container})
	}
	w.open = append(w.open, inside)
	return nil
}

// close ends the innermost level.
func (w *walk) close(at uint64) {
	if len(w.open) == 0 {
		return
	}
	last := w.open[len(w.open)-1]
	w.open = w.open[:len(w.open)-1]
	if last.ends {
		w.tree.containers[last.container].end = at
	}
}

// leaf passes over an entry and, where it says how far they go, over its children.
func (w *walk) leaf(a *abbreviation) error {
	if !a.children {
		w.unit.skip(&w.cursor, a)
		return nil
	}
	for _, at := range a.attributes {
		v := w.unit.value(&w.cursor, at)
		if at.name != attrSibling {
			continue
		}
		next, ok := w.unit.reference(v)
		here := w.unit.offset + uint64(w.cursor.at)
		if !ok || next < here || next > w.unit.end {
			return errMalformed("an entry's sibling at %#x", next)
		}
		w.cursor.at += int(next - here)
		return nil
	}
	w.open = append(w.open, level{scope: -1, container: -1})
	return nil
}

// function reads a function and its code. The answer is its index among the
// scopes, or -1 if it has no code.
func (w *walk) function(at uint64, a *abbreviation, around int32) (int32, error) {
	s := scope{entry: at, caller: -1}
	if a.kind == kindInlined {
		s.caller = around
	}
	var low, high, list value
	for _, attribute := range a.attributes {
		v := w.unit.value(&w.cursor, attribute)
		switch attribute.name {
		case attrLowPC:
			low = v
		case attrHighPC:
			high = v
		case attrRanges:
			list = v
		case attrCallFile:
			s.callFile = uint32(min(v.number, 1<<32-1))
		case attrCallLine:
			s.callLine = uint32(min(v.number, 1<<31-1))
		}
	}
	if w.cursor.bad || !low.present() && !list.present() || a.kind == kindInlined && around < 0 {
		return -1, nil
	}
	index, before := int32(len(w.tree.scopes)), len(w.spans)
	err := w.data.rangesOf(w.unit, low, high, list, func(s span) error {
		if len(w.spans) == maxRanges {
			return errMalformed("more than %d ranges in a unit", maxRanges)
		}
		w.spans = append(w.spans, covered{s, index})
		return nil
	})
	if err != nil || len(w.spans) == before {
		return -1, err
	}
	w.tree.scopes = append(w.tree.scopes, s)
	return index, nil
}

// find returns the innermost scope at an address, -1 if there is none.
func (t *tree) find(addr uint64) int32 {
	i, found := slices.BinarySearchFunc(t.spans, addr, func(c covered, addr uint64) int {
		switch {
		case addr < c.low:
			return 1
		case addr >= c.high:
			return -1
		}
		return 0
	})
	if !found {
		return -1
	}
	return t.spans[i].scope
}
