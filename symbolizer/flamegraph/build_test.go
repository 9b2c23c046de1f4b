package flamegraph

import (
	"strconv"
	"strings"

	"github.com/google/pprof/profile"
)

// folded builds a profile from lines as flame graphs are folded: callers first,
// separated by ";", then one value. "caller+callee" is one location in which
// callee was inlined into caller. The sample types are samples/count, with the
// value itself, and cpu/nanoseconds, ten million times the value.
func folded(lines ...string) *profile.Profile {
	b := newBuilder(&profile.ValueType{Type: "samples", Unit: "count"}, &profile.ValueType{Type: "cpu", Unit: "nanoseconds"})
	for _, line := range lines {
		stack, number, _ := cutLast(line, " ")
		v, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			panic(err)
		}
		b.sample([]int64{v, v * 10_000_000}, strings.Split(stack, ";")...)
	}
	return b.p
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	return s[:i], s[i+len(sep):], i >= 0
}

// builder adds samples to a profile of one binary.
type builder struct {
	p         *profile.Profile
	functions map[string]*profile.Function
	locations map[string]*profile.Location
}

func newBuilder(types ...*profile.ValueType) *builder {
	return &builder{
		p: &profile.Profile{
			SampleType: types,
			Mapping:    []*profile.Mapping{{ID: 1, Start: 0x1000, Limit: 0x100000, File: "/bin/app"}},
		},
		functions: map[string]*profile.Function{},
		locations: map[string]*profile.Location{},
	}
}

// sample adds a stack, root first; an empty stack is a sample without frames.
func (b *builder) sample(values []int64, stack ...string) *profile.Sample {
	s := &profile.Sample{Value: values}
	for i := len(stack) - 1; i >= 0; i-- {
		if stack[i] != "" {
			s.Location = append(s.Location, b.location(stack[i]))
		}
	}
	b.p.Sample = append(b.p.Sample, s)
	return s
}

func (b *builder) location(names string) *profile.Location {
	if l, ok := b.locations[names]; ok {
		return l
	}
	l := &profile.Location{ID: uint64(len(b.locations) + 1), Mapping: b.p.Mapping[0], Address: uint64(0x1000 + len(b.locations))}
	parts := strings.Split(names, "+")
	for i := len(parts) - 1; i >= 0; i-- {
		l.Line = append(l.Line, profile.Line{Function: b.function(parts[i]), Line: int64(10 + i)})
	}
	b.locations[names] = l
	b.p.Location = append(b.p.Location, l)
	return l
}

func (b *builder) function(name string) *profile.Function {
	f, ok := b.functions[name]
	if !ok {
		f = &profile.Function{ID: uint64(len(b.functions) + 1), Name: name, SystemName: name}
		b.functions[name] = f
		b.p.Function = append(b.p.Function, f)
	}
	return f
}
