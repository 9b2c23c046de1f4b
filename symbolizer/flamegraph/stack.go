package flamegraph

import (
	"fmt"
	"iter"
	"math"

	"github.com/google/pprof/profile"
)

// frame is a function as the graph tells them apart: by name, binary, and
// whether it was inlined into its caller.
type frame struct {
	frameKey
	kind kind
	// file is the one source file of the function; functions of one name from
	// several files (C's statics) have severalFiles and no lines.
	file         string
	severalFiles bool
}

type frameKey struct {
	name, binary string
	inlined      bool
}

// call is one frame of one stack, with the line that was running or calling.
type call struct {
	frame int32
	line  int32 // 0 is unknown
}

// stack is a sample's calls, root first, as a range of stacks.calls.
type stack struct {
	from, to     int
	value, count int64
	cut          bool // deeper than maxDepth
}

// stacks are selected samples, as many as are merged at a time.
type stacks struct {
	calls []call
	list  []stack
}

// gatherer reads the selected samples of profiles.
type gatherer struct {
	measure measure
	focus   func(*profile.Sample) bool
	in      *interner

	total, count int64
	samples      int
	self         []int64 // by frame: the value of the samples whose leaf it is
	calls        []call  // of the sample being read, root first
}

// gather reads all profiles from their beginning, and calls each with every selected
// sample. Samples of value zero are left out: they have no width. The calls are
// valid until the next sample.
func (g *gatherer) gather(profiles iter.Seq2[*profile.Profile, error], each func(stack, []call)) error {
	g.total, g.count, g.samples = 0, 0, 0
	clear(g.self)
	for p, err := range profiles {
		if err != nil {
			return err
		}
		if err := g.measure.fits(p); err != nil {
			return err
		}
		g.in.begin(p)
		for i, sample := range p.Sample {
			g.samples++
			if g.focus != nil && !g.focus(sample) {
				continue
			}
			if err := g.sample(sample, each); err != nil {
				return fmt.Errorf("sample %d: %w", i, err)
			}
		}
	}
	if g.total == 0 {
		return fmt.Errorf("%w: %d samples in the profile, none selected has a %s above zero", ErrEmpty, g.samples, g.measure.name)
	}
	return nil
}

// sample reads one sample.
func (g *gatherer) sample(sample *profile.Sample, each func(stack, []call)) error {
	v, n := sample.Value[g.measure.index], int64(1)
	if g.measure.count >= 0 {
		n = sample.Value[g.measure.count]
	}
	switch {
	case v < 0 || n < 0:
		return fmt.Errorf("%w (%s %d): the difference of two profiles cannot be drawn as widths", ErrNegative, g.measure.name, min(v, n))
	case v == 0:
		return nil
	case v > math.MaxInt64-g.total || n > math.MaxInt64-g.count:
		return ErrOverflow
	}
	g.total += v
	g.count += n
	g.calls = g.calls[:0]
	leaf := int32(-1)
	depth := 0
	for i := len(sample.Location) - 1; i >= 0; i-- {
		calls := g.in.location(sample.Location[i])
		leaf = calls[len(calls)-1].frame
		depth += len(calls)
		g.calls = append(g.calls, calls[:min(len(calls), maxDepth-len(g.calls))]...)
	}
	for len(g.self) < len(g.in.frames)+1 {
		g.self = append(g.self, 0)
	}
	g.self[leaf+1] += v // the first is of samples without a stack
	each(stack{value: v, count: n, cut: depth > maxDepth}, g.calls)
	return nil
}

// selfByKind is the value of the samples whose leaf is of each kind, when the frames
// have got new numbers.
func (g *gatherer) selfByKind(rank []int32) (byKind [kinds]int64) {
	for i, v := range g.self {
		k := kindUnknown
		if i > 0 {
			k = g.in.frames[rank[i-1]].kind
		}
		byKind[k] += v
	}
	return byKind
}

// add appends a sample.
func (s *stacks) add(st stack, calls []call) {
	st.from = len(s.calls)
	s.calls = append(s.calls, calls...)
	st.to = len(s.calls)
	s.list = append(s.list, st)
}

// renumber gives the calls the numbers that the frames have now.
func (s *stacks) renumber(rank []int32) {
	for i := range s.calls {
		s.calls[i].frame = rank[s.calls[i].frame]
	}
}
