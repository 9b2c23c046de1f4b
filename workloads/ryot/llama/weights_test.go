package llama

import (
	"math"
	"slices"
	"strings"
	"testing"
)

func TestSeededWeightsRepeat(t *testing.T) {
	c := shapes[3].Config
	arrays := func(seed uint64) [][]float32 {
		w, err := SeededWeights(c, seed)
		if err != nil {
			t.Fatal(err)
		}
		return w.arrays()
	}
	a, b, other := arrays(1), arrays(1), arrays(2)
	for i := range a {
		if !slices.Equal(a[i], b[i]) {
			t.Errorf("array %d differs between two models of one seed", i)
		}
	}
	if slices.Equal(a[0], other[0]) {
		t.Error("two seeds gave the same embedding")
	}
}

func TestSeededWeightsHaveTheirVariance(t *testing.T) {
	c := Config{Dim: 128, HiddenDim: 256, Layers: 2, Heads: 4, KVHeads: 2, Vocab: 400, Context: 8}
	w, err := SeededWeights(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name   string
		values []float32
		want   float64 // standard deviation
	}{
		{"embedding", w.Embedding, 1},
		{"query", w.Layers[0].Query, 1 / math.Sqrt(128)},
		{"key", w.Layers[1].Key, 1 / math.Sqrt(128)},
		{"output", w.Layers[1].Output, 1 / math.Sqrt(128) / 2},
		{"down", w.Layers[0].Down, 1 / math.Sqrt(256) / 2},
		{"classifier", w.Classifier, 4 / math.Sqrt(128)},
	} {
		var mean, square float64
		n := float64(len(x.values))
		for _, v := range x.values {
			mean += float64(v) / n
			square += float64(v) * float64(v) / n
		}
		// A uniform variable's square has a relative deviation of 0.9.
		if got := math.Sqrt(square); math.Abs(got/x.want-1) > 5*0.45/math.Sqrt(n) || math.Abs(mean) > 5*x.want/math.Sqrt(n) {
			t.Errorf("%s: mean %v, deviation %v, want 0 and %v", x.name, mean, got, x.want)
		}
	}
}

// TestSeededModelsStayFinite runs deep and wide shapes and looks at how far the
// logits spread: random weights scaled wrongly explode or vanish with depth.
func TestSeededModelsStayFinite(t *testing.T) {
	for _, c := range []Config{
		{Dim: 64, HiddenDim: 128, Layers: 60, Heads: 4, KVHeads: 2, Vocab: 500, Context: 64},
		{Dim: 512, HiddenDim: 64, Layers: 2, Heads: 8, KVHeads: 8, Vocab: 500, Context: 64},
		{Dim: 32, HiddenDim: 2048, Layers: 6, Heads: 2, KVHeads: 1, Vocab: 500, Context: 64},
	} {
		w, err := SeededWeights(c, 3)
		if err != nil {
			t.Fatal(err)
		}
		m, err := NewModel(c, w)
		if err != nil {
			t.Fatal(err)
		}
		logits, err := m.NewSequence().Forward(t.Context(), randomTokens(c, 50, 1))
		if err != nil {
			t.Fatal(err)
		}
		var squares float64
		for _, l := range logits {
			squares += float64(l) * float64(l)
		}
		if spread := math.Sqrt(squares / float64(len(logits))); !(spread > 3 && spread < 5) {
			t.Errorf("%+v: the logits spread by %.3g, meant to be 4", c, spread)
		}
	}
}

func TestSeededTextRepeats(t *testing.T) {
	c := Config{Dim: 48, HiddenDim: 64, Layers: 2, Heads: 4, KVHeads: 2, Vocab: 2000, Context: 100}
	tok, err := BuiltinTokenizer(c.Vocab)
	if err != nil {
		t.Fatal(err)
	}
	write := func(seed uint64, prompt string) string {
		w, err := SeededWeights(c, seed)
		if err != nil {
			t.Fatal(err)
		}
		m, err := NewModel(c, w)
		if err != nil {
			t.Fatal(err)
		}
		tokens := append([]int{tok.Begin()}, tok.Encode(prompt)...)
		return tok.Decode(generate(t, m, tokens, Sampling{Temperature: 1, TopP: 0.9, Seed: 4}, 40, nil))
	}
	a := write(1, "the same")
	if b := write(1, "the same"); a != b {
		t.Errorf("%q and %q", a, b)
	}
	for _, b := range []string{write(2, "the same"), write(1, "not the same")} {
		if a == b {
			t.Errorf("another seed or prompt gave the same %q", a)
		}
	}
}

func TestConfigRefusesImpossibleShapes(t *testing.T) {
	for _, c := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Dim = 0 }, "dim is 0"},
		{func(c *Config) { c.HiddenDim = -1 }, "hidden dim is -1"},
		{func(c *Config) { c.Layers = maxLayers + 1 }, "layers is 1025"},
		{func(c *Config) { c.Heads = 0 }, "heads is 0"},
		{func(c *Config) { c.KVHeads = 0 }, "kv heads is 0"},
		{func(c *Config) { c.Vocab = math.MaxInt32 }, "vocab is"},
		{func(c *Config) { c.Context = 0 }, "context is 0"},
		{func(c *Config) { c.Heads, c.KVHeads = 7, 7 }, "not divisible into 7 heads"},
		{func(c *Config) { c.Heads, c.KVHeads = 288, 288 }, "even width"},
		{func(c *Config) { c.KVHeads = 4 }, "not divisible into 4 kv heads"},
		{func(c *Config) { c.Dim, c.HiddenDim, c.Layers = 1<<16, 1<<18, 1<<10 }, "parameters"},
		{func(c *Config) { c.Context = maxContext; c.Layers = 1 << 10 }, "cache"},
	} {
		shape := DefaultConfig()
		shape.Heads, shape.KVHeads = 6, 3
		if c.want == "parameters" {
			shape.Heads, shape.KVHeads = 8, 8
		}
		c.change(&shape)
		if err := shape.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want one about %q", shape, err, c.want)
		}
	}
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
}

func TestNewModelRefusesOtherShapes(t *testing.T) {
	c := shapes[1].Config
	_, w := randomModel(t, c, 1)
	bad := *w
	bad.Layers = slices.Clone(w.Layers)
	bad.Layers[0].Key = bad.Layers[0].Key[1:]
	if _, err := NewModel(c, &bad); err == nil || !strings.Contains(err.Error(), "key of layer 0") {
		t.Errorf("got %v", err)
	}
	c.Layers++
	if _, err := NewModel(c, w); err == nil {
		t.Error("a model with a layer too few was made")
	}
}
