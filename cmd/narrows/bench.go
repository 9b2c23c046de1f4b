package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/narrows-profiler/narrows/analysis/rank"
	"github.com/narrows-profiler/narrows/analysis/report"
	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/collector"
	"github.com/narrows-profiler/narrows/internal/version"
	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/plan"
	"github.com/narrows-profiler/narrows/workloads/service"
)

// benchmarkFlags choose benchmarks and how they are run; run and bench share them.
type benchmarkFlags struct {
	Plan        string            `placeholder:"NAME" help:"Run this plan: a choice of benchmarks, and how much of each. bench --list shows the plans."`
	Suite       string            `placeholder:"NAME" help:"Only the benchmarks of this suite."`
	Component   string            `placeholder:"NAME" help:"Only the benchmarks of this service."`
	Benchmark   string            `placeholder:"NAME" help:"Only this benchmark."`
	Iterations  int               `placeholder:"N" help:"Measured requests of each benchmark, instead of its own number."`
	Duration    time.Duration     `placeholder:"TIME" help:"Run each benchmark this long, instead of a number of requests."`
	Concurrency int               `name:"concurrent_requests" aliases:"concurrent-requests" placeholder:"N" help:"Closed loop: this many requests at a time, each waiting for an answer. Default: an open loop."`
	Seed        uint64            `default:"${seed}" help:"Seed of prompts and arrival times."`
	Plant       map[string]string `mapsep:"none" placeholder:"SERVICE=FAULT" help:"Start a reference service with a known bottleneck, FAULT, or its fix, FAULT=fixed; docs/planted.md lists them."`
	Target      map[string]string `mapsep:"none" placeholder:"SERVICE=URL" help:"Drive this real service instead of the reference one: a URL, stdio:COMMAND or dir:PATH."`
	Output      string            `short:"o" placeholder:"DIR" help:"Session folder to create. Default: narrows-<time>."`
}

// Validate refuses what makes no sense before anything is touched.
func (f *benchmarkFlags) Validate() error {
	switch {
	case f.Iterations < 0:
		return fmt.Errorf("%d iterations: it takes at least one", f.Iterations)
	case f.Duration < 0:
		return fmt.Errorf("a duration of %v is over before it begins", f.Duration)
	case f.Concurrency < 0:
		return fmt.Errorf("%d requests at a time: it takes at least one", f.Concurrency)
	}
	return nil
}

func (f *benchmarkFlags) runner(ctx context.Context) (*plan.Runner, error) {
	benchmarks, err := f.benchmarks()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("looking for this program, which is the reference services and the load generator too: %w", err)
	}
	targets, err := f.targets()
	if err != nil {
		return nil, err
	}
	r := &plan.Runner{
		Benchmarks: benchmarks,
		Commands:   map[string]service.Command{},
		Targets:    targets,
		Null:       nullServer(self),
		Load:       generatorOf(self),
		Options: load.Options{
			Iterations: f.Iterations, Duration: f.Duration, Concurrency: f.Concurrency, Seed: f.Seed,
		},
		Version: version.String(),
	}
	for _, b := range benchmarks {
		for _, name := range b.Services {
			r.Commands[name] = service.Command{Service: name, Arguments: []string{self, "serve", name, "--listen", "127.0.0.1:0"}}
		}
	}
	if err := f.plant(r); err != nil {
		return nil, err
	}
	for name := range f.Target {
		if _, known := r.Commands[name]; !known {
			return nil, advisedError{
				fmt.Errorf("no benchmark that was chosen drives a service named %q", name),
				"name one of " + strings.Join(sortedKeys(r.Commands), ", "),
			}
		}
	}
	return r, r.Check(ctx)
}

// benchmarks are those that were chosen, all if nothing was.
func (f *benchmarkFlags) benchmarks() ([]plan.Benchmark, error) {
	const advice = "narrows bench --list shows them all"
	chosen, err := plan.Select(f.Suite, f.Component, f.Benchmark)
	if err != nil {
		return nil, advisedError{err, advice}
	}
	if f.Plan == "" {
		return chosen, nil
	}
	p, err := plan.LookupPlan(f.Plan)
	if err != nil {
		return nil, advisedError{err, advice}
	}
	return p.Of(chosen)
}

