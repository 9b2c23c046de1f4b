package sigmalang

import (
	"context"
	"errors"
	"fmt"

	"github.com/narrows-profiler/narrows/workloads/benchmark"
	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/service"
	"github.com/narrows-profiler/narrows/workloads/sigmalang/corpus"
	"github.com/narrows-profiler/narrows/workloads/transport"
)

// Service is the name of the service that these benchmarks drive.
const Service = "sigmalang"

// shape is what tells one benchmark of this package from another.
type shape struct {
	// ofEach is how many texts of each kind a set has, least and most their
	// lengths in bytes.
	ofEach, least, most int
	judge               func(*metrics.Document, *samples)
	dial                transport.Dial // nil for TCP
	source              *corpus.Source // nil for one of the run's seed
}

// compressionRatio has texts of the size of a prompt, where the ratio depends on
// what a compressor knows before it has seen anything.
func compressionRatio() shape {
	return shape{ofEach: 8, least: 16 << 10, most: 48 << 10, judge: func(d *metrics.Document, s *samples) {
		d.JudgeMean(metrics.Target{Metric: "compression_ratio", Comparison: ">", Value: 3, Unit: ":1"}, s.ratios, s.failures, 0)
		s.qualify(&d.Targets[len(d.Targets)-1])
	}}
}

// compressionThroughput has texts of a megabyte, where a request's own cost is
// little.
func compressionThroughput() shape {
	return shape{ofEach: 1, least: 1e6, most: 1e6, judge: func(d *metrics.Document, s *samples) {
		d.JudgeMean(metrics.Target{Metric: "throughput_mb_per_s", Comparison: ">", Value: 100, Unit: "MB/s"}, s.speeds, s.failures, 0)
		s.qualify(&d.Targets[len(d.Targets)-1])
	}}
}

// CompressionRatio judges the mean ratio of English and code against 3:1.
func CompressionRatio(ctx context.Context, a load.Assignment) (*metrics.Document, error) {
	return run(ctx, a, compressionRatio())
}

// CompressionThroughput judges the mean speed at which English and code are
// compressed against 100 MB/s.
func CompressionThroughput(ctx context.Context, a load.Assignment) (*metrics.Document, error) {
	return run(ctx, a, compressionThroughput())
}

const (
	// warmup is how many sets are discarded.
	warmup = 4
	// utilization leaves room between sets, which arrive evenly unless told
	// otherwise: a set is to have the service for itself, as its speed is asked
	// for and not how it queues.
	utilization = 0.5
)

// run performs a benchmark and fills its document.
func run(ctx context.Context, a load.Assignment, s shape) (document *metrics.Document, err error) {
	coder, err := open(a.Endpoints[Service], s.dial, a.Version)
	if err != nil {
		return nil, fmt.Errorf("running %s: %w", a.Name, err)
	}
	defer func() { err = errors.Join(err, coder.close()) }()
	if a.Options.Arrivals == "" {
		a.Options.Arrivals = load.Uniform
	}
	if s.source == nil {
		s.source = corpus.NewSource(a.Options.Seed)
	}
	d := &driver{
		coder: coder, shape: s, source: s.source, seed: a.Options.Seed,
		seen: make(map[int]*observation), samples: new(samples),
	}
	return benchmark.Run(ctx, a, benchmark.Shape{
		Service: Service, Fields: Fields(), Warmup: warmup, Utilization: utilization,
	}, d)
}

// open reaches the service in the way that its endpoint is reached.
func open(endpoint service.Endpoint, dial transport.Dial, version string) (coder, error) {
	if endpoint.Input != nil {
		return newTool(endpoint.Input, endpoint.Output, version), nil
	}
	return newREST(endpoint.URL, dial)
}
