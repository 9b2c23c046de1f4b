package dwarf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// A sectionID is one of the sections that this package reads.
type sectionID int

const (
	sectionInfo sectionID = iota
	sectionAbbrev
	sectionLine
	sectionStr
	sectionLineStr
	sectionStrOffsets
	sectionAddr
	sectionRanges
	sectionRnglists
	sectionCount
)

var sectionNames = [sectionCount]string{
	".debug_info", ".debug_abbrev", ".debug_line", ".debug_str", ".debug_line_str",
	".debug_str_offsets", ".debug_addr", ".debug_ranges", ".debug_rnglists",
}

// sections opens sections when they are first read, since decompressing one costs
// time and memory.
type sections struct {
	file   *binary.File
	limit  int // bytes that decompressed sections may take
	held   int
	opened [sectionCount]bool
	bodies [sectionCount]binary.Contents
	errs   [sectionCount]error
}

func (s *sections) open(id sectionID) (binary.Contents, error) {
	if !s.opened[id] {
		s.opened[id] = true
		s.bodies[id], s.errs[id] = s.file.Contents(sectionNames[id], s.limit-s.held)
		s.held += s.bodies[id].Held
	}
	return s.bodies[id], s.errs[id]
}

// read returns n bytes of a section at off, in a buffer that grows if it must. The caller bounds n.
func (s *sections) read(buffer *[]byte, id sectionID, off, n uint64) ([]byte, error) {
	body, err := s.open(id)
	if err != nil {
		return nil, err
	}
	if off > body.Size || n > body.Size-off {
		return nil, fmt.Errorf("%d bytes at %#x of the %d of %s: %w", n, off, body.Size, sectionNames[id], binary.ErrMalformed)
	}
	*buffer = slices.Grow((*buffer)[:0], int(n))[:n]
	return *buffer, readFull(body, *buffer, off)
}

// upTo returns n bytes of a section at off, or as many as there are, in a buffer.
func (s *sections) upTo(buffer *[]byte, id sectionID, off, n uint64) ([]byte, error) {
	body, err := s.open(id)
	if err != nil {
		return nil, err
	}
	if off >= body.Size {
		return nil, fmt.Errorf("offset %#x of the %d bytes of %s: %w", off, body.Size, sectionNames[id], binary.ErrMalformed)
	}
	return s.read(buffer, id, off, min(n, body.Size-off))
}

func readFull(r io.ReaderAt, data []byte, off uint64) error {
	n, err := r.ReadAt(data, int64(off))
	if n == len(data) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("reading debug information: %w", err)
}

// text reads the string at off of a section of strings. One that does not end, or
// is longer than any name, is empty.
func (s *sections) text(id sectionID, off uint64) (string, error) {
	body, err := s.open(id)
	if err != nil {
		return "", err
	}
	if peeker, ok := body.ReaderAt.(binary.Peeker); ok && off < body.Size {
		data, err := peeker.Peek(int64(off))
		if end := bytes.IndexByte(data, 0); err == nil && end >= 0 && end <= maxName {
			return string(data[:end]), nil
		}
	}
	var first [128]byte
	for n := uint64(len(first)); off < body.Size; n *= 8 {
		data := first[:]
		if n > uint64(len(first)) {
			data = make([]byte, n)
		}
		data = data[:min(n, body.Size-off)]
		if err := readFull(body, data, off); err != nil {
			return "", err
		}
		if end := bytes.IndexByte(data, 0); end >= 0 {
			return string(data[:end]), nil
		}
		if n >= maxName || uint64(len(data)) < n {
			break
		}
	}
	return "", nil
}
