package object

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"maps"
	"math/bits"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestMembers(t *testing.T) {
	for text, want := range map[string]map[string]string{
		`{}`: {},
		" {\t\"text\" :\r\n\"a\\n\\\"b\" , \"n\":-1.5e3,\"deep\":{\"a\":[\"}\",{}]},\"no\":null} \n": {"text": `"a\n\"b"`, "n": "-1.5e3", "deep": `{"a":["}",{}]}`, "no": "null"},
		`{"\u0061":1}`: {"a": "1"},
	} {
		got, err := Members([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		plain := map[string]string{}
		for name, value := range got {
			plain[name] = string(value)
		}
		if !maps.Equal(plain, want) {
			t.Errorf("%s: %v", text, plain)
		}
	}
	for _, text := range []string{
		"", "null", "[]", `"a"`, "{", `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{,}`, `{"a" 1}`, `{"a":1 "b":2}`, `{"a":1}}`, `{"a":1}x`,
		`{"a":1,"a":2}`, `{a:1}`, `{"a":01}`, `{"a":nul}`, `{"a":}`, `{"a":[}`, `{"a":{"b":1}`, `{"a":"b}`, `{"a":"b\`, `{"\x":1}`,
		"{" + strings.Repeat(`"a":1,`, 64) + `"a":1}`,
	} {
		if got, err := Members([]byte(text)); err == nil {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestUnquote(t *testing.T) {
	for quoted, want := range map[string]string{
		`""`: "", `"a\"\\\/\b\f\n\r\t"`: "a\"\\/\b\f\n\r\t", `"\u0041\u00e9\u20ac\ud83d\uDE00é"`: "Aé€😀é",
	} {
		if got, err := Unquote(nil, []byte(quoted)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", quoted, got, err)
		}
		if got, err := Unquote([]byte("before"), []byte(quoted)); err != nil || string(got) != "before"+want {
			t.Errorf("%s behind something: %q, %v", quoted, got, err)
		}
	}
	for _, quoted := range []string{"", `"`, "a", `"\`, `"\"`, `"\x"`, `"\u12"`, `"\u123g"`, `"\ud83d"`, `"\ud83dx"`, `"\ud83d\u0041"`, `"\ude00"`, "\"\xff\"", "\"\n\"", `"a"b"`} {
		if got, err := Unquote(nil, []byte(quoted)); err == nil {
			t.Errorf("%s: %q", quoted, got)
		}
	}
}

func TestOthersFindsTheFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOfN(rapid.SampledFrom([]byte("\x00\x1f !\"#[\\]\x7f\x80\xa2\xdc\xffaaaaaaaaaaaa")), 8, 8).Draw(t, "text")
		want := 0
		for want < 8 && plain(text[want]) {
			want++
		}
		if got := bits.TrailingZeros64(others(binary.LittleEndian.Uint64(text))) / 8; got != want {
			t.Fatalf("%q: %d, want %d", text, got, want)
		}
	})
}

func TestQuotedTextComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text") + rapid.StringOf(rapid.RuneFrom([]rune("\x00\x1f\"\\/\n\t\r\u2028é😀a"))).Draw(t, "more")
		quoted := AppendQuoted(nil, []byte(text))
		var standard string
		if err := json.Unmarshal(quoted, &standard); err != nil || standard != text {
			t.Fatalf("%q: encoding/json reads %q from %s: %v", text, standard, quoted, err)
		}
		if got, err := Unquote(nil, quoted); err != nil || string(got) != text {
			t.Fatalf("%q: %q, %v", text, got, err)
		}
	})
}

// What encoding/json takes is taken, and read alike.
func FuzzMembers(f *testing.F) {
	for _, text := range []string{`{"text":"a\u00e9\n","n":1}`, `{"a":{"b":[1,"}"]},"c":true}`, `{"a":"\ud800"}`, "{\"a\":\"\xff\"}", `{`, `{"a":1}}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := Members(text)
		var want map[string]json.RawMessage
		valid := json.Unmarshal(text, &want) == nil && want != nil
		if !valid {
			// What is within a string is Unquote's to check.
			for _, value := range got {
				if _, bad := Unquote(nil, value); value[0] == '"' && bad != nil {
					return
				}
			}
			if err == nil {
				t.Fatalf("%q was taken: %q", text, got)
			}
			return
		}
		if err != nil {
			// More members than are read, two of one name, or what encoding/json replaces.
			if len(want) <= mostMembers && utf8.Valid(text) && !bytes.Contains(bytes.ToLower(text), []byte(`\ud`)) && bytes.Count(text, []byte(":")) == len(want) {
				t.Fatalf("%q was refused: %v", text, err)
			}
			return
		}
		if len(got) != len(want) {
			t.Fatalf("%q: %q, want %q", text, got, want)
		}
		for name, value := range got {
			if !bytes.Equal(value, want[name]) {
				t.Fatalf("%q: %q is %q, want %q", text, name, value, want[name])
			}
			if value[0] != '"' {
				continue
			}
			var plain string
			if err := json.Unmarshal(value, &plain); err != nil {
				t.Fatal(err)
			}
			if unquoted, err := Unquote(nil, value); err == nil && string(unquoted) != plain {
				t.Fatalf("%q: %q, want %q", value, unquoted, plain)
			}
		}
	})
}

func BenchmarkRead(b *testing.B) {
	body := append(AppendQuoted([]byte(`{"text":`), bytes.Repeat([]byte("if err != nil {\n\treturn nil, \"it\"\n}\n"), 28_000)), '}')
	var into []byte
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		members, err := Members(body)
		if err != nil {
			b.Fatal(err)
		}
		if into, err = Unquote(into[:0], members["text"]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	text := bytes.Repeat([]byte("if err != nil {\n\treturn nil, \"it\"\n}\n"), 28_000)
	var into []byte
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		into = AppendQuoted(into[:0], text)
	}
}
