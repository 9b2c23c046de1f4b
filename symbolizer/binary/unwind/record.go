package unwind

import (
	"fmt"

	elf "github.com/narrows-profiler/narrows/symbolizer/binary"
)

// maxRecord bounds one description. Real ones of generated code, a function of
// megabytes, have some 100 KB.
const maxRecord = 4 << 20

// A frameSection is .eh_frame or .debug_frame: a sequence of records, each a
// common part (CIE) or a description of one piece of code (FDE).
type frameSection struct {
	source source
	// debug says that it is .debug_frame, where the common part is found by its
	// offset and not by the distance back to it (DWARF 5, 6.4.1; LSB 5.0, 10.6).
	debug bool
	// terminated says that a record of length 0 ends it: its size is not known.
	terminated bool
}

// A record is one CIE or FDE.
type record struct {
	offset uint64 // of the record in the section
	next   uint64 // offset of the record after it
	body   uint64 // offset of what follows the CIE's mark or the FDE's pointer
	cie    uint64 // offset of the FDE's CIE
	common bool   // it is a CIE itself
}

// record reads the beginning of the record at off. One of length 0, as linkers
// leave them between the parts of different object files, has no body.
func (s *frameSection) record(off uint64) (record, error) {
	r := record{offset: off}
	head, err := s.source.bytes(off, min(20, s.source.section.Size-off))
	if err != nil {
		return r, err
	}
	c := cursor{data: head}
	length, word := uint64(c.u32()), uint64(4)
	if length == 0xffffffff {
		length, word = c.u64(), 8
	}
	content := off + uint64(c.at)
	if c.bad || length > s.source.section.Size-content || length > maxRecord {
		return r, fmt.Errorf("a record of %d bytes at %#x: %w", length, off, elf.ErrMalformed)
	}
	r.next, r.body = content+length, content+length
	if length == 0 {
		return r, nil
	}
	if length < word {
		return r, fmt.Errorf("a record of %d bytes at %#x: %w", length, off, elf.ErrMalformed)
	}
	var pointer uint64
	// Only .debug_frame has wide pointers: in .eh_frame they are four bytes in
	// both formats.
	if word == 8 && s.debug {
		pointer = c.u64()
	} else {
		word = 4
		pointer = uint64(c.u32())
	}
	if c.bad {
		return r, fmt.Errorf("a record of %d bytes at %#x: %w", length, off, elf.ErrMalformed)
	}
	r.body = content + word
	switch {
	case !s.debug:
		r.common, r.cie = pointer == 0, content-pointer
	case word == 8:
		r.common, r.cie = pointer == 1<<64-1, pointer
	default:
		r.common, r.cie = pointer == 1<<32-1, pointer
	}
	return r, nil
}

// contents returns what follows the CIE's mark or the FDE's pointer.
func (s *frameSection) contents(r record) ([]byte, error) {
	return s.source.bytes(r.body, r.next-r.body)
}

// Encodings of pointers, DW_EH_PE_* of LSB 5.0, chapter 10.5.
const (
	encodingOmit     = 0xff
	encodingIndirect = 0x80

	encodingFormat  = 0x0f
	formatAbsolute  = 0x00
	formatUnsigned  = 0x01 // LEB128
	formatUnsigned2 = 0x02
	formatUnsigned4 = 0x03
	formatUnsigned8 = 0x04
	formatSigned    = 0x09 // LEB128
	formatSigned2   = 0x0a
	formatSigned4   = 0x0b
	formatSigned8   = 0x0c

	encodingBase  = 0x70
	baseAbsolute  = 0x00
	basePC        = 0x10
	baseText      = 0x20
	baseData      = 0x30
	baseAligned   = 0x50
	pointerToData = 8 // bytes of an aligned pointer
)

// bases are the addresses that encoded pointers are relative to.
type bases struct {
	section uint64 // where the bytes read lie
	text    uint64
	data    uint64
}

// pointer reads an encoded pointer at the cursor, whose first byte lies at
// offset off of the section. Those that go through memory cannot be followed in
// a file.
func (b bases) pointer(c *cursor, encoding uint8, off uint64) uint64 {
	if encoding&encodingIndirect != 0 {
		c.bad = true
		return 0
	}
	place := b.section + off + uint64(c.at)
	if encoding&encodingBase == baseAligned {
		c.take(-place & (pointerToData - 1))
		return c.u64()
	}
	value := number(c, encoding&encodingFormat)
	switch encoding & encodingBase {
	case baseAbsolute:
	case basePC:
		value += place
	case baseText:
		value += b.text
	case baseData:
		value += b.data
	default:
		c.bad = true
	}
	return value
}

// number reads a number of one of the formats.
func number(c *cursor, format uint8) uint64 {
	switch format {
	case formatAbsolute, formatUnsigned8, formatSigned8:
		return c.u64()
	case formatUnsigned:
		return c.uleb()
	case formatSigned:
		return uint64(c.sleb())
	case formatUnsigned2:
		return uint64(c.u16())
	case formatSigned2:
		return uint64(int64(int16(c.u16())))
	case formatUnsigned4:
		return uint64(c.u32())
	case formatSigned4:
		return uint64(int64(int32(c.u32())))
	}
	c.bad = true
	return 0
}
