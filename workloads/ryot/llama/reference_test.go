package llama

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

// The reference below is LLaMA written straight from the papers' formulas in
// float64: no cache, no batches, every position computed anew for every layer.

// referenceLogits gives the logits after each token.
func referenceLogits(c Config, w *Weights, tokens []int) [][]float64 {
	var x [][]float64
	for _, t := range tokens {
		x = append(x, wide(w.Embedding[t*c.Dim:(t+1)*c.Dim]))
	}
	for _, l := range w.Layers {
		x = referenceAttention(c, l, x)
		for p := range x {
			h := referenceNorm(x[p], l.FeedForwardNorm)
			gate, up := times(l.Gate, h), times(l.Up, h)
			for i := range gate {
				gate[i] = gate[i] / (1 + math.Exp(-gate[i])) * up[i] // SwiGLU
			}
			x[p] = plus(x[p], times(l.Down, gate))
		}
	}
	var logits [][]float64
	for p := range x {
		logits = append(logits, times(w.Classifier, referenceNorm(x[p], w.FinalNorm)))
	}
	return logits
}

// referenceAttention is grouped-query attention: query head h reads key and
// value head h*KVHeads/Heads.
func referenceAttention(c Config, l LayerWeights, x [][]float64) [][]float64 {
	width := c.Dim / c.Heads
	var queries, keys, values [][]float64
	for p := range x {
		h := referenceNorm(x[p], l.AttentionNorm)
		queries = append(queries, referenceRotation(times(l.Query, h), width, p))
		keys = append(keys, referenceRotation(times(l.Key, h), width, p))
		values = append(values, times(l.Value, h))
	}
	var out [][]float64
	for p := range x {
		mixed := make([]float64, c.Dim)
		for h := range c.Heads {
			kv := h * c.KVHeads / c.Heads
			weights := make([]float64, p+1)
			sum := 0.0
			for j := range weights {
				dot := 0.0
				for i := range width {
					dot += queries[p][h*width+i] * keys[j][kv*width+i]
				}
				weights[j] = math.Exp(dot / math.Sqrt(float64(width)))
				sum += weights[j]
			}
			for j := range weights {
				for i := range width {
					mixed[h*width+i] += weights[j] / sum * values[j][kv*width+i]
				}
			}
		}
		out = append(out, plus(x[p], times(l.Output, mixed)))
	}
	return out
}

// referenceNorm is x_i / sqrt(mean(x^2) + epsilon) * g_i.
func referenceNorm(x []float64, gain []float32) []float64 {
	mean := 0.0
	for _, v := range x {
		mean += v * v / float64(len(x))
	}
	y := make([]float64, len(x))
	for i := range x {
		y[i] = x[i] / math.Sqrt(mean+1e-5) * float64(gain[i])
	}
	return y
}

// referenceRotation multiplies each pair, taken as a complex number, by
// exp(i * position * theta), theta = 10000^(-2k/width).
func referenceRotation(x []float64, width, position int) []float64 {
	y := make([]float64, len(x))
	for i := 0; i < len(x); i += 2 {
		theta := math.Pow(10000, -float64(i%width)/float64(width))
		turn := complex(math.Cos(float64(position)*theta), math.Sin(float64(position)*theta))
		z := complex(x[i], x[i+1]) * turn
		y[i], y[i+1] = real(z), imag(z)
	}
	return y
}

func times(matrix []float32, x []float64) []float64 {
	y := make([]float64, len(matrix)/len(x))
	for r := range y {
		for i := range x {
			y[r] += float64(matrix[r*len(x)+i]) * x[i]
		}
	}
	return y
}

func plus(x, y []float64) []float64 {
	z := make([]float64, len(x))
	for i := range x {
		z[i] = x[i] + y[i]
	}
	return z
}

func wide(x []float32) []float64 {
	y := make([]float64, len(x))
	for i := range x {
		y[i] = float64(x[i])
	}
	return y
}

