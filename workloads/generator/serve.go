package generator

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/service"
)

// errLeft is why a load stops that nobody waits for any more.
var errLeft = errors.New("whoever asked for the load has gone")

// Serve reads a job, makes its load, and reports to out. Lookup finds a benchmark by
// its name. The load ends early with ctx, on an order to stop, and when the input
// ends; the result then says so. The error is one of speaking with the other side.
func Serve(ctx context.Context, in io.Reader, out io.Writer, lookup func(name string) (load.Benchmark, error)) error {
	orders := gob.NewDecoder(in)
	var first order
	if err := orders.Decode(&first); err != nil {
		return fmt.Errorf("reading the load generator's job: %w", err)
	}
	if first.Job == nil {
		return errors.New("reading the load generator's job: there is none")
	}
	run, err := lookup(first.Job.Name)
	if err != nil {
		return err
	}
	endpoints, err := first.Job.endpoints()
	if err != nil {
		return err
	}
	clock, err := load.NewClock()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var listening sync.WaitGroup
	listening.Go(func() { stop(awaitStop(orders)) })
	reporting := newOutbox(out, mostWaiting)
	document, runErr := run(ctx, first.Job.assignment(endpoints, reporting, clock))
	err = conclude(reporting, clock, document, runErr)
	if err = errors.Join(err, reporting.close()); err != nil {
		return err // who does not read does not tell us the end either
	}
	listening.Wait()
	return nil
}

// awaitStop returns why the load shall stop.
func awaitStop(orders *gob.Decoder) error {
	var next order
	switch err := orders.Decode(&next); {
	case errors.Is(err, io.EOF):
		return errLeft
	case err != nil:
		return fmt.Errorf("reading what the load generator is told: %w", err)
	}
	return errors.New(next.Stop)
}

// conclude reports the end of the benchmark and what it returned.
func conclude(reporting *outbox, clock *load.Clock, document *metrics.Document, runErr error) error {
	if err := reporting.put(report{Mark: &mark{At: clock.Instant(time.Now())}}); err != nil {
		return err
	}
	r, err := newResult(document, runErr)
	if err != nil {
		return err
	}
	return reporting.put(report{Result: r})
}

// assignment is the job as the benchmark takes it. What cannot be reported ends the
// load by the next record.
func (j *job) assignment(endpoints map[string]service.Endpoint, reporting *outbox, clock *load.Clock) load.Assignment {
	return load.Assignment{
		Name: j.Name, Endpoints: endpoints, Options: j.Options, RequestsFile: j.RequestsFile, Version: j.Version,
		Mark: func(phase string) {
			_ = reporting.put(report{Mark: &mark{phase, clock.Instant(time.Now())}})
		},
		Progress: func(done, total int) { _ = reporting.put(report{Progress: &progress{done, total}}) },
		Record:   func(r metrics.Request) error { return reporting.put(report{Request: &r}) },
	}
}

// endpoints are those of the job, with the streams that came with the process.
func (j *job) endpoints() (map[string]service.Endpoint, error) {
	all := make(map[string]service.Endpoint)
	for name, e := range j.Endpoints {
		given := service.Endpoint{
			Service: name, Kind: e.Kind, URL: e.URL, Directory: e.Directory,
			PID: e.PID, PIDUnknown: e.PIDUnknown, Model: e.Model, Planted: e.Planted,
		}
		if e.Input != 0 {
			input, err := Pollable(e.Input, name+" input")
			if err != nil {
				return nil, err
			}
			output, err := Pollable(e.Output, name+" output")
			if err != nil {
				return nil, errors.Join(err, input.Close())
			}
			given.Input, given.Output = input, output
		}
		all[name] = given
	}
	return all, nil
}

// Pollable makes a file of a descriptor that was inherited. Who reads or writes it
// then waits in the runtime's poller and holds no thread.
func Pollable(fd int, name string) (*os.File, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("taking over %s, descriptor %d: %w", name, fd, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}
