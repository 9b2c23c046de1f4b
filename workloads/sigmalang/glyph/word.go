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

// letterRun returns where the letters end that begin at a place. The padding holds
// none.
func letterRun(text []byte, at int) int {
	for {
		others := letters(load(text, at)) ^ tops
		if others != 0 {
			return at + bits.TrailingZeros64(others)/8
		}
		at += 8
	}
}

// otherRun returns where the next letter is, or the end.
func otherRun(text []byte, at, end int) int {
	for at < end {
		if found := letters(load(text, at)); found != 0 {
			return at + bits.TrailingZeros64(found)/8
		}
		at += 8
	}
	return end
}

// token is a piece of text that may be a pattern.
type token struct{ start, end int }

// parse cuts the text from a place on into tokens, as many as there is room for,
// and returns their number and where it stopped. A token is a run of letters with
// the space before it, or a run of anything else. The tokens leave nothing out.
// The text has padding behind its end.
func parse(text []byte, at, end int, tokens []token) (n, next int) {
	for n < len(tokens) && at < end {
		start := at
		eight := load(text, at)
		isLetter := letters(eight)
		switch {
		case isLetter&0x80 != 0:
			at = letterRun(text, at+1)
		case byte(eight) == ' ' && isLetter&0x8000 != 0 && at+1 < end:
			at = letterRun(text, at+2)
		default:
			at = otherRun(text, at+1, end)
			if at < end && at-start > 1 && text[at-1] == ' ' {
				at-- // the space is the next word's
			}
		}
		tokens[n] = token{start, at}
		n++
	}
	return n, at
}
