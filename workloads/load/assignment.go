package load

import (
	"context"
	"time"

	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/service"
)

// Benchmark runs one benchmark and returns its document, also when it was
// stopped or got no answer: the document then says so. An error is one of this
// side, for example a full disk; the document is nil only with one.
type Benchmark func(context.Context, Assignment) (*metrics.Document, error)

// Assignment is what a benchmark is given to do.
type Assignment struct {
	// Name is the benchmark's.
	Name string
	// Endpoints are the services it drives, by name, all up.
	Endpoints map[string]service.Endpoint
	Options   Options
	// Mark is called at each change of phase, at the instant it happens, and
	// Progress with the number of requests that are over and that are asked
	// for; both may be called from any goroutine.
	Mark     func(phase string)
	Progress func(done, total int)
	// Record receives each measured request at its end.
	Record func(metrics.Request) error
	// RequestsFile is where the records go, relative to the session.
	RequestsFile string
	Version      string
}

// Options are what a user may choose about a load.
type Options struct {
	// Iterations is the number of measured requests. It is 0 when Duration
	// alone bounds the run.
	Iterations int
	Duration   time.Duration
	// Concurrency above zero asks for a closed loop.
	Concurrency int
	// Rate overrides the calibrated rate of an open loop, in requests a second.
	Rate float64
	// RaiseTo is as in Config.
	RaiseTo  float64
	Arrivals Arrivals
	Timeout  time.Duration
	Seed     uint64
}

// Config returns the load that the options ask for.
func (o Options) Config() Config {
	return Config{
		Requests:    o.Iterations,
		Duration:    o.Duration,
		Concurrency: o.Concurrency,
		Rate:        o.Rate,
		RaiseTo:     o.RaiseTo,
		Arrivals:    o.Arrivals,
		Timeout:     o.Timeout,
		Seed:        o.Seed,
	}
}

// Warmup is the phase of the requests that are discarded.
const Warmup = "warmup"
