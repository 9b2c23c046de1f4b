package main

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/workloads/generator"
	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/plan"
)

// generateCommand is the load generator. It is a process of its own, whose CPU time is
// the load's and not the profiler's.
type generateCommand struct{}

func (generateCommand) Run(ctx context.Context) error {
	in, err := generator.Pollable(unix.Stdin, "orders")
	if err != nil {
		return err
	}
	out, err := generator.Pollable(unix.Stdout, "reports")
	if err != nil {
		return err
	}
	err = generator.Serve(ctx, in, out, func(name string) (load.Benchmark, error) {
		benchmark, err := plan.Lookup(name)
		return benchmark.Run, err
	})
	return errors.Join(err, in.Close(), out.Close())
}

// generatorOf starts it for each load, as the program that runs is.
func generatorOf(self string) plan.Load {
	return func(ctx context.Context, b plan.Benchmark, a load.Assignment, mark func(string, metrics.Instant)) (*metrics.Document, error) {
		return generator.Command{Arguments: []string{self, "generate"}, Threads: b.Threads}.Run(ctx, a, mark)
	}
}
