package dwarf

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// ErrNone is what Open wraps when a file has no debug information.
var ErrNone = errors.New("no DWARF")

// Data is the debug information of one binary. It keeps the file and reads from it
// when asked. It is not safe for concurrent use.
type Data struct {
	sections  sections
	big       bool
	code      []span // sorted
	maxMemory int
	budget    int // ranges that may still be decoded

	units []unit
	owned []covered // by unit, sorted

	tables         map[abbreviationKey]*abbreviations
	tablesMemory   int
	functions      map[uint64]function
	functionMemory int
	trees          map[*unit]*kept
	treesMemory    int
	use            uint64 // counts uses of trees
	loaded         *unit  // whose bytes are kept
	room           *room  // nil while it rests

	supplement *Data // nil if there is none

	counts Counts
}

// A kept is a tree and when it was used last.
type kept struct {
	tree *tree // nil if err says why not
	err  error
	used uint64
}

// Counts says what was found in debug information, and what was not.
type Counts struct {
	Units          int // of compilation, partial and type units
	Split          int // whose functions are in a .dwo file
	Malformed      int // that contradict themselves, or exceed a limit
	MalformedLines int // whose line tables do
	Elsewhere      int // functions whose names are in a supplementary file that is not there

	// Detail is the first error behind the counts, nil if there is none.
	Detail error
}

func (c *Counts) note(err error) {
	if c.Detail == nil {
		c.Detail = err
	}
}

// Open reads where the code of each unit is. The file is the binary itself or its
// separate debug file, opened with binary.OpenDebug. maxMemory bounds the bytes
// that sections and units take, about.
//
// The error wraps ErrNone, binary.ErrMalformed, binary.ErrTooLarge, or is what the
// file's reader answered.
func Open(f *binary.File, maxMemory int) (*Data, error) {
	if !f.HasContents(sectionNames[sectionInfo]) || !f.HasContents(sectionNames[sectionAbbrev]) {
		return nil, fmt.Errorf("opening debug information: %w", ErrNone)
	}
	d := newData(f, maxMemory)
	defer d.rest()
	for s := range f.Code() {
		d.code = append(d.code, span{s.Low, s.High})
	}
	if err := d.readUnits(); err != nil {
		return nil, fmt.Errorf("opening debug information: %w", err)
	}
	if err := d.own(); err != nil {
		return nil, fmt.Errorf("opening debug information: %w", err)
	}
	return d, nil
}

func (d *Data) isCode(addr uint64) bool {
	return slices.ContainsFunc(d.code, func(s span) bool { return addr >= s.low && addr < s.high })
}

// own finds out which unit's code each address is. Where several claim it, the
// first of them has it: the linker folded equal functions into one.
func (d *Data) own() error {
	var claims []covered
	for i := range d.units {
		u := &d.units[i]
		// The earliest has the highest number, as flatten wants it.
		claim := func(s span) error {
			if len(claims) == maxUnitRanges {
				return errTooLarge("units with more than %d ranges", maxUnitRanges)
			}
			claims = append(claims, covered{s, int32(len(d.units) - 1 - i)})
			return nil
		}
		switch u.kind {
		case unitType, unitSplitType, unitSplitCompile:
			continue
		}
		before := len(claims)
		if err := d.claim(u, claim); err != nil {
			if errors.Is(err, binary.ErrTooLarge) {
				return err
			}
			claims = claims[:before]
			d.counts.Malformed++
			d.counts.note(err)
		}
	}
	d.owned = d.buffers().flatten(claims)
	for i := range d.owned {
		d.owned[i].scope = int32(len(d.units)-1) - d.owned[i].scope
	}
	d.counts.Units = len(d.units)
	return nil
}

// claim yields the code that a unit's root says is its. Of a unit that says nothing
// it yields the code of its functions, and of one of version 2, which had no lists of
// ranges and therefore may have said too little, both.
func (d *Data) claim(u *unit, yield func(span) error) error {
	if u.ranges.present() || u.lowKnown && u.high.present() {
		err := d.rangesOf(u, value{form: formAddr, number: u.low}, u.high, u.ranges, yield)
		if err != nil || u.version > 2 {
			return err
		}
	}
	if u.kind == unitPartial || u.root == u.end {
		return nil
	}
	t, err := d.tree(u)
	if err != nil {
		return err
	}
	for _, s := range t.spans {
		if err := yield(s.span); err != nil {
			return err
		}
	}
	return nil
}

// Counts says what was found so far.
func (d *Data) Counts() Counts { return d.counts }

// Memory returns about how many bytes are kept now.
func (d *Data) Memory() int {
	n := 0
	if d.supplement != nil {
		n = d.supplement.Memory()
	}
	if d.room != nil {
		n += cap(d.room.unit) + cap(d.room.lines)
	}
	return n + d.sections.held + d.tablesMemory + d.functionMemory + d.treesMemory + cap(d.units)*256 + cap(d.owned)*24
}

func (k *kept) memory() int {
	if k.tree == nil {
		return 256
	}
	return k.tree.memory
}