// targets reads the services that a user named.
func (f *benchmarkFlags) targets() (map[string]service.Target, error) {
	targets := map[string]service.Target{}
	for name, text := range f.Target {
		target, err := plan.ParseTarget(name, text)
		if err != nil {
			return nil, err
		}
		targets[name] = target
	}
	return targets, nil
}

// plant adds the bottlenecks that a user asked for to the commands of the services.
func (f *benchmarkFlags) plant(r *plan.Runner) error {
	for name, text := range f.Plant {
		choice, err := plan.ParsePlant(name, text)
		if err != nil {
			return err
		}
		command, driven := r.Commands[name]
		if _, external := r.Targets[name]; external || !driven {
			return advisedError{
				fmt.Errorf("%s cannot be started with %s: its reference service does not run", name, choice),
				"choose a benchmark that drives it, and give no --target for it",
			}
		}
		command.Planted = choice.String()
		command.Arguments = append(command.Arguments, "--plant", command.Planted)
		r.Commands[name] = command
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

type benchCommand struct {
	List     bool   `help:"List the benchmarks and run nothing."`
	JSON     bool   `name:"json" help:"Print JSON."`
	Profiler string `enum:"none,cpu" default:"none" help:"none, or cpu to profile meanwhile as narrows run does."`
	benchmarkFlags
}

func (benchCommand) Help() string {
	return `Examples:
  narrows bench --list
  narrows bench --component ryot
  narrows bench --benchmark FirstTokenLatency --target ryot=http://127.0.0.1:8000
  narrows bench --benchmark TokenGeneration --concurrent_requests 4 --duration 1m`
}

func (c *benchCommand) Run(ctx context.Context, s streams) error {
	if c.List {
		return c.list(s)
	}
	if c.Profiler == "cpu" {
		return (&runCommand{Calibrate: true, JSON: c.JSON, Frequency: defaultFrequency, Window: defaultWindow, benchmarkFlags: c.benchmarkFlags}).Run(ctx, s)
	}
	runner, err := c.runner(ctx)
	if err != nil {
		return err
	}
	writer, err := newSession(c.Output, collector.Config{})
	if err != nil {
		return err
	}
	watch := newObserver(s.err, nil, c.Duration)
	runner.Observer, runner.Sink = watch, sessionSink{writer}
	runErr := runner.Run(ctx)
	watch.close()
	summary := session.Summary{End: time.Now(), EndMonotonicNS: int64(collector.Now())}
	watch.describe(&summary, runner)
	finishErr := writer.Finish(context.WithoutCancel(ctx), outcome(runErr), summary)
	return errors.Join(runErr, finishErr, c.conclude(s, writer.Path()))
}

// conclude judges what there is and prints it.
func (c *benchCommand) conclude(s streams, dir string) error {
	sess, err := session.Open(dir)
	if err != nil {
		return err
	}
	data, err := report.Judge(sess, rank.Options{})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, data.Metrics)
	}
	if err := report.Terminal(s.out, data, colourful(s.out)); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "\nwritten to  %s\n", dir)
	if sess.Status == session.Complete {
		fmt.Fprintf(s.out, "next        sudo narrows run   (the same, profiled and ranked)\n")
	}
	return nil
}

func (c *benchCommand) list(s streams) error {
	benchmarks, err := c.benchmarks()
	if err != nil {
		return err
	}
	type row struct {
		Name       string `json:"name"`
		Suite      string `json:"suite"`
		Component  string `json:"component"`
		Iterations int    `json:"iterations"`
		Target     string `json:"target"`
	}
	var rows []row
	for _, b := range benchmarks {
		rows = append(rows, row{b.Name, b.Suite, b.Component, b.Iterations, b.Target})
	}
	if c.JSON {
		return printJSON(s.out, rows)
	}
	table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "BENCHMARK\tSUITE\tCOMPONENT\tITERATIONS\tTARGET")
	for _, r := range rows {
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\n", r.Name, r.Suite, r.Component, r.Iterations, r.Target)
	}
	fmt.Fprintln(table, "\nPLAN")
	for _, p := range plan.Plans() {
		fmt.Fprintf(table, "%s\t%s\n", p.Name, p.Purpose)
	}
	return table.Flush()
}

func printJSON(w interface{ Write([]byte) (int, error) }, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}
