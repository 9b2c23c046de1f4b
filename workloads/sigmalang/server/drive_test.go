package server

import (
	"context"
	"os"
	"sync"
	"testing"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/service"
	"github.com/narrows-profiler/narrows/workloads/sigmalang"
)

// drive runs a benchmark against an endpoint.
func drive(t *testing.T, b load.Benchmark, endpoint service.Endpoint, iterations int) *metrics.Document {
	t.Helper()
	var mutex sync.Mutex
	d, err := b(t.Context(), load.Assignment{
		Name: "CompressionRatioBenchmark", Endpoints: map[string]service.Endpoint{sigmalang.Service: endpoint},
		Options: load.Options{Iterations: iterations, Concurrency: 2, Seed: 1},
		Mark:    func(string) {}, Progress: func(int, int) {},
		Record: func(r metrics.Request) error {
			mutex.Lock()
			defer mutex.Unlock()
			if r.Outcome != metrics.OK {
				t.Errorf("request %d: %s: %s", r.Index, r.Outcome, r.Error)
			}
			return r.Validate()
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Validate(); err != nil {
		t.Error(err)
	}
	return d
}

// The service does what its benchmarks ask for, over both of its interfaces, and
// makes the same of the same texts.
func TestTheServiceIsDriven(t *testing.T) {
	const sets = 3
	address, stop := start(t, DefaultOptions())
	defer func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}()
	overHTTP := drive(t, sigmalang.CompressionRatio, service.Endpoint{Service: sigmalang.Service, Kind: service.External, URL: address, PID: os.Getpid()}, sets)

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	target := service.Target{Service: sigmalang.Service, Interface: service.Stdio, Address: "env " + toolVariable + "=1 " + self}
	endpoint, end, err := target.Open(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	asTool := drive(t, sigmalang.CompressionRatio, endpoint, sets)
	if err := end(); err != nil {
		t.Error(err)
	}

	for _, d := range []*metrics.Document{overHTTP, asTool} {
		if d.N != sets || d.RoundTrip.Lossless != metrics.LosslessTrue || d.RoundTrip.Checked != 32*sets {
			t.Errorf("n %d, %s", d.N, d.RoundTrip)
		}
		for name, bounds := range map[string][2]float64{
			"compression_ratio": {2.9, 3.4}, "compression_ratio_english": {2.7, 3.2}, "compression_ratio_code": {2.9, 3.6},
			"compression_ratio_repeated": {50, 500}, "compression_ratio_random": {1.3, 4.0 / 3}, "compression_ratio_all": {2.6, 3},
		} {
			value := d.Metrics[name]
			if value == nil || *value < bounds[0] || *value > bounds[1] {
				t.Errorf("%s is %v, want %v", name, d.Metrics[name], bounds)
			} else if *value != *overHTTP.Metrics[name] {
				t.Errorf("%s is %v over HTTP and %v as a tool", name, *overHTTP.Metrics[name], *value)
			}
		}
	}
	d := drive(t, sigmalang.CompressionThroughput, service.Endpoint{Service: sigmalang.Service, Kind: service.External, URL: address, PID: os.Getpid()}, 1)
	if d.N != 1 || d.RoundTrip.Checked != 4 || *d.Metrics["text_bytes_mean"] != 1e6 || *d.Metrics["throughput_mb_per_s"] <= 0 {
		t.Errorf("n %d, %s, %v", d.N, d.RoundTrip, d.Metrics)
	}
}
