package waits

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
)

// builder makes profiles of named stacks.
type builder struct {
	p         *profile.Profile
	functions map[string]*profile.Location
}

var (
	kernel  = &profile.Mapping{ID: 1, File: "[kernel.kallsyms]"}
	program = &profile.Mapping{ID: 2, File: "/usr/bin/program"}
)

func newBuilder(types ...string) *builder {
	b := &builder{p: &profile.Profile{Mapping: []*profile.Mapping{kernel, program}}, functions: map[string]*profile.Location{}}
	for _, name := range types {
		kind, unit, _ := strings.Cut(name, "/")
		b.p.SampleType = append(b.p.SampleType, &profile.ValueType{Type: kind, Unit: unit})
	}
	return b
}

// add adds a sample: functions from the innermost on, those of the kernel with "k:", and
// labels as key=value, numbers as key#value.
func (b *builder) add(stack, labels string, values ...int64) *builder {
	s := &profile.Sample{Value: values, Label: map[string][]string{}, NumLabel: map[string][]int64{}}
	for name := range strings.FieldsSeq(stack) {
		l := b.functions[name]
		if l == nil {
			mapping := program
			plain, isKernel := strings.CutPrefix(name, "k:")
			if isKernel {
				mapping = kernel
			}
			f := &profile.Function{ID: uint64(len(b.p.Function) + 1), Name: plain}
			l = &profile.Location{ID: f.ID, Mapping: mapping, Line: []profile.Line{{Function: f}}}
			b.p.Function, b.p.Location = append(b.p.Function, f), append(b.p.Location, l)
			b.functions[name] = l
		}
		s.Location = append(s.Location, l)
	}
	for word := range strings.FieldsSeq(labels) {
		if key, value, ok := strings.Cut(word, "="); ok {
			s.Label[key] = []string{value}
		} else if key, value, ok := strings.Cut(word, "#"); ok {
			var n int64
			fmt.Sscan(value, &n)
			s.NumLabel[key] = []int64{n}
		}
	}
	b.p.Sample = append(b.p.Sample, s)
	return b
}

func offCPU() *builder { return newBuilder("waits/count", "offcpu/nanoseconds") }
func onCPU() *builder  { return newBuilder("samples/count", "cpu/nanoseconds") }
func contention() *builder {
	return newBuilder("contentions/count", "delay/nanoseconds")
}
func held() *builder { return newBuilder("blame/nanoseconds") }

// fixtures reads "heading\nstack" blocks; lines with # are comments. A function's name may
// hold spaces within parentheses.
func fixtures(t *testing.T, text string, each func(heading, stack string)) {
	t.Helper()
	for block := range strings.SplitSeq(text, "\n\n") {
		var lines []string
		for line := range strings.Lines(block) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				lines = append(lines, line)
			}
		}
		switch len(lines) {
		case 0:
		case 2:
			each(lines[0], lines[1])
		default:
			t.Fatalf("a fixture has %d lines: %q", len(lines), lines)
		}
	}
}
