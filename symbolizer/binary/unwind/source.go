package unwind

import (
	"errors"
	"fmt"
	"io"

	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

const (
	sourceBlock   = 32 << 10
	sourceOverlap = 4 << 10 // records up to this size lie in one block
	sourceBlocks  = 8
)

// A source reads a section in blocks, a few of which it keeps: descriptions are
// read in the order of the code's addresses, which runs through the section a
// few times side by side.
type source struct {
	section binary.Contents
	blocks  [sourceBlocks]struct {
		number uint64 // of the block, plus 1; 0 where empty
		data   []byte
	}
	next    int // block that is replaced next
	recent  int // block that was used last
	scratch []byte
}

// bytes returns n bytes of the section at off. They are valid until the next
// call.
func (s *source) bytes(off, n uint64) ([]byte, error) {
	if off > s.section.Size || n > s.section.Size-off {
		return nil, fmt.Errorf("%d bytes at %#x of a section of %d: %w", n, off, s.section.Size, binary.ErrMalformed)
	}
	if n > sourceOverlap {
		if uint64(cap(s.scratch)) < n {
			s.scratch = make([]byte, n)
		}
		data := s.scratch[:n]
		return data, s.read(data, off)
	}
	number := off / sourceBlock
	data, err := s.block(number)
	if err != nil {
		return nil, err
	}
	start := off - number*sourceBlock
	return data[start : start+n], nil
}

func (s *source) block(number uint64) ([]byte, error) {
	if b := &s.blocks[s.recent]; b.number == number+1 {
		return b.data, nil
	}
	for i := range s.blocks {
		if s.blocks[i].number == number+1 {
			s.recent = i
			return s.blocks[i].data, nil
		}
	}
	b := &s.blocks[s.next]
	if b.data == nil {
		b.data = make([]byte, sourceBlock+sourceOverlap)
	}
	start := number * sourceBlock
	b.number, b.data = 0, b.data[:min(s.section.Size-start, sourceBlock+sourceOverlap)]
	if err := s.read(b.data, start); err != nil {
		return nil, err
	}
	b.number, s.recent = number+1, s.next
	s.next = (s.next + 1) % sourceBlocks
	return b.data, nil
}

func (s *source) read(data []byte, off uint64) error {
	n, err := s.section.ReadAt(data, int64(off))
	if n == len(data) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("reading %d bytes at %#x: %w", len(data), off, err)
}
