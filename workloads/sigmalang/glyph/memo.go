package glyph

import (
	"container/list"
	"sync"
)

// memoWords is how many words a memo remembers.
const memoWords = 4096

// wordMemo remembers the glyphs of the words that were looked up last, for all who
// encode. Its lock is held while a segment's words go through it, so that those who encode on
// several cores do most of it in single file. It is a planted fault.
type wordMemo struct {
	mutex  sync.Mutex
	known  map[key]*list.Element
	recent list.List // of remembered, the one used last in front
}

type remembered struct {
	key
	glyph uint16
}

func newWordMemo() *wordMemo { return &wordMemo{known: make(map[key]*list.Element, memoWords)} }

// lookUp returns a word's glyph, 0 for none. The lock is the caller's.
func (m *wordMemo) lookUp(b *Codebook, word key) uint16 {
	if at := m.known[word]; at != nil {
		m.recent.MoveToFront(at)
		return at.Value.(*remembered).glyph
	}
	if len(m.known) < memoWords {
		glyph := b.find(word)
		m.known[word] = m.recent.PushFront(&remembered{word, glyph})
		return glyph
	}
	at := m.recent.Back()
	entry := at.Value.(*remembered)
	delete(m.known, entry.key)
	entry.key, entry.glyph = word, b.find(word)
	m.known[word] = at
	m.recent.MoveToFront(at)
	return entry.glyph
}

// recall substitutes a segment's words by what the memo says of each.
func (m *wordMemo) recall(c *Codec, w *workspace) []byte {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return c.substituteBy(func(text []byte, tokens []token, glyphs []uint16) { m.lookUpAll(c.book, text, tokens, glyphs) }, w)
}

// lookUpAll does what matchCodebook does by asking the memo for each token. The lock is the
// caller's.
func (m *wordMemo) lookUpAll(b *Codebook, text []byte, tokens []token, glyphs []uint16) {
	for i, t := range tokens {
		glyphs[i] = 0
		if length := t.end - t.start; length >= minPattern && length <= maxPattern {
			glyphs[i] = m.lookUp(b, keyOf(text, t.start, length))
		}
	}
}

// find returns the glyph of one word, 0 for none.
func (b *Codebook) find(word key) uint16 {
	hash := word.hash()
	for at := hash >> b.shift; ; at++ {
		s := b.table[at&uint64(len(b.table)-1)]
		if s.glyph == 0 || s.tag == uint16(hash) && b.patterns[s.glyph].key == word {
			return s.glyph
		}
	}
}
