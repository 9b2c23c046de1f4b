package flamegraph

import (
	"cmp"
	"fmt"
	"math"
	"path"
	"slices"

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

// stacks are the selected samples, and the frames that they consist of in the
// order of their names.
type stacks struct {
	frames []frame
	calls  []call
	list   []stack
	total  int64
	count  int64
	// selfByKind is the value of the samples whose leaf is of that kind.
	selfByKind [kinds]int64
}

// collectStacks reads the samples that focus selects. Samples of value zero are
// left out: they have no width.
func collectStacks(p *profile.Profile, m measure, focus func(*profile.Sample) bool) (*stacks, error) {
	s := &stacks{}
	in := newInterner(p)
	for i, sample := range p.Sample {
		if focus != nil && !focus(sample) {
			continue
		}
		v := sample.Value[m.index]
		n := int64(1)
		if m.count >= 0 {
			n = sample.Value[m.count]
		}
		switch {
		case v < 0 || n < 0:
			return nil, fmt.Errorf("sample %d: %w (%s %d): the difference of two profiles cannot be drawn as widths", i, ErrNegative, m.name, min(v, n))
		case v == 0:
			continue
		case v > math.MaxInt64-s.total || n > math.MaxInt64-s.count:
			return nil, fmt.Errorf("adding sample %d: %w", i, ErrOverflow)
		}
		s.total += v
		s.count += n
		s.add(sample, in, v, n)
	}
	if s.total == 0 {
		return nil, fmt.Errorf("%w: %d samples in the profile, none selected has a %s above zero", ErrEmpty, len(p.Sample), m.name)
	}
	s.frames = in.frames
	s.orderFrames()
	return s, nil
}

// add appends one sample's calls, root first, and its leaf's share.
func (s *stacks) add(sample *profile.Sample, in *interner, v, n int64) {
	st := stack{from: len(s.calls), value: v, count: n}
	leaf := kindUnknown
	for i := len(sample.Location) - 1; i >= 0; i-- {
		calls := in.location(sample.Location[i])
		leaf = in.frames[calls[len(calls)-1].frame].kind
		s.calls = append(s.calls, calls[:min(len(calls), st.from+maxDepth-len(s.calls))]...)
	}
	st.to = len(s.calls)
	depth := 0
	for _, l := range sample.Location {
		depth += max(1, len(l.Line))
	}
	st.cut = depth > maxDepth
	s.list = append(s.list, st)
	s.selfByKind[leaf] += v
}

// orderFrames renumbers the frames by name, so that the tree's siblings, which
// are ordered by number, come out by name.
func (s *stacks) orderFrames() {
	order := make([]int32, len(s.frames))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		x, y := &s.frames[a], &s.frames[b]
		return cmp.Or(cmp.Compare(x.name, y.name), cmp.Compare(x.binary, y.binary), compareBool(x.inlined, y.inlined))
	})
	sorted := make([]frame, len(order))
	rank := make([]int32, len(order))
	for i, old := range order {
		sorted[i] = s.frames[old]
		rank[old] = int32(i)
	}
	s.frames = sorted
	for i := range s.calls {
		s.calls[i].frame = rank[s.calls[i].frame]
	}
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// interner gives each distinct frame a number, each location read once.
type interner struct {
	frames    []frame
	byKey     map[frameKey]int32
	locations map[*profile.Location][]call
	goBinary  map[*profile.Mapping]bool
}

func newInterner(p *profile.Profile) *interner {
	in := &interner{
		byKey:     map[frameKey]int32{},
		locations: make(map[*profile.Location][]call, len(p.Location)),
		goBinary:  map[*profile.Mapping]bool{},
	}
	for _, l := range p.Location {
		for _, line := range l.Line {
			if line.Function != nil && path.Ext(line.Function.Filename) == ".go" {
				in.goBinary[l.Mapping] = true
			}
		}
	}
	return in
}

// location returns a location's calls, caller first: its last line is the
// function that was compiled there, the ones before it were inlined into it.
func (in *interner) location(l *profile.Location) []call {
	if c, ok := in.locations[l]; ok {
		return c
	}
	calls := make([]call, 0, max(1, len(l.Line)))
	if len(l.Line) == 0 {
		calls = append(calls, call{frame: in.frame("", "", l.Mapping, false)})
	}
	for i := len(l.Line) - 1; i >= 0; i-- {
		name, file := "", ""
		if f := l.Line[i].Function; f != nil {
			name, file = f.Name, f.Filename
			if name == "" {
				name = f.SystemName
			}
		}
		line := l.Line[i].Line
		if line < 0 || line > math.MaxInt32 {
			line = 0
		}
		calls = append(calls, call{frame: in.frame(name, file, l.Mapping, i < len(l.Line)-1), line: int32(line)})
	}
	in.locations[l] = calls
	return calls
}

// frame returns a function's number. One without a name is called after its
// binary, as go tool pprof calls it.
func (in *interner) frame(name, file string, m *profile.Mapping, inlined bool) int32 {
	key := frameKey{name: name, inlined: inlined}
	if m != nil {
		key.binary = m.File
	}
	switch {
	case name != "":
	case key.binary != "":
		key.name = "[" + path.Base(key.binary) + "]"
	default:
		key.name = "[unknown]"
	}
	if id, ok := in.byKey[key]; ok {
		f := &in.frames[id]
		if f.file == "" {
			f.file = file
		} else if file != "" && file != f.file {
			f.severalFiles = true
		}
		return id
	}
	id := int32(len(in.frames))
	in.frames = append(in.frames, frame{frameKey: key, file: file, kind: kindOf(key.name, file, m, in.goBinary[m])})
	in.byKey[key] = id
	return id
}
