package ryot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/openai"
	"github.com/narrows-profiler/narrows/workloads/service"
)

// Service is the name of the service that these benchmarks drive.
const Service = "ryot"

// shape is what tells one benchmark of this package from another.
type shape struct {
	maxTokens   int
	warmup      int
	utilization float64
	judge       func(*metrics.Document, *samples)
	dial        openai.Dial // nil for TCP
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
	endpoint, ok := a.Endpoints[Service]
	if !ok {
		return nil, fmt.Errorf("running %s: no endpoint of %s was given", a.Name, Service)
	}
	client, err := openai.NewClient(endpoint.URL, s.dial)
	if err != nil {
		return nil, fmt.Errorf("running %s: %w", a.Name, err)
	}
	defer client.Close()
	document, err := begin(a, endpoint)
	if err != nil {
		return nil, fmt.Errorf("running %s: %w", a.Name, err)
	}
	d := &driver{
		client: client, model: endpoint.Model, maxTokens: s.maxTokens,
		prompts: newPrompts(a.Options.Seed), seen: make(map[int]observation),
	}
	config := a.Options.Config()
	config.Warmup, config.Utilization = s.warmup, s.utilization
	config.Measuring = func() { d.phases = load.NewPhases(a.Mark) }
	done := 0
	config.Record = func(request metrics.Request) error {
		done++
		a.Progress(done, a.Options.Iterations)
		return a.Record(request)
	}
	memory, memoryErr := watch(endpoint)
	a.Mark(load.Warmup)
	result, err := load.Run(ctx, config, d.send)
	peak, stopErr := stop(memory)
	var unanswered *load.WarmupError
	switch {
	case errors.As(err, &unanswered):
		document.Status, document.StatusReason = metrics.Failed, unanswered.Error()
		document.Load = metrics.Load{Model: "open-loop", WarmupRequests: unanswered.Sent}
		if config.Concurrency > 0 {
			document.Load.Model, document.Load.Concurrency = "closed-loop", config.Concurrency
		}
		s.judge(document, new(samples))
		return document, nil
	case result == nil:
		return nil, fmt.Errorf("running %s: %w", a.Name, err)
	}
	fill(document, result, d)
	if memoryErr = errors.Join(memoryErr, stopErr); memoryErr != nil {
		document.SetUnavailable("peak_memory_mb", memoryErr.Error())
	} else {
		document.Set("peak_memory_mb", float64(peak)/1e6)
	}
	s.judge(document, collect(result, d))
	if err != nil {
		return document, fmt.Errorf("running %s: %w", a.Name, err)
	}
	return document, nil
}

// begin returns a document with everything known before the run.
func begin(a load.Assignment, endpoint service.Endpoint) (*metrics.Document, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("asking for the host's name: %w", err)
	}
	var system unix.Utsname
	if err := unix.Uname(&system); err != nil {
		return nil, fmt.Errorf("asking for the kernel's version: %w", err)
	}
	document := metrics.New(Service, a.Name, "no request was measured")
	for _, name := range Fields() {
		document.SetUnavailable(name, "no request was measured")
	}
	document.SetUnavailable("gpu_utilization_percent", "no GPU was observed: this benchmark reads no GPU counters")
	document.Timestamp = time.Now().UTC()
	document.Iterations = a.Options.Iterations
	document.TargetKind = endpoint.Kind
	document.Provenance = metrics.Provenance{
		Host:            host,
		Kernel:          unix.ByteSliceToString(system.Release[:]),
		NarrowsVersion:  a.Version,
		TargetURL:       endpoint.Redacted(),
		Model:           endpoint.Model,
		Seed:            a.Options.Seed,
		SessionRelative: a.RequestsFile,
	}
	return document, nil
}

// watch follows the service's memory where its process is known.
func watch(endpoint service.Endpoint) (*service.MemoryWatch, error) {
	if endpoint.PID == 0 {
		return nil, fmt.Errorf("the service's process is not known: %s", endpoint.PIDUnknown)
	}
	return service.WatchMemory(endpoint.PID)
}

func stop(memory *service.MemoryWatch) (uint64, error) {
	if memory == nil {
		return 0, nil
	}
	return memory.Stop()
}
