package glyph

import (
	"encoding/binary"
	"math/bits"
)

// padding is how many bytes behind a text may be read, so that eight can be looked
// at from anywhere in it.
const padding = maxPattern

// Bit patterns for eight bytes at a time: the top bit of each byte, the rest of it,
// and the lowest.
const (
	tops = 0x8080808080808080
	lows = 0x7f7f7f7f7f7f7f7f
	ones = 0x0101010101010101
)

func load(text []byte, at int) uint64 { return binary.LittleEndian.Uint64(text[at:]) }

// letters sets the top bit of each byte of eight that is an ASCII letter. Adding a
// constant to seven bits carries into the eighth from a certain value on, and
// never into the next byte.
func letters(eight uint64) uint64 {
	small := (eight | 0x20*ones) & lows
	fromA := small + (0x80-'a')*ones
	afterZ := small + (0x80-'z'-1)*ones
	return fromA &^ afterZ &^ eight & tops
}

// letterRun returns where the letters end, at the first of others among the eight
// bytes at a place or further on. The padding holds none.
func letterRun(text []byte, at int, others uint64) int {
	for others == 0 {
		at += 8
		others = letters(load(text, at)) ^ tops
	}
	return at + bits.TrailingZeros64(others)/8
}

// otherRun returns where the next letter is, among the eight bytes at a place or
// further on, or the end.
func otherRun(text []byte, at, end int, isLetter uint64) int {
	for isLetter == 0 {
		if at += 8; at >= end {
			return end
		}
		isLetter = letters(load(text, at))
	}
	return at + bits.TrailingZeros64(isLetter)/8
}

// token is a piece of text that may be a pattern.
type token struct{ start, end int }

// parse cuts the text from a place on into tokens, as many as there is room for,
// and returns their number and where it stopped. A token is a run of letters with
// the space before it, or a run of anything else. The tokens leave nothing out.
// The text has padding behind its end.
func parse(text []byte, at, end int, tokens []token) (n, next int) {
	const first, second = 0x80, 0x80 << 8
	for n < len(tokens) && at < end {
		start := at
		eight := load(text, at)
		isLetter := letters(eight)
		switch {
		case isLetter&first != 0:
			at = letterRun(text, at, isLetter^tops)
		case byte(eight) == ' ' && isLetter&second != 0 && at+1 < end:
			at = letterRun(text, at, isLetter^tops&^first)
		default:
			at = otherRun(text, at, end, isLetter)
			if at < end && at-start > 1 && text[at-1] == ' ' {
				at-- // the space is the next word's
			}
		}
		tokens[n] = token{start, at}
		n++
	}
	return n, at
}
