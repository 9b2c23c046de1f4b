package index

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
)

// maxAhead is how many blocks are read at once where they are asked for one after the
// other, as ascending addresses do.
const maxAhead = 16

// A section reads the blocks of one part of the file, and keeps those read last.
type section struct {
	r    io.ReaderAt
	at   int64    // of the first block in the file
	sums []uint32 // one a block

	whole []byte // the file, if it is in memory; its blocks are then not copied

	data   []byte // blocks from first up to first+count
	first  int
	count  int
	ahead  int   // how many blocks to read next time
	buffer *room // of data; nil if there is none
}

// room is a buffer that one section or file after the other takes.
type room struct{ data []byte }

var (
	blockRoom = sync.Pool{New: func() any { return &room{make([]byte, maxAhead*blockSize)} }}
	wholeRoom = sync.Pool{New: func() any { return &room{make([]byte, atOnce)} }}
)

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
	count := min(s.ahead, len(s.sums)-number)
	data, err := s.read(s.at+int64(number)*blockSize, count*blockSize)
	if err != nil {
		return nil, fmt.Errorf("reading block %d: %w", number, err)
	}
	for i := range count {
		if crc32.Checksum(data[i*blockSize:(i+1)*blockSize], castagnoli) != s.sums[number+i] {
			return nil, fmt.Errorf("the checksum of block %d differs: %w", number+i, ErrDamaged)
		}
	}
	s.data, s.first, s.count = data, number, count
	return data[:blockSize], nil
}

// read returns bytes of the file, which are valid until it is called again.
func (s *section) read(at int64, size int) ([]byte, error) {
	if s.whole != nil {
		if at+int64(size) > int64(len(s.whole)) {
			return nil, ErrDamaged
		}
		return s.whole[at:][:size], nil
	}
	if s.buffer == nil {
		s.buffer = blockRoom.Get().(*room)
	}
	data := s.buffer.data[:size]
	n, err := s.r.ReadAt(data, at)
	if n < len(data) {
		if err == nil || errors.Is(err, io.EOF) {
			err = ErrDamaged
		}
		return nil, err
	}
	return data, nil
}

// rest gives the blocks' memory back.
func (s *section) rest() {
	if s.buffer != nil {
		blockRoom.Put(s.buffer)
	}
	s.whole, s.buffer, s.data, s.first, s.count = nil, nil, nil, 0, 0
}
