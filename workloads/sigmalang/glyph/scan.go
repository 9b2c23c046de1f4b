package glyph

// scanCodebook does what matchCodebook does by comparing each token with the
// patterns of its length, one after another. It is the planted fault: what it
// takes grows with the codebook.
func (b *Codebook) scanCodebook(text []byte, tokens []token, glyphs []uint16) {
	for i, t := range tokens {
		glyphs[i] = 0
		length := t.end - t.start
		if length < minPattern || length > maxPattern {
			continue
		}
		k := keyOf(text, t.start, length)
		for _, glyph := range b.byLength[length] {
			if b.patterns[glyph].key == k {
				glyphs[i] = glyph
				break
			}
		}
	}
}
