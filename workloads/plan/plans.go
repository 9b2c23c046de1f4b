package plan

import (
	"fmt"
	"slices"
	"strings"
)

// Plan is a choice of benchmarks that has a name, and how much of each is run.
type Plan struct {
	Name string
	// Purpose says in words what it is good for, and how long it takes.
	Purpose string
	// Steps choose benchmarks. Of one that several choose, the first holds.
	Steps []Step
}

// Step is a part of a plan. It chooses the benchmarks that match each of Suite,
// Component and Benchmark that is not empty, as [Select] does.
type Step struct {
	Suite, Component, Benchmark string
	// Iterations is the number of measured requests of each; 0 is the benchmark's own.
	Iterations int
}

// Plans returns the plans that there are. Numbers of requests, not times, bound what
// they run, so that what does not depend on speed is the same in each run.
func Plans() []Plan {
	return []Plan{
		{
			Name:    "quick",
			Purpose: "every micro benchmark, each for about ten seconds on two CPUs: where to look first, in less than three minutes",
			Steps: []Step{
				// Each as many as the interval of its target needs: 72 for a 95th
				// percentile, 368 for a 99th.
				{Benchmark: "FirstTokenLatencyBenchmark", Iterations: 75},
				{Benchmark: "TokenGenerationBenchmark", Iterations: 50},
				{Benchmark: "CompressionThroughputBenchmark", Iterations: 60},
				{Benchmark: "RSUReadBenchmark", Iterations: 400},
				{Benchmark: "RSUWriteBenchmark", Iterations: 400},
				{Suite: "microbenchmarks"},
			},
		},
	}
}

// LookupPlan returns the plan of a name, upper and lower case alike. The error is an
// [*UnknownError].
func LookupPlan(name string) (Plan, error) {
	all := Plans()
	for _, p := range all {
		if strings.EqualFold(name, p.Name) {
			return p, nil
		}
	}
	var names []string
	for _, p := range all {
		names = append(names, p.Name)
	}
	return Plan{}, &UnknownError{Kind: "plan", Name: name, Near: near(name, names), All: names}
}

// Of returns those of the given benchmarks that the plan holds, with as many
// iterations as it wants, in the order in which they are given.
func (p Plan) Of(benchmarks []Benchmark) ([]Benchmark, error) {
	var chosen []Benchmark
	for _, b := range benchmarks {
		i := slices.IndexFunc(p.Steps, func(s Step) bool { return s.holds(b) })
		if i < 0 {
			continue
		}
		if p.Steps[i].Iterations > 0 {
			b.Iterations = p.Steps[i].Iterations
		}
		chosen = append(chosen, b)
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("the plan %s holds none of the benchmarks that were chosen; leave out the plan, or the choice", p.Name)
	}
	return chosen, nil
}

func (s Step) holds(b Benchmark) bool {
	matches := func(want, have string) bool { return want == "" || strings.EqualFold(want, have) }
	return matches(s.Suite, b.Suite) && matches(s.Component, b.Component) && matches(s.Benchmark, b.Name)
}
