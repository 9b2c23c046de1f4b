package recording

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/collector"
)

// goLocksFor is how long the program under test runs.
const goLocksFor = 5 * time.Second

// signalSink keeps the profiles of some signals.
type signalSink struct {
	mu   sync.Mutex
	kept map[collector.Signal][]*profile.Profile
	live *collector.LiveSites
}

// Window keeps a window's profiles.
func (s *signalSink) Window(_ context.Context, w collector.Window) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for signal, p := range w.Profiles {
		s.kept[signal] = append(s.kept[signal], p)
	}
	s.live = w.Live
	return nil
}

func (s *signalSink) merged(t *testing.T, signal collector.Signal) *profile.Profile {
	t.Helper()
	p, err := profile.Merge(s.kept[signal])
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// goProgram is a running testdata/golocks.
type goProgram struct {
	cmd    *exec.Cmd
	folder string
	input  io.WriteCloser
	output *bufio.Scanner
}

func startGoProgram(t *testing.T, path string) *goProgram {
	t.Helper()
	p := &goProgram{folder: t.TempDir()}
	p.cmd = exec.Command(path, p.folder, goLocksFor.String())
	p.cmd.Stderr = os.Stderr
	var err error
	if p.input, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	output, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.output = bufio.NewScanner(output)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// says waits for a line.
func (p *goProgram) says(t *testing.T, want string) {
	t.Helper()
	if !p.output.Scan() || p.output.Text() != want {
		t.Fatalf("the program says %q, want %q", p.output.Text(), want)
	}
}

// read reads a profile that the program wrote.
func (p *goProgram) read(t *testing.T, name string) *profile.Profile {
	t.Helper()
	f, err := os.Open(filepath.Join(p.folder, name+".pb.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	parsed, err := profile.Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// buildGoLocks builds testdata/golocks, or skips the test if the toolchain cannot be had.
func buildGoLocks(t *testing.T, toolchain string, flags ...string) string {
	t.Helper()
	environment := append(os.Environ(), "GOTOOLCHAIN="+toolchain, "GOWORK=off", "GOFLAGS=", "CGO_ENABLED=0")
	version := exec.Command("go", "version")
	version.Env = environment
	if out, err := version.CombinedOutput(); err != nil {
		t.Skipf("the toolchain %s cannot be had: %v\n%s", toolchain, err, out)
	}
	path := filepath.Join(t.TempDir(), "golocks")
	build := exec.Command("go", append(append([]string{"build"}, flags...), "-o", path, ".")...)
	build.Dir, build.Env = filepath.Join("testdata", "golocks"), environment
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building with %s: %v\n%s", toolchain, err, out)
	}
	return path
}

// hiddenByGo are functions that Go's profiles leave out: where goroutines begin, and what
// sync.(*Mutex) is made of since Go 1.24. They leave out wrappers too.
var hiddenByGo = map[string]bool{
	"runtime.goexit": true, "runtime.goexit.abi0": true, "runtime.main": true,
	"main.holdShort.func1":        true, // defer's wrapper in Go 1.20
	"internal/sync.(*Mutex).Lock": true, "internal/sync.(*Mutex).Unlock": true,
}

// delays adds up the delay of each stack, named by its functions from the root on.
func delays(p *profile.Profile, keep func(*profile.Sample) bool) map[string]float64 {
	at := slices.IndexFunc(p.SampleType, func(v *profile.ValueType) bool { return v.Type == "delay" })
	sums := map[string]float64{}
	for _, s := range p.Sample {
		if !keep(s) {
			continue
		}
		var names []string
		for _, location := range slices.Backward(s.Location) {
			for _, line := range slices.Backward(location.Line) {
				name := line.Function.Name
				if !hiddenByGo[name] && !strings.Contains(name, ".deferwrap") {
					names = append(names, name)
				}
			}
		}
		sums[strings.Join(names, " ")] += float64(s.Value[at])
	}
	return sums
}

func largest(sums map[string]float64) []string {
	return slices.SortedFunc(maps.Keys(sums), func(a, b string) int { return cmp.Compare(sums[b], sums[a]) })
}

func total(sums map[string]float64) (sum float64) {
	for _, v := range sums {
		sum += v
	}
	return sum
}

func table(of, other map[string]float64) string {
	var text strings.Builder
	for _, stack := range largest(of) {
		fmt.Fprintf(&text, "%10.2f ms %10.2f ms  %s\n", of[stack]/1e6, other[stack]/1e6, stack)
	}
	return text.String()
}

// TestGoLocks compares with what Go programs of several versions, stripped and
// position-independent ones too, measure of themselves.
func TestGoLocks(t *testing.T) {
	requireRoot(t)
	type goTest struct {
		name, toolchain string
		flags           []string
		// headsOnly says that Go's mutex profile charges an unlock with the delay of the
		// one goroutine that it wakes, and not with that of those in the queue behind it.
		headsOnly bool
	}
	tests := []goTest{
		{"newest", "local", nil, false},
		{"stripped", "local", []string{"-ldflags=-s -w"}, false},
		{"position-independent, stripped", "local", []string{"-buildmode=pie", "-ldflags=-s -w"}, false},
		{"oldest, stripped", "go1.20.14", []string{"-ldflags=-s -w"}, true},
	}
	if os.Getenv("NARROWS_TEST_FULL") != "" {
		for _, version := range []string{"go1.21.13", "go1.22.12", "go1.23.12", "go1.24.11", "go1.25.5"} {
			tests = append(tests, goTest{version, version, []string{"-ldflags=-s -w"}, version == "go1.21.13"})
		}
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			testGoLocks(t, buildGoLocks(t, test.toolchain, test.flags...), test.headsOnly)
		})
	}
}

func testGoLocks(t *testing.T, path string, headsOnly bool) {
	sink := &signalSink{kept: map[collector.Signal][]*profile.Profile{}}
	rec, err := Start(t.Context(), collector.Config{Frequency: 49, Window: time.Minute, Waits: true, MaxSlowdown: 0.5}, sink)
	if err != nil {
		t.Fatal(err)
	}
	before := collector.Now()
	program := startGoProgram(t, path)
	rec.Collector().Select(program.cmd.Process.Pid, before)
	program.says(t, "ready")
	waitForProbes(t, rec)
	fmt.Fprintln(program.input, "go")
	program.says(t, "done")
	sites := breakpoints(t, program.cmd.Process.Pid)
	summary, err := rec.Stop()
	if err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + Describe(summary))
	for _, target := range rec.Collector().GoTargets() {
		t.Logf("%+v", target)
		if target.Detached != nil {
			t.Errorf("process %d was let go of: %v", target.PID, target.Detached)
		}
	}
	if left := breakpoints(t, program.cmd.Process.Pid); sites == 0 || left != 0 {
		t.Errorf("%d breakpoints while recording, %d afterwards; want some, then none", sites, left)
	}
	if err := program.input.Close(); err != nil {
		t.Error(err)
	}
	if err := program.cmd.Wait(); err != nil {
		t.Errorf("the program did not survive: %v", err)
	}
	compareBlocks(t, program, sink)
	compareMutexes(t, program, sink, headsOnly)
}

// compareBlocks: within 5 % for the three stacks that waited longest.
func compareBlocks(t *testing.T, program *goProgram, sink *signalSink) {
	all := func(*profile.Sample) bool { return true }
	truth := delays(program.read(t, "block"), all)
	got := delays(sink.merged(t, collector.LockWait), func(s *profile.Sample) bool { return s.HasLabel("state", "go") })
	t.Logf("block profile, Go's and ours:\n%s\nours, and Go's:\n%s", table(truth, got), table(got, truth))
	// A wait without an end is in no profile of Go's, but in ours.
	if stuck := got["main.stuck sync.(*Mutex).Lock"]; stuck < 250e6 || stuck > 5e9 {
		t.Errorf("a goroutine that locked itself out waited %.2f ms, want 300 or a little more", stuck/1e6)
	}
	for _, stack := range largest(truth)[:3] {
		if math.Abs(got[stack]-truth[stack]) > 0.05*truth[stack] {
			t.Errorf("%s: %.2f ms, want %.2f", stack, got[stack]/1e6, truth[stack]/1e6)
		}
	}
}

// compareMutexes: the same rank of the release sites, and shares within 10 points. Go
// estimates how long those waited that are neither the first nor the last in a queue.
func compareMutexes(t *testing.T, program *goProgram, sink *signalSink, headsOnly bool) {
	truth := delays(program.read(t, "mutex"), func(*profile.Sample) bool { return true })
	got := delays(sink.merged(t, collector.LockBlame), func(s *profile.Sample) bool {
		return s.HasLabel("lock_kind", "sync.Mutex") || s.HasLabel("lock_kind", "sync.RWMutex")
	})
	t.Logf("mutex profile, Go's and ours:\n%s\nours, and Go's:\n%s", table(truth, got), table(got, truth))
	rank, gotRank := largest(truth), largest(got)
	for i, stack := range rank {
		share, gotShare := truth[stack]/total(truth), got[stack]/total(got)
		if math.Abs(share-gotShare) > 0.10 && !headsOnly {
			t.Errorf("%s has a share of %.3f, want %.3f", stack, gotShare, share)
		}
		// Those that are nearly equal may change places.
		if i < 3 && i < len(gotRank) && gotRank[i] != stack && math.Abs(truth[gotRank[i]]-truth[stack]) > 0.03*total(truth) {
			t.Errorf("rank %d is %s, want %s", i+1, gotRank[i], stack)
		}
	}
}

// waitForProbes waits until a process is probed.
func waitForProbes(t *testing.T, rec *Recording) {
	t.Helper()
	for range 100 {
		for _, target := range rec.Collector().GoTargets() {
			if target.Detached != nil {
				t.Fatalf("process %d cannot be probed: %v", target.PID, target.Detached)
			}
			if target.Probed {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("no process was probed")
}

// breakpoints counts the probes that are in a process: where its code is not its file's.
func breakpoints(t *testing.T, pid int) int {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	file, err := os.Open(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	different := 0
	for line := range strings.Lines(string(maps)) {
		var start, end, offset int64
		var permissions string
		if n, _ := fmt.Sscanf(line, "%x-%x %s %x", &start, &end, &permissions, &offset); n < 4 || !strings.Contains(permissions, "x") || !strings.Contains(line, "golocks") {
			continue
		}
		code, original := make([]byte, end-start), make([]byte, end-start)
		if _, err := memory.ReadAt(code, start); err != nil {
			t.Fatal(err)
		}
		n, _ := file.ReadAt(original, offset)
		for i := range n {
			if code[i] != original[i] {
				different++
			}
		}
	}
	return different
}

// TestGoLocksWithinLimit allows next to nothing: the probes are taken away, and that is said.
func TestGoLocksWithinLimit(t *testing.T) {
	requireRoot(t)
	path := buildGoLocks(t, "local")
	sink := &signalSink{kept: map[collector.Signal][]*profile.Profile{}}
	rec, err := Start(t.Context(), collector.Config{Frequency: 49, Window: time.Minute, Waits: true, MaxSlowdown: 1e-6}, sink)
	if err != nil {
		t.Fatal(err)
	}
	program := startGoProgram(t, path)
	rec.Collector().Service("locks", program.cmd.Process.Pid)
	program.says(t, "ready")
	waitForProbes(t, rec)
	fmt.Fprintln(program.input, "go")
	program.says(t, "done")
	left := breakpoints(t, program.cmd.Process.Pid)
	summary, err := rec.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(program.input.Close(), program.cmd.Wait()); err != nil {
		t.Errorf("the program did not survive: %v", err)
	}
	target := rec.Collector().GoTargets()[0]
	if target.Detached == nil || target.Hits == 0 || left != 0 {
		t.Errorf("%+v, %d breakpoints left; want none, and a reason", target, left)
	}
	if !slices.ContainsFunc(summary.Warnings, func(w string) bool { return strings.Contains(w, "are allowed") }) {
		t.Errorf("the session does not say why waits are missing: %q", summary.Warnings)
	}
}
