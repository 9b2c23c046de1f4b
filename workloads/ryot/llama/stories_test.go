package llama

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// modelsFolder finds the published model that the tests compare with: in
// NARROWS_MODELS, else in shared/models beside the repository.
func modelsFolder(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("NARROWS_MODELS"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(filepath.Dir(dir), "shared", "models")
		}
		if dir == filepath.Dir(dir) {
			t.Skip("no module root above the test's folder, so no models beside it")
		}
	}
}

// stories loads the published TinyStories model of 260,000 parameters.
func stories(t *testing.T) (*Model, *Tokenizer) {
	t.Helper()
	dir := modelsFolder(t)
	f, err := os.Open(filepath.Join(dir, "stories260K.bin"))
	if err != nil {
		t.Skipf("the published model is not here, set NARROWS_MODELS to its folder: %v", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	c, w, err := ReadCheckpoint(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	m, err := NewModel(c, w)
	if err != nil {
		t.Fatal(err)
	}
	g, err := os.Open(filepath.Join(dir, "tok512.bin"))
	if err != nil {
		t.Skipf("the published tokenizer is not here: %v", err)
	}
	defer g.Close()
	tok, err := ReadTokenizer(g, c.Vocab)
	if err != nil {
		t.Fatal(err)
	}
	return m, tok
}

// generate collects up to limit tokens that follow the prompt.
func generate(t *testing.T, m *Model, prompt []int, sampling Sampling, limit int, stop func(int) bool) []int {
	t.Helper()
	sampler, err := NewSampler(sampling)
	if err != nil {
		t.Fatal(err)
	}
	var tokens []int
	for token, err := range m.NewSequence().Generate(t.Context(), prompt, sampler, limit, stop) {
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, token)
	}
	return tokens
}

// commonWords are words that a story for small children is made of.
const commonWords = `a all and ask asked at away back ball big blue box boy but by came can come day did do dog eat
family felt for found friend friends from fun get girl give go good got had happy he her him his home house in
is it high like liked lily little look looked lots loved made mom mommy named new nice not of on once one open out outside outside
park people play played playing put ran red run sad said saw see she shiny so some someone something sun that
the their them then there they thing things three time to too took toy toys tree upon very walk want wanted
was water way went were what when where with would you`

func TestPublishedModelWritesEnglish(t *testing.T) {
	m, tok := stories(t)
	tokens := generate(t, m, []int{tok.Begin()}, Sampling{TopP: 1}, 60, tok.Ends)
	if len(tokens) != 60 {
		t.Fatalf("the model stopped after %d tokens", len(tokens))
	}
	text := tok.Decode(tokens)
	t.Log(text)
	const start = "Once upon a time, there was a little girl named Lily"
	if !strings.HasPrefix(text, start) {
		t.Fatalf("got %q, want it to begin with %q", text, start)
	}
	known := make(map[string]bool)
	for _, w := range strings.Fields(commonWords) {
		known[w] = true
	}
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return r < 'a' || r > 'z' })
	// The last word may be cut off by the limit.
	for _, w := range words[:len(words)-1] {
		if !known[w] {
			t.Errorf("%q is no word of such a story", w)
		}
	}
	if len(words) < 20 {
		t.Errorf("60 tokens gave only %d words", len(words))
	}
}

func TestPublishedTokenizer(t *testing.T) {
	_, tok := stories(t)
	for _, text := range []string{"Once upon a time", " two  spaces", "naïve café 你好 🙂", "<0x41> <s> </s>", "line\nfeed\ttab"} {
		if got := tok.Decode(tok.Encode(text)); got != text {
			t.Errorf("%q came back as %q", text, got)
		}
	}
	if n := len(tok.Encode("Once upon a time, there was")); n > 12 {
		t.Errorf("a common phrase took %d tokens: the pieces are not joined", n)
	}
}
