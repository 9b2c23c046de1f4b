package plan

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func names(benchmarks []Benchmark) []string {
	var found []string
	for _, benchmark := range benchmarks {
		found = append(found, benchmark.Name)
	}
	return found
}

func TestThePlanIsSound(t *testing.T) {
	seen := make(map[string]bool)
	for _, b := range Benchmarks() {
		if seen[b.Name] || !regexp.MustCompile(`^[A-Z][A-Za-z0-9]+$`).MatchString(b.Name) {
			t.Errorf("name %q is taken or unfit for a file", b.Name)
		}
		seen[b.Name] = true
		if !slices.Contains([]string{"microbenchmarks", "macrobenchmarks", "profiling"}, b.Suite) {
			t.Errorf("%s: suite %q", b.Name, b.Suite)
		}
		if b.Suite == "microbenchmarks" && len(b.Services) != 1 {
			t.Errorf("%s: a micro benchmark keeps one service alive, not %v", b.Name, b.Services)
		}
		if b.Run == nil || b.Iterations <= 0 || b.Target == "" || b.Component == "" {
			t.Errorf("%s: %+v", b.Name, b)
		}
	}
}

func TestSelect(t *testing.T) {
	all := names(Benchmarks())
	both := []string{"FirstTokenLatencyBenchmark", "TokenGenerationBenchmark"}
	if !slices.Contains(all, "AgentTaskLatencyBenchmark") {
		t.Errorf("the plan has only %v", all)
	}
	for _, test := range []struct {
		suite, component, name string
		want                   []string
	}{
		{"", "", "", all},
		{"microbenchmarks", "", "", all},
		{"", "ryot", "", both},
		{"", "sigmavault", "", []string{"RSUReadBenchmark", "RSUWriteBenchmark"}},
		{"", "", "rsuwrite", []string{"RSUWriteBenchmark"}},
		{"", "agents", "", []string{"AgentTaskLatencyBenchmark"}},
		{"", "all", "", all},
		{"MicroBenchmarks", "Ryot", "", both},
		{"", "", "TokenGenerationBenchmark", both[1:]},
		{"microbenchmarks", "ryot", "tokengeneration", both[1:]},
		{"", "", "FirstTokenLatency", both[:1]},
	} {
		got, err := Select(test.suite, test.component, test.name)
		if err != nil || !slices.Equal(names(got), test.want) {
			t.Errorf("%q %q %q: %v, %v", test.suite, test.component, test.name, names(got), err)
		}
	}
}

func TestUnknownNamesAreHelpful(t *testing.T) {
	for _, test := range []struct {
		suite, component, name string
		kind, near             string
	}{
		{"", "", "TokenGeneratoinBenchmark", "benchmark", "TokenGenerationBenchmark"},
		{"", "", "token", "benchmark", "FirstTokenLatencyBenchmark,TokenGenerationBenchmark"},
		{"", "", "FirstTokenLatencyBenchmarks", "benchmark", "FirstTokenLatencyBenchmark"},
		{"", "", "zzz", "benchmark", ""},
		{"microbenchmark", "", "", "suite", "microbenchmarks"},
		{"", "riot", "", "component", "ryot"},
		{"", "", strings.Repeat("x", 10_000), "benchmark", ""},
	} {
		_, err := Select(test.suite, test.component, test.name)
		var unknown *UnknownError
		if !errors.As(err, &unknown) || unknown.Kind != test.kind || len(unknown.All) == 0 {
			t.Fatalf("%q %q %.20q: %v", test.suite, test.component, test.name, err)
		}
		if got := strings.Join(unknown.Near, ","); test.near == "" && got != "" || test.near != "" && !strings.HasPrefix(got, test.near) {
			t.Errorf("%q %q %.20q: near are %v, want %q first", test.suite, test.component, test.name, unknown.Near, test.near)
		}
	}
}

func TestLevenshtein(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}, {"same", "same", 0}} {
		if got := levenshtein(test.a, test.b); got != test.want {
			t.Errorf("%q to %q: %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
