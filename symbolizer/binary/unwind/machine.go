package unwind

import (
	"errors"
	"fmt"
	"slices"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

const (
	// maxDescriptions bounds how many pieces of code a file may describe. The
	// largest browsers have a million.
	maxDescriptions = 4 << 20
	// maxEmpty bounds how many records may have nothing in them. There is one at
	// the end, and linkers that do not look leave one of each object file.
	maxEmpty = 1 << 20
	// maxSteps bounds how many instructions are executed, so that a file cannot
	// repeat long common parts for each description. Real files have two for each
	// row.
	maxSteps = 128 << 20
)

// A machine makes rows out of the descriptions of one section.
type machine struct {
	*compiler
	section frameSection
	bases   bases
	commons commons
	steps   int // instructions that may still be executed

	descriptions []description
	rows         builder
	saved        []state // room for a program's
	callSites    int
}

// A description is an FDE: where its code is, relative to the machine's origin,
// and where it stands in the section.
type description struct {
	start, end uint32
	offset     uint32
}

// scan finds all descriptions by walking through the section. The table in
// .eh_frame_hdr could give them sorted, but not all files have a complete one,
// and it is one more thing that could lie.
func (m *machine) scan() error {
	size := m.section.source.section.Size
	empty := 0
	for off := uint64(0); size-off >= 4; {
		r, err := m.section.record(off)
		if err != nil {
			return err
		}
		off = r.next
		if r.body == r.next {
			if m.section.terminated {
				break
			}
			if empty++; empty > maxEmpty {
				return fmt.Errorf("more than %d records of nothing: %w", maxEmpty, binary.ErrMalformed)
			}
			continue
		}
		if r.common {
			continue
		}
		if err := m.scanDescription(r); err != nil {
			return err
		}
	}
	slices.SortFunc(m.descriptions, func(a, b description) int {
		if a.start != b.start {
			return compare(a.start, b.start)
		}
		return compare(a.offset, b.offset)
	})
	return nil
}

func compare(a, b uint32) int {
	if a < b {
		return -1
	}
	return 1
}

// scanDescription notes where the code of an FDE is. What cannot be used is
// counted; an error is one of the reader, or of too many.
func (m *machine) scanDescription(r record) error {
	_, start, size, _, err := m.describe(r)
	switch {
	case errors.Is(err, binary.ErrMalformed):
		m.statistics.Malformed++
		return nil
	case err != nil:
		return err
	case size == 0:
		m.statistics.Empty++
		return nil
	}
	end, ok := m.covers(start, size)
	if !ok {
		m.statistics.Outside++
		return nil
	}
	if len(m.descriptions) >= maxDescriptions {
		return fmt.Errorf("more than %d descriptions: %w", maxDescriptions, binary.ErrMalformed)
	}
	m.descriptions = append(m.descriptions, description{
		start: uint32(start - m.origin), end: uint32(end - m.origin), offset: uint32(r.offset),
	})
	return nil
}

// describe reads an FDE up to its instructions: its common part, the code's
// address and size. The cursor stands before the instructions, off is the
// offset in the section of its first byte.
func (m *machine) describe(r record) (common *common, start, size uint64, c cursor, err error) {
	if common, err = m.common(r.cie); err != nil {
		return nil, 0, 0, c, err
	}
	if c.data, err = m.section.contents(r); err != nil {
		return nil, 0, 0, c, err
	}
	start = m.bases.pointer(&c, common.encoding, r.body)
	size = number(&c, common.encoding&encodingFormat)
	if common.augmented {
		c.take(c.uleb())
	}
	if c.bad {
		return nil, 0, 0, c, fmt.Errorf("the description at %#x: %w", r.offset, binary.ErrMalformed)
	}
	return common, start, size, c, nil
}

// covers cuts code off where its segment ends, and answers false if no segment
// has its beginning, or it lies too far from the file's other code.
func (c *compiler) covers(start, size uint64) (end uint64, ok bool) {
	for _, s := range c.code {
		if start >= s.Vaddr && start-s.Vaddr < s.Memsz {
			end = start + min(size, s.Memsz-(start-s.Vaddr))
			return end, end-c.origin < 1<<32
		}
	}
	return 0, false
}

// compile makes the rows of all descriptions. Of two that describe the same
// code the one that begins later has it, as for whoever looks for the last one
// that begins before an address; of two that begin at the same, the first in
// the section.
func (m *machine) compile() error {
	all := len(m.descriptions)
	m.descriptions = slices.CompactFunc(m.descriptions, func(a, b description) bool { return a.start == b.start })
	m.statistics.Overlapping += all - len(m.descriptions)
	for i, d := range m.descriptions {
		if i+1 < len(m.descriptions) && m.descriptions[i+1].start < d.end {
			d.end = m.descriptions[i+1].start
			m.statistics.Overlapping++
		}
		if err := m.run(d); err != nil {
			return err
		}
	}
	return m.rows.err
}

// run makes the rows of one description.
func (m *machine) run(d description) error {
	r, err := m.section.record(uint64(d.offset))
	if err != nil {
		return err
	}
	common, _, _, c, err := m.describe(r)
	if err != nil {
		return err
	}
	p := program{machine: m, common: common, state: common.initial, described: true, pc: uint64(d.start), end: uint64(d.end), off: r.body, saved: m.saved[:0]}
	ok := p.run(&c)
	m.saved = p.saved[:0]
	if !ok {
		m.statistics.Malformed++
		m.rows.add(p.pc, none)
		return nil
	}
	p.finish()
	m.rows.add(uint64(d.end), none)
	m.statistics.Functions++
	return nil
}
