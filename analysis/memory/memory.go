// Package memory says what a profile of allocations amounts to: how much was allocated, how
// much of it lives, by which stacks, and how sure that is.
//
// Windows enter by [Tally.Add] as profiles like Go's heap profile, whose functions are named
// (alloc_objects, alloc_space, inuse_objects, inuse_space); [Tally.Document] gives what
// session.json has of them. Each block in a profile was taken with a probability that
// follows from its size, the label "bytes", and the profile's period, or the label "rate" in
// its place, so that intervals need nothing else. Blocks without "bytes" were certain to be
// taken.
package memory

import (
	"cmp"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/analysis/statistics"
)

// confidence is that of all intervals here.
const confidence = 0.95

// maxStacks bounds the stacks that are told apart, and shownStacks how many are told.
const (
	maxStacks   = 100_000
	shownStacks = 20
)

var errNotOfMemory = errors.New("the profile has not the sample types of a heap profile")

// sum is an estimate under way.
type sum struct{ objects, bytes, variance, largest, samples float64 }

// Tally adds up windows.
type Tally struct {
	mean            float64
	allocated, live sum
	stacks          map[string]*stack
}

type stack struct {
	functions       []string
	allocated, live sum
}

// NewTally begins without a window.
func NewTally() *Tally { return &Tally{stacks: map[string]*stack{}} }

// Add adds a window.
func (t *Tally) Add(p *profile.Profile) error {
	if len(p.SampleType) != 4 || p.SampleType[0].Type != "alloc_objects" || p.SampleType[3].Type != "inuse_space" {
		return errNotOfMemory
	}
	t.mean = float64(p.Period)
	for _, s := range p.Sample {
		of := t.stack(s)
		mean := t.mean
		if rates := s.NumLabel["rate"]; len(rates) == 1 && rates[0] > 0 {
			mean = float64(rates[0])
		}
		for at, sums := range [2][2]*sum{{&t.allocated, &of.allocated}, {&t.live, &of.live}} {
			objects, bytes := float64(s.Value[2*at]), float64(s.Value[2*at+1])
			if objects == 0 {
				continue
			}
			size := math.Inf(1) // certain
			if sizes := s.NumLabel["bytes"]; len(sizes) == 1 {
				size = float64(sizes[0])
			}
			for _, to := range sums {
				to.add(objects, bytes, size, mean)
			}
		}
	}
	return nil
}

// add adds blocks of a size, with all that they stand for.
func (s *sum) add(objects, bytes, size, mean float64) {
	p := 1.0
	if !math.IsInf(size, 1) {
		p = -math.Expm1(-max(size, 1) / mean)
	}
	n := objects * p // how many were taken
	s.objects += objects
	s.bytes += bytes
	s.samples += n
	if p < 1 {
		s.variance += n * (1 - p) * size * size / (p * p)
		s.largest = max(s.largest, (1-p)*size/p)
	}
}

// stack is what is known of a sample's stack.
func (t *Tally) stack(s *profile.Sample) *stack {
	functions := FunctionsOf(s)
	key := strings.Join(functions, "\x00")
	of := t.stacks[key]
	if of == nil {
		of = &stack{functions: functions}
		if len(t.stacks) < maxStacks { // what is beyond is in the sums only
			t.stacks[key] = of
		}
	}
	return of
}

// FunctionsOf names the frames, the leaf first, inlined ones too.
func FunctionsOf(s *profile.Sample) []string {
	var names []string
	for _, l := range s.Location {
		if len(l.Line) == 0 {
			names = append(names, "?")
		}
		for _, line := range l.Line {
			names = append(names, line.Function.Name)
		}
	}
	return names
}

// Document is what there was in all windows, nil if there was none. The stacks are those of
// which most lives.
func (t *Tally) Document() *session.Memory {
	if t.mean == 0 {
		return nil
	}
	d := &session.Memory{MeanBytes: int64(t.mean), Allocated: t.allocated.estimate(), Live: t.live.estimate(), Stacks: []session.MemoryStack{}}
	for _, s := range slices.SortedFunc(maps.Values(t.stacks), func(a, b *stack) int {
		return cmp.Or(cmp.Compare(b.live.bytes, a.live.bytes), cmp.Compare(b.allocated.bytes, a.allocated.bytes), slices.Compare(a.functions, b.functions))
	}) {
		if len(d.Stacks) == shownStacks {
			break
		}
		d.Stacks = append(d.Stacks, session.MemoryStack{Functions: s.functions, Allocated: s.allocated.estimate(), Live: s.live.estimate()})
	}
	return d
}

func (s *sum) estimate() session.MemoryEstimate {
	i, ok := statistics.WeightedInterval(s.bytes, s.variance, s.largest, confidence)
	if !ok {
		i = statistics.Interval{Low: s.bytes, High: s.bytes}
	}
	return session.MemoryEstimate{
		Bytes: round(s.bytes), LowBytes: round(i.Low), HighBytes: round(i.High), Objects: round(s.objects), Samples: round(s.samples),
	}
}

func round(v float64) int64 { return int64(math.Round(v)) }
