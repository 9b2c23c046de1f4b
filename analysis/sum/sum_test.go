package sum_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"
	"pgregory.net/rapid"

	"github.com/narrows-profiler/narrows/analysis/sum"
)

// content is what a profile says, whatever numbers and order it gives its parts.
type content struct {
	Header    string
	Samples   map[string][]int64
	Locations map[string]int
	Functions map[string]int
	Mappings  map[string]int
}

func mappingText(m *profile.Mapping) string {
	if m == nil {
		return "none"
	}
	return fmt.Sprintf("%#x-%#x+%#x %q %q %t %t %t %t", m.Start, m.Limit, m.Offset, m.File, m.BuildID, m.HasFunctions, m.HasFilenames, m.HasLineNumbers, m.HasInlineFrames)
}

func functionText(f *profile.Function) string {
	if f == nil {
		return "none"
	}
	return fmt.Sprintf("%q %q %q %d", f.Name, f.SystemName, f.Filename, f.StartLine)
}

func locationText(l *profile.Location) string {
	text := fmt.Sprintf("%#x %t in %s", l.Address, l.IsFolded, mappingText(l.Mapping))
	for _, line := range l.Line {
		text += fmt.Sprintf(" | %s:%d:%d", functionText(line.Function), line.Line, line.Column)
	}
	return text
}

func contentOf(p *profile.Profile) content {
	types := []string{}
	for _, t := range append(slices.Clone(p.SampleType), p.PeriodType) {
		types = append(types, t.Type+"/"+t.Unit)
	}
	c := content{
		Header: fmt.Sprintf("%q %d from %d for %d, %q %q %q %q %q", types, p.Period, p.TimeNanos, p.DurationNanos,
			p.Comments, p.DefaultSampleType, p.DocURL, p.DropFrames, p.KeepFrames),
		Samples: map[string][]int64{}, Locations: map[string]int{}, Functions: map[string]int{}, Mappings: map[string]int{},
	}
	for _, s := range p.Sample {
		var key strings.Builder
		for _, l := range s.Location {
			fmt.Fprintln(&key, locationText(l))
		}
		for _, k := range slices.Sorted(maps.Keys(s.Label)) {
			fmt.Fprintf(&key, "%q=%q\n", k, s.Label[k])
		}
		for _, k := range slices.Sorted(maps.Keys(s.NumLabel)) {
			units := strings.Join(s.NumUnit[k], ",")
			fmt.Fprintf(&key, "%q=%d %q\n", k, s.NumLabel[k], strings.Trim(units, ","))
		}
		sums := c.Samples[key.String()]
		if sums == nil {
			sums = make([]int64, len(s.Value))
			c.Samples[key.String()] = sums
		}
		for i, v := range s.Value {
			sums[i] += v
		}
	}
	for _, l := range p.Location {
		c.Locations[locationText(l)]++
	}
	for _, f := range p.Function {
		c.Functions[functionText(f)]++
	}
	for _, m := range p.Mapping {
		c.Mappings[mappingText(m)]++
	}
	return c
}

// encoded yields profiles as they are written.
func encoded(t testing.TB, profiles ...*profile.Profile) sum.Profiles {
	return func(yield func([]byte, error) bool) {
		var data bytes.Buffer
		for _, p := range profiles {
			data.Reset()
			if err := p.WriteUncompressed(&data); err != nil {
				yield(nil, err)
				return
			}
			if !yield(data.Bytes(), nil) {
				return
			}
		}
	}
}

// added adds profiles up and parses the result.
func added(profiles sum.Profiles) (*sum.Sum, *profile.Profile, error) {
	s, err := sum.Of(profiles)
	if err != nil {
		return nil, nil, err
	}
	var out bytes.Buffer
	if err := s.Write(&out, profiles); err != nil {
		return nil, nil, err
	}
	p, err := profile.ParseUncompressed(out.Bytes())
	if err != nil {
		return nil, nil, fmt.Errorf("parsing the sum: %w", err)
	}
	return s, p, p.CheckValid()
}

