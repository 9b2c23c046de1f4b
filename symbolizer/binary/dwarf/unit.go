package dwarf

import (
	"fmt"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// A unit is one unit of .debug_info: what its header says, and its root entry.
type unit struct {
	offset, end   uint64 // of the unit in .debug_info
	root          uint64 // offset of its root entry
	abbreviations uint64
	format        format
	version       uint8
	kind          uint8

	low          uint64 // base address of its lists of ranges
	lowKnown     bool
	high, ranges value // of its root, as far as present

	lines          value // DW_AT_stmt_list
	directory      value
	strOffsetsBase uint64
	addrBase       uint64
	rnglistsBase   uint64
	split          bool // its functions are in a .dwo file
}

// readUnits reads the header and the root of every unit. A unit whose root makes no
// sense is counted and has no code; a header that makes no sense ends the list,
// because nothing says where the next one is.
func (d *Data) readUnits() error {
	info, err := d.sections.open(sectionInfo)
	if err != nil {
		return err
	}
	for at := uint64(0); at < info.Size; {
		if len(d.units) == maxUnits {
			return errMalformed("more than %d units", maxUnits)
		}
		u, err := d.unitHeader(at, info.Size)
		if err != nil {
			return err
		}
		if err := d.readRoot(&u); err != nil {
			d.counts.Malformed++
			d.counts.note(err)
			u.lines, u.ranges, u.high, u.lowKnown = value{}, value{}, value{}, false
		}
		if u.split {
			d.counts.Split++
		}
		d.units = append(d.units, u)
		at = u.end
	}
	return nil
}

func (d *Data) unitHeader(at, size uint64) (unit, error) {
	const longest = 12 + 2 + 1 + 1 + 8 + 8 + 8 // of the 64-bit format, of type units
	data, err := d.sections.upTo(&d.buffers().small, sectionInfo, at, longest)
	if err != nil {
		return unit{}, err
	}
	c := cursor{data: data, big: d.big}
	u := unit{offset: at, kind: unitCompile}
	length, wide := c.length()
	u.format.wide = wide
	begin := at + uint64(c.at)
	version := c.u16()
	if version < 2 || version > 5 || c.bad || begin > size || length > size-begin {
		return unit{}, errMalformed("the unit at %#x, of %d bytes and version %d", at, length, version)
	}
	u.version, u.end = uint8(version), begin+length
	if version == 5 {
		u.kind = c.u8()
		u.format.address = c.u8()
		u.abbreviations = c.offset(wide)
	} else {
		u.abbreviations = c.offset(wide)
		u.format.address = c.u8()
	}
	switch u.kind {
	case unitSkeleton, unitSplitCompile:
		c.u64() // the number that pairs it with the other file's
	case unitType, unitSplitType:
		c.u64()
		c.offset(wide)
	}
	u.root = at + uint64(c.at)
	u.strOffsetsBase, u.addrBase, u.rnglistsBase = defaultBases(u)
	if c.bad || u.root > u.end || u.format.address != 4 && u.format.address != 8 {
		return unit{}, errMalformed("the unit at %#x, of %d bytes", at, length)
	}
	return u, nil
}

// defaultBases are where a unit's parts of other sections begin if it does not say:
// after the first header.
func defaultBases(u unit) (strOffsets, addr, rnglists uint64) {
	if u.version < 5 {
		return 0, 0, 0
	}
	if u.format.wide {
		return 16, 16, 20
	}
	return 8, 8, 12
}

// readRoot reads those attributes of a unit's root entry that say where its code,
// its lines and its strings are.
func (d *Data) readRoot(u *unit) error {
	if u.root == u.end {
		return nil
	}
	const usual = 256
	for n := uint64(usual); ; n *= 8 {
		data, err := d.sections.read(&d.buffers().entry, sectionInfo, u.root, min(n, u.end-u.root))
		if err != nil {
			return err
		}
		c := cursor{data: data, big: d.big}
		var root abbreviation
		found := false
		code := c.uleb()
		if code == 0 {
			return nil
		}
		if err := d.scanAbbreviations(u, func(of uint64, a abbreviation) bool {
			if of == code {
				root, found = a, true
			}
			return !found
		}); err != nil {
			return err
		}
		if !found {
			return errMalformed("the root of the unit at %#x has the unknown code %d", u.offset, code)
		}
		low := value{}
		for _, at := range root.attributes {
			u.rootAttribute(at.name, u.value(&c, at), &low)
		}
		switch {
		case !c.bad && low.present():
			u.lowKnown = true
			u.low, err = d.address(u, low)
			return err
		case !c.bad:
			return nil
		case n >= u.end-u.root || n > maxName:
			return errMalformed("the root of the unit at %#x", u.offset)
		}
	}
}

func (u *unit) rootAttribute(name uint16, v value, low *value) {
	switch name {
	case attrLowPC:
		*low = v
	case attrHighPC:
		u.high = v
	case attrRanges:
		u.ranges = v
	case attrStatementList:
		u.lines = v
	case attrCompilationDir:
		v.text = append([]byte(nil), v.text...)
		u.directory = v
	case attrStrOffsetsBase:
		u.strOffsetsBase = v.number
	case attrAddrBase, attrGNUAddrBase:
		u.addrBase = v.number
	case attrRnglistsBase:
		u.rnglistsBase = v.number
	case attrDwoName, attrGNUDwoName:
		u.split = true
	}
}

func errMalformed(what string, args ...any) error {
	return fmt.Errorf(what+": %w", append(args, binary.ErrMalformed)...)
}
