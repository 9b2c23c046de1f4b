package costs

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

//go:embed source/target.c
var targetSource []byte

// target is a compiled program that keeps a CPU busy with known work.
type target struct {
	path string
	cpus []int // where it runs
}

// Work is what a fixed amount of work took by the target's own clocks, in ns: the
// mean over the CPUs that all did it at once.
type Work struct {
	CPU  float64 `json:"cpu_ns"`
	Wall float64 `json:"wall_ns"`
}

// compileTarget builds the target like a distribution does: without frame pointers.
func compileTarget(ctx context.Context, dir string, cpus []int) (target, error) {
	source := filepath.Join(dir, "target.c")
	if err := os.WriteFile(source, targetSource, 0o600); err != nil {
		return target{}, fmt.Errorf("compiling the target: %w", err)
	}
	t := target{path: filepath.Join(dir, "target"), cpus: cpus}
	out, err := exec.CommandContext(ctx, "cc", "-O2", "-fomit-frame-pointer", "-fno-optimize-sibling-calls", "-o", t.path, source).CombinedOutput()
	if err != nil {
		return target{}, fmt.Errorf("compiling the target: %w\n%s", err, out)
	}
	return t, nil
}

// keepBusy starts the target in a mode without end on all its CPUs, and returns
// what ends it.
func (t target) keepBusy(ctx context.Context, depth int, mode string) (stop func() error, pids []int, err error) {
	var running []*exec.Cmd
	stop = func() error {
		var failures []error
		for _, cmd := range running {
			if err := cmd.Process.Kill(); err != nil {
				failures = append(failures, fmt.Errorf("the target ended by itself: %w", err))
			}
			_ = cmd.Wait() // killed, as asked for
		}
		return errors.Join(failures...)
	}
	for _, cpu := range t.cpus {
		cmd := exec.CommandContext(ctx, t.path, strconv.Itoa(cpu), strconv.Itoa(depth), mode)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			return nil, nil, errors.Join(fmt.Errorf("starting the target: %w", err), stop())
		}
		running = append(running, cmd)
		pids = append(pids, cmd.Process.Pid)
	}
	return stop, pids, nil
}

// work does the given number of steps on each CPU at once.
func (t target) work(ctx context.Context, depth int, steps uint64) (Work, error) {
	works := make([]Work, len(t.cpus))
	failures := make([]error, len(t.cpus))
	var all sync.WaitGroup
	for i, cpu := range t.cpus {
		all.Go(func() {
			var output bytes.Buffer
			cmd := exec.CommandContext(ctx, t.path, strconv.Itoa(cpu), strconv.Itoa(depth), "work", strconv.FormatUint(steps, 10))
			cmd.Stdout, cmd.Stderr = &output, os.Stderr
			if err := cmd.Run(); err != nil {
				failures[i] = fmt.Errorf("running the target on CPU %d: %w", cpu, err)
			} else if err := json.Unmarshal(output.Bytes(), &works[i]); err != nil {
				failures[i] = fmt.Errorf("reading what the target says: %w", err)
			}
		})
	}
	all.Wait()
	return mean(works), errors.Join(failures...)
}

// calibrate finds how many steps take about the given time.
func (t target) calibrate(ctx context.Context, depth int, want time.Duration) (steps uint64, err error) {
	const trial = 100_000
	w, err := t.work(ctx, depth, trial)
	if err != nil {
		return 0, err
	}
	return uint64(trial * float64(want) / w.Wall), nil
}

func mean(works []Work) Work {
	var sum Work
	for _, w := range works {
		sum.CPU += w.CPU / float64(len(works))
		sum.Wall += w.Wall / float64(len(works))
	}
	return sum
}
