package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/cmd/narrows/internal/calibration"
	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/plan"
)

// calibrationTime is the CPU time of the program of known truth: enough for three
// thousand samples.
const calibrationTime = 3 * time.Second

// splitCommand is the program of known truth.
type splitCommand struct {
	CPU time.Duration `name:"cpu" default:"3s" help:"CPU time to spend."`
}

func (c *splitCommand) Run(s streams) error { return calibration.Split(c.CPU, s.out) }

// calibrate measures what is known on this host.
func calibrate(ctx context.Context) ([]session.Check, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("looking for this program, which is the one of known truth too: %w", err)
	}
	return calibration.CPU(ctx, []string{self, "split", "--cpu", calibrationTime.String()})
}

// errors of the instrument are told as warnings of what it measures.
func calibrationWarnings(checks []session.Check) []string {
	var warnings []string
	for _, c := range checks {
		if c.Verdict == session.BeyondChance {
			warnings = append(warnings, fmt.Sprintf("what was known on this host was measured wrong (%s): %s", c.Name, c.Reason))
		}
	}
	return warnings
}

// calibrateGenerator measures what the load generator adds and takes at a rate that
// most services do not reach.
func calibrateGenerator(ctx context.Context) (session.Check, error) {
	const rate = 1000
	self, err := os.Executable()
	if err != nil {
		return session.Check{}, fmt.Errorf("looking for this program, which is the null server and the load generator too: %w", err)
	}
	benchmark := plan.Benchmarks()[0]
	own, err := plan.MeasureGenerator(ctx, generatorOf(self), nullServer(self)(benchmark), benchmark, load.Options{Rate: rate, Iterations: 2 * rate})
	if err != nil {
		return session.Check{}, err
	}
	check := session.Check{
		Name: "load generator", Samples: int64(own.Requests), Unit: "us",
		What: fmt.Sprintf("what it adds to the latencies of %s at %d requests a second, for which it keeps %.3f cores busy", benchmark.Name, rate, own.CPURatio),
		Values: []session.CheckValue{
			{Name: "median", Seen: 1000 * own.AddedP50Ms}, {Name: "99th percentile", Seen: 1000 * own.AddedP99Ms},
		},
	}
	check.Judge()
	return check, nil
}
