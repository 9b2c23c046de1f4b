package unwind

import (
	"fmt"
	"strings"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// A common is a CIE: what the descriptions of many functions share.
type common struct {
	codeAlign uint64
	dataAlign int64
	returns   uint64 // the column of the return address
	encoding  uint8  // of the code's address
	augmented bool   // descriptions have augmentation data, with its length
	signal    bool   // its code is entered by a signal, not by a call
	initial   state
}

// maxCommons bounds how many CIEs are kept. Linkers leave one of each kind of an
// object file or merge them: some hundreds in the largest files.
const maxCommons = 4096

// commons finds the CIEs of a section by their offset.
type commons struct {
	known  map[uint64]*common
	last   *common
	lastAt uint64
}

// common reads the CIE at offset at. A CIE that cannot be read is an error that
// wraps binary.ErrMalformed.
func (m *machine) common(at uint64) (*common, error) {
	if m.commons.last != nil && m.commons.lastAt == at {
		return m.commons.last, nil
	}
	c, ok := m.commons.known[at]
	if !ok {
		var err error
		if c, err = m.readCommon(at); err != nil {
			return nil, err
		}
		if len(m.commons.known) >= maxCommons {
			clear(m.commons.known)
		}
		m.commons.known[at] = c
	}
	m.commons.last, m.commons.lastAt = c, at
	return c, nil
}

func (m *machine) readCommon(at uint64) (*common, error) {
	if at >= m.section.source.section.Size {
		return nil, fmt.Errorf("a CIE at %#x: %w", at, binary.ErrMalformed)
	}
	r, err := m.section.record(at)
	if err != nil {
		return nil, err
	}
	if !r.common {
		return nil, fmt.Errorf("no CIE at %#x: %w", at, binary.ErrMalformed)
	}
	data, err := m.section.contents(r)
	if err != nil {
		return nil, err
	}
	c := cursor{data: data}
	common := &common{encoding: formatAbsolute}
	if !common.read(&c, m.bases, r.body) {
		return nil, fmt.Errorf("the CIE at %#x: %w", at, binary.ErrMalformed)
	}
	p := program{machine: m, common: common}
	if !p.run(&c) {
		return nil, fmt.Errorf("the instructions of the CIE at %#x: %w", at, binary.ErrMalformed)
	}
	common.initial = p.state
	if common.returns != uint64(m.arch.ra) {
		common.initial.ra.kind = ruleOther // hand-written code that returns by another register
	}
	return common, nil
}

// read reads a CIE, whose bytes from the version on lie at offset off of the
// section, up to its instructions.
func (c *common) read(in *cursor, b bases, off uint64) bool {
	version := in.u8()
	augmentation := ""
	for {
		b := in.u8()
		if in.bad || len(augmentation) > 32 {
			return false
		}
		if b == 0 {
			break
		}
		augmentation += string(rune(b))
	}
	if augmentation == "eh" { // of gcc before 3.0: a pointer to a table
		in.take(8)
		augmentation = ""
	}
	if version == 4 {
		if size, segment := in.u8(), in.u8(); size != 8 || segment != 0 {
			return false
		}
	}
	c.codeAlign, c.dataAlign = in.uleb(), in.sleb()
	switch version {
	case 1:
		c.returns = uint64(in.u8())
	case 3, 4:
		c.returns = in.uleb()
	default:
		return false
	}
	if augmentation == "" {
		return !in.bad
	}
	return c.augment(in, augmentation, b, off)
}

// augment reads the augmentation data. Letters that are not known end it, because
// its length is known.
func (c *common) augment(in *cursor, letters string, b bases, off uint64) bool {
	if letters[0] != 'z' {
		// Without a length only letters without data can be understood.
		c.signal = strings.Contains(letters, "S")
		return !in.bad && strings.Trim(letters, "SBG") == ""
	}
	c.augmented = true
	length := in.uleb()
	off += uint64(in.at)
	data := cursor{data: in.take(length)}
	for _, letter := range letters[1:] {
		switch letter {
		case 'R':
			c.encoding = data.u8()
		case 'P': // a personality routine
			b.pointer(&data, data.u8()&^encodingIndirect, off)
		case 'L':
			data.u8()
		case 'S':
			c.signal = true
		case 'B', 'G': // arm64: the key that signs return addresses; memory tags
		default:
			return !in.bad && !data.bad
		}
	}
	return !in.bad && !data.bad
}
