package sigmavault

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/maphash"
	"math"
	"math/rand/v2"
)

const (
	// smallestUnit bounds a unit, in bytes.
	smallestUnit = 1 << 10
	// mostGlyphs bounds the glyph stream at the beginning of a unit, in bytes; the rest is
	// KV cache.
	mostGlyphs = 4 << 10
	glyphBytes = 2
	// tokensPerGlyph is how far a context was compressed.
	tokensPerGlyph = 8
)

// unit is a reusable semantic unit of a benchmark.
type unit struct {
	id                                string
	hash                              string
	tokens, glyphs, size, kvCacheSize int
	from                              int // where its content begins in the pool
	sum                               uint64
}

// units makes the units of a run. The same seed gives the same ones, but for their IDs,
// which differ from run to run so that two can drive one service.
type units struct {
	seed    uint64
	largest int
	tag     string
	pool    []byte // pseudo-random
	hash    maphash.Seed
}

func newUnits(seed uint64, largest int) *units {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	s := &units{seed: seed, largest: largest, tag: fmt.Sprintf("%08x", rand.Uint32()), pool: make([]byte, 4*largest), hash: maphash.MakeSeed()}
	_, _ = rand.NewChaCha8(key).Read(s.pool) // never fails
	return s
}

// unit returns one of the units of a kind, such as those that are read. Sizes are spread
// evenly over their logarithm, so that small and large ones are as common.
func (s *units) unit(kind string, number int) *unit {
	random := rand.New(rand.NewPCG(s.seed, kindSeed(kind)+uint64(int64(number))))
	size := int(smallestUnit * math.Pow(float64(s.largest)/smallestUnit, random.Float64()))
	stream := min(size/2, mostGlyphs) / glyphBytes * glyphBytes
	var hash [32]byte
	for i := range 4 {
		binary.LittleEndian.PutUint64(hash[8*i:], random.Uint64())
	}
	u := &unit{
		id:     fmt.Sprintf("narrows-%s-%s-%d", s.tag, kind, number),
		hash:   hex.EncodeToString(hash[:]),
		glyphs: stream / glyphBytes, tokens: stream / glyphBytes * tokensPerGlyph,
		size: size, kvCacheSize: size - stream,
		from: random.IntN(len(s.pool) - size),
	}
	return u
}

// kindSeed is a number of a kind's own (FNV-1a, 64 bits).
func kindSeed(kind string) uint64 {
	sum := uint64(14695981039346656037)
	for i := range len(kind) {
		sum = (sum ^ uint64(kind[i])) * 1099511628211
	}
	return sum
}

// content makes a unit's content, which is no other's: it begins with its hash.
func (s *units) content(u *unit) []byte {
	content := make([]byte, u.size)
	copy(content, s.pool[u.from:])
	copy(content, u.hash)
	return content
}

// differs returns the first byte that is other than the unit's content of that length,
// -1 for none.
func (s *units) differs(u *unit, content []byte) int {
	hash := min(len(u.hash), len(content))
	if string(content[:hash]) == u.hash[:hash] && bytes.Equal(content[hash:], s.pool[u.from+hash:u.from+len(content)]) {
		return -1
	}
	for at, want := range s.content(u) {
		if content[at] != want {
			return at
		}
	}
	return -1
}

// remember keeps the hash of a unit's content, by which it is recognised.
func (s *units) remember(u *unit, content []byte) { u.sum = maphash.Bytes(s.hash, content) }

// is tells whether bytes are the unit's content.
func (s *units) is(u *unit, content []byte) bool {
	return len(content) == u.size && maphash.Bytes(s.hash, content) == u.sum
}
