package plan

import (
	"errors"
	"slices"
	"testing"
)

// Every step of every plan must choose something, or its name is misspelt.
func TestPlansAreSound(t *testing.T) {
	seen := make(map[string]bool)
	for _, p := range Plans() {
		if seen[p.Name] || p.Name == "" || p.Purpose == "" {
			t.Errorf("plan %+v has no name or purpose of its own", p)
		}
		seen[p.Name] = true
		for _, s := range p.Steps {
			if !slices.ContainsFunc(Benchmarks(), s.holds) || s.Iterations < 0 {
				t.Errorf("plan %s: step %+v chooses nothing", p.Name, s)
			}
		}
		if _, err := p.Of(Benchmarks()); err != nil {
			t.Error(err)
		}
	}
}

func TestQuickHoldsEveryMicroBenchmark(t *testing.T) {
	quick, err := LookupPlan("Quick")
	if err != nil {
		t.Fatal(err)
	}
	micro, err := Select("microbenchmarks", "", "")
	if err != nil {
		t.Fatal(err)
	}
	chosen, err := quick.Of(Benchmarks())
	if err != nil || !slices.Equal(names(chosen), names(micro)) {
		t.Errorf("it holds %v, want %v (%v)", names(chosen), names(micro), err)
	}
}

func TestTheFirstStepThatHoldsABenchmarkCounts(t *testing.T) {
	p := Plan{Name: "test", Steps: []Step{{Benchmark: "b", Iterations: 7}, {Suite: "micro"}, {Component: "c", Iterations: 9}}}
	all := []Benchmark{
		{Name: "a", Suite: "micro", Component: "c", Iterations: 1}, {Name: "b", Suite: "micro", Iterations: 2},
		{Name: "c", Suite: "macro", Component: "C", Iterations: 3}, {Name: "d", Suite: "macro", Component: "e", Iterations: 4},
	}
	chosen, err := p.Of(all)
	if err != nil {
		t.Fatal(err)
	}
	var iterations []int
	for _, b := range chosen {
		iterations = append(iterations, b.Iterations)
	}
	if !slices.Equal(names(chosen), []string{"a", "b", "c"}) || !slices.Equal(iterations, []int{1, 7, 9}) {
		t.Errorf("%v with %v iterations", names(chosen), iterations)
	}
	if all[1].Iterations != 2 {
		t.Error("what was given is changed")
	}
	if chosen, err := p.Of(all[3:]); err == nil {
		t.Errorf("none is in the plan, and %v were chosen", names(chosen))
	}
}

func TestUnknownPlan(t *testing.T) {
	_, err := LookupPlan("quik")
	var unknown *UnknownError
	if !errors.As(err, &unknown) || unknown.Kind != "plan" || !slices.Equal(unknown.Near, []string{"quick"}) {
		t.Errorf("%v", err)
	}
}
