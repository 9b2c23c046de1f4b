package llama

import (
	"slices"
	"testing"
)

// Waste changes what computing costs and nothing of what comes out.
func TestWasteChangesNoResult(t *testing.T) {
	c := Config{Dim: 24, HiddenDim: 40, Layers: 2, Heads: 4, KVHeads: 2, Vocab: 97, Context: 64}
	weights, err := SeededWeights(c, 7)
	if err != nil {
		t.Fatal(err)
	}
	model, err := NewModel(c, weights)
	if err != nil {
		t.Fatal(err)
	}
	var prompt []int
	for i := range batch + 5 { // a whole batch and an odd number more
		prompt = append(prompt, i*13%c.Vocab)
	}
	forward := func(m *Model) []float32 {
		s := m.NewSequence()
		if _, err := s.Forward(t.Context(), prompt); err != nil {
			t.Fatal(err)
		}
		logits, err := s.Forward(t.Context(), []int{3})
		if err != nil {
			t.Fatal(err)
		}
		return slices.Clone(logits)
	}
	want := forward(model)
	for _, w := range []Wasteful{{ColumnwiseMatmul: true}, {LogitsOfPrompt: true}, {true, true}} {
		if got := forward(model.Wasting(w)); !slices.Equal(got, want) {
			t.Errorf("%+v: other logits", w)
		}
	}
	if got := forward(model.Wasting(Wasteful{})); !slices.Equal(got, want) {
		t.Error("a model that wastes nothing gives other logits")
	}
}

// The head that is applied to all of a prompt is counted: once a token more.
func TestLogitsOfPromptAreComputed(t *testing.T) {
	c := Config{Dim: 16, HiddenDim: 32, Layers: 1, Heads: 2, KVHeads: 1, Vocab: 64, Context: 32}
	weights, err := SeededWeights(c, 7)
	if err != nil {
		t.Fatal(err)
	}
	model, err := NewModel(c, weights)
	if err != nil {
		t.Fatal(err)
	}
	heads := func(m *Model) int {
		m = m.Wasting(Wasteful{LogitsOfPrompt: m.logitsOfPrompt})
		count := 0
		m.matmul = func(dst, x, w []float32, n, rows, cols int) {
			if rows == c.Vocab {
				count += n
			}
			matmul(dst, x, w, n, rows, cols)
		}
		if _, err := m.NewSequence().Forward(t.Context(), []int{1, 2, 3, 4, 5}); err != nil {
			t.Fatal(err)
		}
		return count
	}
	if got := heads(model); got != 1 {
		t.Errorf("%d heads for a prompt, want 1", got)
	}
	if got := heads(model.Wasting(Wasteful{LogitsOfPrompt: true})); got != 6 {
		t.Errorf("%d heads for a prompt of 5 tokens, want one each and the last", got)
	}
}
