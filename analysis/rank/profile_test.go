package rank

import (
	"strings"

	"github.com/google/pprof/profile"
)

const tick = 10_000_000 // ns that a sample stands for

// builder makes CPU profiles of stacks written as "leaf;caller;root"; a "|"
// joins a function with the one it is inlined into, "leaf|outer;root".
type builder struct {
	p         *profile.Profile
	functions map[string]*profile.Function
	locations map[string]*profile.Location
}

func newBuilder() *builder {
	m := &profile.Mapping{ID: 1, Start: 0x1000, Limit: 0x100000, File: "/usr/bin/service"}
	return &builder{
		p: &profile.Profile{
			SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
			PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}, Period: tick,
			Mapping:       []*profile.Mapping{m},
			DurationNanos: 10e9,
		},
		functions: map[string]*profile.Function{}, locations: map[string]*profile.Location{},
	}
}

// add adds n samples with labels given as "key=value".
func (b *builder) add(stack string, n int64, labels ...string) *builder {
	s := &profile.Sample{Value: []int64{n, n * tick}, Label: map[string][]string{}}
	for _, l := range labels {
		key, value, _ := strings.Cut(l, "=")
		s.Label[key] = []string{value}
	}
	if stack != "" {
		for text := range strings.SplitSeq(stack, ";") {
			s.Location = append(s.Location, b.location(text))
		}
	}
	b.p.Sample = append(b.p.Sample, s)
	return b
}

func (b *builder) location(text string) *profile.Location {
	if l := b.locations[text]; l != nil {
		return l
	}
	l := &profile.Location{ID: uint64(len(b.locations) + 1), Mapping: b.p.Mapping[0]}
	l.Address = 0x1000 + l.ID*16
	for name := range strings.SplitSeq(text, "|") {
		l.Line = append(l.Line, profile.Line{Function: b.function(name), Line: int64(len(name))})
	}
	b.locations[text] = l
	b.p.Location = append(b.p.Location, l)
	return l
}

func (b *builder) function(name string) *profile.Function {
	if f := b.functions[name]; f != nil {
		return f
	}
	f := &profile.Function{ID: uint64(len(b.functions) + 1), Name: name, SystemName: name, Filename: "src/" + name + ".go"}
	b.functions[name] = f
	b.p.Function = append(b.p.Function, f)
	return f
}
