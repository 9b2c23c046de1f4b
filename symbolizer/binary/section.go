package binary

import "bytes"

// A section is one row of the section header table. Its bytes lie within the
// file unless its kind is SHT_NOBITS.
type section struct {
	name         string
	kind, link   uint32
	flags        uint64
	addr         uint64
	offset, size uint64
	entrySize    uint64
}

// readSections reads the section header table as far as it makes sense. A file
// may do without one, so nothing here is an error: rows that point outside the
// file become empty, and a table that does so is ignored.
func (f *File) readSections(h header) {
	row := uint64(40)
	if f.wide {
		row = 64
	}
	count := uint64(h.sectionCount)
	if h.sectionOffset == 0 || count == 0 || count > maxSectionHeaders || uint64(h.sectionSize) != row {
		return
	}
	data, err := f.read(h.sectionOffset, count*row)
	if err != nil {
		return
	}
	sections := make([]section, count)
	names := make([]uint32, count)
	for i := range sections {
		names[i], sections[i] = f.sectionRow(data[uint64(i)*row:])
	}
	if int(h.sectionNames) < len(sections) {
		f.nameSections(sections, names, sections[h.sectionNames])
	}
	f.sections = sections
}

func (f *File) sectionRow(b []byte) (name uint32, s section) {
	s.kind = f.order.Uint32(b[4:])
	if f.wide {
		s.flags, s.addr = f.order.Uint64(b[8:]), f.order.Uint64(b[16:])
		s.offset, s.size = f.order.Uint64(b[24:]), f.order.Uint64(b[32:])
		s.link, s.entrySize = f.order.Uint32(b[40:]), f.order.Uint64(b[56:])
	} else {
		s.flags, s.addr = uint64(f.order.Uint32(b[8:])), uint64(f.order.Uint32(b[12:]))
		s.offset, s.size = uint64(f.order.Uint32(b[16:])), uint64(f.order.Uint32(b[20:]))
		s.link, s.entrySize = f.order.Uint32(b[24:]), uint64(f.order.Uint32(b[36:]))
	}
	if s.kind != sectionNoBits && (s.offset > f.size || s.size > f.size-s.offset) {
		s.offset, s.size = 0, 0
	}
	return f.order.Uint32(b), s
}

func (f *File) nameSections(sections []section, names []uint32, table section) {
	if table.kind == sectionNoBits || table.size > maxSectionNames {
		return
	}
	data, err := f.read(table.offset, table.size)
	if err != nil {
		return
	}
	const longest = 64 // no section this package asks for has a longer name
	for i, at := range names {
		if uint64(at) >= uint64(len(data)) {
			continue
		}
		name := data[at:min(len(data), int(at)+longest)]
		if end := bytes.IndexByte(name, 0); end >= 0 {
			sections[i].name = string(name[:end])
		}
	}
}

// section returns the first section of one of the names that has bytes in the
// file.
func (f *File) section(names ...string) (section, bool) {
	for _, name := range names {
		for _, s := range f.sections {
			if s.name == name && s.kind != sectionNoBits && s.size > 0 {
				return s, true
			}
		}
	}
	return section{}, false
}
