package window

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/collector/jit"
	"github.com/narrows-profiler/narrows/symbolizer/binary"
)

// KernelMapping is the file name that pprof files give to the kernel's code.
const KernelMapping = "[kernel.kallsyms]"

// kernelStart is below the kernel's code on all 64-bit machines.
const kernelStart = 1 << 63

// writer turns gathered samples into a profile, with each mapping and location once.
type writer struct {
	profile   *profile.Profile
	mappings  map[mappingKey]*profile.Mapping
	locations []*profile.Location // by number of the frame
	functions map[*jit.Function]*profile.Function
	labels    []labelMaps // by number
}

// mappingKey tells mappings apart as a reader of the profile would: two files of
// one build ID are one.
type mappingKey struct {
	path, buildID string
	start         uint64
}

func newWriter(types []*profile.ValueType, period Period, frames int, start time.Time, duration time.Duration) *writer {
	p := &profile.Profile{
		TimeNanos: start.UnixNano(), DurationNanos: int64(duration),
		PeriodType: period.Type, Period: period.Value,
	}
	for _, t := range types {
		copied := *t
		p.SampleType = append(p.SampleType, &copied)
	}
	return &writer{profile: p, mappings: map[mappingKey]*profile.Mapping{}, locations: make([]*profile.Location, frames),
		functions: map[*jit.Function]*profile.Function{}}
}

// sample adds what was gathered of a stack, with room for its locations.
func (w *writer) sample(g *gathered, frames []Frame, locations []*profile.Location) {
	s := &profile.Sample{
		Value: g.values, Location: locations, Label: w.labels[g.labels].strings, NumLabel: w.labels[g.labels].numbers,
	}
	for i, number := range g.stack {
		if locations[i] = w.locations[number]; locations[i] == nil {
			locations[i] = w.location(frames[number])
			w.locations[number] = locations[i]
		}
	}
	w.profile.Sample = append(w.profile.Sample, s)
}

// describe makes the maps of all sets of labels.
func (w *writer) describe(sets []Labels) {
	w.labels = make([]labelMaps, len(sets))
	for i := range sets {
		w.labels[i] = mapsOf(&sets[i])
	}
}

// labelMaps are the labels of samples, as profiles have them.
type labelMaps struct {
	strings map[string][]string
	numbers map[string][]int64
}

func mapsOf(l *Labels) labelMaps {
	m := labelMaps{map[string][]string{}, make(map[string][]int64, 2)}
	for _, label := range [...]struct{ name, value string }{
		{"service", l.Service}, {"process", l.Process}, {"thread", l.Thread}, {"container", l.Container},
		{"benchmark", l.Benchmark}, {"phase", l.Phase}, {"state", l.State}, {"unwind", l.Unwind}, {"lock", l.Lock}, {"lock_kind", l.LockKind},
		{"slab", l.Slab}, {"kind", l.Kind},
	} {
		if label.value != "" {
			m.strings[label.name] = []string{label.value}
		}
	}
	m.numbers["pid"] = []int64{int64(l.PID)}
	m.numbers["tid"] = []int64{int64(l.TID)}
	if l.Owner != 0 {
		m.numbers["owner"] = []int64{int64(l.Owner)}
	}
	if l.Bytes != 0 {
		m.numbers["bytes"] = []int64{l.Bytes}
	}
	if l.Site != 0 {
		m.numbers["site"] = []int64{l.Site}
	}
	if l.Rate != 0 {
		m.numbers["rate"] = []int64{l.Rate}
	}
	return m
}

// location is the frame's place in the profile: the ELF address where the file
// could be read, else the offset in the file under a mapping that says so.
func (w *writer) location(f Frame) *profile.Location {
	l := &profile.Location{ID: uint64(len(w.profile.Location) + 1), Address: f.Address}
	if f.Binary == nil && f.Function != nil {
		l.Address = 0 // no code: it says why there is none
	} else if f.Binary == nil {
		l.Mapping = w.mapping(mappingKey{path: KernelMapping}, kernelStart, math.MaxUint64, 0)
	} else if segment, buildID, ok := segmentOf(f); ok {
		l.Address = segment.Address(f.Address)
		l.Mapping = w.mapping(mappingKey{f.Binary.Path, buildID, segment.Vaddr}, segment.Vaddr, segment.Vaddr+segment.Filesz, segment.Offset)
	} else {
		l.Mapping = w.mapping(mappingKey{path: f.Binary.Path, buildID: f.Binary.BuildID}, 0, math.MaxUint64, 0)
	}
	if f.Function != nil {
		l.Line = []profile.Line{{Function: w.function(f.Function)}}
	}
	w.profile.Location = append(w.profile.Location, l)
	return l
}

// function is a function of code that a program made. Its name is the program's own
// word, so it is made safe to print.
func (w *writer) function(f *jit.Function) *profile.Function {
	if known, ok := w.functions[f]; ok {
		return known
	}
	added := &profile.Function{
		ID: uint64(len(w.profile.Function) + 1), Name: printable(f.Name), SystemName: printable(f.SystemName),
		Filename: printable(f.File), StartLine: int64(f.StartLine),
	}
	w.functions[f] = added
	w.profile.Function = append(w.profile.Function, added)
	return added
}

// printable is a text without what could steer a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

func segmentOf(f Frame) (binary.Segment, string, bool) {
	file, err := f.Binary.File()
	if err != nil {
		return binary.Segment{}, "", false
	}
	segment, ok := file.Segment(f.Address)
	return segment, file.BuildID(), ok
}

func (w *writer) mapping(k mappingKey, start, limit, offset uint64) *profile.Mapping {
	if m, ok := w.mappings[k]; ok {
		return m
	}
	m := &profile.Mapping{
		ID: uint64(len(w.profile.Mapping) + 1), Start: start, Limit: limit, Offset: offset,
		File: k.path, BuildID: k.buildID,
	}
	w.mappings[k] = m
	w.profile.Mapping = append(w.profile.Mapping, m)
	return m
}

// lostSamples adds one sample a reason, of a single frame that names it.
func (w *writer) lostSamples(lost map[string][]int64) {
	for _, reason := range slices.Sorted(maps.Keys(lost)) {
		name := fmt.Sprintf("[lost: %s]", reason)
		function := &profile.Function{ID: uint64(len(w.profile.Function) + 1), Name: name, SystemName: name}
		location := &profile.Location{ID: uint64(len(w.profile.Location) + 1), Line: []profile.Line{{Function: function}}}
		w.profile.Function = append(w.profile.Function, function)
		w.profile.Location = append(w.profile.Location, location)
		w.profile.Sample = append(w.profile.Sample, &profile.Sample{
			Location: []*profile.Location{location}, Value: lost[reason],
			Label: map[string][]string{}, NumLabel: map[string][]int64{},
		})
	}
}
