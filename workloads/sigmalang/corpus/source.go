package corpus

import (
	"encoding/base64"
	"math/rand/v2"
)

// Kind is a kind of text.
type Kind string

// The kinds of text.
const (
	English  Kind = "english"
	Code     Kind = "code"
	Repeated Kind = "repeated"
	Random   Kind = "random"
)

// Kinds lists all of them.
func Kinds() []Kind { return []Kind{English, Code, Repeated, Random} }

const (
	// passage is about how long a passage is, and stock how many passages of each
	// kind a source has.
	passage = 8 << 10
	stock   = 256
	// Repeated texts repeat between so many bytes.
	leastRepeated, mostRepeated = 100, 1000
)

// Source gives texts of one seed. Any number of callers may use it at a time.
type Source struct {
	seed     uint64
	passages map[Kind][][]byte
}

// NewSource makes the stock of passages, 4 MiB in all.
func NewSource(seed uint64) *Source {
	s := &Source{seed: seed, passages: make(map[Kind][][]byte)}
	words := readWords()
	for i := range stock {
		s.passages[English] = append(s.passages[English], newProse(words, s.random(English, i)).write(passage))
		s.passages[Code] = append(s.passages[Code], newProgram(words, s.random(Code, i)).write(passage))
	}
	return s
}

// random returns the numbers behind the text of an index, or the passage.
func (s *Source) random(kind Kind, index int) *rand.Rand {
	const prime = 1_000_003
	stream := uint64(int64(index))
	for _, c := range []byte(kind) {
		stream = stream*prime + uint64(c)
	}
	return rand.New(rand.NewPCG(s.seed, stream))
}

// Text returns a text of a kind, so many bytes of ASCII. It is the same for the
// same seed, index and length.
func (s *Source) Text(kind Kind, index, length int) []byte {
	random := s.random(kind+" text", index)
	text := make([]byte, 0, length+passage)
	switch kind {
	case Repeated:
		words := s.passages[English][random.IntN(stock)]
		unit := words[:leastRepeated+random.IntN(mostRepeated-leastRepeated+1)]
		for len(text) < length {
			text = append(text, unit...)
		}
	case Random:
		noise := make([]byte, length*3/4+3)
		var key [32]byte
		for i := range key {
			key[i] = byte(random.Uint32())
		}
		_, _ = rand.NewChaCha8(key).Read(noise) // always whole, and no error
		text = base64.StdEncoding.AppendEncode(text, noise)
	default:
		skip := random.IntN(passage / 2) // or one text in so many would begin like another
		for len(text) < length {
			for _, i := range random.Perm(stock) {
				text = append(text, s.passages[kind][i][skip:]...)
				if skip = 0; len(text) >= length {
					break
				}
			}
		}
	}
	return text[:length]
}
