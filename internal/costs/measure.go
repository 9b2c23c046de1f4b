package costs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Config says how to measure.
type Config struct {
	Binary string    // the narrows executable
	Dir    string    // an empty folder for what is written meanwhile
	Out    io.Writer // where progress goes
	Only   string    // measures only what has this in its name
}

// How much is measured: everything together stays within a few minutes.
const (
	rounds            = 10 // pairs of each condition
	workTime          = time.Second
	depth             = 20 // of the stacks of what is slowed down
	programIntervals  = 8
	programInterval   = 500 * time.Millisecond
	starts            = 10
	recordings        = 3
	recordingDuration = 10 * time.Second
	repetitions       = 6 // of the Go benchmarks: the least with an interval
	usualFrequency    = 99
	highFrequency     = 999
)

// Measure measures everything that Narrows costs on this machine.
func Measure(ctx context.Context, config Config) (*Table, error) {
	b, err := newBench(ctx, config, "What Narrows costs")
	if err != nil {
		return nil, err
	}
	for _, step := range []struct {
		what string
		take func(context.Context) error
	}{
		{"the sampling program", b.program},
		{"the walk of user stacks", b.walks},
		{"futex calls", b.futexes},
		{"page faults", b.faults},
		{"probes on goroutines", b.goroutines},
		{"allocations", b.allocs},
		{"the kernel's own memory", b.kernelAllocs},
		{"samples of real programs", b.foreignPrograms},
		{"the steps of a sample through user space", b.benchmarks},
		{"naming a million addresses", b.lookups},
		{"watching the kernel's locks", b.kernelLocks},
		{"the start of a recording", b.start},
		{"recordings of a busy machine", b.recordings},
		{"the slowdown of a busy machine", b.slowdown},
		{"the slowdown of programs that wait", b.waits},
	} {
		if !strings.Contains(step.what, config.Only) {
			continue
		}
		b.progress("measuring %s", step.what)
		if err := step.take(ctx); err != nil {
			return nil, fmt.Errorf("measuring %s: %w", step.what, err)
		}
	}
	return b.table, nil
}

// bench is a measurement under way.
type bench struct {
	config Config
	table  *Table
	target target
	begun  time.Time
}

func newBench(ctx context.Context, config Config, title string) (*bench, error) {
	b := &bench{config: config, table: &Table{Title: title}, begun: time.Now()}
	var err error
	if b.table.Machine, err = ThisMachine(); err != nil {
		return nil, err
	}
	cpus, err := allowedCPUs()
	if err != nil {
		return nil, err
	}
	b.target, err = compileTarget(ctx, config.Dir, cpus)
	return b, err
}

func (b *bench) progress(format string, args ...any) {
	fmt.Fprintf(b.config.Out, "%4.0f s  %s\n", time.Since(b.begun).Seconds(), fmt.Sprintf(format, args...))
}

func (b *bench) program(ctx context.Context) error {
	for _, scenario := range []struct {
		depth int
		mode  string
	}{{8, "spin"}, {30, "spin"}, {100, "spin"}, {8, "stream"}, {30, "stream"}, {100, "stream"}, {0, "read"}} {
		for _, frequency := range []int{usualFrequency, highFrequency} {
			cost, err := measureProgram(ctx, b.target, scenario.depth, scenario.mode, frequency, programIntervals, programInterval)
			if err != nil {
				return err
			}
			beside := ""
			if scenario.mode == "stream" {
				beside = ", of a program that goes through 16 MB over and over"
			}
			b.table.add(fmt.Sprintf("eBPF program, one sample of %.0f user and %.0f kernel frames, at %d Hz%s", cost.user, cost.kernel, frequency, beside), "ns", cost.perRun)
		}
	}
	return nil
}

