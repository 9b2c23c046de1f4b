package glyph

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func padded(text string) []byte { return append([]byte(text), make([]byte, padding)...) }

// cut is parse in plain words.
func cut(text string) []string {
	letter := func(i int) bool {
		return i < len(text) && (text[i] >= 'a' && text[i] <= 'z' || text[i] >= 'A' && text[i] <= 'Z')
	}
	var tokens []string
	for at := 0; at < len(text); {
		start := at
		switch {
		case letter(at), text[at] == ' ' && letter(at+1):
			for at++; letter(at); at++ {
			}
		default:
			for at++; at < len(text) && !letter(at); at++ {
			}
			if at < len(text) && at-start > 1 && text[at-1] == ' ' {
				at--
			}
		}
		tokens = append(tokens, text[start:at])
	}
	return tokens
}

func TestParseCutsAsItSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := string(rapid.SliceOf(rapid.SampledFrom([]byte("aZm@[`{ .\n\x00\xc3\xe1  zA"))).Draw(t, "text"))
		var got []string
		tokens := make([]token, 3) // few, so that it has to go on
		for at := 0; at < len(text); {
			var n int
			n, at = parse(padded(text), at, len(text), tokens)
			for _, token := range tokens[:n] {
				got = append(got, text[token.start:token.end])
			}
		}
		if want := cut(text); !slices.Equal(got, want) {
			t.Fatalf("%q: %q, want %q", text, got, want)
		}
	})
}

func TestLetters(t *testing.T) {
	for c := range 256 {
		want := uint64(0)
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			want = tops
		}
		if got := letters(uint64(c) * ones); got != want {
			t.Errorf("%q: %x", rune(c), got)
		}
	}
}

// The hash table and the scan find what a map would.
func TestMatchesAreTheMaps(t *testing.T) {
	book, err := DefaultCodebook()
	if err != nil {
		t.Fatal(err)
	}
	glyphOf := map[string]uint16{}
	for i, p := range book.patterns[1:] {
		var text [maxPattern]byte
		n := book.write(text[:], p.key)
		glyphOf[string(text[:n])] = uint16(i + 1)
	}
	if len(glyphOf) != strings.Count(trained, "\n")+1 && len(glyphOf) != strings.Count(trained, "\n") {
		t.Fatalf("%d different patterns", len(glyphOf))
	}
	var text strings.Builder
	for pattern := range glyphOf {
		text.WriteString(pattern)
		text.WriteString("Xq\x00 z")
	}
	tokens, glyphs, scanned := make([]token, 1), make([]uint16, 1), make([]uint16, 1)
	whole := padded(text.String())
	found := 0
	for at := 0; at < text.Len(); {
		_, at = parse(whole, at, text.Len(), tokens)
		book.matchCodebook(whole, tokens, glyphs)
		book.scanCodebook(whole, tokens, scanned)
		token := text.String()[tokens[0].start:tokens[0].end]
		if glyphs[0] != glyphOf[token] || scanned[0] != glyphOf[token] {
			t.Fatalf("%q: glyph %d by hash, %d by scan, want %d", token, glyphs[0], scanned[0], glyphOf[token])
		}
		if glyphs[0] != 0 {
			found++
		}
	}
	if found < 1000 {
		t.Errorf("only %d tokens were patterns", found)
	}
}

// write writes what a key stands for.
func (b *Codebook) write(text []byte, k key) int {
	for i := range int(k.length) {
		word := k.low
		if i >= 8 {
			word = k.high
		}
		text[i] = byte(word >> (8 * (i % 8)))
	}
	return int(k.length)
}

func TestCodebookRefusesWhatItCannotHold(t *testing.T) {
	for name, patterns := range map[string][]string{
		"short": {"a"}, "long": {strings.Repeat("a", 17)}, "twice": {"the", "of", "the"}, "many": make([]string, MaxPatterns+1),
	} {
		if _, err := NewCodebook(patterns); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	var most []string
	for i := range MaxPatterns {
		most = append(most, string([]byte{byte('a' + i>>12), byte('a' + i>>8&15), byte('a' + i>>4&15), byte('a' + i&15)}))
	}
	book, err := NewCodebook(most)
	if err != nil {
		t.Fatal(err)
	}
	c := NewCodec(book, 1, Faults{})
	returns(t, c, []byte(strings.Join(most, ".")))
}

func TestFramesOfAnotherCodebookAreRefused(t *testing.T) {
	one, err := NewCodebook([]string{"ab", "cd"})
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewCodebook([]string{"cd", "ab"})
	if err != nil {
		t.Fatal(err)
	}
	frame, err := NewCodec(one, 1, Faults{}).Encode(t.Context(), nil, []byte("ab cd"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewCodec(other, 1, Faults{}).Decode(t.Context(), nil, frame); err == nil {
		t.Error("no error")
	}
}

func TestChecksumsAgree(t *testing.T) {
	// The check value of CRC-32C in the catalogue of CRC algorithms.
	if sum := checksum([]byte("123456789")); sum != 0xe3069283 {
		t.Errorf("%#x", sum)
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOf(rapid.Byte()).Draw(t, "text")
		if a, b := checksum(text), checksumBitwise(text); a != b {
			t.Fatalf("%#x and %#x", a, b)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	text := bytes.Repeat([]byte("The reader returns an error if the file does not exist; otherwise it parses Xyzzy.\n"), 12_000)
	for name, faults := range map[string]Faults{"sound": {}, "scan": {Scan: true}, "bitwise": {Bitwise: true}, "fresh": {Fresh: true}, "memo": {Memo: true}} {
		b.Run(name, func(b *testing.B) {
			c := newCodec(b, 1, faults)
			var frame []byte
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				frame, _ = c.Encode(b.Context(), frame[:0], text)
			}
		})
	}
}
