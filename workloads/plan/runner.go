package plan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/narrows-profiler/narrows/analysis/statistics"
	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/service"
)

// Observer learns what is running. Its methods may be called from any goroutine, but
// calls of Mark never overlap; they have to return quickly, as the load may wait for
// them.
type Observer interface {
	// Mark says that a phase of a benchmark began at an instant, which may be some
	// tenths of a second in the past. Both names are empty once none runs.
	Mark(benchmark, phase string, at metrics.Instant)
	// Service says that a process of a service is up, before any request: its
	// samples carry the name. It is not called for an external service whose
	// process is unknown.
	Service(name string, pid int)
	// Progress says how many requests of a benchmark are over. Total is 0 when
	// a duration bounds it.
	Progress(benchmark string, done, total int)
}

// Sink keeps what comes out.
type Sink interface {
	Metrics(document *metrics.Document) error
	// Requests opens the place for a benchmark's request records, JSON lines
	// that are each one Write.
	Requests(benchmark string) (io.WriteCloser, error)
}

// Load makes the load of a benchmark: it is the benchmark's Run, here or elsewhere.
// Instead of the assignment's Mark it calls mark, with the instant at which each phase
// began. The last call has an empty phase: the benchmark's end.
type Load func(ctx context.Context, benchmark Benchmark, a load.Assignment, mark func(phase string, at metrics.Instant)) (*metrics.Document, error)

// Here makes the load in this process.
func Here(ctx context.Context, benchmark Benchmark, a load.Assignment, mark func(phase string, at metrics.Instant)) (*metrics.Document, error) {
	clock, err := load.NewClock()
	if err != nil {
		return nil, err
	}
	a.Mark = func(phase string) { mark(phase, clock.Instant(time.Now())) }
	defer a.Mark("")
	return benchmark.Run(ctx, a)
}

// Runner runs benchmarks.
type Runner struct {
	// Benchmarks are run in this order.
	Benchmarks []Benchmark
	// Commands start the reference services, by service. Targets are external
	// services, which go first.
	Commands map[string]service.Command
	Targets  map[string]service.Target
	// Null returns the command that starts a process of a benchmark's null server,
	// by which the generator measures itself after each run. Without it, it does not.
	Null func(Benchmark) service.Command
	// Load makes all loads; nil stands for Here.
	Load Load
	// Options hold for every benchmark; Iterations of 0 without a Duration are
	// each benchmark's own.
	Options  load.Options
	Observer Observer
	Sink     Sink
	// Version is Narrows' own, for the documents.
	Version string
}

// DefaultSeed is the seed of prompts and schedules unless told otherwise.
const DefaultSeed = 1

// Check finds out, without running anything, whether every service that the
// benchmarks need has a command or answers at its URL.
func (r *Runner) Check(ctx context.Context) error {
	var errs []error
	checked := make(map[string]bool)
	for _, benchmark := range r.Benchmarks {
		for _, name := range benchmark.Services {
			if checked[name] {
				continue
			}
			checked[name] = true
			if target, external := r.Targets[name]; external {
				errs = append(errs, target.Check(ctx))
			} else if len(r.Commands[name].Arguments) == 0 {
				errs = append(errs, fmt.Errorf("no command starts the reference service %s; give --target %s=URL", name, name))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Targets)) {
		if !checked[name] {
			errs = append(errs, fmt.Errorf("a target is given for %q, which none of the chosen benchmarks drives", name))
		}
	}
	return errors.Join(errs...)
}

// Run checks the services and runs the benchmarks one after another, each on
// freshly started reference services that end with it. A benchmark that fails
// does not keep the next from running; ctx does, and what was measured until
// then has been given to the sink. The error joins all failures.
func (r *Runner) Run(ctx context.Context) error {
	if err := r.Check(ctx); err != nil {
		return err
	}
	var errs []error
	for _, benchmark := range r.Benchmarks {
		if ctx.Err() != nil {
			break
		}
		if err := r.one(ctx, benchmark); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", benchmark.Name, err))
		}
	}
	if ctx.Err() != nil {
		errs = append(errs, context.Cause(ctx))
	}
	return errors.Join(errs...)
}

