package generator

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/service"
)

// order is what the process is told: first a job, then perhaps why to stop.
type order struct {
	Job  *job
	Stop string
}

// job is a [load.Assignment] without what belongs to the process that gives it.
type job struct {
	Name                  string
	Endpoints             map[string]endpoint
	Options               load.Options
	RequestsFile, Version string
}

// endpoint is a [service.Endpoint]. Instead of streams it has the numbers of the
// descriptors that the process has got them by, 0 for none.
type endpoint struct {
	Kind, URL, Directory       string
	Input, Output              int
	PID                        int
	PIDUnknown, Model, Planted string
}

func newEndpoint(e service.Endpoint) endpoint {
	return endpoint{
		Kind: e.Kind, URL: e.URL, Directory: e.Directory,
		PID: e.PID, PIDUnknown: e.PIDUnknown, Model: e.Model, Planted: e.Planted,
	}
}

// report is what the process tells; one of its fields is set.
type report struct {
	Mark     *mark
	Progress *progress
	Request  *metrics.Request
	Result   *result
}

// mark begins a phase; an empty one is the benchmark's end.
type mark struct {
	Phase string
	At    metrics.Instant
}

type progress struct{ Done, Total int }

// result is what the benchmark returned. The document is JSON: it has numbers that
// are absent, which gob does not tell from 0.
type result struct {
	Document []byte
	Err      string
}

func newResult(document *metrics.Document, err error) (*result, error) {
	r := new(result)
	if err != nil {
		r.Err = err.Error()
	}
	if document == nil {
		return r, nil
	}
	var encodeErr error
	if r.Document, encodeErr = json.Marshal(document); encodeErr != nil {
		return nil, fmt.Errorf("encoding the result: %w", encodeErr)
	}
	return r, nil
}

// values are what the benchmark returned.
func (r *result) values() (document *metrics.Document, err error) {
	if r.Err != "" {
		err = errors.New(r.Err)
	}
	if r.Document == nil {
		return nil, err
	}
	document = new(metrics.Document)
	if decodeErr := json.Unmarshal(r.Document, document); decodeErr != nil {
		return nil, errors.Join(err, fmt.Errorf("reading the load generator's result: %w", decodeErr))
	}
	return document, err
}