// shapes are small and awkward: odd sizes around those of the kernels' tiles,
// one to many heads, prompts longer than a batch.
var shapes = []struct {
	Config
	tokens int
}{
	{Config{Dim: 2, HiddenDim: 1, Layers: 1, Heads: 1, KVHeads: 1, Vocab: 3, Context: 4}, 4},
	{Config{Dim: 8, HiddenDim: 7, Layers: 1, Heads: 4, KVHeads: 2, Vocab: 11, Context: 9}, 9},
	{Config{Dim: 18, HiddenDim: 29, Layers: 3, Heads: 3, KVHeads: 3, Vocab: 31, Context: 20}, 17},
	{Config{Dim: 36, HiddenDim: 50, Layers: 2, Heads: 6, KVHeads: 2, Vocab: 64, Context: 50}, batch + 5},
	{Config{Dim: 40, HiddenDim: 64, Layers: 4, Heads: 4, KVHeads: 1, Vocab: 100, Context: 80}, 2*batch + 3},
}

// randomModel has random norm gains, too, unlike seeded weights as they come.
func randomModel(t *testing.T, c Config, seed uint64) (*Model, *Weights) {
	t.Helper()
	w, err := SeededWeights(c, seed)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(seed, 99))
	gains := [][]float32{w.FinalNorm}
	for _, l := range w.Layers {
		gains = append(gains, l.AttentionNorm, l.FeedForwardNorm)
	}
	for _, g := range gains {
		for i := range g {
			g[i] = 0.5 + random.Float32()
		}
	}
	m, err := NewModel(c, w)
	if err != nil {
		t.Fatal(err)
	}
	return m, w
}

func randomTokens(c Config, n int, seed uint64) []int {
	random := rand.New(rand.NewPCG(seed, 7))
	tokens := make([]int, n)
	for i := range tokens {
		tokens[i] = random.IntN(c.Vocab)
	}
	return tokens
}

// tolerance is how far float32 may be from float64 as a share of the largest
// logit: sums of about a hundred products, each rounded to 6e-8, through up to
// eight blocks.
const tolerance = 2e-5

// farthest is the largest difference as a share of the largest wanted value.
func farthest(t *testing.T, got []float32, want []float64) float64 {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d logits, want %d", len(got), len(want))
	}
	largest, off := 0.0, 0.0
	for i := range want {
		largest = max(largest, math.Abs(want[i]))
		if d := math.Abs(float64(got[i]) - want[i]); !(d <= off) {
			off = d
		}
	}
	return off / largest
}

func TestLogitsAgreeWithTheFormulas(t *testing.T) {
	for i, shape := range shapes {
		m, w := randomModel(t, shape.Config, uint64(i))
		tokens := randomTokens(shape.Config, shape.tokens, uint64(i))
		want := referenceLogits(shape.Config, w, tokens)
		s := m.NewSequence()
		for p, token := range tokens {
			got, err := s.Forward(t.Context(), []int{token})
			if err != nil {
				t.Fatal(err)
			}
			if off := farthest(t, got, want[p]); !(off <= tolerance) {
				t.Errorf("%+v, position %d: the logits are off by %g", shape.Config, p, off)
			}
		}
	}
}

func TestPublishedModelAgreesWithTheFormulas(t *testing.T) {
	m, tok := stories(t)
	tokens := append([]int{tok.Begin()}, tok.Encode("The big dog and the little cat went to the park.")...)
	want := referenceLogits(m.config, m.weights, tokens)
	got, err := m.NewSequence().Forward(t.Context(), tokens)
	if err != nil {
		t.Fatal(err)
	}
	if off := farthest(t, got, want[len(want)-1]); !(off <= tolerance) {
		t.Errorf("the logits are off by %g", off)
	}
}

