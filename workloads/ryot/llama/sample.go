package llama

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
)

// Sampling says how the next token is chosen from its logits.
type Sampling struct {
	// Temperature divides the logits; 0 always takes the most probable token.
	Temperature float64
	// TopK keeps only that many of the most probable tokens; 0 keeps all.
	TopK int
	// TopP keeps the fewest most probable tokens that together have at least
	// this probability (Holtzman et al. 2020, arXiv:1904.09751); 1 keeps all.
	// It applies after TopK.
	TopP float64
	// Seed makes the choices repeatable.
	Seed uint64
}

// Validate says which setting is out of its range.
func (s Sampling) Validate() error {
	var errs []error
	if !(s.Temperature >= 0 && s.Temperature <= 100) {
		errs = append(errs, fmt.Errorf("temperature is %v, must be 0 to 100", s.Temperature))
	}
	if s.TopK < 0 {
		errs = append(errs, fmt.Errorf("top-k is %d, must be 0 or more", s.TopK))
	}
	if !(s.TopP > 0 && s.TopP <= 1) {
		errs = append(errs, fmt.Errorf("top-p is %v, must be above 0 and at most 1", s.TopP))
	}
	return errors.Join(errs...)
}

// Sampler chooses tokens. It belongs to one goroutine.
type Sampler struct {
	Sampling
	random     *rand.Rand
	candidates []candidate
}

// candidate is a token and its weight, which is its probability times a factor
// that is the same for all.
type candidate struct {
	weight float64
	token  int
}

// NewSampler starts the random stream of the settings' seed.
func NewSampler(s Sampling) (*Sampler, error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("checking the sampling: %w", err)
	}
	return &Sampler{Sampling: s, random: rand.New(rand.NewPCG(s.Seed, 0))}, nil
}

// errNotFinite is what weights out of all proportion lead to.
var errNotFinite = errors.New("the logits are not finite")

// Sample chooses a token. It fails only when the logits are not finite.
func (s *Sampler) Sample(logits []float32) (int, error) {
	best := 0
	var spread float32 // stays 0 unless a logit is infinite or not a number
	for i, v := range logits {
		spread += v - v
		if v > logits[best] {
			best = i
		}
	}
	if spread != 0 {
		return 0, errNotFinite
	}
	if s.Temperature == 0 {
		return best, nil
	}
	kept := s.weigh(logits, float64(logits[best]))
	if s.TopK > 0 && s.TopK < len(kept) {
		kept = kept[:leading(kept, func(_ float64, n int) bool { return n >= s.TopK })]
	}
	if s.TopP < 1 {
		enough := s.TopP * total(kept)
		kept = kept[:leading(kept, func(sum float64, _ int) bool { return sum >= enough })]
	}
	at := s.random.Float64() * total(kept)
	for _, c := range kept {
		if at -= c.weight; at < 0 {
			return c.token, nil
		}
	}
	// Rounding can leave a remainder of nothing.
	return best, nil
}

// weigh gives every token its weight at the sampler's temperature.
func (s *Sampler) weigh(logits []float32, largest float64) []candidate {
	if cap(s.candidates) < len(logits) {
		s.candidates = make([]candidate, len(logits))
	}
	kept := s.candidates[:len(logits)]
	for i, v := range logits {
		kept[i] = candidate{math.Exp((float64(v) - largest) / s.Temperature), i}
	}
	return kept
}

// total is the sum of the weights.
func total(list []candidate) float64 {
	var sum float64
	for _, c := range list {
		sum += c.weight
	}
	return sum
}

// before orders candidates by falling weight, then by token, so that no two are
// equal.
func (c candidate) before(d candidate) bool {
	if o := cmp.Compare(c.weight, d.weight); o != 0 {
		return o > 0
	}
	return c.token < d.token
}

// leading moves the heaviest candidates to the front and returns the smallest
// number of them that is enough by their sum and number, or all of them. It
// narrows in on the boundary as quickselect does (Hoare 1961, algorithm 65),
// which takes linear time on average where sorting a vocabulary would not.
func leading(list []candidate, enough func(sum float64, n int) bool) int {
	low, high, sum := 0, len(list), 0.0
	for high-low > 1 {
		mid := low + (high-low)/2
		list[mid], list[high-1] = list[high-1], list[mid]
		pivot, at, part := list[high-1], low, 0.0
		for i := low; i < high-1; i++ {
			if list[i].before(pivot) {
				part += list[i].weight
				list[i], list[at] = list[at], list[i]
				at++
			}
		}
		list[at], list[high-1] = list[high-1], list[at]
		switch {
		case enough(sum+part, at):
			high = at
		case enough(sum+part+pivot.weight, at+1):
			return at + 1
		default:
			low, sum = at+1, sum+part+pivot.weight
		}
	}
	return high
}