// merged is what the profile package makes of the same profiles.
func merged(profiles []*profile.Profile) (*profile.Profile, error) {
	m, err := profile.Merge(profiles)
	if err != nil {
		return nil, err
	}
	// What this package does otherwise, on purpose: the time spans all profiles, and
	// a mapping has what any profile says it has.
	start, end := profiles[0].TimeNanos, profiles[0].TimeNanos+profiles[0].DurationNanos
	for _, p := range profiles {
		start, end = min(start, p.TimeNanos), max(end, p.TimeNanos+p.DurationNanos)
	}
	m.TimeNanos, m.DurationNanos = start, end-start
	var data bytes.Buffer
	if err := m.WriteUncompressed(&data); err != nil {
		return nil, err
	}
	return profile.ParseUncompressed(data.Bytes())
}

// someProfiles draws windows of one recording: common functions and mappings at
// various places, inlining, labels, values that may cancel out.
func someProfiles(t *rapid.T) []*profile.Profile {
	text := rapid.SampledFrom([]string{"", "a", "b", "main.run", "/usr/lib/libc.so.6"})
	number := rapid.Int64Range(-1, 3)
	var all []*profile.Profile
	for range rapid.IntRange(1, 5).Draw(t, "profiles") {
		p := &profile.Profile{
			SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
			PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}, Period: rapid.Int64Range(0, 2).Draw(t, "period"),
			TimeNanos: rapid.Int64Range(1, 1000).Draw(t, "time"), DurationNanos: rapid.Int64Range(0, 10).Draw(t, "duration"),
			Comments: rapid.SliceOfN(text, 0, 2).Draw(t, "comments"), DefaultSampleType: rapid.SampledFrom([]string{"", "cpu"}).Draw(t, "default"),
		}
		// IDs need not be dense.
		step := rapid.Uint64Range(1, 3).Draw(t, "step")
		for i := range rapid.Uint64Range(0, 3).Draw(t, "mappings") {
			start := rapid.Uint64Range(0, 3).Draw(t, "start") << 20
			p.Mapping = append(p.Mapping, &profile.Mapping{
				ID: 1 + i*step, Start: start, Limit: start + 1<<20, Offset: rapid.Uint64Range(0, 1).Draw(t, "offset"),
				File: text.Draw(t, "file"), BuildID: rapid.SampledFrom([]string{"", "id1", "id2"}).Draw(t, "id"), HasFunctions: true,
			})
		}
		for i := range rapid.Uint64Range(0, 5).Draw(t, "functions") {
			p.Function = append(p.Function, &profile.Function{
				ID: 1 + i*step, Name: text.Draw(t, "name"), SystemName: text.Draw(t, "system"), Filename: text.Draw(t, "source"),
				StartLine: number.Draw(t, "start line"),
			})
		}
		for i := range rapid.Uint64Range(1, 8).Draw(t, "locations") {
			l := &profile.Location{ID: 1 + i*step, Address: rapid.Uint64Range(0, 3).Draw(t, "address"), IsFolded: rapid.Bool().Draw(t, "folded")}
			if len(p.Mapping) > 0 && rapid.Bool().Draw(t, "mapped") {
				l.Mapping = rapid.SampledFrom(p.Mapping).Draw(t, "mapping")
				l.Address += l.Mapping.Start
			}
			for range rapid.IntRange(0, min(2, len(p.Function))).Draw(t, "lines") {
				l.Line = append(l.Line, profile.Line{Function: rapid.SampledFrom(p.Function).Draw(t, "function"), Line: number.Draw(t, "line"), Column: number.Draw(t, "column")})
			}
			p.Location = append(p.Location, l)
		}
		for range rapid.IntRange(0, 12).Draw(t, "samples") {
			s := &profile.Sample{
				Location: rapid.SliceOfN(rapid.SampledFrom(p.Location), 0, 4).Draw(t, "stack"),
				Value:    []int64{rapid.Int64Range(-1, 1).Draw(t, "count"), rapid.Int64Range(-1, 1).Draw(t, "nanoseconds")},
			}
			if rapid.Bool().Draw(t, "labelled") {
				s.Label = map[string][]string{text.Draw(t, "key"): {text.Draw(t, "value")}, "thread": {"a", "b"}}
				s.NumLabel = map[string][]int64{"pid": {1 + number.Draw(t, "pid"), 7}}
				if rapid.Bool().Draw(t, "units") {
					s.NumUnit = map[string][]string{"pid": {"", "bytes"}}
				}
			}
			p.Sample = append(p.Sample, s)
		}
		all = append(all, p)
	}
	return all
}

