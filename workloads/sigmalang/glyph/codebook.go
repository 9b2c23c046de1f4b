package glyph

import (
	_ "embed"
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
	"strconv"
	"strings"
)

// trained holds the patterns of the codebook, most frequent first, one quoted
// string a line. They were counted in the sources and comments of Go's library, in
// manual pages, in a dictionary's definitions and in a collection of quotations,
// and chosen by the bytes that they save there.
//
//go:embed codebook.txt
var trained string

const (
	maxPattern = 16 // bytes, two machine words
	minPattern = 2

	firstShort = 0x80 // glyphs of one byte
	firstLong  = 0xc0 // lead bytes of those of two
	escape     = 0xff
	shortCodes = firstLong - firstShort
	// MaxPatterns is how many patterns there are codes for.
	MaxPatterns = shortCodes + (escape-firstLong)<<8
)

// Codebook gives patterns their glyphs. It does not change once made.
type Codebook struct {
	patterns    []pattern // by rank from 1 on; 0 stands for none
	table       []slot    // open addressing
	shift       uint8     // turns a hash into a place in table
	byLength    [maxPattern + 1][]uint16
	fingerprint uint32
}

// pattern is what a glyph stands for.
type pattern struct {
	key
	width uint8  // of the code, in bytes
	code  uint16 // as the stream has it, the lead byte below
}

// key is a short text as two numbers, with its length, as bytes of value zero are
// text too.
type key struct {
	low, high uint64
	length    uint8
}

// slot is a place of the table: a glyph, and some bits of its hash, so that most
// patterns that are not the one looked for need not be fetched. Glyph 0 marks an
// empty one.
type slot struct{ tag, glyph uint16 }

// DefaultCodebook is that of the reference service.
func DefaultCodebook() (*Codebook, error) {
	var patterns []string
	for line := range strings.Lines(trained) {
		text, err := strconv.Unquote(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return nil, fmt.Errorf("reading pattern %d of the codebook: %w", len(patterns), err)
		}
		patterns = append(patterns, text)
	}
	return NewCodebook(patterns)
}

// NewCodebook makes a codebook of different patterns of 2 to 16 bytes, the most
// frequent first.
func NewCodebook(patterns []string) (*Codebook, error) {
	if len(patterns) > MaxPatterns {
		return nil, fmt.Errorf("%d patterns, there are codes for %d", len(patterns), MaxPatterns)
	}
	size := bits.Len(uint(2*len(patterns) | 15))
	b := &Codebook{
		patterns: make([]pattern, 1, len(patterns)+1),
		table:    make([]slot, 1<<size),
		shift:    uint8(64 - size),
	}
	digest := crc32.New(castagnoli)
	for rank, text := range patterns {
		if err := b.add(rank, text); err != nil {
			return nil, fmt.Errorf("pattern %d of the codebook, %q: %w", rank, text, err)
		}
		fmt.Fprintf(digest, "%q\n", text)
	}
	b.fingerprint = digest.Sum32()
	return b, nil
}

func (b *Codebook) add(rank int, text string) error {
	if len(text) < minPattern || len(text) > maxPattern {
		return fmt.Errorf("it has %d bytes, must have %d to %d", len(text), minPattern, maxPattern)
	}
	var padded [maxPattern]byte
	copy(padded[:], text)
	p := pattern{key: keyOf(padded[:], 0, len(text)), width: 1, code: uint16(firstShort + rank)}
	if rank >= shortCodes {
		long := rank - shortCodes
		p.code, p.width = uint16(firstLong+long>>8)|uint16(long&0xff)<<8, 2
	}
	hash, mask := p.hash(), uint64(len(b.table)-1)
	at := hash >> b.shift
	for b.table[at].glyph != 0 {
		if b.patterns[b.table[at].glyph].key == p.key {
			return errors.New("it is there already")
		}
		at = (at + 1) & mask
	}
	glyph := uint16(rank + 1)
	b.patterns = append(b.patterns, p)
	b.table[at] = slot{uint16(hash), glyph}
	b.byLength[len(text)] = append(b.byLength[len(text)], glyph)
	return nil
}

// masks keep the first bytes of a word, by their number.
var masks = [9]uint64{0, 1<<8 - 1, 1<<16 - 1, 1<<24 - 1, 1<<32 - 1, 1<<40 - 1, 1<<48 - 1, 1<<56 - 1, 1<<64 - 1}

// keyOf reads the key of a token of up to 16 bytes; so many can be read from its
// start. It has no branches, as lengths are hard to predict.
func keyOf(text []byte, start, length int) key {
	return key{
		low:    load(text, start) & masks[min(length, 8)],
		high:   load(text, start+8) & masks[max(length, 8)-8],
		length: uint8(length),
	}
}

// hash spreads keys over all bits.
func (k key) hash() uint64 {
	const odd, odder = 0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f
	mixed := (k.low ^ k.high*odder) * odd
	return mixed ^ mixed>>32
}

// matchCodebook finds the glyph of each token, 0 for none.
func (b *Codebook) matchCodebook(text []byte, tokens []token, glyphs []uint16) {
	table, mask := b.table, uint64(len(b.table)-1)
	for i, t := range tokens {
		glyphs[i] = 0
		length := t.end - t.start
		if length < minPattern || length > maxPattern {
			continue
		}
		k := keyOf(text, t.start, length)
		hash := k.hash()
		for at := hash >> b.shift; ; at++ {
			s := table[at&mask]
			if s.glyph == 0 {
				break
			}
			if s.tag == uint16(hash) && b.patterns[s.glyph].key == k {
				glyphs[i] = s.glyph
				break
			}
		}
	}
}