// tree returns the tree of a unit, and forgets those used longest ago where all
// that is kept would exceed the limit.
func (d *Data) tree(u *unit) (*tree, error) {
	d.use++
	if k, ok := d.trees[u]; ok {
		k.used = d.use
		return k.tree, k.err
	}
	k := &kept{used: d.use}
	if k.tree, k.err = d.parse(u); k.err != nil {
		d.counts.Malformed++
		d.counts.note(k.err)
	}
	d.trees[u] = k
	d.treesMemory += k.memory()
	d.forget(k)
	return k.tree, k.err
}

// forget drops the trees used longest ago, but not the newest.
func (d *Data) forget(newest *kept) {
	if d.treesMemory <= d.maxMemory/2 {
		return
	}
	byUse := make([]*unit, 0, len(d.trees))
	for u := range d.trees {
		byUse = append(byUse, u)
	}
	slices.SortFunc(byUse, func(a, b *unit) int { return cmp.Compare(d.trees[a].used, d.trees[b].used) })
	for _, u := range byUse {
		if d.treesMemory <= d.maxMemory/4 || d.trees[u] == newest {
			return
		}
		d.treesMemory -= d.trees[u].memory()
		delete(d.trees, u)
	}
}

// An Answer is what is known of an address. Scope is nil where the line is known
// but no function, as for assembly, and its Function is empty where a function has
// no name here.
type Answer struct {
	Scope *binary.Scope
	File  string
	Line  int
}

// Lookup returns what is known of the code at the ELF virtual address addr, and
// false if nothing is. The error is what kept the unit whose code it is from
// answering.
func (d *Data) Lookup(addr uint64) (Answer, bool, error) {
	i, found := slices.BinarySearchFunc(d.owned, addr, func(c covered, addr uint64) int {
		switch {
		case addr < c.low:
			return 1
		case addr >= c.high:
			return -1
		}
		return 0
	})
	if !found {
		return Answer{}, false, nil
	}
	t, err := d.tree(&d.units[d.owned[i].scope])
	if err != nil {
		return Answer{}, false, fmt.Errorf("reading debug information for %#x: %w", addr, err)
	}
	answer, err := d.answer(t, t.find(addr), t.lines.at(addr))
	if err != nil {
		return Answer{}, false, fmt.Errorf("reading debug information for %#x: %w", addr, err)
	}
	return answer, answer.Scope != nil || answer.Line > 0, nil
}

// answer puts together a scope and a row of a tree; -1 stands for none.
func (d *Data) answer(t *tree, scope int32, row int) (a Answer, err error) {
	if row >= 0 {
		a.File, a.Line = t.lines.path(t.lines.rows[row].file), int(min(t.lines.rows[row].line, 1<<31-1))
	}
	if scope < 0 {
		return a, nil
	}
	a.Scope, a.File, a.Line, err = d.visible(t, scope, a.File, a.Line)
	return a, err
}

// A Range is code of one answer.
type Range struct {
	Low, High uint64
	Answer
}

// Ranges yields all code of which something is known, in ranges that do not
// overlap; they ascend within a unit. Those in which nothing is wanted are left out,
// and units that have no others are not read. An error says that a unit could not be
// read and is left out; the next one follows.
func (d *Data) Ranges(wanted func(low, high uint64) bool) iter.Seq2[Range, error] {
	return func(yield func(Range, error) bool) {
		defer d.rest()
		byUnit := slices.DeleteFunc(slices.Clone(d.owned), func(c covered) bool { return !wanted(c.low, c.high) })
		slices.SortStableFunc(byUnit, func(a, b covered) int { return cmp.Compare(a.scope, b.scope) })
		for len(byUnit) > 0 {
			n := 1
			for n < len(byUnit) && byUnit[n].scope == byUnit[0].scope {
				n++
			}
			u := &d.units[byUnit[0].scope]
			if !d.unitRanges(u, byUnit[:n], wanted, yield) {
				return
			}
			byUnit = byUnit[n:]
		}
	}
}

// unitRanges yields the ranges of one unit within the code that it owns.
func (d *Data) unitRanges(u *unit, owned []covered, wanted func(low, high uint64) bool, yield func(Range, error) bool) bool {
	t, err := d.tree(u)
	if err != nil {
		return yield(Range{}, fmt.Errorf("reading debug information of the unit at %#x: %w", u.offset, err))
	}
	steps := steps{tree: t}
	for _, o := range owned {
		for at := o.low; at < o.high; {
			scope, row, until := steps.next(at, o.high)
			if (scope >= 0 || row >= 0) && wanted(at, until) {
				answer, err := d.answer(t, scope, row)
				if err != nil {
					if !yield(Range{}, fmt.Errorf("reading debug information for %#x: %w", at, err)) {
						return false
					}
				} else if (answer.Scope != nil || answer.Line > 0) && !yield(Range{at, until, answer}, nil) {
					return false
				}
			}
			at = until
		}
	}
	return true
}
