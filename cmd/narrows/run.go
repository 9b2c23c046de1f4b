package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/analysis/rank"
	"github.com/narrows-profiler/narrows/analysis/report"
	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/cmd/narrows/internal/recording"
	"github.com/narrows-profiler/narrows/collector"
	"github.com/narrows-profiler/narrows/symbolizer/flamegraph"
	"github.com/narrows-profiler/narrows/workloads/plan"
)

// What is recorded unless told otherwise. A benchmark is short, and a place needs 30
// samples to be named: three times record's frequency names what has 2 % of ten
// seconds, for half a per cent of a core more.
const (
	defaultFrequency = 299
	defaultWindow    = 10 * time.Second
)

type runCommand struct {
	Frequency int           `short:"F" default:"299" help:"CPU samples a second on each CPU."`
	Window    time.Duration `default:"10s" help:"Length of the windows a session is made of."`
	Waits     bool          `default:"true" negatable:"" help:"Record where threads wait and for which locks as well, which slows down programs that do little else."`
	Faults    bool          `default:"true" negatable:"" help:"Record which code makes memory resident as well."`
	Calibrate bool          `default:"true" negatable:"" help:"First record for some seconds what is known already, and keep how far off that was."`
	JSON      bool          `name:"json" help:"Print the ranking as JSON."`
	allocFlags
	benchmarkFlags
	cacheFlags
	probeFlags
}

func (runCommand) Help() string {
	return `Starts each service, drives it with its benchmarks, records the whole machine meanwhile, and ranks
where each benchmark's time goes: functions that use the CPU, and those that wait. Everything is kept in a session folder.

Examples:
  sudo narrows run
  sudo narrows run --plan quick
  sudo narrows run --benchmark TokenGeneration --iterations 300
  sudo narrows run --alloc                                also whose garbage is collected, and what leaks
  sudo narrows run --target ryot=http://127.0.0.1:8000    your own server instead of the reference one

Ctrl-C ends it early and keeps what was recorded.`
}

func (c *runCommand) Run(ctx context.Context, s streams) error {
	endBound := boundRecording()
	defer endBound()
	if err := requireKernel(); err != nil {
		return err
	}
	runner, err := c.runner(ctx)
	if err != nil {
		return err
	}
	config := collector.Config{Frequency: c.Frequency, Window: c.Window, Waits: c.Waits, Faults: c.Faults, MaxSlowdown: c.share(), AllocMean: c.mean(), Selection: collector.Selection{All: true}}
	writer, err := newSession(c.Output, config)
	if err != nil {
		return err
	}
	trust, err := c.calibration(ctx, s)
	if err = errors.Join(err, writer.Started(time.Now(), int64(collector.Now()))); err != nil {
		return errors.Join(err, discard(context.WithoutCancel(ctx), writer, err))
	}
	recorded, err := c.recordPlan(ctx, s, runner, config, writer, trust)
	if !recorded {
		return err
	}
	endBound()
	boundMemory()
	return errors.Join(err, c.conclude(s, writer.Path()))
}

// Validate refuses what makes no sense before anything is touched.
func (c *runCommand) Validate() error {
	return errors.Join(validRecording(c.Frequency, c.Window), c.benchmarkFlags.Validate(), c.probeFlags.validate(), c.allocFlags.valid(c.Waits, c.MaxSlowdown))
}

// calibration lets the profiler measure what is known, as far as that is wanted. Only
// an interruption ends the run; a host that cannot be calibrated on can still be
// measured, with a warning.
func (c *runCommand) calibration(ctx context.Context, s streams) (trust session.Summary, err error) {
	if !c.Calibrate {
		return trust, nil
	}
	progress := newProgress(s.err)
	defer progress.done()
	progress.start("calibrating", 0)
	checks, err := calibrate(ctx)
	switch {
	case ctx.Err() != nil:
		return trust, context.Cause(ctx)
	case err != nil:
		trust.Warnings = []string{"how far off the profiler is on this host is unknown: " + err.Error()}
	default:
		trust.Calibration, trust.Warnings = checks, calibrationWarnings(checks)
	}
	return trust, nil
}

