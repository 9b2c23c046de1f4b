package plan

import (
	"bytes"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/service"
	"github.com/narrows-profiler/narrows/workloads/sigmavault"
)

// Both storage benchmarks, on the reference service and on a directory: the documents
// and records conform to their schemas, and the records alone give the same numbers.
func TestStorageBenchmarks(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := service.Command{Service: sigmavault.Service, Arguments: []string{"env", serveVariable + "=" + sigmavault.Service, self}}
	dir := t.TempDir()
	target, err := ParseTarget(sigmavault.Service, "dir:"+dir)
	if err != nil {
		t.Fatal(err)
	}
	for kind, runner := range map[string]Runner{
		"reference": {Commands: map[string]service.Command{sigmavault.Service: command}},
		"external":  {Targets: map[string]service.Target{sigmavault.Service: target}},
	} {
		kept := newMemory(t)
		runner.Benchmarks, runner.Observer, runner.Sink, runner.Version = benchmarksOf(t, sigmavault.Service), kept, kept, "test"
		runner.Options = load.Options{Iterations: 20, Concurrency: 2}
		runner.Load = apart(t)
		if err := runner.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(kept.documents) != 2 || kept.open != 0 || (kind == "reference") != (len(kept.services) == 2) {
			t.Errorf("%s: %d documents, services %v", kind, len(kept.documents), kept.services)
		}
		for _, d := range kept.documents {
			kept.conforms(d)
			if d.N != 20 || d.Status != metrics.Complete || d.TargetKind != kind {
				t.Errorf("%s %s: n %d, status %s, %s", kind, d.Benchmark, d.N, d.Status, d.TargetKind)
			}
			one := map[string]string{"RSUReadBenchmark": "read", "RSUWriteBenchmark": "write"}[d.Benchmark]
			kept.checkMean(d, one+"_mean_ms")
			if !slices.Contains(kept.marks, d.Benchmark+"/"+one) && !slices.Contains(kept.marks, d.Benchmark+"/mixed") {
				t.Errorf("%s: marks %v", d.Benchmark, kept.marks)
			}
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// conforms checks a document and its records by the schemas.
func (m *memory) conforms(d *metrics.Document) {
	t := m.t
	t.Helper()
	encoded, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.Collect(bytes.Lines(m.requests[d.Benchmark].Bytes()))
	for i, text := range append([][]byte{encoded}, lines...) {
		name := "request.schema.json"
		if i == 0 {
			name = "metrics.schema.json"
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema(t, name).Validate(value); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// checkMean recomputes the mean of the judged times from the records.
func (m *memory) checkMean(d *metrics.Document, metric string) {
	t := m.t
	t.Helper()
	var sum float64
	n := 0
	for r, err := range metrics.ReadRequests(bytes.NewReader(m.requests[d.Benchmark].Bytes())) {
		if err != nil {
			t.Fatal(err)
		}
		sum += r.End.Sub(r.IntendedStart).Seconds() * 1000
		n++
	}
	if got := d.Metrics[metric]; got == nil || n != d.N || math.Abs(*got-sum/float64(n)) > 1e-6**got {
		t.Errorf("%s: %s is %v, the %d records say %v", d.Benchmark, metric, got, n, sum/float64(n))
	}
}
