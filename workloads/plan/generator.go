package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/narrows-profiler/narrows/analysis/statistics"
	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/service"
)

// How much a generator sends to learn what it adds: for two seconds at the run's own
// rate, but as many requests as a 99th percentile needs. That makes slow schedules
// faster, as far as the generator itself has time: a request that is many exchanges, or
// megabytes, keeps it busy even where the other side does nothing.
const (
	ownTime     = 2 * time.Second
	ownRequests = 300
	ownMost     = 20_000 // however fast the schedule
	ownClosed   = 1000   // in a closed loop, whose rate is its own
	ownPatience = 30 * time.Second
)

// measureGenerator runs a benchmark whose document is given once more, against a
// server that does nothing, and returns what that took, or why it is not known.
func (r *Runner) measureGenerator(ctx context.Context, benchmark Benchmark, document *metrics.Document) (own *metrics.Generator, unknown string) {
	switch {
	case document.N == 0 || document.Load.RatePerSecond == 0 && document.Load.Concurrency == 0:
		return nil, "no request of the run was answered"
	case benchmark.Null == nil:
		return nil, cmp.Or(benchmark.NoNull, "there is no null server for this benchmark")
	case len(benchmark.Services) != 1:
		return nil, "the benchmark drives more than one service"
	}
	name := benchmark.Services[0]
	if target, external := r.Targets[name]; external && target.Interface != service.HTTP {
		return nil, fmt.Sprintf("a null server speaks HTTP, but this target is reached as %s", target.Interface)
	}
	if ctx.Err() != nil {
		return nil, "the run was stopped"
	}
	own, err := MeasureGenerator(ctx, r.load(), r.Null(benchmark), benchmark, ownOptions(document, r.Options.Seed))
	if err != nil {
		return nil, err.Error()
	}
	return own, ""
}

// MeasureGenerator makes the load of a benchmark for a null server of it, which the
// command starts, and says what that took: what the generator adds and uses by itself.
func MeasureGenerator(ctx context.Context, makeLoad Load, command service.Command, benchmark Benchmark, options load.Options) (*metrics.Generator, error) {
	server, err := service.Start(ctx, command)
	if err != nil {
		return nil, err
	}
	requests, sent, err := sendToNull(ctx, makeLoad, benchmark, server.Endpoint, options)
	if err = errors.Join(err, server.Stop()); err != nil {
		return nil, fmt.Errorf("measuring what the generator adds: %w", err)
	}
	own, err := describeOwn(requests)
	if err != nil {
		return nil, fmt.Errorf("measuring what the generator adds: %w", err)
	}
	own.CPURatio, own.RatePerSecond, own.Concurrency = sent.GeneratorCPURatio, sent.RatePerSecond, sent.Concurrency
	return own, nil
}

// ownOptions is the load of a run, as it was, for the null server.
func ownOptions(document *metrics.Document, seed uint64) load.Options {
	options := load.Options{Seed: cmp.Or(seed, DefaultSeed), Timeout: ownPatience}
	if document.Load.Concurrency > 0 {
		options.Concurrency, options.Iterations = document.Load.Concurrency, ownClosed
		return options
	}
	options.Arrivals = load.Arrivals(document.Load.Arrivals)
	options.Rate = document.Load.RatePerSecond
	options.RaiseTo = max(options.Rate, ownRequests/ownTime.Seconds())
	options.Iterations = int(math.Ceil(min(options.RaiseTo*ownTime.Seconds(), ownMost)))
	return options
}

// sendToNull runs the benchmark for its requests and its load alone.
func sendToNull(ctx context.Context, makeLoad Load, benchmark Benchmark, endpoint service.Endpoint, options load.Options) (requests []metrics.Request, sent metrics.Load, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, ownPatience, fmt.Errorf("the null server took more than %v", ownPatience))
	defer cancel()
	document, err := makeLoad(ctx, benchmark, load.Assignment{
		Name:      benchmark.Name,
		Endpoints: map[string]service.Endpoint{endpoint.Service: endpoint},
		Options:   options,
		Progress:  func(int, int) {},
		Record: func(request metrics.Request) error {
			requests = append(requests, request)
			return nil
		},
	}, func(string, metrics.Instant) {})
	if err != nil {
		return nil, metrics.Load{}, err
	}
	if document.Status != metrics.Complete {
		return nil, metrics.Load{}, fmt.Errorf("the measurement against a null server is %s: %s", document.Status, document.StatusReason)
	}
	return requests, document.Load, nil
}

// describeOwn computes what the generator adds from what it did at the null server.
func describeOwn(requests []metrics.Request) (*metrics.Generator, error) {
	var late, exchange, added []float64
	for _, request := range requests {
		if request.Outcome != metrics.OK || request.Sent == nil {
			continue
		}
		late = append(late, milliseconds(request.Sent.Sub(request.IntendedStart)))
		exchange = append(exchange, milliseconds(request.End.Sub(*request.Sent)))
		added = append(added, milliseconds(request.End.Sub(request.IntendedStart)))
	}
	if needed := statistics.SamplesForUpperBound(0.99, 0.95); len(added) < needed {
		return nil, fmt.Errorf("the null server gave %d valid answers, a 99th percentile needs %d", len(added), needed)
	}
	own := &metrics.Generator{Requests: len(added)}
	for _, of := range []struct {
		sample   []float64
		p50, p99 *float64
	}{
		{late, &own.SendLateP50Ms, &own.SendLateP99Ms},
		{exchange, &own.ExchangeP50Ms, &own.ExchangeP99Ms},
		{added, &own.AddedP50Ms, &own.AddedP99Ms},
	} {
		slices.Sort(of.sample)
		*of.p50, _ = statistics.Quantile(of.sample, 0.50)
		*of.p99, _ = statistics.Quantile(of.sample, 0.99)
	}
	return own, nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
