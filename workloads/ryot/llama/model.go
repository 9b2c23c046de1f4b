package llama

import (
	"fmt"
	"math"
)

// Model is a set of weights ready to compute with. It is read-only and may be
// shared by any number of sequences.
type Model struct {
	config  Config
	weights *Weights
	// cosines and sines hold, for each position, the rotation of each pair of a
	// head's values: Context x headDim/2.
	cosines, sines []float32
	matmul         matmulFunc
	logitsOfPrompt bool // see Wasteful
}

// ropeBase is the base of the rotary angles, 10000 in RoFormer and LLaMA.
const ropeBase = 10000

// NewModel checks that the weights have the shape that the configuration says
// and prepares the rotation tables. It keeps w and does not copy it.
func NewModel(c Config, w *Weights) (*Model, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("checking the model's shape: %w", err)
	}
	if len(w.Layers) != c.Layers {
		return nil, fmt.Errorf("the weights have %d layers, the shape has %d", len(w.Layers), c.Layers)
	}
	var wanted Weights
	want, have := wanted.tensors(c), w.arrays()
	for i, t := range want {
		if len(have[i]) != t.length {
			return nil, fmt.Errorf("the %s has %d values, the shape needs %d", t.label(), len(have[i]), t.length)
		}
	}
	m := &Model{config: c, weights: w, matmul: matmul}
	half := c.headDim() / 2
	m.cosines = make([]float32, c.Context*half)
	m.sines = make([]float32, c.Context*half)
	for pos := range c.Context {
		for i := range half {
			angle := float64(pos) * math.Pow(ropeBase, -2*float64(i)/float64(c.headDim()))
			sin, cos := math.Sincos(angle)
			m.cosines[pos*half+i] = float32(cos)
			m.sines[pos*half+i] = float32(sin)
		}
	}
	return m, nil
}

// Config is the model's shape.
func (m *Model) Config() Config { return m.config }
