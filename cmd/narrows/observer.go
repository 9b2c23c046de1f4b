package main

import (
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/collector"
	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/plan"
	"github.com/narrows-profiler/narrows/workloads/service"
)

// observer passes on what the plan is doing: to the collector, which labels samples
// with it, to the terminal, and to the session.
type observer struct {
	collector *collector.Collector // nil when nothing is recorded
	progress  *progress
	duration  time.Duration // of each benchmark, 0 when a number of requests bounds it

	mu         sync.Mutex
	services   []session.Service
	benchmarks []session.Benchmark
}

func newObserver(out io.Writer, c *collector.Collector, duration time.Duration) *observer {
	return &observer{collector: c, progress: newProgress(out), duration: duration}
}

// Mark labels what was sampled from an instant on. A warm-up is not part of the
// benchmark: its samples carry the phase alone.
func (o *observer) Mark(benchmark, phase string, at metrics.Instant) {
	if phase == load.Warmup {
		benchmark = ""
	}
	if o.collector != nil {
		o.collector.MarkAt(uint64(at.MonotonicNs), benchmark, phase)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	last := len(o.benchmarks) - 1
	if last >= 0 && o.benchmarks[last].Benchmark == benchmark {
		o.benchmarks[last].End = at.Time
		return
	}
	if last >= 0 && o.benchmarks[last].End.Before(at.Time) && benchmark == "" {
		o.benchmarks[last].End = at.Time
	}
	if benchmark != "" {
		o.benchmarks = append(o.benchmarks, session.Benchmark{Benchmark: benchmark, Start: at.Time, End: at.Time})
	}
}

// Service labels the samples of a service's processes.
func (o *observer) Service(name string, pid int) {
	if o.collector != nil {
		o.collector.Service(name, pid)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.services = append(o.services, session.Service{Name: name, PID: pid})
}

// Progress shows how far a benchmark is.
func (o *observer) Progress(benchmark string, done, total int) {
	if o.duration > 0 {
		o.progress.timed(benchmark, o.duration)
		return
	}
	o.progress.set(benchmark, done, total)
}

func (o *observer) close() { o.progress.done() }

// describe adds to a session what ran when.
func (o *observer) describe(summary *session.Summary, runner *plan.Runner) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.services {
		s.TargetKind = service.Reference
		if target, external := runner.Targets[s.Name]; external {
			s.TargetKind, s.URL = service.External, target.String()
		}
		summary.Services = append(summary.Services, s)
	}
	summary.Benchmarks = append(summary.Benchmarks, o.benchmarks...)
}

// sessionSink keeps a plan's documents in a session folder.
type sessionSink struct{ writer *session.Writer }

// Metrics writes metrics/<Benchmark>.json.
func (s sessionSink) Metrics(d *metrics.Document) error {
	content, err := d.Encode()
	if err != nil {
		return err
	}
	f, err := s.writer.Create("metrics/" + d.Benchmark + ".json")
	if err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		f.Discard()
		return err
	}
	return f.Close()
}

// Requests opens requests/<Benchmark>.ndjson.
func (s sessionSink) Requests(benchmark string) (io.WriteCloser, error) {
	return s.writer.Create("requests/" + benchmark + ".ndjson")
}

// colourful tells whether colours make sense on an output (https://no-color.org).
func colourful(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(f.Fd()))
}