// one runs a single benchmark with its services, then the generator alone, and hands
// the document to the sink.
func (r *Runner) one(ctx context.Context, benchmark Benchmark) error {
	var latencies []float64
	document, err := r.drive(ctx, benchmark, &latencies)
	if document == nil {
		return err
	}
	if r.Null != nil {
		own, unknown := r.measureGenerator(ctx, benchmark, document)
		document.JudgeGenerator(own, unknown, median(latencies), benchmark.Clients)
	}
	err = errors.Join(err, r.Sink.Metrics(document))
	// What was broken off did not fail: the document says how far it got, and Run
	// why it ended.
	if document.Status == metrics.Failed && ctx.Err() == nil {
		err = errors.Join(err, fmt.Errorf("the benchmark failed: %s", document.StatusReason))
	}
	return err
}

// drive runs a benchmark while its services are up. Latencies takes the time of each
// valid answer from the intended start, in milliseconds.
func (r *Runner) drive(ctx context.Context, benchmark Benchmark, latencies *[]float64) (document *metrics.Document, err error) {
	endpoints := make(map[string]service.Endpoint)
	for _, name := range benchmark.Services {
		endpoint, stop, startErr := r.start(ctx, name)
		if startErr != nil {
			return nil, startErr
		}
		defer func() { err = errors.Join(err, stop()) }()
		endpoints[name] = endpoint
		if endpoint.PID > 0 {
			r.Observer.Service(name, endpoint.PID)
		}
	}
	return r.measure(ctx, benchmark, endpoints, latencies)
}

// start brings a service up, or reaches it, and returns how to end it.
func (r *Runner) start(ctx context.Context, name string) (service.Endpoint, func() error, error) {
	if target, external := r.Targets[name]; external {
		return target.Open(ctx)
	}
	process, err := service.Start(ctx, r.Commands[name])
	if err != nil {
		return service.Endpoint{}, nil, err
	}
	return process.Endpoint, process.Stop, nil
}

// measure runs the benchmark itself, whose requests go to the sink.
func (r *Runner) measure(ctx context.Context, benchmark Benchmark, endpoints map[string]service.Endpoint, latencies *[]float64) (document *metrics.Document, err error) {
	requests, err := r.Sink.Requests(benchmark.Name)
	if err != nil {
		return nil, fmt.Errorf("opening the request records: %w", err)
	}
	defer func() { err = errors.Join(err, requests.Close()) }()
	options := r.Options
	if options.Iterations == 0 && options.Duration == 0 {
		options.Iterations = benchmark.Iterations
	}
	if options.Seed == 0 {
		options.Seed = DefaultSeed
	}
	var marking sync.Mutex
	records := metrics.NewRequestWriter(requests)
	return r.load()(ctx, benchmark, load.Assignment{
		Name:      benchmark.Name,
		Endpoints: endpoints,
		Options:   options,
		Progress:  func(done, total int) { r.Observer.Progress(benchmark.Name, done, total) },
		Record: func(request metrics.Request) error {
			if request.Outcome == metrics.OK {
				*latencies = append(*latencies, milliseconds(request.End.Sub(request.IntendedStart)))
			}
			return records.Write(request)
		},
		RequestsFile: "requests/" + benchmark.Name + ".ndjson",
		Version:      r.Version,
	}, func(phase string, at metrics.Instant) {
		marking.Lock()
		defer marking.Unlock()
		name := benchmark.Name
		if phase == "" {
			name = ""
		}
		r.Observer.Mark(name, phase, at)
	})
}

func (r *Runner) load() Load {
	if r.Load == nil {
		return Here
	}
	return r.Load
}

func median(values []float64) float64 {
	middle, _ := statistics.Quantile(slices.Sorted(slices.Values(values)), 0.5) // 0 of none
	return middle
}
