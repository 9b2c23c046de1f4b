package llama

import (
	"context"
	"errors"
	"fmt"
)

// batch is how many prompt tokens are computed at once. Their activations then
// still fit into a core's second-level cache beside a matrix's rows.
const batch = 32

// ErrContextFull says that a sequence has no room for the tokens it was given.
var ErrContextFull = errors.New("the context is full")

// Sequence is the state of one text being read and written: the key-value cache
// of its tokens so far and the room to compute the next ones. It belongs to one
// goroutine at a time and may be used again after [Sequence.Reset].
type Sequence struct {
	model  *Model
	length int
	cache  []layerCache
	// What follows holds the activations of up to batch tokens.
	residual, normed, queries, mixed []float32 // batch x Dim
	keys, values                     []float32 // batch x kvDim
	gate, up                         []float32 // batch x HiddenDim
	scores                           []float32 // Context
	output                           []float32 // Vocab
}

// NewSequence makes room for one text of up to Config.Context tokens.
func (m *Model) NewSequence() *Sequence {
	c := m.config
	s := &Sequence{model: m, scores: make([]float32, c.Context), output: make([]float32, c.Vocab)}
	for _, b := range []*[]float32{&s.residual, &s.normed, &s.queries, &s.mixed} {
		*b = make([]float32, batch*c.Dim)
	}
	for _, b := range []*[]float32{&s.keys, &s.values} {
		*b = make([]float32, batch*c.kvDim())
	}
	for _, b := range []*[]float32{&s.gate, &s.up} {
		*b = make([]float32, batch*c.HiddenDim)
	}
	for range c.Layers {
		s.cache = append(s.cache, newLayerCache(c))
	}
	return s
}

// Reset forgets all tokens.
func (s *Sequence) Reset() { s.length = 0 }

// Len is the number of tokens held.
func (s *Sequence) Len() int { return s.length }

// Forward appends the tokens, at least one, and returns the logits of what
// follows the last of them: one unscaled log-probability for each token of the
// vocabulary, valid until the next call. The others' logits are not computed,
// since nothing reads them. On an error, which is that of ctx, [ErrContextFull]
// or a token that is not in the vocabulary, some whole batches of the tokens may
// have been appended.
func (s *Sequence) Forward(ctx context.Context, tokens []int) ([]float32, error) {
	if len(tokens) == 0 {
		return nil, errors.New("no token to compute")
	}
	if have := s.model.config.Context - s.length; len(tokens) > have {
		return nil, fmt.Errorf("%w: %d tokens, room for %d", ErrContextFull, len(tokens), have)
	}
	for _, t := range tokens {
		if t < 0 || t >= s.model.config.Vocab {
			return nil, fmt.Errorf("token %d is not in the vocabulary of %d", t, s.model.config.Vocab)
		}
	}
	last := 0
	for len(tokens) > 0 {
		n := min(batch, len(tokens))
		if err := s.layers(ctx, tokens[:n]); err != nil {
			return nil, err
		}
		if s.model.logitsOfPrompt {
			for i := range n {
				s.logits(i)
			}
		}
		tokens, last = tokens[n:], n-1
	}
	return s.logits(last), nil
}

// layers computes up to batch tokens through all layers and keeps them. A call
// that is cut short leaves the sequence as it was: what it wrote into the cache
// lies beyond the length.
func (s *Sequence) layers(ctx context.Context, tokens []int) error {
	s.embed(tokens)
	for l := range s.model.config.Layers {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("computing layer %d: %w", l, err)
		}
		s.attention(l, len(tokens))
		s.feedForward(l, len(tokens))
	}
	s.length += len(tokens)
	return nil
}

// embed starts the residual stream with the tokens' embeddings.
//
// The compiler would merge so short a function into its caller, where a probe
// could not find it; the others are too long for that.
//
//go:noinline
func (s *Sequence) embed(tokens []int) {
	dim := s.model.config.Dim
	for i, t := range tokens {
		copy(s.residual[i*dim:][:dim], s.model.weights.Embedding[t*dim:][:dim])
	}
}

// logits applies the language-model head to the batch's token i.
func (s *Sequence) logits(i int) []float32 {
	c := s.model.config
	rmsNorm(s.normed, s.residual[i*c.Dim:][:c.Dim], s.model.weights.FinalNorm, 1)
	s.model.matmul(s.output, s.normed, s.model.weights.Classifier, 1, c.Vocab, c.Dim)
	return s.output
}
