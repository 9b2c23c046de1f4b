package unwind

import (
	"errors"
	"fmt"
	"slices"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// ErrNoTable is what Compile wraps when a binary says nothing about its frames.
var ErrNoTable = errors.New("no unwind information")

// ErrUnsupported is what Compile wraps for machines other than x86-64 and
// little-endian arm64.
var ErrUnsupported = errors.New("unwinding code of this machine is not supported")

// Limits bound what Compile may take; zero fields stand for the defaults.
type Limits struct {
	// Rows is how many rows a table may have, 8 bytes each. The default is
	// 8,388,608: several times what the largest browsers need.
	Rows int
}

const (
	defaultRows = 8 << 20
	// maxSection bounds .eh_frame and .debug_frame; those of the largest browsers
	// and compilers have some 40 MB. maxInflated bounds a compressed one, which
	// lies in memory.
	maxSection  = 256 << 20
	maxInflated = 64 << 20
	// maxEstimate bounds how many rows are made room for before they are known.
	maxEstimate = 1 << 20
)

// Compile makes the table of a binary. The error wraps ErrNoTable,
// ErrUnsupported, binary.ErrMalformed, or what the file's reader answered.
func Compile(file *binary.File, limits Limits) (*Table, error) {
	arch := architectureOf(file)
	if arch == nil {
		return nil, fmt.Errorf("machine %d: %w", file.Machine(), ErrUnsupported)
	}
	if limits.Rows <= 0 {
		limits.Rows = defaultRows
	}
	c := &compiler{arch: arch, file: file, code: file.Executables(), indexes: make(map[Wide]uint16), limit: limits.Rows}
	c.origin = ^uint64(0)
	for _, s := range c.code {
		c.origin = min(c.origin, s.Vaddr)
	}
	rows, golang, err := c.golang()
	if err != nil {
		return nil, fmt.Errorf("compiling Go's stack depths: %w", err)
	}
	frames, err := c.frames(golang)
	if err != nil {
		return nil, fmt.Errorf("compiling call frame information: %w", err)
	}
	if rows, err = merge(rows, frames, c.limit); err != nil {
		return nil, fmt.Errorf("merging two tables: %w", err)
	}
	if !c.signal {
		if err := c.findRestorers(); err != nil {
			return nil, fmt.Errorf("looking for the code that signals return to: %w", err)
		}
	}
	t, err := c.finish(c.addRestorers(rows))
	if err != nil {
		return nil, err
	}
	t.KeepsFramePointers = golang
	return t, nil
}

// A compiler gathers the rows of a file from all its sources.
type compiler struct {
	arch    *architecture
	file    *binary.File
	code    []binary.Segment
	origin  uint64 // lowest code; rows are relative to it until the end
	limit   int
	wides   []Wide
	indexes map[Wide]uint16
	signal  bool // a description says which code signal handlers return to

	restorers  []restorer
	statistics Statistics
}

// frames makes rows of .eh_frame, or of .debug_frame where that is all there is.
// That of Go is not needed where its function table is known.
func (c *compiler) frames(golang bool) ([]Row, error) {
	section, found, err := c.frameSection(golang)
	if err != nil || !found {
		return nil, err
	}
	m := &machine{
		compiler: c, section: section, steps: maxSteps,
		commons: commons{known: make(map[uint64]*common)},
		rows:    builder{limit: c.limit},
	}
	m.bases.section = section.source.section.Addr
	m.bases.text = c.address(".text")
	m.bases.data = c.address(".got.plt", ".got")
	if err := m.scan(); err != nil {
		return nil, err
	}
	// Compilers need some 5 to 8 bytes for what becomes a row. Growing by steps
	// would take several times the memory.
	if len(m.descriptions) > 0 {
		m.rows.rows = make([]Row, 0, min(section.source.section.Size/6, uint64(c.limit), maxEstimate))
	}
	if err := m.compile(); err != nil {
		return nil, err
	}
	if err := m.addCallSites(); err != nil {
		return nil, err
	}
	return m.rows.rows, nil
}

// frameSection finds the section with call frame information.
func (c *compiler) frameSection(golang bool) (frameSection, bool, error) {
	for _, name := range []string{".eh_frame", ".debug_frame"} {
		if golang && name == ".debug_frame" {
			continue
		}
		s, err := c.file.Contents(name, maxInflated)
		if err != nil && !errors.Is(err, binary.ErrNoSection) {
			return frameSection{}, false, err
		}
		// A lone terminator says nothing.
		if err == nil && s.Size > 8 {
			if s.Size > maxSection {
				return frameSection{}, false, fmt.Errorf("%d bytes of %s: %w", s.Size, name, binary.ErrMalformed)
			}
			return frameSection{source: source{section: s}, debug: name == ".debug_frame"}, true, nil
		}
	}
	return c.headerSection()
}

// address returns the address of the first section of the names that there is.
func (c *compiler) address(names ...string) uint64 {
	for _, name := range names {
		if s, err := c.file.Contents(name, 0); err == nil {
			return s.Addr
		}
	}
	return 0
}

// finish makes the table.
func (c *compiler) finish(rows []Row) (*Table, error) {
	if len(rows) == 0 {
		return nil, ErrNoTable
	}
	if cap(rows)-len(rows) > len(rows)/8 {
		rows = slices.Clone(rows)
	}
	t := &Table{Base: c.origin + uint64(rows[0].PC), Rows: rows, Wide: c.wides, Statistics: c.statistics}
	first := rows[0].PC
	for i := range rows {
		r := &rows[i]
		r.PC -= first
		if r.Kind == KindWide && c.wides[uint16(r.CFA)].Flags&WideInexpressible != 0 {
			t.Statistics.Inexpressible++
		}
	}
	return t, nil
}
