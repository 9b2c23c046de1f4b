package dwarf

import (
	"errors"
	"slices"
	"strings"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// A function is what is known of a function beside its code.
type function struct {
	name string // its linkage name, else its own within those of namespaces and classes; "" if not known
	line int    // where it is declared; 0 if not known
}

// scopeMemory is about what a scope with its name takes.
const scopeMemory = 96

// maxFunctionMemory bounds the names that are kept.
const maxFunctionMemory = 16 << 20

// function finds the name of the function at an offset of .debug_info. It may be
// spread over several entries: a copy refers to its origin, and that to a
// declaration within a class.
func (d *Data) function(entry uint64) (function, error) {
	if f, ok := d.functions[entry]; ok {
		return f, nil
	}
	f, err := d.readFunction(entry)
	if err != nil {
		return function{}, err
	}
	d.functionMemory += len(f.name) + 64
	if d.functionMemory > maxFunctionMemory {
		clear(d.functions)
		d.functionMemory = 0
	}
	d.functions[entry] = f
	return f, nil
}

func (d *Data) readFunction(entry uint64) (function, error) {
	var f function
	var plain string // DW_AT_name of the first entry that has one
	var plainIn *Data
	var plainAt uint64 // that entry
	in := d
	for range maxOrigins {
		e, err := in.entry(entry)
		if err != nil {
			return function{}, err
		}
		if f.line == 0 {
			f.line = e.line
		}
		if f.name, err = in.text(e.unit, e.linkage); err != nil || f.name != "" {
			return f, err
		}
		if plain == "" {
			if plain, err = in.text(e.unit, e.name); err != nil {
				return function{}, err
			}
			plainIn, plainAt = in, entry
		}
		if in.lacks(e.linkage) || in.lacks(e.name) || in.lacks(e.origin) {
			d.counts.Elsewhere++
		}
		var ok bool
		if in, entry, ok = in.follow(e.unit, e.origin); !ok {
			break
		}
	}
	if plain == "" {
		return f, nil
	}
	around, err := plainIn.around(plainAt)
	f.name = around + plain
	return f, err
}

// An entry is what naming needs of an entry of .debug_info.
type entry struct {
	unit                  *unit
	name, linkage, origin value
	line                  int
	anonymous             string // what a container without a name is called
}

// entry reads the entry at an offset of .debug_info.
func (d *Data) entry(at uint64) (entry, error) {
	u := d.unitAt(at)
	if u == nil || at < u.root {
		return entry{}, errMalformed("a reference to %#x", at)
	}
	table, err := d.abbreviations(u)
	if err != nil {
		return entry{}, err
	}
	for n := uint64(256); ; n *= 8 {
		data, err := d.entryBytes(u, at, n)
		if err != nil {
			return entry{}, err
		}
		c := cursor{data: data, big: d.big}
		a := table.find(c.uleb())
		if a == nil {
			return entry{}, errMalformed("an entry at %#x of an unknown code", at)
		}
		e := entry{unit: u, anonymous: "(anonymous class)"}
		if a.tag == tagNamespace {
			e.anonymous = "(anonymous namespace)"
		}
		for _, attribute := range a.attributes {
			v := u.value(&c, attribute)
			switch attribute.name {
			case attrName:
				e.name = v
			case attrLinkageName, attrMIPSLinkageName:
				e.linkage = v
			case attrAbstractOrigin, attrSpecification:
				e.origin = v
			case attrDeclLine:
				e.line = int(min(v.number, 1<<31-1))
			}
		}
		if !c.bad {
			return e, nil
		}
		if n >= u.end-at || n > maxName {
			return entry{}, errMalformed("an entry at %#x", at)
		}
	}
}

// entryBytes returns up to n bytes of an entry of a unit, valid until those of another are
// asked for.
func (d *Data) entryBytes(u *unit, at, n uint64) ([]byte, error) {
	n = min(n, u.end-at)
	if d.loaded == u {
		start := at - u.offset
		return d.room.unit[start : start+n], nil
	}
	return d.sections.read(&d.buffers().entry, sectionInfo, at, n)
}

// unitBytes returns all bytes of a unit. They are kept until those of another are
// asked for, because names are mostly asked for of the unit read last.
func (d *Data) unitBytes(u *unit) ([]byte, error) {
	if d.loaded == u {
		return d.room.unit, nil
	}
	size := u.end - u.offset
	if size > uint64(d.maxMemory) {
		return nil, errTooLarge("the unit at %#x, of %d bytes", u.offset, size)
	}
	d.loaded = nil
	data, err := d.sections.read(&d.buffers().unit, sectionInfo, u.offset, size)
	if err == nil {
		d.loaded = u
	}
	return data, err
}

// unitAt returns the unit that has an offset of .debug_info.
func (d *Data) unitAt(offset uint64) *unit {
	i, found := slices.BinarySearchFunc(d.units, offset, func(u unit, offset uint64) int {
		switch {
		case offset < u.offset:
			return 1
		case offset >= u.end:
			return -1
		}
		return 0
	})
	if !found {
		return nil
	}
	return &d.units[i]
}

// around returns the names of the namespaces and classes around an entry, as they
// stand before a name in C++ and Rust. Functions of C have none around them.
func (d *Data) around(at uint64) (string, error) {
	u := d.unitAt(at)
	if u == nil {
		return "", nil
	}
	t, err := d.tree(u)
	if err != nil {
		return "", err
	}
	i, _ := slices.BinarySearchFunc(t.containers, at, func(c container, at uint64) int {
		if c.begin < at {
			return -1
		}
		return 1
	})
	var names []string
	inner := int32(i) - 1
	for inner >= 0 && t.containers[inner].end <= at {
		inner = t.containers[inner].around
	}
	for ; inner >= 0 && len(names) < maxContainers; inner = t.containers[inner].around {
		e, err := d.entry(t.containers[inner].begin)
		if err != nil {
			return "", err
		}
		name, err := d.text(e.unit, e.name)
		if err != nil || d.lacks(e.name) || name == "" && e.origin.elsewhere() {
			return "", err // rather without than under another name
		}
		if name == "" {
			name = e.anonymous
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return "", nil
	}
	slices.Reverse(names)
	return strings.Join(names, "::") + "::", nil
}

// scope returns a scope of a tree with its name, the same one each time. Copies of
// functions without a name are left out: what was inlined into such a one is taken
// as inlined where that was. Only a function that was not inlined can be without
// one.
func (d *Data) scope(t *tree, index int32) (*binary.Scope, error) {
	if s := t.named[index]; s != nil {
		return s, nil
	}
	s := t.scopes[index]
	f, err := d.function(s.entry)
	if err != nil {
		return nil, err
	}
	named := &binary.Scope{Function: f.name, StartLine: f.line, Source: binary.FromDWARF}
	if s.caller >= 0 {
		caller, file, line, err := d.visible(t, s.caller, t.lines.path(s.callFile), int(s.callLine))
		if err != nil {
			return nil, err
		}
		named.Caller, named.CallFile, named.CallLine = caller, file, line
	}
	t.named[index] = named
	if k := d.trees[t.unit]; k != nil && k.tree == t {
		t.memory += scopeMemory
		d.treesMemory += scopeMemory
	}
	return named, nil
}

// visible returns the innermost scope with a name, from index outwards, and where
// in it the code at file and line of scope index is.
func (d *Data) visible(t *tree, index int32, file string, line int) (*binary.Scope, string, int, error) {
	for range maxInlined {
		s := t.scopes[index]
		if named := t.named[index]; named != nil && (named.Function != "" || s.caller < 0) {
			return named, file, line, nil
		}
		f, err := d.function(s.entry)
		if err != nil {
			return nil, "", 0, err
		}
		if f.name != "" || s.caller < 0 {
			named, err := d.scope(t, index)
			return named, file, line, err
		}
		file, line = t.lines.path(s.callFile), int(s.callLine)
		index = s.caller
	}
	return nil, "", 0, errMalformed("functions inlined into each other more than %d deep", maxInlined)
}

func errTooLarge(what string, args ...any) error {
	return errors.Join(errMalformed(what, args...), binary.ErrTooLarge)
}
