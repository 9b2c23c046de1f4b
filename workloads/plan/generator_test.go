package plan

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/service"
)

// nullServer makes this test binary a benchmark's null server.
func nullServer(t *testing.T) func(Benchmark) service.Command {
	t.Helper()
	return func(b Benchmark) service.Command {
		return service.Command{Service: b.Services[0], Arguments: []string{"env", nullVariable + "=" + b.Name, self(t)}}
	}
}

// What the generator adds by itself stands beside what it measured.
func TestTheGeneratorMeasuresItself(t *testing.T) {
	kept := newMemory(t)
	runner := Runner{
		Benchmarks: Benchmarks()[:1], Commands: reference(t), Null: nullServer(t), Observer: kept, Sink: kept, Version: "test",
		Options: load.Options{Iterations: 60, Rate: 100},
	}
	if err := runner.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(kept.documents) != 1 || len(kept.services) != 1 {
		t.Fatalf("%d documents, services %v", len(kept.documents), kept.services)
	}
	d := kept.documents[0]
	own := d.Load.Generator
	if own == nil {
		t.Fatalf("it does not: %s", d.Load.GeneratorUnknown)
	}
	if own.Requests != ownRequests || own.RatePerSecond < 100 || own.RatePerSecond > 150 || own.Concurrency != 0 {
		t.Errorf("%d requests at %v a second, want %d, if there is time for them in two seconds", own.Requests, own.RatePerSecond, ownRequests)
	}
	for what, pair := range map[string][2]float64{
		"lateness": {own.SendLateP50Ms, own.SendLateP99Ms}, "exchange": {own.ExchangeP50Ms, own.ExchangeP99Ms}, "sum": {own.AddedP50Ms, own.AddedP99Ms},
	} {
		if pair[0] <= 0 || pair[1] < pair[0] {
			t.Errorf("%s: median %v ms, 99th percentile %v ms", what, pair[0], pair[1])
		}
	}
	if own.AddedP50Ms < own.ExchangeP50Ms || own.AddedP99Ms < own.ExchangeP99Ms || own.CPURatio <= 0 {
		t.Errorf("%+v", own)
	}
	if d.Load.OwnLateP50Ms <= 0 || d.Load.OwnLateP50Ms > d.Load.SendLateP50Ms || d.Load.OwnLateP99Ms > d.Load.SendLateP99Ms {
		t.Errorf("late %v and %v ms, of which its own are %v and %v", d.Load.SendLateP50Ms, d.Load.SendLateP99Ms, d.Load.OwnLateP50Ms, d.Load.OwnLateP99Ms)
	}
	for _, request := range kept.progress {
		if request != 60 {
			t.Errorf("progress ended at %d: requests to the null server were counted", request)
		}
	}
	validate(t, d)
}

// The cost is measured, not judged: another machine, or a busy one, takes another
// time. The whole of a core would be too much anywhere. One benchmark's answers are
// documents, the other's are streams of four tokens.
func TestWhatTheGeneratorTakes(t *testing.T) {
	makers := []struct {
		name string
		load Load
	}{{"a process of its own", apart(t)}}
	if os.Getenv("NARROWS_TEST_FULL") != "" {
		makers = append(makers, struct {
			name string
			load Load
		}{"this process", Here})
	}
	for _, name := range []string{"AgentTaskLatencyBenchmark", "FirstTokenLatencyBenchmark"} {
		benchmark, err := Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, maker := range makers {
			own, err := MeasureGenerator(t.Context(), maker.load, nullServer(t)(benchmark), benchmark, load.Options{Rate: 1000, Iterations: 2000})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s at 1,000 requests a second from %s: %.1f %% of a core, adds %.3f ms (median) and %.3f ms (99th percentile)",
				name, maker.name, 100*own.CPURatio, own.AddedP50Ms, own.AddedP99Ms)
			if own.CPURatio > 1 || own.RatePerSecond != 1000 || own.Requests != 2000 {
				t.Errorf("%+v", own)
			}
		}
	}
}

func TestTheGeneratorSaysWhyItIsNotMeasured(t *testing.T) {
	answered := func() *metrics.Document {
		return &metrics.Document{N: 100, Load: metrics.Load{Model: "open-loop", Arrivals: "poisson", RatePerSecond: 5}}
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	benchmark := Benchmarks()[0]
	bare, crowded := benchmark, benchmark
	bare.Null = nil
	crowded.Services = []string{"ryot", "agents"}
	for _, test := range []struct {
		ctx       context.Context
		runner    Runner
		benchmark Benchmark
		document  *metrics.Document
		want      string
	}{
		{t.Context(), Runner{}, benchmark, &metrics.Document{}, "no request"},
		{t.Context(), Runner{}, bare, answered(), "no null server"},
		{t.Context(), Runner{}, crowded, answered(), "more than one service"},
		{t.Context(), Runner{Targets: map[string]service.Target{"ryot": {Interface: service.Stdio}}}, benchmark, answered(), "stdio"},
		{stopped, Runner{}, benchmark, answered(), "stopped"},
		{t.Context(), Runner{Null: func(Benchmark) service.Command {
			return service.Command{Service: "ryot", Arguments: []string{"false"}}
		}}, benchmark, answered(), "ended before it was ready"},
	} {
		own, unknown := test.runner.measureGenerator(test.ctx, test.benchmark, test.document)
		if own != nil || !strings.Contains(unknown, test.want) {
			t.Errorf("%+v, %q, want %q", own, unknown, test.want)
		}
	}
}

func TestTheNullServersLoadIsTheRuns(t *testing.T) {
	for _, test := range []struct {
		load          metrics.Load
		rate, raiseTo float64
		iterations    int
	}{
		{metrics.Load{RatePerSecond: 5}, 5, 150, 300},
		{metrics.Load{RatePerSecond: 1000}, 1000, 1000, 2000},
		{metrics.Load{RatePerSecond: 1e6}, 1e6, 1e6, ownMost},
		{metrics.Load{Concurrency: 8}, 0, 0, ownClosed},
	} {
		got := ownOptions(&metrics.Document{Load: test.load}, 7)
		if got.Rate != test.rate || got.RaiseTo != test.raiseTo || got.Iterations != test.iterations || got.Concurrency != test.load.Concurrency || got.Seed != 7 {
			t.Errorf("%+v for %+v", got, test.load)
		}
	}
}
