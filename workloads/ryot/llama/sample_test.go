package llama

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// sampleProbabilities are the probabilities that the settings ask for, by
// sorting: what a sampler must draw from.
func sampleProbabilities(logits []float32, s Sampling) []float64 {
	p := make([]float64, len(logits))
	order := make([]int, len(logits))
	for i, l := range logits {
		p[i] = math.Exp(float64(l) / s.Temperature)
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		if p[a] > p[b] {
			return -1
		} else if p[a] < p[b] {
			return 1
		}
		return 0
	})
	if s.TopK > 0 {
		order = order[:min(s.TopK, len(order))]
	}
	sum := 0.0
	for _, i := range order {
		sum += p[i]
	}
	kept, part := map[int]bool{}, 0.0
	for _, i := range order {
		if part >= s.TopP*sum {
			break
		}
		kept[i] = true
		part += p[i]
	}
	for i := range p {
		if kept[i] {
			p[i] /= part
		} else {
			p[i] = 0
		}
	}
	return p
}

func TestSamplingFollowsItsDistribution(t *testing.T) {
	const draws = 20000
	random := rand.New(rand.NewPCG(3, 4))
	logits := make([]float32, 40)
	for i := range logits {
		logits[i] = float32(random.NormFloat64())
	}
	logits[7] = logits[8] // equals at any boundary
	for _, setting := range []Sampling{
		{Temperature: 1, TopP: 1, Seed: 1},
		{Temperature: 0.5, TopP: 1, Seed: 2},
		{Temperature: 2, TopP: 1, Seed: 3},
		{Temperature: 1, TopP: 0.9, Seed: 4},
		{Temperature: 1, TopP: 0.3, Seed: 5},
		{Temperature: 1, TopP: 1, TopK: 5, Seed: 6},
		{Temperature: 1.5, TopP: 0.7, TopK: 20, Seed: 7},
		{Temperature: 1, TopP: 1, TopK: 400, Seed: 8},
	} {
		sampler, err := NewSampler(setting)
		if err != nil {
			t.Fatal(err)
		}
		counts := make([]float64, len(logits))
		for range draws {
			token, err := sampler.Sample(logits)
			if err != nil {
				t.Fatal(err)
			}
			counts[token]++
		}
		var seen, expected []float64
		for i, p := range sampleProbabilities(logits, setting) {
			if p == 0 {
				if counts[i] > 0 {
					t.Errorf("%+v: token %d was drawn %v times and must not be", setting, i, counts[i])
				}
				continue
			}
			seen = append(seen, counts[i])
			expected = append(expected, p*draws)
		}
		if len(seen) < 2 {
			t.Fatalf("%+v leaves %d tokens: nothing to test", setting, len(seen))
		}
		chi := stat.ChiSquare(seen, expected)
		p := distuv.ChiSquared{K: float64(len(seen) - 1)}.Survival(chi)
		if p < 1e-3 {
			t.Errorf("%+v: chi-square %.1f over %d tokens, p = %.2g", setting, chi, len(seen), p)
		}
	}
}

func TestLeadingAgreesWithSorting(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		list := make([]candidate, 1+random.IntN(60))
		for i := range list {
			list[i] = candidate{float64(random.IntN(12)), i}
		}
		sorted := slices.SortedFunc(slices.Values(list), func(a, b candidate) int {
			if a.before(b) {
				return -1
			}
			return 1
		})
		target := random.Float64() * 1.1 * total(list)
		want, sum := 0, 0.0
		for want < len(sorted) && (want == 0 || sum < target) {
			sum += sorted[want].weight
			want++
		}
		got := leading(list, func(sum float64, n int) bool { return n > 0 && sum >= target })
		if got != want {
			t.Fatalf("%d candidates lead, want %d of %v for %v", got, want, sorted, target)
		}
		for _, c := range list[:got] {
			if !slices.Contains(sorted[:want], c) {
				t.Fatalf("%v leads, want %v", list[:got], sorted[:want])
			}
		}
	}
}

func TestGreedySampling(t *testing.T) {
	sampler, err := NewSampler(Sampling{TopP: 1})
	if err != nil {
		t.Fatal(err)
	}
	if token, err := sampler.Sample([]float32{-3, 4, 4, 1}); token != 1 || err != nil {
		t.Errorf("got %d, %v", token, err)
	}
}

func TestSamplerRefuses(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, temperature := range []float64{0, 1} {
		sampler, err := NewSampler(Sampling{Temperature: temperature, TopP: 0.9})
		if err != nil {
			t.Fatal(err)
		}
		for _, logits := range [][]float32{{nan, 1}, {1, nan}, {inf, 0}, {0, -inf}, {nan, nan}} {
			if _, err := sampler.Sample(logits); err == nil {
				t.Errorf("temperature %v chose from %v", temperature, logits)
			}
		}
	}
	for _, s := range []Sampling{
		{Temperature: -1, TopP: 1}, {Temperature: math.NaN(), TopP: 1}, {Temperature: math.Inf(1), TopP: 1},
		{TopP: 0}, {TopP: 1.1}, {TopP: math.NaN()}, {TopP: 1, TopK: -1},
	} {
		if _, err := NewSampler(s); err == nil {
			t.Errorf("%+v was accepted", s)
		}
	}
}

func TestSamplerAtExtremeTemperatures(t *testing.T) {
	for _, temperature := range []float64{math.SmallestNonzeroFloat64, 1e-30, 100} {
		sampler, err := NewSampler(Sampling{Temperature: temperature, TopP: 0.999, TopK: 3})
		if err != nil {
			t.Fatal(err)
		}
		token, err := sampler.Sample([]float32{math.MaxFloat32, -math.MaxFloat32, 0})
		if token != 0 || err != nil {
			t.Errorf("temperature %v: got %d, %v", temperature, token, err)
		}
	}
}
