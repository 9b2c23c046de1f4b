// Package benchmark is what every benchmark does around the requests that make it
// one: it gives the load generator a service to drive, watches the service's
// memory, and turns a run, a broken-off run and a service that never answered into
// a metrics document with every field present.
//
// A benchmark implements [Driver] and calls [Run] with what tells it from others.
package benchmark

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/service"
)

// Driver performs the requests of one run and knows what came of them.
type Driver interface {
	// Send performs one request. Negative indexes are the warm-up's, which come
	// one after another, before Measuring.
	Send(ctx context.Context, index int) load.Exchange
	// Measuring is called once, between the warm-up and the measured requests,
	// and gives the phases to name by.
	Measuring(phases *load.Phases)
	// Fill takes a run's result into the document's metrics; status, counts and
	// load are filled already.
	Fill(document *metrics.Document, result *load.Result)
	// Judge adds the targets, after Fill, or without it where no request was
	// measured.
	Judge(document *metrics.Document)
}

// Shape is what is the same in all runs of one benchmark.
type Shape struct {
	// Service is the one that the document is about.
	Service string
	// Fields are the metrics beyond the service's required ones.
	Fields []string
	// Unavailable says why metrics that this benchmark never has are null.
	Unavailable map[string]string
	// Warmup is the number of requests that are discarded, Utilization the share
	// of a service's time that an open loop without a rate aims at.
	Warmup      int
	Utilization float64
}

// PeakMemory is the metric of every service's document that Run fills itself:
// megabytes (1e6 bytes) resident at most, of the service's whole process tree.
const PeakMemory = "peak_memory_mb"

// Run performs a benchmark. The document is nil only with an error, one of this
// side; what went wrong with the service is in the document.
func Run(ctx context.Context, a load.Assignment, shape Shape, driver Driver) (*metrics.Document, error) {
	endpoint, ok := a.Endpoints[shape.Service]
	if !ok {
		return nil, fmt.Errorf("running %s: no endpoint of %s was given", a.Name, shape.Service)
	}
	document, err := begin(a, shape, endpoint)
	if err != nil {
		return nil, fmt.Errorf("running %s: %w", a.Name, err)
	}
	memory, memoryErr := watch(endpoint)
	a.Mark(load.Warmup)
	result, err := load.Run(ctx, config(a, shape, driver), driver.Send)
	peak, stopErr := stop(memory)
	var unanswered *load.WarmupError
	switch {
	case errors.As(err, &unanswered):
		fail(document, a.Options, unanswered)
		driver.Judge(document)
		return document, nil
	case result == nil:
		return nil, fmt.Errorf("running %s: %w", a.Name, err)
	}
	fill(document, result)
	driver.Fill(document, result)
	if memoryErr = errors.Join(memoryErr, stopErr); memoryErr != nil {
		document.SetUnavailable(PeakMemory, memoryErr.Error())
	} else {
		document.Set(PeakMemory, float64(peak)/1e6)
	}
	driver.Judge(document)
	if err != nil {
		return document, fmt.Errorf("running %s: %w", a.Name, err)
	}
	return document, nil
}

// config is the load that the options and the shape ask for.
func config(a load.Assignment, shape Shape, driver Driver) load.Config {
	c := a.Options.Config()
	c.Warmup, c.Utilization = shape.Warmup, shape.Utilization
	c.Measuring = func() { driver.Measuring(load.NewPhases(a.Mark)) }
	done := 0
	c.Record = func(request metrics.Request) error {
		done++
		a.Progress(done, a.Options.Iterations)
		return a.Record(request)
	}
	return c
}

// begin returns a document with everything known before the run.
func begin(a load.Assignment, shape Shape, endpoint service.Endpoint) (*metrics.Document, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("asking for the host's name: %w", err)
	}
	var system unix.Utsname
	if err := unix.Uname(&system); err != nil {
		return nil, fmt.Errorf("asking for the kernel's version: %w", err)
	}
	const unmeasured = "no request was measured"
	document := metrics.New(shape.Service, a.Name, unmeasured)
	for _, name := range append(shape.Fields, PeakMemory) {
		document.SetUnavailable(name, unmeasured)
	}
	for name, reason := range shape.Unavailable {
		document.SetUnavailable(name, reason)
	}
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
	if endpoint.Planted != "" {
		document.Notes = append(document.Notes, fmt.Sprintf("the reference service was started with the planted bottleneck %q", endpoint.Planted))
	}
	return document, nil
}

// fail describes a run that ended in its warm-up.
func fail(document *metrics.Document, options load.Options, unanswered *load.WarmupError) {
	document.Status, document.StatusReason = metrics.Failed, unanswered.Error()
	document.Load = metrics.Load{Model: "open-loop", WarmupRequests: unanswered.Sent}
	if options.Concurrency > 0 {
		document.Load.Model, document.Load.Concurrency = "closed-loop", options.Concurrency
	}
}

// fill takes what every run has into its document.
func fill(document *metrics.Document, result *load.Result) {
	outcomes := result.Outcomes()
	document.Iterations, document.N = result.Asked, outcomes[metrics.OK]
	document.Status, document.StatusReason = result.Status()
	document.Load = result.Load()
	if !result.Started.IsZero() {
		document.Timestamp = result.Started.UTC()
	}
	for outcome, count := range outcomes {
		if outcome != metrics.OK {
			document.Errors[string(outcome)] = count
		}
	}
}

// Failures counts the requests that the service failed: those that were canceled by
// stopping the run are none.
func Failures(result *load.Result) int {
	failures := 0
	for outcome, count := range result.Outcomes() {
		if outcome != metrics.OK && outcome != metrics.Canceled {
			failures += count
		}
	}
	return failures
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
