package glyph

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// encodeGlyphs writes tokens into a stream from a place on and returns where it
// ends: the codes of those that have a glyph, the bytes of the others. The stream
// has room for twice the tokens' bytes and eight more.
func (b *Codebook) encodeGlyphs(stream []byte, at int, text []byte, tokens []token, glyphs []uint16) int {
	for i, t := range tokens {
		if g := glyphs[i]; g != 0 {
			p := &b.patterns[g]
			binary.LittleEndian.PutUint16(stream[at:], p.code)
			at += int(p.width)
			continue
		}
		for from := t.start; from < t.end; from += 8 {
			eight, n := load(text, from), min(8, t.end-from)
			if n < 8 {
				eight &= 1<<(8*uint(n)) - 1
			}
			if eight&tops == 0 {
				binary.LittleEndian.PutUint64(stream[at:], eight)
				at += n
				continue
			}
			at = escapeBytes(stream, at, text[from:from+n])
		}
	}
	return at
}

// escapeBytes writes bytes that are not all ASCII.
func escapeBytes(stream []byte, at int, text []byte) int {
	for _, c := range text {
		if c >= firstShort {
			stream[at] = escape
			at++
		}
		stream[at] = c
		at++
	}
	return at
}

var (
	errGlyph = errors.New("a glyph that the codebook does not have")
	errCut   = errors.New("the stream of glyphs ends within one")
	errLong  = errors.New("the glyphs stand for more text than the frame says")
	errShort = errors.New("the glyphs stand for less text than the frame says")
)

// decodeGlyphs writes the text of a stream, which has to be as long as text less
// its padding.
func (b *Codebook) decodeGlyphs(text []byte, stream []byte) error {
	end, out := len(text)-padding, 0
	for at := 0; at < len(stream); {
		if at+8 <= len(stream) && out+8 <= len(text) {
			eight := load(stream, at)
			binary.LittleEndian.PutUint64(text[out:], eight)
			plain := bits.TrailingZeros64(eight&tops) / 8 // 8 where there is no other
			at, out = at+plain, out+plain
			if plain == 8 {
				continue
			}
		}
		if out > end {
			return errLong
		}
		p, next, err := b.next(stream, at)
		if err != nil {
			return err
		}
		if out+int(p.length) > end {
			return errLong
		}
		// What is written beyond the pattern is overwritten, or padding.
		binary.LittleEndian.PutUint64(text[out:], p.low)
		binary.LittleEndian.PutUint64(text[out+8:], p.high)
		at, out = next, out+int(p.length)
	}
	if out != end {
		return errShort
	}
	return nil
}

// next reads one glyph or byte; bytes are patterns of their own.
func (b *Codebook) next(stream []byte, at int) (k key, next int, err error) {
	c := stream[at]
	rank := int(c) - firstShort
	switch {
	case c < firstShort:
		return single(c), at + 1, nil
	case c < firstLong:
		next = at + 1
	case at+1 == len(stream):
		return key{}, 0, errCut
	case c == escape:
		return single(stream[at+1]), at + 2, nil
	default:
		rank = shortCodes + int(c-firstLong)<<8 + int(stream[at+1])
		next = at + 2
	}
	if rank+1 >= len(b.patterns) {
		return key{}, 0, errGlyph
	}
	return b.patterns[rank+1].key, next, nil
}

func single(c byte) key { return key{low: uint64(c), length: 1} }
