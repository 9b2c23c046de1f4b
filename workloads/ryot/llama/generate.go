package llama

import (
	"context"
	"iter"
)

// Generate appends the prompt and then yields up to limit tokens, each chosen by
// the sampler and appended before the next. It ends early before a token for
// which stop is true (nil: none), and with an error, the last thing yielded,
// when ctx ends, the context is full or the logits are not finite.
func (s *Sequence) Generate(ctx context.Context, prompt []int, sampler *Sampler, limit int, stop func(token int) bool) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		input := prompt
		for range limit {
			logits, err := s.Forward(ctx, input)
			if err != nil {
				yield(0, err)
				return
			}
			token, err := sampler.Sample(logits)
			if err != nil {
				yield(0, err)
				return
			}
			if stop != nil && stop(token) || !yield(token, nil) {
				return
			}
			input = []int{token}
		}
	}
}
