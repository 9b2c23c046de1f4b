package llama

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// Weights are a model's parameters. Each matrix is row-major with one row per
// output value, so that a product walks memory in order.
type Weights struct {
	Embedding  []float32 // Vocab x Dim
	Layers     []LayerWeights
	FinalNorm  []float32 // Dim
	Classifier []float32 // Vocab x Dim; may be Embedding itself
}

// LayerWeights are the parameters of one layer. KV stands for KVHeads times the
// width of a head.
type LayerWeights struct {
	AttentionNorm   []float32 // Dim
	Query           []float32 // Dim x Dim
	Key             []float32 // KV x Dim
	Value           []float32 // KV x Dim
	Output          []float32 // Dim x Dim
	FeedForwardNorm []float32 // Dim
	Gate            []float32 // HiddenDim x Dim; w1 in LLaMA's code
	Down            []float32 // Dim x HiddenDim; w2
	Up              []float32 // HiddenDim x Dim; w3
}

// tensor is one parameter array and what a caller must know to fill it.
type tensor struct {
	name   string
	layer  int // -1 outside the layers
	values *[]float32
	length int
	fanIn  int // columns of a matrix; 0 for a norm's gains
	scale  float64
}

// label names the tensor in an error.
func (t tensor) label() string {
	if t.layer < 0 {
		return t.name
	}
	return fmt.Sprintf("%s of layer %d", t.name, t.layer)
}

// tensors lists w's arrays with the lengths that c asks for. The scales keep a
// random model's activations finite at any depth: rows of unit norm keep the
// variance of a normalised input, the two matrices that add to the residual
// stream are divided by the square root of their number (as in GPT-2), and the
// classifier's 4 spreads the logits as far as a trained model's.
func (w *Weights) tensors(c Config) []tensor {
	dim, hidden, kv := c.Dim, c.HiddenDim, c.kvDim()
	w.Layers = make([]LayerWeights, c.Layers)
	residual := 1 / math.Sqrt(2*float64(c.Layers))
	list := []tensor{{"token embedding", -1, &w.Embedding, c.Vocab * dim, dim, math.Sqrt(float64(dim))}}
	for i := range w.Layers {
		l := &w.Layers[i]
		list = append(list,
			tensor{"attention norm", i, &l.AttentionNorm, dim, 0, 1},
			tensor{"query", i, &l.Query, dim * dim, dim, 1},
			tensor{"key", i, &l.Key, kv * dim, dim, 1},
			tensor{"value", i, &l.Value, kv * dim, dim, 1},
			tensor{"attention output", i, &l.Output, dim * dim, dim, residual},
			tensor{"feed-forward norm", i, &l.FeedForwardNorm, dim, 0, 1},
			tensor{"feed-forward gate", i, &l.Gate, hidden * dim, dim, 1},
			tensor{"feed-forward down", i, &l.Down, dim * hidden, hidden, residual},
			tensor{"feed-forward up", i, &l.Up, hidden * dim, dim, 1},
		)
	}
	return append(list,
		tensor{"final norm", -1, &w.FinalNorm, dim, 0, 1},
		tensor{"classifier", -1, &w.Classifier, c.Vocab * dim, dim, 4},
	)
}

// SeededWeights fills a shape with pseudo-random weights: uniform, with the
// variance that keeps activations finite, and norm gains of one. The same shape
// and seed give the same weights on every host.
func SeededWeights(c Config, seed uint64) (*Weights, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("checking the model's shape: %w", err)
	}
	w := &Weights{}
	for i, t := range w.tensors(c) {
		values := make([]float32, t.length)
		*t.values = values
		if t.fanIn == 0 {
			for j := range values {
				values[j] = 1
			}
			continue
		}
		// Each tensor has a stream of its own, so that one's length does not
		// move the others. A uniform variable on [-a, a] has variance a*a/3.
		source := rand.NewPCG(seed, uint64(i))
		a := float32(t.scale * math.Sqrt(3/float64(t.fanIn)))
		for j := 0; j < len(values); j += 2 {
			bits := source.Uint64()
			values[j] = a * symmetric(uint32(bits))
			if j+1 < len(values) {
				values[j+1] = a * symmetric(uint32(bits>>32))
			}
		}
	}
	return w, nil
}

// symmetric maps 24 random bits to a number in [-1, 1).
func symmetric(bits uint32) float32 {
	return float32(int32(bits>>8)-1<<23) / (1 << 23)
}

// arrays lists the weights in the order of [Weights.tensors].
func (w *Weights) arrays() [][]float32 {
	list := [][]float32{w.Embedding}
	for _, l := range w.Layers {
		list = append(list, l.AttentionNorm, l.Query, l.Key, l.Value, l.Output,
			l.FeedForwardNorm, l.Gate, l.Down, l.Up)
	}
	return append(list, w.FinalNorm, w.Classifier)
}
