package plan

import (
	"fmt"
	"slices"
	"strings"
)

// UnknownError says that a suite, component or benchmark does not exist, and
// which ones come near.
type UnknownError struct {
	// Kind is "benchmark", "suite" or "component".
	Kind string
	Name string
	// Near are the names most like it, All every name of the kind.
	Near, All []string
}

// Error suggests the near names, or all of them when none is near.
func (e *UnknownError) Error() string {
	if len(e.Near) > 0 {
		return fmt.Sprintf("there is no %s %q; did you mean %s? (all of them: %s)",
			e.Kind, e.Name, strings.Join(e.Near, " or "), strings.Join(e.All, ", "))
	}
	return fmt.Sprintf("there is no %s %q; there are: %s", e.Kind, e.Name, strings.Join(e.All, ", "))
}

// Lookup returns the benchmark of a name, upper and lower case alike, with or
// without the ending "Benchmark". The error is an [*UnknownError].
func Lookup(name string) (Benchmark, error) {
	all := Benchmarks()
	for _, benchmark := range all {
		if strings.EqualFold(name, benchmark.Name) || strings.EqualFold(name+"Benchmark", benchmark.Name) {
			return benchmark, nil
		}
	}
	return Benchmark{}, unknown("benchmark", name, all, func(b Benchmark) string { return b.Name })
}

// Select returns the benchmarks that match each criterion that is not empty, in
// the plan's order; the component "all" stands for every one. An unknown name is an [*UnknownError]; names that exist but
// have no benchmark in common are an error too.
func Select(suite, component, name string) ([]Benchmark, error) {
	all := Benchmarks()
	chosen := all
	for _, criterion := range []struct {
		kind, want string
		of         func(Benchmark) string
	}{
		{"suite", suite, func(b Benchmark) string { return b.Suite }},
		{"component", component, func(b Benchmark) string { return b.Component }},
	} {
		if criterion.want == "" || criterion.kind == "component" && criterion.want == "all" {
			continue
		}
		matches := func(b Benchmark) bool { return strings.EqualFold(criterion.of(b), criterion.want) }
		if !slices.ContainsFunc(all, matches) {
			return nil, unknown(criterion.kind, criterion.want, all, criterion.of)
		}
		chosen = slices.DeleteFunc(slices.Clone(chosen), func(b Benchmark) bool { return !matches(b) })
	}
	if name != "" {
		wanted, err := Lookup(name)
		if err != nil {
			return nil, err
		}
		chosen = slices.DeleteFunc(slices.Clone(chosen), func(b Benchmark) bool { return b.Name != wanted.Name })
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no benchmark is at once of suite %q, component %q and name %q; leave one of them out", suite, component, name)
	}
	return chosen, nil
}

func unknown(kind, name string, all []Benchmark, of func(Benchmark) string) *UnknownError {
	var names []string
	for _, benchmark := range all {
		if !slices.Contains(names, of(benchmark)) {
			names = append(names, of(benchmark))
		}
	}
	return &UnknownError{Kind: kind, Name: name, Near: near(name, names), All: names}
}

// near returns the names that contain the given one, or that a few edits turn
// into it, nearest first.
func near(name string, names []string) []string {
	lower := strings.ToLower(name)
	distance := make(map[string]int)
	var found []string
	for _, candidate := range names {
		shape := strings.ToLower(candidate)
		edits := min(levenshtein(lower, shape), levenshtein(lower, strings.TrimSuffix(shape, "benchmark")))
		if len(lower) >= 3 && strings.Contains(shape, lower) {
			edits = 0
		}
		if edits <= max(2, len(shape)/3) {
			distance[candidate] = edits
			found = append(found, candidate)
		}
	}
	slices.SortStableFunc(found, func(a, b string) int { return distance[a] - distance[b] })
	return found[:min(len(found), 3)]
}

// levenshtein counts the insertions, deletions and replacements of bytes that
// turn a into b.
func levenshtein(a, b string) int {
	const longest = 100
	a, b = a[:min(len(a), longest)], b[:min(len(b), longest)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
