package llama

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// entry is one token of a llama2.c tokenizer file.
type entry struct {
	text  string
	score float32
}

// writeTokenizer lays a tokenizer out as llama2.c does.
func writeTokenizer(entries []entry) []byte {
	longest := 0
	for _, e := range entries {
		longest = max(longest, len(e.text))
	}
	out := binary.LittleEndian.AppendUint32(nil, uint32(longest))
	for _, e := range entries {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(e.score))
		out = binary.LittleEndian.AppendUint32(out, uint32(len(e.text)))
		out = append(out, e.text...)
	}
	return out
}

// words is a vocabulary with control tokens, bytes and the given pieces, whose
// scores fall in their order as SentencePiece writes them.
func words(pieces ...string) []entry {
	entries := []entry{{"<unk>", 0}, {"\n<s>\n", 0}, {"\n</s>\n", 0}}
	for b := range 256 {
		entries = append(entries, entry{fmt.Sprintf("<0x%02X>", b), 0})
	}
	for i, p := range pieces {
		entries = append(entries, entry{p, -float32(i)})
	}
	return entries
}

func readTokenizer(t interface {
	Helper()
	Fatal(...any)
}, entries []entry) *Tokenizer {
	t.Helper()
	tok, err := ReadTokenizer(bytes.NewReader(writeTokenizer(entries)), len(entries))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// englishPieces overlap in ways that the order of joining decides.
var englishPieces = []string{"th", "he", " t", "in", "er", " a", "the", " th", " the", "ing", "ab", "bc", "abc", "aa", "aaa",
	" ", "a", "b", "c", "e", "g", "h", "i", "n", "r", "t", "é", "éa", "你", "你好", "好"}

func TestEncodeJoinsByScore(t *testing.T) {
	tok := readTokenizer(t, words(englishPieces...))
	for text, want := range map[string][]string{
		"the":   {" the"},        // "th" before "he" and " t", then "the" before " th"
		"thing": {" th", "ing"},  // "th", "in", "ing", " th"
		"abc":   {" a", "bc"},    // " a" before "ab"; then "bc"
		"aaaa":  {" a", "aaa"},   // " a" first, then the leftmost "aa"
		"你好":    {" ", "你好"},     // characters of three bytes
		"x":     {" ", "<0x78>"}, // no piece: bytes
		"ñ":     {" ", "<0xC3>", "<0xB1>"},
		"":      nil,
	} {
		var got []string
		for _, id := range tok.Encode(text) {
			if p := tok.pieces[id]; p.kind == bytePiece {
				got = append(got, fmt.Sprintf("<0x%02X>", p.text[0]))
			} else {
				got = append(got, p.text)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

// slowEncode joins one pair at a time by looking at all of them.
func slowEncode(tok *Tokenizer, text string) []int {
	if text == "" {
		return nil
	}
	if tok.spaced {
		text = " " + text
	}
	var spans []string
	for at := 0; at < len(text); {
		_, size := utf8.DecodeRuneInString(text[at:])
		spans = append(spans, text[at:at+size])
		at += size
	}
	for {
		best, score := -1, float32(0)
		for i := range len(spans) - 1 {
			id, ok := tok.ids[spans[i]+spans[i+1]]
			if ok && (best < 0 || tok.pieces[id].score > score) {
				best, score = i, tok.pieces[id].score
			}
		}
		if best < 0 {
			break
		}
		spans = slices.Replace(spans, best, best+2, spans[best]+spans[best+1])
	}
	var tokens []int
	for _, s := range spans {
		if id, ok := tok.ids[s]; ok {
			tokens = append(tokens, id)
			continue
		}
		for _, b := range []byte(s) {
			tokens = append(tokens, tok.bytes[b])
		}
	}
	return tokens
}

// texts draws text that the vocabularies can join as well as any other string,
// valid or not.
func texts() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.StringOfN(rapid.RuneFrom([]rune(" aabbcteheing你好é<0x41>")), 0, 60, -1),
		rapid.String(),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
	)
}

func TestTokenizersRoundTrip(t *testing.T) {
	builtin, err := BuiltinTokenizer(5000)
	if err != nil {
		t.Fatal(err)
	}
	for name, tok := range map[string]*Tokenizer{
		"file":    readTokenizer(t, words(englishPieces...)),
		"bytes":   readTokenizer(t, words()),
		"builtin": builtin,
	} {
		t.Run(name, rapid.MakeCheck(func(t *rapid.T) {
			text := texts().Draw(t, "text")
			tokens := tok.Encode(text)
			if want := slowEncode(tok, text); !slices.Equal(tokens, want) {
				t.Fatalf("%q became %v, joining slowly gives %v", text, tokens, want)
			}
			var raw []byte
			previous := tok.Begin()
			for _, token := range tokens {
				raw = tok.appendBytes(raw, previous, token)
				previous = token
			}
			if string(raw) != text {
				t.Fatalf("%q came back as %q", text, raw)
			}
			// Each bad byte is replaced, but an unfinished end only once.
			if got, want := tok.Decode(tokens), string([]rune(text)); !strings.HasPrefix(want, got) || strings.Trim(want[len(got):], "\uFFFD") != "" {
				t.Fatalf("%q decodes to %q, want %q", text, got, want)
			}
			if utf8.ValidString(text) && tok.Decode(tokens) != text {
				t.Fatalf("%q decodes to %q", text, tok.Decode(tokens))
			}
			if n := len(tokens) * tok.LongestPiece(); n < len(text) {
				t.Fatalf("%d tokens stand for %d bytes, said to be at most %d", len(tokens), len(text), n)
			}
		}))
	}
}

func TestDecoderKeepsCharactersWhole(t *testing.T) {
	tok := readTokenizer(t, words())
	d := tok.NewDecoder(-1)
	byteOf := func(b byte) int { return tok.bytes[b] }
	for _, step := range []struct {
		b    byte
		want string
	}{
		{'a', "a"}, {0xE4, ""}, {0xBD, ""}, {0xA0, "你"},
		{0xF0, ""}, {0x9F, ""}, {'b', "\uFFFD\uFFFDb"}, {0xFF, "\uFFFD"}, {0xC3, ""},
	} {
		if got := d.Next(byteOf(step.b)); got != step.want {
			t.Errorf("byte %#x gave %q, want %q", step.b, got, step.want)
		}
	}
	if got := d.Flush(); got != "\uFFFD" {
		t.Errorf("the unfinished character became %q", got)
	}
	if got := d.Flush(); got != "" {
		t.Errorf("a second flush gave %q", got)
	}
}

func TestControlTokens(t *testing.T) {
	tok := readTokenizer(t, words(englishPieces...))
	if tok.Begin() != beginToken || !tok.Ends(beginToken) || !tok.Ends(endToken) || tok.Ends(unknownToken) || tok.Ends(300) || tok.Ends(-1) {
		t.Error("the wrong tokens end a text")
	}
	if got := tok.Decode([]int{endToken, beginToken, unknownToken}); got != "\uFFFD" {
		t.Errorf("control tokens decode to %q", got)
	}
	// Text that looks like a token is text.
	for _, text := range []string{"<s>", "\n<s>\n", "<0x41>", "<unk>"} {
		if got := tok.Decode(tok.Encode(text)); got != text {
			t.Errorf("%q came back as %q", text, got)
		}
	}
}

func TestUnknownCharacters(t *testing.T) {
	tok := readTokenizer(t, []entry{{"<unk>", 0}, {"<s>", 0}, {"</s>", 0}, {" ", 0}, {"a", 0}})
	if got := tok.Encode("a你a"); !slices.Equal(got, []int{3, 4, unknownToken, 4}) {
		t.Errorf("got %v", got)
	}
}

func TestTokenizerRefusesDamage(t *testing.T) {
	entries := words("a", "ab")
	good := writeTokenizer(entries)
	n := len(entries)
	change := func(at int, v uint32) []byte {
		bad := bytes.Clone(good)
		binary.LittleEndian.PutUint32(bad[at:], v)
		return bad
	}
	for _, x := range []struct {
		name string
		data []byte
		size int
		want string
	}{
		{"empty", nil, n, "longest token's length"},
		{"longest is 0", change(0, 0), n, "longest token has 0"},
		{"longest is huge", change(0, math.MaxInt32), n, "longest token has"},
		{"longest is too short", change(0, 2), n, "token 0: it has 5 bytes"},
		{"negative length", change(8, math.MaxUint32), n, "token 0: it has -1 bytes"},
		{"score is no number", change(4, math.Float32bits(float32(math.NaN()))), n, "token 0: its score"},
		{"cut off", good[:len(good)-1], n, fmt.Sprintf("token %d: unexpected EOF", n-1)},
		{"cut between tokens", good, n + 1, fmt.Sprintf("token %d: unexpected EOF", n)},
		{"too long", good, n - 1, "bytes follow the last"},
		{"no room for control tokens", good, 2, "a tokenizer of 2 tokens"},
		{"size is huge", good, math.MaxInt, "a tokenizer of"},
	} {
		if _, err := ReadTokenizer(bytes.NewReader(x.data), x.size); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: got %v, want an error about %q", x.name, err, x.want)
		}
	}
}

func TestBuiltinVocabularySizes(t *testing.T) {
	for _, size := range []int{256, 257, 1000, 19209, 19210, 19211, 32000} {
		tok, err := BuiltinTokenizer(size)
		if err != nil || tok.Size() != size {
			t.Fatalf("size %d: %v", size, err)
		}
		seen := make(map[string]bool, size)
		for _, p := range tok.pieces {
			if seen[p.text] {
				t.Fatalf("size %d has %q twice", size, p.text)
			}
			seen[p.text] = true
		}
	}
	for _, size := range []int{0, 255, maxVocab + 1} {
		if _, err := BuiltinTokenizer(size); err == nil {
			t.Errorf("size %d was accepted", size)
		}
	}
}

func TestEncodeLongText(t *testing.T) {
	tok := readTokenizer(t, words(englishPieces...))
	// Joining a text of this length pair by pair would take hours.
	text := strings.Repeat("a", 1<<20)
	if got := tok.Decode(tok.Encode(text)); got != text {
		t.Error("a long text did not come back")
	}
}

func FuzzReadTokenizer(f *testing.F) {
	f.Add(writeTokenizer(words("a", "ab")), 261, "ab a")
	f.Add(writeTokenizer([]entry{{"", 0}, {"", 1}, {"", 2}, {"x", -1}}), 4, "xx")
	f.Add([]byte{}, 3, "")
	f.Fuzz(func(t *testing.T, data []byte, size int, text string) {
		tok, err := ReadTokenizer(bytes.NewReader(data), size)
		if err != nil {
			return
		}
		tokens := tok.Encode(text)
		for _, token := range tokens {
			if token < 0 || token >= tok.Size() {
				t.Fatalf("token %d of %d", token, tok.Size())
			}
		}
		if got := tok.Decode(tokens); !utf8.ValidString(got) {
			t.Fatalf("%q decodes to %q", text, got)
		}
	})
}