// TestSumIsWhatMergeMakes compares with the profile package on random profiles.
func TestSumIsWhatMergeMakes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		profiles := someProfiles(rt)
		s, got, err := added(encoded(t, profiles...))
		if err != nil {
			rt.Fatal(err)
		}
		var written []*profile.Profile // what the encoding drops, it drops for both
		for data, err := range encoded(t, profiles...) {
			if err != nil {
				rt.Fatal(err)
			}
			p, err := profile.ParseUncompressed(data)
			if err != nil {
				rt.Fatal(err)
			}
			written = append(written, p)
		}
		want, err := merged(written)
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(contentOf(want), contentOf(got)); diff != "" {
			rt.Fatalf("(-merge +sum):\n%s", diff)
		}
		if len(got.Sample) != len(want.Sample) || s.Entries() != len(want.Sample) || s.Profiles() != len(profiles) {
			rt.Fatalf("%d samples and %d entries of %d profiles; merge makes %d of %d", len(got.Sample), s.Entries(), s.Profiles(), len(want.Sample), len(profiles))
		}
		var totals [2]int64
		for _, sample := range want.Sample {
			totals[0], totals[1] = totals[0]+sample.Value[0], totals[1]+sample.Value[1]
		}
		if !slices.Equal(s.Totals(), totals[:]) {
			rt.Fatalf("totals %v, want %v", s.Totals(), totals)
		}
	})
}

func simple(value int64, names ...string) *profile.Profile {
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "cpu", Unit: "nanoseconds"}}, PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"},
	}
	s := &profile.Sample{Value: []int64{value}}
	for i, name := range names {
		f := &profile.Function{ID: uint64(i + 1), Name: name}
		l := &profile.Location{ID: uint64(i + 1), Line: []profile.Line{{Function: f}}}
		p.Function, p.Location, s.Location = append(p.Function, f), append(p.Location, l), append(s.Location, l)
	}
	p.Sample = []*profile.Sample{s}
	return p
}

func TestNoProfiles(t *testing.T) {
	s, err := sum.Of(encoded(t))
	if err != nil || s.Header() != nil || s.Entries() != 0 || s.Totals() != nil {
		t.Errorf("no profiles: %v", err)
	}
	if err := s.Write(&bytes.Buffer{}, encoded(t)); err == nil {
		t.Error("a sum of nothing was written")
	}
}

