// Package eval asks whether the ranking is right: it starts a reference service with
// a bottleneck that was put there, drives and profiles it as a user would, and looks
// at which rank the place is found; then the same with the bottleneck mended, and
// compares the gain that was predicted with the one that came.
//
// [Run] does it for a list of [Subject]s with the narrows executable; the [Result]s
// print as a table by [WriteTable].
package eval

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/narrows-profiler/narrows/analysis/rank"
	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/plant"
)

// Subject is a service and a fault that it can be started with.
type Subject struct {
	Service string
	plant.Fault
}

// Config is what an evaluation runs with.
type Config struct {
	Binary string // the narrows executable
	Dir    string // where sessions may be written
	// Iterations is the number of measured requests of each run; 0 for each
	// benchmark's own.
	Iterations int
	Progress   io.Writer
}

// Result is what came of one fault.
type Result struct {
	Subject
	// First is what was ranked first while the fault was there, empty if nothing was. Of a
	// fault that shows in CPU time the share is of the service's CPU time; else it is of
	// the benchmark's time, and FirstWhat says what is done there: "CPU", or a wait.
	First      string
	FirstShare float64
	FirstWhat  string
	// FirstHolder is the function that lets go what is waited for there, if any.
	FirstHolder string
	// Rank is the planted place's, from 1; 0 if it is not among the ranked.
	Rank int
	// Cause is what the ranking says why, of a place that waits.
	Cause string
	// Predicted is the most that the metric could gain by mending the place, as a
	// factor; 0 without a rank.
	Predicted float64
	// Gained is by what factor the metric was better with the fix, and the interval
	// that the two runs' own intervals leave; the bounds are 0 where one is unknown.
	Gained, GainedLow, GainedHigh float64
	Err                           error
}

// leakIterations are the fewest requests that a leak is looked for in.
const leakIterations = 2000

// ranked is how many places of a service are looked at.
const ranked = 20

// Run tries the subjects one after another. What goes wrong with one is in its
// result; the error is ctx's.
func Run(ctx context.Context, c Config, subjects []Subject) ([]Result, error) {
	var results []Result
	for i, s := range subjects {
		fmt.Fprintf(c.Progress, "%d of %d: %s %s (%s)\n", i+1, len(subjects), s.Service, s.Name, s.Benchmark)
		r, err := try(ctx, c, s)
		if ctx.Err() != nil {
			return results, context.Cause(ctx)
		}
		if err != nil {
			fmt.Fprintf(c.Progress, "  %v\n", err)
		}
		r.Err = err
		results = append(results, r)
	}
	return results, nil
}

// try runs one fault and its fix.
func try(ctx context.Context, c Config, s Subject) (Result, error) {
	result := Result{Subject: s}
	faulty, err := c.profile(ctx, s, plant.Choice{Fault: s.Name})
	if err != nil {
		return result, fmt.Errorf("with the fault: %w", err)
	}
	report, err := rank.FromSession(faulty, rank.Options{Top: ranked})
	if err != nil {
		return result, fmt.Errorf("ranking: %w", err)
	}
	result.find(report)
	if s.Signal == plant.Leak {
		return result, result.leaks(ctx, c, faulty)
	}
	before, err := document(faulty, s.Benchmark)
	if err != nil {
		return result, fmt.Errorf("with the fault: %w", err)
	}
	mended, err := c.profile(ctx, s, plant.Choice{Fault: s.Name, Fixed: true})
	if err != nil {
		return result, fmt.Errorf("with the fix: %w", err)
	}
	after, err := document(mended, s.Benchmark)
	if err != nil {
		return result, fmt.Errorf("with the fix: %w", err)
	}
	return result, result.compare(before, after)
}

// profile runs the subject's benchmark once and opens the session it left.
func (c Config) profile(ctx context.Context, s Subject, choice plant.Choice) (*session.Session, error) {
	dir := filepath.Join(c.Dir, fmt.Sprintf("%s-%s", s.Service, strings.ReplaceAll(choice.String(), "=", "-")))
	args := []string{"run", "--no-calibrate", "--benchmark", s.Benchmark, "--plant", s.Service + "=" + choice.String(), "-o", dir}
	if s.Signal == plant.Alloc || s.Signal == plant.Leak {
		args = append(args, "--alloc")
	}
	iterations := c.Iterations
	if s.Signal == plant.Leak { // what grows shows with time
		iterations = max(iterations, leakIterations)
	}
	if iterations > 0 {
		args = append(args, "--iterations", strconv.Itoa(iterations))
	}
	cmd := exec.CommandContext(ctx, c.Binary, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // so that it ends its services
	cmd.WaitDelay = 20 * time.Second
	if output, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, output)
	}
	return session.Open(dir)
}

