package plan

import (
	"net/http/httptest"
	"os"
	"testing"

	"github.com/narrows-profiler/narrows/workloads/agents"
	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/service"
)

// Every benchmark finds every answer of its own null server valid, and has all its targets
// from them.
func TestNullServersSatisfyTheirBenchmarks(t *testing.T) {
	for _, benchmark := range Benchmarks() {
		t.Run(benchmark.Name, func(t *testing.T) {
			if benchmark.Null == nil && benchmark.NoNull != "" {
				t.Skip(benchmark.NoNull)
			}
			if benchmark.Null == nil || benchmark.NoNull != "" || len(benchmark.Services) != 1 {
				t.Fatal("it has none, or both one and a reason against it")
			}
			server := httptest.NewServer(benchmark.Null())
			defer server.Close()
			const requests = 12
			d, err := benchmark.Run(t.Context(), load.Assignment{
				Name:      benchmark.Name,
				Endpoints: map[string]service.Endpoint{benchmark.Services[0]: {Service: benchmark.Services[0], Kind: service.Reference, URL: server.URL, PID: os.Getpid()}},
				Options:   load.Options{Iterations: requests, Concurrency: 2, Seed: DefaultSeed},
				Mark:      func(string) {},
				Progress:  func(int, int) {},
				Record: func(request metrics.Request) error {
					if request.Outcome != metrics.OK || request.Bytes == 0 || request.FirstByte == nil {
						t.Errorf("%+v", request)
					}
					return nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			if d.N != requests || d.Status != metrics.Complete || len(d.Errors) != 0 {
				t.Errorf("%d of %d valid, %s (%s), %v", d.N, requests, d.Status, d.StatusReason, d.Errors)
			}
			if d.RoundTrip != nil && (d.RoundTrip.Lossless != metrics.LosslessTrue || d.RoundTrip.Whole == 0) {
				t.Errorf("%+v", d.RoundTrip)
			}
			// A service whose answers can be checked for their form only gets a note.
			if benchmark.Component == agents.Service && len(d.Notes) != 0 {
				t.Errorf("notes %q", d.Notes)
			}
		})
	}
}
