package llama

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Tokenizer turns text into tokens and back. It is read-only and may be shared.
type Tokenizer struct {
	pieces []piece
	ids    map[string]int // text pieces only
	bytes  [256]int       // the token of each byte, -1 where there is none
	begin  int
	// unknown stands for a character that has neither a piece nor byte tokens.
	unknown int
	longest int // bytes of the longest piece
	// spaced is SentencePiece's rule that a text begins with a space which the
	// text itself does not have.
	spaced bool
}

// piece is one token.
type piece struct {
	text  string // what it stands for; a byte token's one byte, "" for control
	score float32
	kind  pieceKind
}

type pieceKind uint8

const (
	textPiece pieceKind = iota
	bytePiece
	unknownPiece
	controlPiece
)

// newTokenizer indexes the pieces. Of equal text pieces the first counts.
func newTokenizer(pieces []piece, begin, unknown int, spaced bool) *Tokenizer {
	t := &Tokenizer{pieces: pieces, ids: make(map[string]int, len(pieces)), begin: begin, unknown: unknown, spaced: spaced}
	for i := range t.bytes {
		t.bytes[i] = -1
	}
	for id, p := range slices.Backward(pieces) {
		t.longest = max(t.longest, len(p.text))
		switch p.kind {
		case textPiece:
			if p.text != "" {
				t.ids[p.text] = id
			}
		case bytePiece:
			t.bytes[p.text[0]] = id
		}
	}
	return t
}

// Size is the number of tokens, a model's Config.Vocab.
func (t *Tokenizer) Size() int { return len(t.pieces) }

// LongestPiece is the most bytes that a token stands for, so that no text of
// more than n times as many fits into n tokens. A character without any token
// becomes unknown: at most four bytes.
func (t *Tokenizer) LongestPiece() int { return max(t.longest, utf8.UTFMax) }

// Begin is the token that a sequence starts with.
func (t *Tokenizer) Begin() int { return t.begin }

// Ends says whether a token means that the text is over. The token that begins
// a text ends the one before it, too: llama2.c's models know no other end.
func (t *Tokenizer) Ends(token int) bool {
	return token >= 0 && token < len(t.pieces) && t.pieces[token].kind == controlPiece
}

// Encode cuts a text into tokens, without the one that begins a sequence: from
// single characters, the two neighbours whose joint piece has the highest score
// are joined, the leftmost of equals first, until no neighbours form a piece
// (byte-pair encoding by scores, as in SentencePiece). What then is no piece
// becomes the tokens of its bytes.
func (t *Tokenizer) Encode(text string) []int {
	if text == "" {
		return nil
	}
	if t.spaced {
		text = " " + text
	}
	tokens := make([]int, 0, len(text)/2)
	for _, span := range t.join(text) {
		if id, ok := t.ids[span]; ok {
			tokens = append(tokens, id)
			continue
		}
		for i := range len(span) {
			id := t.bytes[span[i]]
			if id < 0 {
				tokens = append(tokens, t.unknown)
				break
			}
			tokens = append(tokens, id)
		}
	}
	return tokens
}

// appendBytes adds what a token stands for when it follows previous.
func (t *Tokenizer) appendBytes(dst []byte, previous, token int) []byte {
	if token < 0 || token >= len(t.pieces) {
		return dst
	}
	text := t.pieces[token].text
	if t.spaced && previous == t.begin {
		text = strings.TrimPrefix(text, " ")
	}
	return append(dst, text...)
}

// Decoder turns tokens into text as they come. It never gives out a part of a
// character: bytes that may be the start of one are kept until the rest comes.
type Decoder struct {
	tokenizer *Tokenizer
	previous  int
	pending   []byte
}

// NewDecoder starts after the given token, which is a sequence's first or the
// last of a prompt that the text continues.
func (t *Tokenizer) NewDecoder(previous int) *Decoder {
	return &Decoder{tokenizer: t, previous: previous}
}

// Next gives the text that the token completes, which may be empty. Each
// byte that is no UTF-8 becomes U+FFFD.
func (d *Decoder) Next(token int) string {
	d.pending = d.tokenizer.appendBytes(d.pending, d.previous, token)
	d.previous = token
	var text strings.Builder
	rest := d.pending
	for len(rest) > 0 && utf8.FullRune(rest) {
		r, size := utf8.DecodeRune(rest)
		text.WriteRune(r)
		rest = rest[size:]
	}
	d.pending = append(d.pending[:0], rest...)
	return text.String()
}

// Flush gives what is left when no more tokens come: U+FFFD if the last
// character is unfinished, else nothing.
func (d *Decoder) Flush() string {
	if len(d.pending) == 0 {
		return ""
	}
	d.pending = d.pending[:0]
	return string(utf8.RuneError)
}

// Decode is the text of a sequence's tokens after the one that begins it.
func (t *Tokenizer) Decode(tokens []int) string {
	var text strings.Builder
	d := t.NewDecoder(t.begin)
	for _, token := range tokens {
		text.WriteString(d.Next(token))
	}
	text.WriteString(d.Flush())
	return text.String()
}
