package index

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// maxAhead is how many blocks are read at once where they are asked for one after the
// other, as ascending addresses do.
const maxAhead = 16

// A section reads the blocks of one part of the file, and keeps those read last.
type section struct {
	r    io.ReaderAt
	at   int64    // of the first block in the file
	sums []uint32 // one a block

	data  []byte // blocks from first up to first+count
	first int
	count int
	ahead int // how many blocks to read next time
	spare *spares
}

// spares are buffers of sections that rest.
type spares struct{ free [][]byte }

// block returns a block of the section, checked. It is valid until another one is
// asked for.
func (s *section) block(number int) ([]byte, error) {
	if i := number - s.first; uint(i) < uint(s.count) {
		return s.data[i*blockSize : (i+1)*blockSize], nil
	}
	return s.load(number)
}

func (s *section) load(number int) ([]byte, error) {
	if number < 0 || number >= len(s.sums) {
		return nil, fmt.Errorf("block %d of %d: %w", number, len(s.sums), ErrDamaged)
	}
	if number == s.first+s.count && s.count > 0 {
		s.ahead = min(2*s.ahead, maxAhead)
	} else {
		s.ahead = 1
	}
	s.count = 0
	if s.data == nil {
		s.data = s.spare.take()
	}
	count := min(s.ahead, len(s.sums)-number)
	data := s.data[:count*blockSize]
	n, err := s.r.ReadAt(data, s.at+int64(number)*blockSize)
	if n < len(data) {
		if err == nil || errors.Is(err, io.EOF) {
			err = ErrDamaged
		}
		return nil, fmt.Errorf("reading block %d: %w", number, err)
	}
	for i := range count {
		if crc32.Checksum(data[i*blockSize:(i+1)*blockSize], castagnoli) != s.sums[number+i] {
			return nil, fmt.Errorf("the checksum of block %d differs: %w", number+i, ErrDamaged)
		}
	}
	s.first, s.count = number, count
	return data[:blockSize], nil
}

// rest gives the blocks' memory back.
func (s *section) rest() {
	if s.data != nil {
		s.spare.give(s.data)
	}
	s.data, s.first, s.count = nil, 0, 0
}

func (s *spares) take() []byte {
	if n := len(s.free); n > 0 {
		data := s.free[n-1]
		s.free = s.free[:n-1]
		return data
	}
	return make([]byte, maxAhead*blockSize)
}

func (s *spares) give(data []byte) {
	const sections = 7 // of one index
	if len(s.free) < sections {
		s.free = append(s.free, data)
	}
}
