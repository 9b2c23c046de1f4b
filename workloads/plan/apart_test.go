package plan

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/narrows-profiler/narrows/workloads/generator"
	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/ryot"
)

func generate(ctx context.Context) error {
	in, err := generator.Pollable(0, "orders")
	if err != nil {
		return err
	}
	out, err := generator.Pollable(1, "reports")
	if err != nil {
		return err
	}
	err = generator.Serve(ctx, in, out, func(name string) (load.Benchmark, error) {
		b, err := Lookup(name)
		return b.Run, err
	})
	return errors.Join(err, in.Close(), out.Close())
}

// apart makes loads in a process of their own.
func apart(t *testing.T) Load {
	t.Helper()
	arguments := []string{"env", generateVariable + "=1", self(t)}
	return func(ctx context.Context, b Benchmark, a load.Assignment, mark func(string, metrics.Instant)) (*metrics.Document, error) {
		return generator.Command{Arguments: arguments, Threads: b.Threads}.Run(ctx, a, mark)
	}
}

// burner spends CPU time in this process at each request.
type burner struct{ *memory }

const burnt = 10 * time.Millisecond

func (b burner) Progress(string, int, int) {
	before := cpuTime(b.t)
	for cpuTime(b.t)-before < burnt {
	}
}

// cpuTime is what this process has used.
func cpuTime(t *testing.T) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Error(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// What is said to be the generator's CPU time is that, and not what the process uses that
// has started it.
func TestTheGeneratorsCPUTimeIsItsOwn(t *testing.T) {
	const requests = 60
	for where, makeLoad := range map[string]Load{"here": Here, "apart": apart(t)} {
		kept := newMemory(t)
		runner := Runner{
			Benchmarks: benchmarksOf(t, ryot.Service)[:1], Commands: reference(t), Version: "test", Sink: kept, Observer: burner{kept},
			Options: load.Options{Iterations: requests, Concurrency: 1}, Load: makeLoad,
		}
		if err := runner.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		used := kept.documents[0].Load.GeneratorCPUSeconds
		if ours := (requests * burnt).Seconds(); used <= 0 || (used >= ours) != (where == "here") {
			t.Errorf("%s: the generator is said to have used %v s, this process has used %v s beside it", where, used, ours)
		}
	}
}
