package stackrecord

import (
	"encoding/binary"
	"slices"
)

// forget leaves of the memory what a walk can need: words that point to code or into
// the stack. What else lies there, strings and secrets, is nobody's business. Registers
// are treated alike.
func (s *Stack) forget() {
	for i := range s.Memory {
		bytes := s.Memory[i].Bytes
		for at := 0; at+8 <= len(bytes); at += 8 {
			if !s.points(binary.LittleEndian.Uint64(bytes[at:])) {
				clear(bytes[at : at+8])
			}
		}
		clear(bytes[len(bytes)&^7:])
	}
	for i, r := range s.Registers.Others {
		if !s.points(r) {
			s.Registers.Others[i] = 0
		}
	}
	for i := range s.Memory {
		s.shorten(i)
	}
}

func (s *Stack) points(value uint64) bool {
	for _, m := range s.Memory {
		if value >= m.Address && value-m.Address <= uint64(len(m.Bytes)) {
			return true
		}
	}
	return slices.ContainsFunc(s.Code, func(c Code) bool { return value >= c.Start && value <= c.End })
}

// shorten cuts off a part of the stack what the walk does not get to, at both ends.
func (s *Stack) shorten(i int) {
	whole := s.Memory[i]
	size := s.least(0, len(whole.Bytes), func(n int) { s.Memory[i].Bytes = whole.Bytes[:n] })
	skip := size - s.least(0, size, func(n int) {
		skip := (size - n) &^ 7
		s.Memory[i] = Memory{Address: whole.Address + uint64(skip), Bytes: whole.Bytes[skip:size]}
	})
	skip &^= 7
	s.Memory[i] = Memory{Address: whole.Address + uint64(skip), Bytes: whole.Bytes[skip:size]}
}

// least finds the least number with which the walk is still the same.
func (s *Stack) least(low, high int, try func(n int)) int {
	for low < high {
		middle := (low + high) / 2
		try(middle)
		if frames, end := s.Walk(); end == s.End && slices.Equal(frames, s.Frames) {
			high = middle
		} else {
			low = middle + 1
		}
	}
	try(high)
	return high
}
