package llama

import (
	"fmt"
	"testing"
)

// defaultModel is the model the service starts with unless told otherwise.
func defaultModel(tb testing.TB) *Model {
	tb.Helper()
	c := DefaultConfig()
	w, err := SeededWeights(c, 1)
	if err != nil {
		tb.Fatal(err)
	}
	m, err := NewModel(c, w)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// BenchmarkMatmul gives the nanoseconds of a floating-point operation, an
// addition or a multiplication, for the shapes of the default model.
func BenchmarkMatmul(b *testing.B) {
	for _, s := range []struct{ n, rows, cols int }{{1, 768, 288}, {batch, 768, 288}, {batch, 288, 768}, {1, 32000, 288}} {
		b.Run(fmt.Sprintf("tokens=%d/rows=%d/cols=%d", s.n, s.rows, s.cols), func(b *testing.B) {
			x, w := make([]float32, s.n*s.cols), make([]float32, s.rows*s.cols)
			for i := range x {
				x[i] = float32(i%7) - 3
			}
			for i := range w {
				w[i] = float32(i%5) - 2
			}
			dst := make([]float32, s.n*s.rows)
			for b.Loop() {
				matmul(dst, x, w, s.n, s.rows, s.cols)
			}
			operations := 2 * float64(b.N) * float64(s.n*s.rows*s.cols)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/operations, "ns/flop")
		})
	}
}

// BenchmarkPrefill reads prompts of 64 tokens: the time of one is what the
// engine adds to the time to the first token.
func BenchmarkPrefill(b *testing.B) {
	s := defaultModel(b).NewSequence()
	prompt := make([]int, 64)
	for i := range prompt {
		prompt[i] = 300 + 37*i
	}
	for b.Loop() {
		s.Reset()
		if _, err := s.Forward(b.Context(), prompt); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(prompt))*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
}

// BenchmarkDecode writes one token, after 64 to 191 others.
func BenchmarkDecode(b *testing.B) {
	s := defaultModel(b).NewSequence()
	sampler, err := NewSampler(Sampling{Temperature: 1, TopP: 0.95, Seed: 1})
	if err != nil {
		b.Fatal(err)
	}
	step := func(input []int) []int {
		logits, err := s.Forward(b.Context(), input)
		if err != nil {
			b.Fatal(err)
		}
		token, err := sampler.Sample(logits)
		if err != nil {
			b.Fatal(err)
		}
		return []int{token}
	}
	input := step(make([]int, 64))
	for b.Loop() {
		if s.Len() == 192 {
			b.StopTimer()
			s.Reset()
			input = step(make([]int, 64))
			b.StartTimer()
		}
		input = step(input)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
}

// BenchmarkSeededWeights is most of the service's start.
func BenchmarkSeededWeights(b *testing.B) {
	for b.Loop() {
		if _, err := SeededWeights(DefaultConfig(), 1); err != nil {
			b.Fatal(err)
		}
	}
}