// benchmarked is which results of the packages' Go benchmarks are in the table.
var benchmarked = []struct{ benchmark, measured, name, unit string }{
	{"BenchmarkDecode/frames=50", "ns/op", "decoding a sample of 50 frames", "ns"},
	{"BenchmarkQueue/held=396", "ns/op", "putting an event in order", "ns"},
	{"BenchmarkBuilder/frames=50", "ns/sample", "gathering a sample of 50 frames into a profile", "ns"},
	{"BenchmarkReplay/frames=10", "ns/sample", "collector in user space, one sample of 10 frames", "ns"},
	{"BenchmarkReplay/frames=50", "ns/sample", "collector in user space, one sample of 50 frames", "ns"},
	{"BenchmarkReplay/frames=200", "ns/sample", "collector in user space, one sample of 200 frames", "ns"},
	{"BenchmarkReplay/frames=50", "B/sample", "memory allocated for it, 50 frames", "bytes"},
	{"BenchmarkCold/libc", "frames/s", "symbolizer, cold: libc", "frames/s"},
	{"BenchmarkCold/libLLVM", "frames/s", "symbolizer, cold: libLLVM", "frames/s"},
	{"BenchmarkCold/go", "frames/s", "symbolizer, cold: the go command", "frames/s"},
	{"BenchmarkWarm/libc", "frames/s", "symbolizer, warm: libc", "frames/s"},
	{"BenchmarkWarm/libLLVM", "frames/s", "symbolizer, warm: libLLVM", "frames/s"},
	{"BenchmarkWarm/go", "frames/s", "symbolizer, warm: the go command", "frames/s"},
}

func (b *bench) benchmarks(ctx context.Context) error {
	results, err := runBenchmarks(ctx, "^Benchmark(Decode|Queue|Builder|Replay|Cold|Warm)$", repetitions, b.config.Out,
		"./collector/...", "./symbolizer")
	if err != nil {
		return err
	}
	for _, row := range benchmarked {
		values := results[row.benchmark][row.measured]
		if len(values) == 0 {
			b.table.skip(row.name, fmt.Errorf("%s has no result here", row.benchmark))
			continue
		}
		b.table.add(row.name, row.unit, Median(values))
	}
	return nil
}

func (b *bench) narrows(frequency int) Narrows {
	return Narrows{Binary: b.config.Binary, Frequency: frequency, Dir: b.config.Dir}
}

func (b *bench) start(ctx context.Context) error {
	var took []float64
	for range starts {
		r, err := b.narrows(usualFrequency).recordFor(ctx, 200*time.Millisecond)
		if err != nil {
			return err
		}
		took = append(took, milliseconds(r.start.Sub(r.begun)))
	}
	b.table.add("start of narrows record, from exec to the first sample that counts", "ms", Median(took))
	parts, err := measureStart(b.target.cpus, usualFrequency, starts)
	if err != nil {
		return err
	}
	for _, part := range parts {
		b.table.add("part of it: "+part.name, "ms", Median(part.took))
	}
	return nil
}

// recordings measures what a recording says it took while all CPUs were busy.
func (b *bench) recordings(ctx context.Context) error {
	stop, _, err := b.target.keepBusy(ctx, depth, "spin")
	if err != nil {
		return err
	}
	var memory, cpu, program []float64
	for range recordings {
		r, err := b.narrows(usualFrequency).recordFor(ctx, recordingDuration)
		if err != nil {
			return errors.Join(err, stop())
		}
		memory = append(memory, float64(r.cost.PeakMemoryBytes)/1e6)
		cpu = append(cpu, r.cost.CPUUserSeconds+r.cost.CPUSystemSeconds)
		program = append(program, r.cost.EBPFRunSeconds*1e3)
	}
	what := fmt.Sprintf("%.0f s of the whole busy machine at %d Hz", recordingDuration.Seconds(), usualFrequency)
	b.table.add(what+": peak memory", "MB", Median(memory))
	b.table.add(what+": CPU time of narrows, start and names included", "s", Median(cpu))
	b.table.add(what+": eBPF run time beside that", "ms", Median(program))
	return stop()
}

// slowdown measures conditions on a machine whose CPUs all work.
func (b *bench) slowdown(ctx context.Context) error {
	return b.slowdowns(ctx, []Condition{
		Bare{}, Timer{Frequency: usualFrequency, CPUs: b.target.cpus}, b.narrows(usualFrequency),
		Timer{Frequency: highFrequency, CPUs: b.target.cpus}, b.narrows(highFrequency),
	})
}

func (b *bench) slowdowns(ctx context.Context, conditions []Condition) error {
	steps, err := b.target.calibrate(ctx, depth, workTime)
	if err != nil {
		return err
	}
	series, err := Series(ctx, conditions, rounds, func(ctx context.Context) (Work, error) { return b.target.work(ctx, depth, steps) })
	if err != nil {
		return err
	}
	for i, condition := range conditions {
		name := "slowdown of work on all CPUs by " + condition.Name()
		b.table.add(name, "% of wall time", Slowdown(series[i], func(w Work) float64 { return w.Wall }))
		b.table.add(name, "% of its CPU time", Slowdown(series[i], func(w Work) float64 { return w.CPU }))
	}
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
