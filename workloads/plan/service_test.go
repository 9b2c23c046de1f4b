package plan

import (
	"slices"
	"strings"
	"testing"

	"github.com/narrows-profiler/narrows/workloads/plant"
)

func TestUnknownServicesAreRefused(t *testing.T) {
	if _, err := ParseTarget("riot", "http://127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "ryot") {
		t.Errorf("%v", err)
	}
	if _, err := ParsePlant("riot", "slow"); err == nil || !strings.Contains(err.Error(), "ryot") {
		t.Errorf("%v", err)
	}
}

// Every fault says what it is, has a name of its own, and names a benchmark that
// drives its service.
func TestFaultsAreDescribed(t *testing.T) {
	for _, service := range Services() {
		var names []string
		for _, f := range Faults(service) {
			if slices.Contains(names, f.Name) || f.Name == "" || f.Place == "" || f.Signal == "" || (f.Metric == "") != (f.Signal == plant.Leak) ||
				!strings.HasSuffix(f.Fault, ".") || !strings.HasSuffix(f.Fix, ".") {
				t.Errorf("%s: %+v", service, f)
			}
			names = append(names, f.Name)
			benchmark, err := Lookup(f.Benchmark)
			if err != nil || !slices.Contains(benchmark.Services, service) {
				t.Errorf("%s %s: benchmark %q drives %v, %v", service, f.Name, f.Benchmark, benchmark.Services, err)
			}
			for _, text := range []string{f.Name, f.Name + "=fixed"} {
				if choice, err := ParsePlant(service, text); err != nil || choice.String() != text {
					t.Errorf("%s %s: %v, %v", service, text, choice, err)
				}
			}
		}
	}
}
