package agents

import (
	"context"
	"fmt"

	"github.com/narrows-profiler/narrows/workloads/benchmark"
	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/transport"
)

// Service is the name of the service that the benchmark drives.
const Service = "agents"

const (
	// warmup is in pairs of the same task, see driver.
	warmup = 8
	// utilization is that of a single worker. With one for each core most tasks find one
	// free; a service that has but one lets them wait.
	utilization = 0.65
)

// TaskLatency judges the 99th percentile of the time that a task takes against 50 ms.
func TaskLatency(ctx context.Context, a load.Assignment) (*metrics.Document, error) {
	return run(ctx, a, nil)
}

func run(ctx context.Context, a load.Assignment, dial transport.Dial) (*metrics.Document, error) {
	endpoint := a.Endpoints[Service]
	c, err := newClient(endpoint.URL, dial)
	if err != nil {
		return nil, fmt.Errorf("running %s: %w", a.Name, err)
	}
	defer c.close()
	return benchmark.Run(ctx, a, benchmark.Shape{
		Service: Service, Fields: Fields(), Warmup: warmup, Utilization: utilization,
	}, newDriver(c, a.Options.Seed))
}
