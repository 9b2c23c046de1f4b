package flamegraph

import (
	"cmp"
	"math"
	"path"
	"slices"

	"github.com/google/pprof/profile"
)

// interner gives each distinct frame a number, each location of a profile read once.
type interner struct {
	frames    []frame
	byKey     map[frameKey]int32
	locations map[*profile.Location][]call // of the profile being read
	goBinary  map[string]bool              // by the mapping's file
}

func newInterner() *interner {
	return &interner{byKey: map[frameKey]int32{}, goBinary: map[string]bool{}}
}

// begin goes on to the next profile.
func (in *interner) begin(p *profile.Profile) {
	in.locations = make(map[*profile.Location][]call, len(p.Location))
	for _, l := range p.Location {
		for _, line := range l.Line {
			if line.Function != nil && path.Ext(line.Function.Filename) == ".go" {
				in.goBinary[binaryOf(l.Mapping)] = true
			}
		}
	}
}

func binaryOf(m *profile.Mapping) string {
	if m == nil {
		return ""
	}
	return m.File
}

// finish tells the frames' kinds, puts them into the order of their names, so that
// the tree's siblings, which are ordered by number, come out by name, and returns
// the new number of each.
func (in *interner) finish() (rank []int32) {
	order := make([]int32, len(in.frames))
	for i := range order {
		order[i] = int32(i)
		f := &in.frames[i]
		f.kind = kindOf(f.name, f.file, f.binary, in.goBinary[f.binary])
	}
	slices.SortFunc(order, func(a, b int32) int {
		x, y := &in.frames[a], &in.frames[b]
		return cmp.Or(cmp.Compare(x.name, y.name), cmp.Compare(x.binary, y.binary), compareBool(x.inlined, y.inlined))
	})
	sorted := make([]frame, len(order))
	rank = make([]int32, len(order))
	for i, old := range order {
		sorted[i] = in.frames[old]
		rank[old] = int32(i)
	}
	in.frames = sorted
	return rank
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
	key := frameKey{name: name, inlined: inlined, binary: binaryOf(m)}
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
	in.frames = append(in.frames, frame{frameKey: key, file: file})
	in.byKey[key] = id
	return id
}