// recordPlan runs the plan under the profiler and finishes the session; without a
// recording there is none.
func (c *runCommand) recordPlan(ctx context.Context, s streams, runner *plan.Runner, config collector.Config, writer *session.Writer, trust session.Summary) (recorded bool, err error) {
	alive := context.WithoutCancel(ctx)
	sink := recording.NewSessionSink(writer)
	rec, err := recording.Start(alive, config, sink, recording.WithIndexes(c.cacheFlags.open))
	if err != nil {
		return false, errors.Join(err, discard(alive, writer, err))
	}
	watch := newObserver(s.err, rec.Collector(), c.Duration)
	runner.Observer, runner.Sink = watch, sessionSink{writer}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-rec.Failed():
			cancel(errors.New("the recording failed"))
		case <-ctx.Done():
		}
	}()
	runErr := runner.Run(ctx)
	cancel(nil)
	<-ended
	watch.close()

	summary, err := rec.Stop()
	watch.describe(&summary, runner)
	summary.Calibration, summary.Warnings = trust.Calibration, append(trust.Warnings, summary.Warnings...)
	err = errors.Join(err, runErr)
	return true, errors.Join(err, sink.Finish(alive, outcome(err), summary))
}

// conclude ranks the session, writes the reports, and prints the summary and where
// everything is.
func (c *runCommand) conclude(s streams, dir string) error {
	sess, err := session.Open(dir)
	if err != nil {
		return err
	}
	flames, flameErr := drawServices(sess)
	data, err := report.Judge(sess, rank.Options{})
	if err != nil {
		return errors.Join(err, flameErr)
	}
	if c.JSON {
		return errors.Join(flameErr, printJSON(s.out, data.Ranking))
	}
	if err := report.Terminal(s.out, data, colourful(s.out)); err != nil {
		return err
	}
	if len(sess.Profiles) == 0 {
		fmt.Fprintf(s.out, "\nwritten to  %s\n", dir)
		return flameErr
	}
	fmt.Fprintf(s.out, "\nprofile     %s/%s\n", dir, session.CPU)
	for _, name := range flames {
		fmt.Fprintf(s.out, "flame graph %s/%s\n", dir, name)
	}
	fmt.Fprintf(s.out, "report      %s/%s\n", dir, report.FileName)
	if d, _, err := readWaits(dir); err == nil && len(d.States) > 0 {
		fmt.Fprintf(s.out, "waits       %s: narrows locks %s\n", report.WaitsInBrief(d), dir)
	}
	fmt.Fprintf(s.out, "next        go tool pprof -http=localhost:0 %s/%s\n", dir, session.CPU)
	return flameErr
}

// drawServices draws one flame graph for each service of the session.
func drawServices(sess *session.Session) (names []string, err error) {
	if !slices.ContainsFunc(sess.Profiles, func(p session.Profile) bool { return p.File == session.CPU }) {
		return nil, nil // nothing was recorded, and the session says why
	}
	seen := map[string]bool{}
	for _, service := range sess.Services {
		if seen[service.Name] {
			continue
		}
		seen[service.Name] = true
		name := "flame/" + service.Name + ".svg"
		switch drawErr := drawService(sess, service.Name, name); {
		case errors.Is(drawErr, flamegraph.ErrEmpty):
		case drawErr != nil:
			err = errors.Join(err, drawErr)
		default:
			names = append(names, name)
		}
	}
	return names, err
}

func drawService(sess *session.Session, service, name string) error {
	graph, err := flamegraph.OfAll(sess.Parts(session.CPU), flamegraph.Options{
		SampleType: "cpu", Title: service + ": CPU time",
		Subtitle: fmt.Sprintf("%s, %s, from %s", sess.Host.Hostname, sess.Host.Kernel, sess.Start.UTC().Format(time.RFC3339)),
		Focus:    func(s *profile.Sample) bool { return s.HasLabel("service", service) },
	})
	if err != nil {
		return fmt.Errorf("drawing the flame graph of %s: %w", service, err)
	}
	f, err := sess.Create(name)
	if err != nil {
		return err
	}
	if err := graph.WriteSVG(f); err != nil {
		f.Discard()
		return err
	}
	return f.Close()
}