func TestPromptInOneBatchOrMany(t *testing.T) {
	for i, shape := range shapes {
		m, _ := randomModel(t, shape.Config, uint64(i))
		tokens := randomTokens(shape.Config, shape.tokens, uint64(i))
		single := m.NewSequence()
		var want []float64
		for p, token := range tokens {
			logits, err := single.Forward(t.Context(), []int{token})
			if err != nil {
				t.Fatal(err)
			}
			want = wide(logits)
			// The cache's truth: a sequence that reads the whole prefix anew.
			whole, err := m.NewSequence().Forward(t.Context(), tokens[:p+1])
			if err != nil {
				t.Fatal(err)
			}
			if off := farthest(t, whole, want); !(off <= 1e-6) {
				t.Errorf("%+v: reading %d tokens at once is off by %g from one by one", shape.Config, p+1, off)
			}
		}
		for cut := 1; cut < len(tokens); cut += 5 {
			s := m.NewSequence()
			if _, err := s.Forward(t.Context(), tokens[:cut]); err != nil {
				t.Fatal(err)
			}
			got, err := s.Forward(t.Context(), tokens[cut:])
			if err != nil {
				t.Fatal(err)
			}
			if off := farthest(t, got, want); !(off <= 1e-6) {
				t.Errorf("%+v: cut after %d tokens the logits are off by %g", shape.Config, cut, off)
			}
		}
	}
}

func TestResetForgets(t *testing.T) {
	c := shapes[3].Config
	m, _ := randomModel(t, c, 1)
	tokens := randomTokens(c, 10, 1)
	s := m.NewSequence()
	fresh, err := s.Forward(t.Context(), tokens)
	if err != nil {
		t.Fatal(err)
	}
	want := wide(fresh)
	if _, err := s.Forward(t.Context(), randomTokens(c, 30, 2)); err != nil {
		t.Fatal(err)
	}
	s.Reset()
	got, err := s.Forward(t.Context(), tokens)
	if err != nil {
		t.Fatal(err)
	}
	if off := farthest(t, got, want); off != 0 {
		t.Errorf("after a reset the logits are off by %g", off)
	}
}

func TestForwardRefuses(t *testing.T) {
	c := shapes[1].Config
	m, _ := randomModel(t, c, 1)
	s := m.NewSequence()
	for _, tokens := range [][]int{nil, {-1}, {c.Vocab}} {
		if _, err := s.Forward(t.Context(), tokens); err == nil {
			t.Errorf("tokens %v were computed", tokens)
		}
	}
	if _, err := s.Forward(t.Context(), make([]int, c.Context+1)); !errors.Is(err, ErrContextFull) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Forward(t.Context(), make([]int, c.Context)); err != nil {
		t.Errorf("the context does not hold what it should: %v", err)
	}
	if _, err := s.Forward(t.Context(), []int{0}); !errors.Is(err, ErrContextFull) {
		t.Errorf("got %v", err)
	}
	s.Reset()
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := s.Forward(ended, []int{1}); !errors.Is(err, context.Canceled) || s.Len() != 0 {
		t.Errorf("got %v, %d tokens", err, s.Len())
	}
}

func TestMatmul(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, rows := range []int{1, 2, 3, 5, 6, 7, 13} {
		for _, cols := range []int{1, 2, 5, 16} {
			for n := range 6 {
				x, w := make([]float32, n*cols), make([]float32, rows*cols)
				for _, v := range [][]float32{x, w} {
					for i := range v {
						// Small whole numbers: their sums are exact.
						v[i] = float32(random.IntN(17) - 8)
					}
				}
				dst := make([]float32, n*rows+1)
				dst[n*rows] = 77
				matmul(dst, x, w, n, rows, cols)
				for p := range n {
					for r := range rows {
						var want float32
						for i := range cols {
							want += w[r*cols+i] * x[p*cols+i]
						}
						if dst[p*rows+r] != want {
							t.Fatalf("%d tokens, %d rows, %d columns: [%d][%d] is %v, want %v", n, rows, cols, p, r, dst[p*rows+r], want)
						}
					}
				}
				if dst[n*rows] != 77 {
					t.Fatalf("%d tokens, %d rows: wrote past the end", n, rows)
				}
			}
		}
	}
}
