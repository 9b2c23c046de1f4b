package memory_test

import (
	"math"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/analysis/memory"
)

// heapProfile is a profile of stacks of one function, of which 5 blocks of 1000 bytes were
// taken, three of which live.
func heapProfile(period int64, functions ...string) *profile.Profile {
	p := &profile.Profile{Period: period, SampleType: []*profile.ValueType{
		{Type: "alloc_objects", Unit: "count"}, {Type: "alloc_space", Unit: "bytes"}, {Type: "inuse_objects", Unit: "count"}, {Type: "inuse_space", Unit: "bytes"},
	}}
	weight := 1.0
	labels := map[string][]int64{}
	if period > 1 {
		weight = -1 / math.Expm1(-1000/float64(period))
		labels["bytes"] = []int64{1000}
	}
	for _, name := range functions {
		p.Sample = append(p.Sample, &profile.Sample{
			Location: []*profile.Location{{Line: []profile.Line{{Function: &profile.Function{Name: name}}}}},
			Value:    []int64{int64(5 * weight), int64(5000 * weight), int64(3 * weight), int64(3000 * weight)}, NumLabel: labels,
		})
	}
	return p
}

// TestCertain: where every allocation was taken there is no doubt.
func TestCertain(t *testing.T) {
	tally := memory.NewTally()
	for range 2 {
		if err := tally.Add(heapProfile(1, "f", "g")); err != nil {
			t.Fatal(err)
		}
	}
	d := tally.Document()
	if a := d.Allocated; a.Bytes != 20_000 || a.LowBytes != 20_000 || a.HighBytes != 20_000 || a.Objects != 20 || a.Samples != 20 {
		t.Errorf("allocated %+v", a)
	}
	if l := d.Live; l.Bytes != 12_000 || l.LowBytes != 12_000 || l.HighBytes != 12_000 || l.Objects != 12 {
		t.Errorf("live %+v", l)
	}
	if len(d.Stacks) != 2 || d.Stacks[0].Live.Bytes != 6000 || d.Stacks[0].Functions[0] != "f" {
		t.Errorf("stacks %+v", d.Stacks)
	}
}

// TestSampled: five that were taken of many are as uncertain as five of Poisson's, which are
// 1.62 to 11.67 by Garwood's table.
func TestSampled(t *testing.T) {
	tally := memory.NewTally()
	const mean = 1 << 20
	if err := tally.Add(heapProfile(mean, "f")); err != nil {
		t.Fatal(err)
	}
	a := tally.Document().Allocated
	of := func(n float64) float64 { return n * mean }
	if a.Samples != 5 || math.Abs(float64(a.Bytes)-of(5)) > 0.01*of(5) ||
		math.Abs(float64(a.LowBytes)-of(1.62)) > 0.02*of(1.62) || math.Abs(float64(a.HighBytes)-of(11.67)) > 0.02*of(11.67) {
		t.Errorf("%+v", a)
	}
}

func TestOthers(t *testing.T) {
	if memory.NewTally().Document() != nil {
		t.Error("there is something where nothing was recorded")
	}
	if err := memory.NewTally().Add(&profile.Profile{SampleType: []*profile.ValueType{{Type: "cpu"}}}); err == nil {
		t.Error("a CPU profile is taken for one of memory")
	}
}