// document returns the metrics of a benchmark that ran as asked.
func document(s *session.Session, benchmark string) (*metrics.Document, error) {
	documents, err := s.Metrics()
	if err != nil {
		return nil, err
	}
	for i, d := range documents {
		if d.Benchmark == benchmark && d.Status != metrics.Complete {
			return nil, fmt.Errorf("the run is %s: %s", d.Status, d.StatusReason)
		}
		if d.Benchmark == benchmark {
			return &documents[i], nil
		}
	}
	return nil, fmt.Errorf("no metrics of %s", benchmark)
}

// find looks for the planted place among the ranked ones: functions that use the CPU by
// their share of it, all others in the list of places by their share of the benchmark's
// time.
func (r *Result) find(report *rank.Report) {
	for _, m := range report.Ranked {
		for _, s := range m.Services {
			if m.Benchmark != r.Benchmark || s.Service != r.Service {
				continue
			}
			if r.Signal == plant.Lock || r.Signal == plant.OffCPU || r.Signal == plant.Alloc {
				r.findEntry(s.ByTime)
				continue
			}
			for i, b := range s.Bottlenecks {
				if i == 0 {
					r.First, r.FirstShare = b.Function, b.Share
				}
				if r.Rank == 0 && r.isPlace(b) {
					r.Rank = i + 1
					if b.Payoff.SpeedupAtMost != nil {
						r.Predicted = *b.Payoff.SpeedupAtMost
					}
				}
			}
		}
	}
}

// findEntry looks among places that wait or compute.
func (r *Result) findEntry(entries []rank.Entry) {
	for i, e := range entries {
		if i == 0 {
			r.First, r.FirstShare, r.FirstWhat = e.Function, e.TimeShare, e.What
			if len(e.Holders) > 0 {
				r.FirstHolder = e.Holders[0].What
			}
		}
		if r.Rank == 0 && r.isEntry(e) {
			r.Rank, r.Cause = i+1, e.Cause
			if e.Payoff != nil && e.Payoff.SpeedupAtMost != nil {
				r.Predicted = *e.Payoff.SpeedupAtMost
			}
		}
	}
}

// isEntry tells whether a place is the planted one: its function takes memory, waits, or is the
// foremost of those that let go what is waited for. One that computes is not what was asked for.
func (r *Result) isEntry(e rank.Entry) bool {
	if e.Signal == rank.CPU || (e.Signal == rank.Heap) != (r.Signal == plant.Alloc) {
		return false
	}
	return named(e.Function, r.Place) || len(e.Holders) > 0 && named(e.Holders[0].What, r.Place)
}

// isPlace tells whether a bottleneck is the planted one: its function, named in
// full or without the package's folders, below the function it goes through.
func (r *Result) isPlace(b rank.Bottleneck) bool {
	if !named(b.Function, r.Place) {
		return false
	}
	if r.Through == "" {
		return true
	}
	for _, stack := range b.Stacks[:min(1, len(b.Stacks))] {
		for _, function := range stack.Functions {
			if named(function, r.Through) {
				return true
			}
		}
	}
	return false
}

func named(function, place string) bool {
	return function == place || strings.HasSuffix(function, "/"+place)
}

// compare sets by how much the fix made the metric better.
func (r *Result) compare(before, after *metrics.Document) error {
	worse, better := before.Metrics[r.Metric], after.Metrics[r.Metric]
	if worse == nil || better == nil {
		return fmt.Errorf("%s was not measured: %s", r.Metric, errors.Join(
			errors.New(before.Unavailable[r.Metric]), errors.New(after.Unavailable[r.Metric])))
	}
	if *worse <= 0 || *better <= 0 {
		return fmt.Errorf("%s is %v with the fault and %v with the fix: no ratio", r.Metric, *worse, *better)
	}
	low, high := before.CI[r.Metric], after.CI[r.Metric]
	if !lowerIsBetter(r.Metric) {
		worse, better, low, high = better, worse, high, low
	}
	r.Gained = *worse / *better
	if low.Low > 0 && high.Low > 0 {
		r.GainedLow, r.GainedHigh = low.Low/high.High, low.High/high.Low
	}
	return nil
}

// lowerIsBetter tells a latency from a rate by the metric's name.
func lowerIsBetter(metric string) bool {
	return strings.HasSuffix(metric, "_ms") || strings.HasSuffix(metric, "_ms_per_mb")
}
