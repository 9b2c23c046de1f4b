package corpus

import (
	"bytes"
	"compress/flate"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// deflated is how much smaller zlib's default makes texts, each on its own.
func deflated(t *testing.T, texts [][]byte) float64 {
	t.Helper()
	var all, small int
	for _, text := range texts {
		var b bytes.Buffer
		w, err := flate.NewWriter(&b, 6)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		all, small = all+len(text), small+b.Len()
	}
	return float64(all) / float64(small)
}

const length = 32 << 10

func texts(s *Source, kind Kind) [][]byte {
	var list [][]byte
	for i := range 12 {
		list = append(list, s.Text(kind, i, length))
	}
	return list
}

// library returns pieces of Go's own library, and the prose in its comments.
func library(t *testing.T) (code, comments [][]byte) {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Skipf("asking for Go's library: %v", err)
	}
	var source, prose []byte
	for _, name := range []string{"net/http", "go/types", "encoding/json", "os", "time", "database/sql", "archive/zip", "text/template"} {
		files, err := fs.Glob(os.DirFS(filepath.Join(strings.TrimSpace(string(root)), "src", name)), "*.go")
		if err != nil || len(files) == 0 {
			t.Skipf("%s is not there: %v", name, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "src", name, file))
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(file, "_test.go") || strings.Contains(file, "bundle") {
				continue
			}
			source = append(source, text...)
			for line := range bytes.Lines(text) {
				if words, ok := bytes.CutPrefix(line, []byte("// ")); ok && !bytes.Contains(words, []byte("Copyright")) {
					prose = append(prose, words...)
				}
			}
		}
	}
	pieces := func(text []byte) (list [][]byte) {
		for ; len(text) >= length; text = text[length:] {
			list = append(list, text[:length])
		}
		return list
	}
	return pieces(source), pieces(prose)
}

// Made text must not be easier to compress than what people write.
func TestTextsAreNoEasierThanRealOnes(t *testing.T) {
	code, comments := library(t)
	s := NewSource(1)
	made, real := deflated(t, texts(s, Code)), deflated(t, code)
	t.Logf("code: made %.2f, Go's library %.2f", made, real)
	if made > 1.05*real || made < 0.75*real {
		t.Errorf("code is made %.2f times smaller, Go's library %.2f", made, real)
	}
	made, real = deflated(t, texts(s, English)), deflated(t, comments)
	t.Logf("English: made %.2f, the library's comments %.2f", made, real)
	// Literature is harder to compress than technical prose.
	if made > real || made < 0.75*real {
		t.Errorf("English is made %.2f times smaller, technical prose %.2f", made, real)
	}
}

func TestRandomHoldsSixBitsAByte(t *testing.T) {
	if made := deflated(t, texts(NewSource(1), Random)); made > 8.0/6 || made < 1.3 {
		t.Errorf("made %.3f times smaller, possible is 1.333", made)
	}
	if made := deflated(t, texts(NewSource(1), Repeated)); made < 20 {
		t.Errorf("repeated text is made %.2f times smaller", made)
	}
}

func TestTextsAreTheSameForTheSameSeed(t *testing.T) {
	a, b, other := NewSource(7), NewSource(7), NewSource(8)
	for _, kind := range Kinds() {
		seen := map[string]bool{}
		for index := -3; index < 20; index++ {
			text := a.Text(kind, index, 5000+index)
			if !bytes.Equal(text, b.Text(kind, index, 5000+index)) {
				t.Errorf("%s %d differs from itself", kind, index)
			}
			if bytes.Equal(text, other.Text(kind, index, 5000+index)) {
				t.Errorf("%s %d is the same for another seed", kind, index)
			}
			if len(text) != 5000+index || !utf8.Valid(text) || bytes.ContainsFunc(text, func(r rune) bool { return r >= 0x80 }) {
				t.Errorf("%s %d: %d bytes", kind, index, len(text))
			}
			if seen[string(text[:200])] {
				t.Errorf("%s %d begins like another one", kind, index)
			}
			seen[string(text[:200])] = true
		}
	}
}

// No passage comes twice where there are enough of them.
func TestLongTextsRepeatNoPassage(t *testing.T) {
	s := NewSource(1)
	for _, kind := range []Kind{English, Code} {
		text := s.Text(kind, 0, 1_000_000)
		seen := map[string]int{}
		for at := 0; at+256 <= len(text); at++ {
			if earlier, ok := seen[string(text[at:at+256])]; ok {
				t.Fatalf("%s: the 256 bytes at %d are those at %d", kind, at, earlier)
			}
			if at%64 == 0 {
				seen[string(text[at:at+256])] = at
			}
		}
	}
}

func TestWords(t *testing.T) {
	for verb, want := range map[string]string{"use": "used", "try": "tried", "play": "played", "call": "called"} {
		if got := past(verb); got != want {
			t.Errorf("past of %s: %s", verb, got)
		}
	}
	for noun, want := range map[string]string{"box": "boxes", "day": "days", "city": "cities", "word": "words"} {
		if got := plural(noun); got != want {
			t.Errorf("plural of %s: %s", noun, got)
		}
	}
	w := readWords()
	for name, u := range map[string]urn{"nouns": w.nouns, "verbs": w.verbs, "adjectives": w.adjectives, "adverbs": w.adverbs} {
		if len(u.words) < 100 || len(u.ranks) < quantiles/2 {
			t.Errorf("%s: %d words, %d quantiles", name, len(u.words), len(u.ranks))
		}
	}
}
