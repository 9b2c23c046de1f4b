package plan

import (
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/service"
	"github.com/narrows-profiler/narrows/workloads/sigmalang"
)

// Both compression benchmarks, on the reference service and on a tool: the documents
// and records conform to their schemas, and what does not depend on speed is the same.
func TestCompressionBenchmarks(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := service.Command{Service: sigmalang.Service, Arguments: []string{"env", serveVariable + "=" + sigmalang.Service, self}}
	target, err := ParseTarget(sigmalang.Service, "stdio:env '"+serveVariable+"="+sigmalang.Service+" tool' "+self)
	if err != nil {
		t.Fatal(err)
	}
	ratios := map[string]map[string]float64{}
	for kind, runner := range map[string]Runner{
		"reference": {Commands: map[string]service.Command{sigmalang.Service: command}},
		"external":  {Targets: map[string]service.Target{sigmalang.Service: target}},
	} {
		kept := newMemory(t)
		runner.Benchmarks, runner.Observer, runner.Sink, runner.Version = benchmarksOf(t, sigmalang.Service), kept, kept, "test"
		runner.Options = load.Options{Iterations: 3, Concurrency: 2}
		runner.Load = apart(t)
		if err := runner.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(kept.documents) != 2 || len(kept.services) != 2 || kept.open != 0 {
			t.Errorf("%s: %d documents, services %v", kind, len(kept.documents), kept.services)
		}
		for _, d := range kept.documents {
			kept.conforms(d)
			if d.N != 3 || d.Status != metrics.Complete || d.TargetKind != kind || d.RoundTrip.Lossless != metrics.LosslessTrue {
				t.Errorf("%s %s: n %d, status %s, %s, %s", kind, d.Benchmark, d.N, d.Status, d.TargetKind, d.RoundTrip)
			}
			kept.checkMean(d, "request_mean_ms")
			same := map[string]float64{}
			for name, value := range d.Metrics {
				if strings.HasPrefix(name, "compression_ratio") || name == "text_bytes_mean" {
					same[name] = *value
				}
			}
			if before, ok := ratios[d.Benchmark]; ok && (len(same) != 7 || !maps.Equal(same, before)) {
				t.Errorf("%s: %v, and %v elsewhere", d.Benchmark, same, before)
			}
			ratios[d.Benchmark] = same
		}
	}
}
