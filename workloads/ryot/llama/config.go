package llama

import (
	"errors"
	"fmt"
)

// Config is the shape of a model.
type Config struct {
	Dim       int // width of the residual stream
	HiddenDim int // width of the feed-forward block
	Layers    int
	Heads     int // query heads; each is Dim/Heads wide
	KVHeads   int // key and value heads, each shared by Heads/KVHeads query heads
	Vocab     int // tokens in the vocabulary
	Context   int // positions that fit in a sequence
}

// DefaultConfig is a small model in the proportions of real small ones, where
// the vocabulary's matrix weighs about as much as all layers. One core of a
// current server reads a prompt of 64 tokens in well under a tenth of a second
// and then writes hundreds of tokens a second, with a part in matrix products,
// attention and sampling that a profile of a few seconds shows.
func DefaultConfig() Config {
	return Config{Dim: 256, HiddenDim: 704, Layers: 4, Heads: 8, KVHeads: 4, Vocab: 16384, Context: 1024}
}

// The largest shapes accepted. They leave room for any model a CPU could run
// and keep every product below in an int64.
const (
	maxDim       = 1 << 16
	maxHiddenDim = 1 << 18
	maxLayers    = 1 << 10
	maxVocab     = 1 << 20
	maxContext   = 1 << 20
	// maxParameters bounds the weights to 32 GiB of float32.
	maxParameters = 1 << 33
	// maxCacheValues bounds one sequence's key-value cache to 4 GiB of float32.
	maxCacheValues = 1 << 30
)

// Validate says what makes the shape impossible or too large, all of it at once.
func (c Config) Validate() error {
	within := func(name string, value, limit int) error {
		if value < 1 || value > limit {
			return fmt.Errorf("%s is %d, must be 1 to %d", name, value, limit)
		}
		return nil
	}
	if err := errors.Join(
		within("dim", c.Dim, maxDim),
		within("hidden dim", c.HiddenDim, maxHiddenDim),
		within("layers", c.Layers, maxLayers),
		within("heads", c.Heads, maxDim/2),
		within("kv heads", c.KVHeads, maxDim/2),
		within("vocab", c.Vocab, maxVocab),
		within("context", c.Context, maxContext),
	); err != nil {
		return err
	}
	if c.Dim%(2*c.Heads) != 0 {
		return fmt.Errorf("dim %d is not divisible into %d heads of even width, which rotary positions need", c.Dim, c.Heads)
	}
	if c.Heads%c.KVHeads != 0 {
		return fmt.Errorf("%d heads are not divisible into %d kv heads", c.Heads, c.KVHeads)
	}
	if n := c.Parameters(); n > maxParameters {
		return fmt.Errorf("the shape has %d parameters, more than %d", n, int64(maxParameters))
	}
	if n := 2 * int64(c.Layers) * int64(c.Context) * int64(c.kvDim()); n > maxCacheValues {
		return fmt.Errorf("the key-value cache of one sequence has %d values, more than %d: choose a smaller context", n, maxCacheValues)
	}
	return nil
}

// Parameters is the number of weights with a classifier of its own. The shape's
// fields must be within their limits.
func (c Config) Parameters() int64 {
	dim, hidden, kv := int64(c.Dim), int64(c.HiddenDim), int64(c.kvDim())
	layer := 2*dim + 2*dim*dim + 2*dim*kv + 3*dim*hidden
	return 2*int64(c.Vocab)*dim + int64(c.Layers)*layer + dim
}

// headDim is the width of one attention head.
func (c Config) headDim() int { return c.Dim / c.Heads }

// kvDim is the width of all key heads, or all value heads, together.
func (c Config) kvDim() int { return c.headDim() * c.KVHeads }
