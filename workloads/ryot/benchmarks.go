package ryot

import (
	"context"
	"fmt"

	"github.com/narrows-profiler/narrows/workloads/benchmark"
	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/openai"
	"github.com/narrows-profiler/narrows/workloads/transport"
)

// Service is the name of the service that these benchmarks drive.
const Service = "ryot"

// shape is what tells one benchmark of this package from another.
type shape struct {
	maxTokens   int
	warmup      int
	utilization float64
	judge       func(*metrics.Document, *samples)
	dial        transport.Dial // nil for TCP
}

// firstTokenLatency asks for short answers at a third of what the service can do
// one by one.
func firstTokenLatency() shape {
	return shape{maxTokens: 4, warmup: 8, utilization: 0.3, judge: func(d *metrics.Document, s *samples) {
		d.JudgeQuantile(metrics.Target{Metric: "ttft_p95_ms", Comparison: "<", Value: 100, Unit: "ms"}, s.ttft, s.failures, 0.95)
	}}
}

// tokenGeneration asks for longer answers, at a somewhat higher utilization so
// that a hundred of them fit into less than a minute.
func tokenGeneration() shape {
	return shape{maxTokens: 32, warmup: 8, utilization: 0.7, judge: func(d *metrics.Document, s *samples) {
		d.JudgeMean(metrics.Target{Metric: "tokens_per_second", Comparison: ">", Value: 50, Unit: "tokens/s"}, s.rates, s.failures, 0)
	}}
}

// FirstTokenLatency judges the 95th percentile of the time to the first token
// against 100 ms.
func FirstTokenLatency(ctx context.Context, a load.Assignment) (*metrics.Document, error) {
	return run(ctx, a, firstTokenLatency())
}

// TokenGeneration judges the mean rate of the tokens after the first against 50
// a second.
func TokenGeneration(ctx context.Context, a load.Assignment) (*metrics.Document, error) {
	return run(ctx, a, tokenGeneration())
}

// run performs a benchmark and fills its document.
func run(ctx context.Context, a load.Assignment, s shape) (*metrics.Document, error) {
	endpoint := a.Endpoints[Service]
	client, err := openai.NewClient(endpoint.URL, s.dial)
	if err != nil {
		return nil, fmt.Errorf("running %s: %w", a.Name, err)
	}
	defer client.Close()
	d := &driver{
		client: client, model: endpoint.Model, maxTokens: s.maxTokens, judge: s.judge,
		prompts: newPrompts(a.Options.Seed), seen: make(map[int]observation), samples: new(samples),
	}
	return benchmark.Run(ctx, a, benchmark.Shape{
		Service: Service, Fields: Fields(), Warmup: s.warmup, Utilization: s.utilization,
		Unavailable: map[string]string{"gpu_utilization_percent": "no GPU was observed: this benchmark reads no GPU counters"},
	}, d)
}