func TestProfilesThatDoNotMatch(t *testing.T) {
	other := simple(1, "f")
	other.SampleType[0].Unit = "bytes"
	period := simple(1, "f")
	period.PeriodType = &profile.ValueType{Type: "space"}
	more := simple(1, "f")
	more.SampleType = append(more.SampleType, &profile.ValueType{Type: "x"})
	more.Sample[0].Value = append(more.Sample[0].Value, 1)
	for what, p := range map[string]*profile.Profile{"unit": other, "period type": period, "more types": more} {
		if _, err := sum.Of(encoded(t, simple(1, "f"), p)); err == nil || !strings.Contains(err.Error(), "profile 2") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestMeanwhileChangedProfiles(t *testing.T) {
	first := encoded(t, simple(1, "f"), simple(1, "g", "f"))
	s, err := sum.Of(first)
	if err != nil {
		t.Fatal(err)
	}
	for what, second := range map[string]sum.Profiles{
		"another stack": encoded(t, simple(1, "f"), simple(1, "h", "f")),
		"one less":      encoded(t, simple(1, "f")),
		"another order": encoded(t, simple(1, "g", "f"), simple(1, "f")),
		"one more":      encoded(t, simple(1, "f"), simple(1, "g", "f"), simple(1, "f")),
		"no value":      encoded(t, simple(0, "f"), simple(1, "g", "f")),
	} {
		if err := s.Write(&bytes.Buffer{}, second); err == nil {
			t.Errorf("%s: written", what)
		}
	}
	if err := s.Write(&bytes.Buffer{}, first); err != nil {
		t.Errorf("the same profiles: %v", err)
	}
}

func TestErrorsOfProfilesAndWriterArePassedOn(t *testing.T) {
	failure := errors.New("disk on fire")
	failing := func(yield func([]byte, error) bool) { yield(nil, failure) }
	if _, err := sum.Of(failing); !errors.Is(err, failure) {
		t.Errorf("reading: %v", err)
	}
	s, err := sum.Of(encoded(t, simple(1, "f")))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(failingWriter{failure}, encoded(t, simple(1, "f"))); !errors.Is(err, failure) {
		t.Errorf("writing: %v", err)
	}
}

type failingWriter struct{ err error }

func (f failingWriter) Write([]byte) (int, error) { return 0, f.err }

// FuzzSum adds an arbitrary profile to itself: no panic, and where the profile
// package can read it, the same result as its own.
func FuzzSum(f *testing.F) {
	for _, p := range []*profile.Profile{simple(1, "f", "g"), simple(-1), simple(0, "f")} {
		for data, err := range encoded(f, p) {
			if err != nil {
				f.Fatal(err)
			}
			f.Add(bytes.Clone(data))
		}
	}
	labelled := simple(5, "f")
	labelled.Sample[0].Label = map[string][]string{"b": {"x"}, "a": {"y", "z"}}
	labelled.Sample[0].NumLabel = map[string][]int64{"n": {1, 0}}
	labelled.Sample[0].NumUnit = map[string][]string{"n": {"bytes", ""}}
	labelled.Mapping = []*profile.Mapping{{ID: 7, Start: 0x1000, Limit: 0x2000, File: "f"}}
	labelled.Location[0].Mapping, labelled.Location[0].Address = labelled.Mapping[0], 0x1010
	for data, err := range encoded(f, labelled) {
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.Clone(data))
	}
	// An unknown field whose varint has more than 64 bits, which the profile package takes.
	f.Add([]byte("\x802\xe9\xe9\xe9\xe9\xff\xff\xe9\xff\xff\x7f2\x00"))
	// A label with a string, and a unit that does not exist, which says nothing then.
	f.Add([]byte("\n\x04000(\x12\"00\x100\x1a\x04 \x1b\x10\x04\x1a\x10\x02\b\b\x050000\x100*\x04\b\x01002\x00\x1a\x00\x00\x00\x1a\n\b\a\x10\x800\x18\x8000\n\"\v\b\x01\x10\a\x18\x900\"\x02\b\x01*\x04\b\x01002\x002\x030002\v000000000002\x0102\x0102\x0102\x0102\x0102\x0102\x05000002\x010"))
	f.Fuzz(func(t *testing.T, data []byte) {
		twice := func(yield func([]byte, error) bool) {
			for range 2 {
				if !yield(data, nil) {
					return
				}
			}
		}
		_, got, err := added(twice)
		p, parseErr := profile.ParseUncompressed(data)
		if parseErr == nil {
			parseErr = p.CheckValid()
		}
		if parseErr != nil || err != nil {
			if parseErr == nil {
				t.Fatalf("the profile package reads what could not be added up: %v", err)
			}
			return
		}
		want, err := merged([]*profile.Profile{p, p})
		if err != nil {
			return
		}
		if diff := cmp.Diff(contentOf(want), contentOf(got)); diff != "" {
			t.Fatalf("(-merge +sum):\n%s", diff)
		}
	})
}
