package index

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// kept is how many blocks of a section stay in memory. Addresses looked up in
// ascending order find all they need in the newest.
const kept = 2

// A section reads the blocks of one part of the file, and keeps the last ones.
type section struct {
	r     io.ReaderAt
	at    int64    // of the first block in the file
	sums  []uint32 // one a block
	slots [kept]struct {
		number int // of the block, plus 1; 0 where empty
		data   []byte
	}
}

// block returns a block of the section, checked. It is valid until another one
// that shares its slot is read.
func (s *section) block(number int) ([]byte, error) {
	slot := &s.slots[number%kept]
	if slot.number == number+1 {
		return slot.data, nil
	}
	return s.load(number)
}

func (s *section) load(number int) ([]byte, error) {
	if number < 0 || number >= len(s.sums) {
		return nil, fmt.Errorf("block %d of %d: %w", number, len(s.sums), ErrDamaged)
	}
	slot := &s.slots[number%kept]
	slot.number = 0
	if slot.data == nil {
		slot.data = make([]byte, blockSize)
	}
	n, err := s.r.ReadAt(slot.data, s.at+int64(number)*blockSize)
	if n < blockSize {
		if err == nil || errors.Is(err, io.EOF) {
			err = ErrDamaged
		}
		return nil, fmt.Errorf("reading block %d: %w", number, err)
	}
	if crc32.Checksum(slot.data, castagnoli) != s.sums[number] {
		return nil, fmt.Errorf("the checksum of block %d differs: %w", number, ErrDamaged)
	}
	slot.number = number + 1
	return slot.data, nil
}

// rest gives the blocks' memory back.
func (s *section) rest() {
	for i := range s.slots {
		s.slots[i].number, s.slots[i].data = 0, nil
	}
}
