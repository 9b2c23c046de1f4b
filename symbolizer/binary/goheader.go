package binary

import (
	"fmt"
)

// findGoHeader finds the header of the Go function table: in the section that
// Go's linker makes for it, or, where a C linker merged that into another
// section (position-independent executables with cgo before Go 1.26), by its
// first bytes.
func (f *File) findGoHeader() (goHeader, error) {
	if s, ok := f.section(".gopclntab", ".data.rel.ro.gopclntab"); ok {
		return f.goHeader(s, 0)
	}
	if _, ok := f.section(".go.buildinfo"); !ok {
		if _, ok := f.section(".note.go.buildid"); !ok {
			return goHeader{}, ErrNoGoTable
		}
	}
	scanned := uint64(0)
	for _, s := range f.sections {
		if s.kind == sectionNoBits || s.flags&sectionFlagAlloc == 0 || s.flags&sectionFlagExecute != 0 {
			continue
		}
		if scanned += s.size; scanned > maxScannedBytes {
			break
		}
		if h, ok := f.scanGoHeader(s); ok {
			return h, nil
		}
	}
	return goHeader{}, ErrNoGoTable
}

// scanGoHeader looks for a header at the 8-byte boundaries of a section.
func (f *File) scanGoHeader(s section) (goHeader, bool) {
	var chunk [32 << 10]byte
	for at := uint64(0); at < s.size; at += uint64(len(chunk)) {
		data := chunk[:min(s.size-at, uint64(len(chunk)))]
		if f.readInto(data, s.offset+at) != nil {
			return goHeader{}, false
		}
		for i := 0; i+8 <= len(data); i += 8 {
			if f.order.Uint32(data[i:]) != goMagic120 || data[i+4] != 0 || data[i+5] != 0 {
				continue
			}
			if h, err := f.goHeader(s, at+uint64(i)); err == nil {
				return h, true
			}
		}
	}
	return goHeader{}, false
}

// goHeader reads the header at offset at of a section and checks it.
func (f *File) goHeader(s section, at uint64) (goHeader, error) {
	var data [8 + 8*8]byte
	if s.size-at < uint64(len(data)) {
		return goHeader{}, fmt.Errorf("a section of %d bytes: %w", s.size, ErrMalformed)
	}
	if err := f.readInto(data[:], s.offset+at); err != nil {
		return goHeader{}, err
	}
	switch magic := f.order.Uint32(data[:]); magic {
	case goMagic120:
	case goMagic118, goMagic116, goMagic12:
		return goHeader{}, fmt.Errorf("magic %#x, of Go 1.19 or older: %w", magic, ErrGoTableVersion)
	default:
		return goHeader{}, fmt.Errorf("magic %#x: %w", magic, ErrGoTableVersion)
	}
	h := goHeader{at: s.offset + at, end: s.offset + s.size, addr: s.addr + at, quantum: uint32(data[6]), pointer: uint64(data[7])}
	if data[4] != 0 || data[5] != 0 || h.quantum != 1 && h.quantum != 2 && h.quantum != 4 ||
		f.wide && h.pointer != 8 || !f.wide && h.pointer != 4 {
		return goHeader{}, fmt.Errorf("header % x: %w", data[:8], ErrGoTableVersion)
	}
	word := func(i uint64) uint64 { return f.pointer(data[8+i*h.pointer:]) }
	h.functions, h.textStart = word(0), word(2)
	h.names, h.units, h.files, h.lines, h.record = word(3), word(4), word(5), word(6), word(7)
	previous := 8 + 8*h.pointer
	for _, offset := range []uint64{h.names, h.units, h.files, h.lines, h.record, h.end - h.at} {
		if offset < previous {
			return goHeader{}, fmt.Errorf("parts out of order: %w", ErrGoTableVersion)
		}
		previous = offset
	}
	return h, nil
}
