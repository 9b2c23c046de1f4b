package ryot

import (
	"slices"
	"strings"
	"testing"
)

func TestPromptsAreSeededAndVaried(t *testing.T) {
	one, same, other := newPrompts(1), newPrompts(1), newPrompts(2)
	texts := make(map[string]bool)
	openings := make(map[string]bool)
	lengths := make(map[int]int)
	var words int
	const n = 400
	for i := range n {
		text := one.text(i)
		if text != same.text(i) {
			t.Fatalf("prompt %d differs between two runs of one seed", i)
		}
		if text == other.text(i) {
			t.Fatalf("prompt %d is the same for two seeds", i)
		}
		fields := strings.Fields(text)
		texts[text] = true
		openings[strings.Join(fields[:3], " ")] = true
		lengths[len(fields)]++
		words += len(fields)
	}
	if len(texts) != n || len(openings) < n-5 {
		t.Errorf("%d different prompts of %d, %d different beginnings", len(texts), n, len(openings))
	}
	if mean := float64(words) / n; mean < firstWords-1.5 || mean > firstWords+1.5 || len(lengths) < 20 {
		t.Errorf("mean length %v words in %d different lengths", mean, len(lengths))
	}
}

// With a tokenizer of so many tokens a word, and a template around each prompt,
// a few warm-up answers must bring prompts near the length aimed at.
func TestPromptsFitTheTokenizer(t *testing.T) {
	for _, perWord := range []float64{0.5, 1.3, 6} {
		for _, template := range []int{0, 12} {
			p := newPrompts(3)
			count := func(text string) int { return template + int(perWord*float64(len(strings.Fields(text)))) }
			for i := range 8 {
				text := p.text(-8 + i)
				p.fit(text, count(text))
			}
			var sum int
			for i := range 200 {
				sum += count(p.text(i))
			}
			if mean := float64(sum) / 200; mean < 52 || mean > 76 {
				t.Errorf("%v tokens a word, template %d: %v tokens a prompt, want about %d", perWord, template, mean, promptTokens)
			}
		}
	}
	p := newPrompts(1)
	p.fit(p.text(0), 0)
	if p.mean != firstWords {
		t.Error("a service that tells no count changed the prompts")
	}
}

func TestWordList(t *testing.T) {
	words := newPrompts(0).words
	if len(words) < 300 || !slices.IsSorted(words) || len(slices.Compact(slices.Clone(words))) != len(words) {
		t.Errorf("%d words, sorted %v", len(words), slices.IsSorted(words))
	}
}
