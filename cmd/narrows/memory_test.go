package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/cmd/narrows/internal/recording"
	"github.com/narrows-profiler/narrows/collector"
	mapped "github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/window"
	"github.com/narrows-profiler/narrows/symbolizer"
)

// deepName is this test binary as a recorder of deep stacks: what run and record do
// with samples, without taking any.
const deepName = "deep"

// maxRSS is what the whole of Narrows may take with deep stacks, in bytes.
const maxRSS = 100e6

// TestDeepStacksStayWithinTheBudget gathers distinct stacks of 500 frames and more,
// as many as take gigabytes if each is kept, names, writes, merges, ranks and draws
// them in a process of its own, and looks at its greatest size.
func TestDeepStacksStayWithinTheBudget(t *testing.T) {
	stacks := 6_000
	if os.Getenv("NARROWS_TEST_FULL") != "" {
		stacks = 100_000
	}
	for _, what := range []string{"session", "flame graph", "profile"} {
		t.Run(what, func(t *testing.T) {
			cmd := exec.Command(filepath.Join(programs, deepName), what, strconv.Itoa(stacks), filepath.Join(t.TempDir(), "out"))
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			rss := float64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) * 1024
			t.Logf("%.1f MB for %d stacks\n%s", rss/1e6, stacks, out)
			if rss > maxRSS {
				t.Errorf("the process took %.1f MB, want at most %.0f MB", rss/1e6, maxRSS/1e6)
			}
		})
	}
}

// gatherDeep is what that binary does; its arguments are what to make, the number of
// stacks, and where to write.
func gatherDeep(args []string) error {
	if len(args) != 3 {
		return errors.New("usage: deep WHAT STACKS OUTPUT")
	}
	stacks, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	boundMemory()
	switch args[0] {
	case "session":
		return deepSession(stacks, args[2])
	case "flame graph":
		return deepFile(stacks, args[2]+".svg")
	case "profile":
		return deepFile(stacks, args[2]+".pb.gz")
	}
	return fmt.Errorf("%q cannot be made", args[0])
}

func deepSession(stacks int, dir string) error {
	ctx := context.Background()
	host, err := session.LocalHost()
	if err != nil {
		return err
	}
	start := time.Unix(1_700_000_000, 0)
	writer, err := session.Create(dir, session.Info{Host: host, Start: start})
	if err != nil {
		return err
	}
	if err := recordDeep(ctx, stacks, start, recording.NewSessionSink(writer)); err != nil {
		return err
	}
	summary := session.Summary{End: start.Add(time.Hour), Services: []session.Service{{Name: "ryot", PID: 1}, {Name: "agents", PID: 2}}}
	if err := writer.Finish(ctx, session.Outcome{Status: session.Complete}, summary); err != nil {
		return err
	}
	if err := (&runCommand{}).conclude(streams{os.Stdout, os.Stderr}, dir); err != nil {
		return err
	}
	sess, err := session.Open(dir)
	if err != nil {
		return err
	}
	if got := sess.Profiles[0].Entries; got < stacks*99/100 {
		return fmt.Errorf("%d of %d stacks are distinct", got, stacks)
	}
	return nil
}

func deepFile(stacks int, name string) error {
	sink, err := recording.NewFileSink(name)
	if err != nil {
		return err
	}
	defer sink.Close()
	if err := recordDeep(context.Background(), stacks, time.Unix(1_700_000_000, 0), sink); err != nil {
		return err
	}
	return sink.Write("deep")
}

// recordDeep gives windows of deep stacks, named, to a sink.
func recordDeep(ctx context.Context, stacks int, start time.Time, sink recording.Sink) error {
	binaries := mapped.NewBinaries()
	defer binaries.Close()
	calls, err := newCallGraph(binaries)
	if err != nil {
		return err
	}
	names := symbolizer.New(symbolizer.Config{Binaries: found{binaries}})
	defer names.Close()
	cpu := &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}
	for index := 0; stacks > 0; index++ {
		builder := window.NewBuilder(window.Period{Type: cpu, Value: 1e7}, &profile.ValueType{Type: "samples", Unit: "count"}, cpu)
		for ; stacks > 0 && builder.Frames() < collector.MaxWindowFrames; stacks-- {
			service := []string{"ryot", "agents"}[stacks%2]
			builder.Add(window.Labels{Service: service, Process: "deep", Thread: "deep", Benchmark: "Deep", PID: 1, TID: uint32(1 + stacks%7)}, calls.stack(), 1, 1e7)
		}
		w := collector.Window{Index: index, Start: start, End: start.Add(10 * time.Second)}
		w.Profiles = map[collector.Signal]*profile.Profile{collector.CPU: builder.Profile(w.Start, w.End.Sub(w.Start))}
		if _, err := names.Symbolize(ctx, w.Profiles[collector.CPU]); err != nil {
			return err
		}
		if err := sink.Window(ctx, w); err != nil {
			return err
		}
		start = w.End
	}
	return nil
}

// found gives the symbolizer the mapped files.
type found struct{ binaries *mapped.Binaries }

func (f found) Binary(m *profile.Mapping) (io.ReaderAt, int64, error) {
	return f.binaries.Find(m.File, m.BuildID)
}

// callGraph is functions of this executable, each of which calls a few others, so
// that stacks share their beginnings and nothing else.
type callGraph struct {
	frames  []window.Frame
	callees [][]int
	random  *rand.Rand
}

func newCallGraph(binaries *mapped.Binaries) (*callGraph, error) {
	scanned, ok := mapped.ScanOne(uint32(os.Getpid()), binaries)
	if !ok {
		return nil, errors.New("this process's mappings cannot be read")
	}
	g := &callGraph{random: rand.New(rand.NewPCG(1, 2))}
	for _, m := range scanned.Mappings {
		if !strings.HasSuffix(m.Binary.Path, deepName) {
			continue
		}
		const functions = 5000
		for range functions {
			g.frames = append(g.frames, window.Frame{Binary: m.Binary, Address: m.Offset + g.random.Uint64N(m.End-m.Start)})
			callees := make([]int, 2+g.random.IntN(3))
			for i := range callees {
				callees[i] = g.random.IntN(functions)
			}
			g.callees = append(g.callees, callees)
		}
		return g, nil
	}
	return nil, errors.New("this process maps no executable of its own")
}

// stack is a random way through the calls, leaf first.
func (g *callGraph) stack() []window.Frame {
	stack := make([]window.Frame, 500+g.random.IntN(50))
	at := 0
	for i := len(stack) - 1; i >= 0; i-- {
		stack[i] = g.frames[at]
		at = g.callees[at][g.random.IntN(len(g.callees[at]))]
	}
	return stack
}

// A recording that keeps more than was meant gets room for garbage: a limit below what is kept
// would leave the collector running all the time.
func TestMemoryLimitFollowsWhatIsKept(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	end := boundRecording()
	defer end()
	kept := make([]byte, 2*recordingLimit)
	runtime.GC()
	until(t, "the limit follows", func() bool { return debug.SetMemoryLimit(-1) > int64(len(kept)) })
	runtime.KeepAlive(kept)
	kept = nil
	runtime.GC()
	until(t, "the limit returns", func() bool { return debug.SetMemoryLimit(-1) == recordingLimit })
}
