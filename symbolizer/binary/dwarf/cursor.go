package dwarf

import (
	"bytes"
	"encoding/binary"
)

// A cursor decodes a piece of a section. Reading past its end answers zero and
// sets bad, which stays set, so that whoever decodes many values checks once.
type cursor struct {
	data []byte
	at   int
	big  bool // big-endian
	bad  bool
}

func (c *cursor) left() int { return len(c.data) - c.at }

func (c *cursor) take(n uint64) []byte {
	if c.bad || n > uint64(c.left()) {
		c.bad = true
		return nil
	}
	b := c.data[c.at : c.at+int(n)]
	c.at += int(n)
	return b
}

func (c *cursor) skip(n uint64) { c.take(n) }

func (c *cursor) u8() uint8 {
	if c.bad || c.at >= len(c.data) {
		c.bad = true
		return 0
	}
	v := c.data[c.at]
	c.at++
	return v
}

func (c *cursor) u16() uint16 {
	b := c.take(2)
	switch {
	case b == nil:
		return 0
	case c.big:
		return binary.BigEndian.Uint16(b)
	}
	return binary.LittleEndian.Uint16(b)
}

func (c *cursor) u32() uint32 {
	b := c.take(4)
	switch {
	case b == nil:
		return 0
	case c.big:
		return binary.BigEndian.Uint32(b)
	}
	return binary.LittleEndian.Uint32(b)
}

func (c *cursor) u64() uint64 {
	b := c.take(8)
	switch {
	case b == nil:
		return 0
	case c.big:
		return binary.BigEndian.Uint64(b)
	}
	return binary.LittleEndian.Uint64(b)
}

// sized reads an unsigned number of 1, 2, 3, 4 or 8 bytes.
func (c *cursor) sized(n uint8) uint64 {
	switch n {
	case 1:
		return uint64(c.u8())
	case 2:
		return uint64(c.u16())
	case 3:
		b := c.take(3)
		switch {
		case b == nil:
			return 0
		case c.big:
			return uint64(b[0])<<16 | uint64(b[1])<<8 | uint64(b[2])
		}
		return uint64(b[2])<<16 | uint64(b[1])<<8 | uint64(b[0])
	case 4:
		return uint64(c.u32())
	case 8:
		return c.u64()
	}
	c.bad = true
	return 0
}

// offset reads an offset of the 32-bit or the 64-bit format of DWARF.
func (c *cursor) offset(wide bool) uint64 {
	if wide {
		return c.u64()
	}
	return uint64(c.u32())
}

// length reads the length that begins units, and says whether they are of the
// 64-bit format.
func (c *cursor) length() (n uint64, wide bool) {
	switch v := c.u32(); {
	case v == 0xffffffff:
		return c.u64(), true
	case v >= 0xfffffff0:
		c.bad = true
		return 0, false
	default:
		return uint64(v), false
	}
}

func (c *cursor) uleb() uint64 {
	var v uint64
	for shift := uint(0); ; shift += 7 {
		b := c.u8()
		if shift < 64 {
			v |= uint64(b&0x7f) << shift
		}
		if b&0x80 == 0 { // also where bad
			return v
		}
	}
}

func (c *cursor) sleb() int64 {
	var v int64
	for shift := uint(0); ; {
		b := c.u8()
		if shift < 64 {
			v |= int64(b&0x7f) << shift
		}
		shift += 7
		if b&0x80 == 0 {
			if b&0x40 != 0 && shift < 64 {
				v |= -1 << shift
			}
			return v
		}
	}
}

// text reads a string that a NUL ends.
func (c *cursor) text() []byte {
	if c.bad {
		return nil
	}
	n := bytes.IndexByte(c.data[c.at:], 0)
	if n < 0 {
		c.bad = true
		return nil
	}
	b := c.data[c.at : c.at+n]
	c.at += n + 1
	return b
}
