package sigmavault

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/narrows-profiler/narrows/workloads/benchmark"
	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/service"
	"github.com/narrows-profiler/narrows/workloads/transport"
)

const (
	// warmups is the number of iterations that are discarded, utilization the share of the
	// time in which a service that does one iteration after another would be at work.
	warmups     = 12
	utilization = 0.5
)

// kind tells one benchmark from the other.
type kind struct {
	scale
	prepare func(context.Context, *driver, load.Assignment) benchmark.Driver
	// elsewhere are the metrics that the other one measures.
	elsewhere []string
}

func reading() kind {
	return kind{fullScale(), prepareReader, []string{"write_mean_ms", "write_p50_ms", "write_p95_ms", "write_p99_ms", "all_writes_p50_ms", "all_writes_p99_ms"}}
}

func writing() kind {
	return kind{fullScale(), prepareWriter, []string{
		"read_mean_ms", "read_p50_ms", "read_p95_ms", "read_p99_ms", "all_reads_p50_ms", "all_reads_p99_ms",
		"cold_read_mean_ms", "cold_read_p50_ms", "cold_read_p99_ms",
	}}
}

// RSURead judges the median and the 99th percentile of warm reads against 5 and 10 ms.
func RSURead(ctx context.Context, a load.Assignment) (*metrics.Document, error) {
	return run(ctx, a, reading(), nil)
}

// RSUWrite judges the median and the 99th percentile of durable writes against 10 and
// 20 ms.
func RSUWrite(ctx context.Context, a load.Assignment) (*metrics.Document, error) {
	return run(ctx, a, writing(), nil)
}

func prepareReader(ctx context.Context, d *driver, a load.Assignment) benchmark.Driver {
	r := &reader{driver: d}
	r.operations, r.most = 4, mostReads
	r.prepare(ctx, cmp.Or(a.Options.Timeout, load.DefaultTimeout))
	return r
}

func prepareWriter(ctx context.Context, d *driver, _ load.Assignment) benchmark.Driver {
	w := &writer{driver: d}
	w.operations, w.most = 1, mostRounds
	w.prepare(ctx)
	return w
}

// run performs a benchmark and fills its document. What it stored in a service that
// goes on is removed.
func run(ctx context.Context, a load.Assignment, k kind, dial transport.Dial) (document *metrics.Document, err error) {
	endpoint := a.Endpoints[Service]
	kept, err := open(endpoint, dial)
	if err != nil {
		return nil, fmt.Errorf("running %s: %w", a.Name, err)
	}
	defer func() { err = errors.Join(err, kept.close()) }()
	unavailable := map[string]string{}
	for _, name := range k.elsewhere {
		unavailable[name] = "another benchmark of this service measures it"
	}
	a.Mark(load.Warmup)
	d := &driver{scale: k.scale, store: kept, units: newUnits(a.Options.Seed, k.largest), seen: map[int]observation{}}
	driven := k.prepare(ctx, d, a)
	document, err = benchmark.Run(ctx, a, benchmark.Shape{
		Service: Service, Fields: Fields(), Warmup: warmups, Utilization: utilization, Unavailable: unavailable,
	}, driven)
	var removeErr error
	if endpoint.Kind == service.External {
		removeErr = d.removeAll(ctx)
	}
	if document == nil {
		return nil, errors.Join(err, removeErr)
	}
	document.Notes = append(document.Notes, kept.notes(context.WithoutCancel(ctx))...)
	if removeErr != nil {
		document.Notes = append(document.Notes, removeErr.Error())
	}
	return document, err
}

// open takes the interface that the endpoint has.
func open(endpoint service.Endpoint, dial transport.Dial) (store, error) {
	if endpoint.Directory != "" {
		return newAsFiles(endpoint.Directory), nil
	}
	return newOverHTTP(endpoint.URL, dial)
}
