package recording

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/pprof/profile"
	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/collector"
)

// points is how far a share may be from the truth. With 5,000 samples chance
// exceeds it practically never.
const (
	points         = 3.0
	minSamples     = 5000
	truthFrequency = 1499
)

// requireRoot skips where nothing can be recorded.
func requireRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("recording needs root")
	}
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err != nil {
		t.Skip("recording needs a kernel with BTF: ", err)
	}
}

// record profiles the machine while work runs.
func record(t *testing.T, frequency int, window time.Duration, work func(*Recording)) (*profile.Profile, session.Summary) {
	t.Helper()
	return recordWith(t, collector.Config{Frequency: frequency, Window: window, Selection: collector.Selection{All: true}}, work)
}

func recordWith(t *testing.T, config collector.Config, work func(*Recording)) (*profile.Profile, session.Summary) {
	t.Helper()
	requireRoot(t)
	sink := newSink(t)
	rec, err := Start(t.Context(), config, sink)
	if err != nil {
		t.Fatal(err)
	}
	work(rec)
	summary, err := rec.Stop()
	if err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + Describe(summary))
	return written(t, sink), summary
}

// newSink keeps windows until the test ends.
func newSink(t *testing.T) *FileSink {
	t.Helper()
	sink, err := NewFileSink(filepath.Join(t.TempDir(), "cpu.pb.gz"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sink.Close() })
	return sink
}

// written is what a sink makes of its windows.
func written(t *testing.T, sink *FileSink) *profile.Profile {
	t.Helper()
	if err := sink.Write(""); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(sink.name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	p, err := profile.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// compile builds a C program of testdata, or skips where there is no compiler.
func compile(t *testing.T, output string, args ...string) string {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("needs gcc: ", err)
	}
	args = append([]string{"-O1", "-g0", "-fno-omit-frame-pointer", "-o", output}, args...)
	if out, err := exec.Command(gcc, args...).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	return output
}

// target is a process that ends, and tells the truth, when its input is written to.
type target struct {
	*exec.Cmd
	input  io.WriteCloser
	output bytes.Buffer
}

func startTarget(t *testing.T, cmd *exec.Cmd) *target {
	t.Helper()
	g := &target{Cmd: cmd}
	var err error
	if g.input, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = &g.output, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	return g
}

// end stops the target and returns its own account of its time, in ns by function.
func (g *target) end(t *testing.T) map[string]float64 {
	t.Helper()
	if _, err := g.input.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	truth := map[string]float64{}
	if err := json.Unmarshal(g.output.Bytes(), &truth); err != nil {
		t.Fatalf("the target printed %q: %v", g.output.String(), err)
	}
	return truth
}

// TestMain makes this test binary a target as well: a Go program with a known split.
func TestMain(m *testing.M) {
	switch os.Getenv("NARROWS_TEST_TARGET") {
	case "split":
		goSplit()
		return
	case "rest":
		runtime.LockOSThread()
		goRest()
		return
	case "naps":
		goNaps()
		return
	case "leaves":
		goLeaves()
		return
	case "server":
		idleServer()
		return
	}
	os.Exit(m.Run())
}

var splitSink uint64

//go:noinline
func goStep(x uint64) { splitSink += x }

//go:noinline
func goHalf(until time.Duration) { goWork(until) }

//go:noinline
func goThird(until time.Duration) { goWork(until) }

//go:noinline
func goFifth(until time.Duration) { goWork(until) }

//go:noinline
func goWork(until time.Duration) {
	x := uint64(1)
	for threadTime() < until {
		for range 200_000 {
			x = x*6364136223846793005 + 1442695040888963407
		}
		goStep(x)
	}
}

func threadTime() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts)
	return time.Duration(ts.Nano())
}

func goSplit() {
	runtime.LockOSThread() // threadTime is one thread's
	told := make(chan struct{})
	go func() {
		os.Stdin.Read(make([]byte, 1))
		close(told)
	}()
	spent := map[string]time.Duration{}
	random := rand.New(rand.NewPCG(1, 2))
	for {
		stretch := 0.5 + random.Float64() // a fixed cycle could beat with the ticks
		for _, part := range []struct {
			name  string
			work  func(time.Duration)
			slice time.Duration
		}{{"goHalf", goHalf, 5 * time.Millisecond}, {"goThird", goThird, 3 * time.Millisecond}, {"goFifth", goFifth, 2 * time.Millisecond}} {
			start := threadTime()
			part.work(start + time.Duration(stretch*float64(part.slice)))
			spent[part.name] += threadTime() - start
		}
		select {
		case <-told:
			json.NewEncoder(os.Stdout).Encode(spent)
			return
		default:
		}
	}
}

// unstripped builds this test binary once more, with symbols for perf; go test
// itself leaves them out.
func unstripped(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "gosplit")
	cmd := exec.Command("go", "test", "-c", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("needs go to build its target: %v\n%s", err, out)
	}
	return path
}

// share computes in percent what part of the samples that match goes to each name,
// by the outermost frame that has one of the names.
func share(p *profile.Profile, names []string, match func(*profile.Sample) bool) (shares map[string]float64, samples int64) {
	counts := map[string]int64{}
	for _, s := range p.Sample {
		if !match(s) {
			continue
		}
		samples += s.Value[0]
		if name := findFunction(s, names); name != "" {
			counts[name] += s.Value[0]
		}
	}
	shares = map[string]float64{}
	for name, n := range counts {
		shares[name] = 100 * float64(n) / float64(samples)
	}
	return shares, samples
}

func findFunction(s *profile.Sample, names []string) string {
	for _, l := range s.Location {
		for _, line := range l.Line {
			for _, name := range names {
				if line.Function.Name == name || strings.HasSuffix(line.Function.Name, "."+name) {
					return name
				}
			}
		}
	}
	return ""
}

func ofProcess(pid int) func(*profile.Sample) bool {
	return func(s *profile.Sample) bool { return s.NumLabel["pid"] != nil && s.NumLabel["pid"][0] == int64(pid) }
}

func compare(t *testing.T, what string, got, want map[string]float64) {
	t.Helper()
	total := 0.0
	for v := range maps.Values(want) {
		total += v
	}
	for name, truth := range want {
		truth = 100 * truth / total
		t.Logf("%s: %s has %.1f %%, truth %.1f %%", what, name, got[name], truth)
		if d := got[name] - truth; d > points || d < -points {
			t.Errorf("%s: %s is %.1f points from the truth", what, name, d)
		}
	}
}

// Three programs at once whose split is known by their own clocks: C with frame
// pointers, Go, and one that spends its time in the kernel. perf, where it is
// installed, looks at the same seconds.
func TestSharesAreTrue(t *testing.T) {
	requireRoot(t)
	dir := t.TempDir()
	c := startTarget(t, exec.Command(compile(t, filepath.Join(dir, "split"), "testdata/split.c")))
	golang := exec.Command(unstripped(t, dir))
	golang.Env = append(os.Environ(), "NARROWS_TEST_TARGET=split")
	g := startTarget(t, golang)
	dd := startTarget(t, exec.Command("dd", "if=/dev/zero", "of=/dev/null", "bs=64k"))
	perfData := filepath.Join(dir, "perf.data")

	var perf *exec.Cmd
	before := times(t, dd.Process.Pid)
	var after [2]float64
	p, _ := record(t, truthFrequency, 2*time.Second, func(*Recording) {
		if path, err := exec.LookPath("perf"); err == nil {
			perf = exec.Command(path, "record", "-q", "-B", "-N", "-e", "cpu-clock", "-F", strconv.Itoa(truthFrequency), "-g", "-o", perfData,
				"-p", fmt.Sprintf("%d,%d,%d", c.Process.Pid, g.Process.Pid, dd.Process.Pid))
			// perf sees only these three, and collects no build IDs: this version
			// aborts on some files that run beside them.
			perf.Stderr = os.Stderr
			if err := perf.Start(); err != nil {
				t.Fatal(err)
			}
		}
		waitForWork(t, c.Process.Pid, g.Process.Pid, dd.Process.Pid)
		after = times(t, dd.Process.Pid)
		if perf != nil {
			if err := perf.Process.Signal(os.Interrupt); err != nil {
				t.Error("ending perf: ", err)
			}
		}
	})
	splitPID, goPID, ddPID := c.Process.Pid, g.Process.Pid, dd.Process.Pid
	truthC, truthGo := c.end(t), g.end(t)
	dd.Process.Kill()
	dd.Wait()

	namesC, namesGo := []string{"half", "third", "fifth"}, []string{"goHalf", "goThird", "goFifth"}
	got, n := share(p, namesC, ofProcess(splitPID))
	enough(t, "C", n)
	compare(t, "C", got, truthC)
	gotGo, n := share(p, namesGo, ofProcess(goPID))
	enough(t, "Go", n)
	compare(t, "Go", gotGo, truthGo)

	kernel := kernelShare(p, ofProcess(ddPID))
	truth := map[string]float64{"user": after[0] - before[0], "system": after[1] - before[1]}
	compare(t, "dd", map[string]float64{"user": 100 - kernel, "system": kernel}, truth)
	if sum, _ := share(p, []string{"ksys_read", "ksys_write"}, ofProcess(ddPID)); sum["ksys_read"] == 0 || sum["ksys_write"] == 0 {
		t.Errorf("dd neither reads nor writes by its kernel stacks: %v", sum)
	}

	if perf == nil {
		t.Log("perf is not installed: not compared with it")
		return
	}
	if err := perf.Wait(); perf.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGINT && err != nil {
		t.Fatal("perf record: ", err)
	}
	compareWithPerf(t, perfStacks(t, perfData, splitPID), namesC, got)
	compareWithPerf(t, perfStacks(t, perfData, goPID), namesGo, gotGo)
	var inKernel float64
	stacks := perfStacks(t, perfData, ddPID)
	for _, stack := range stacks {
		if stack.inKernel {
			inKernel++
		}
	}
	perfKernel := 100 * inKernel / float64(len(stacks))
	t.Logf("dd: %.1f %% in the kernel, perf %.1f %% of its %d samples", kernel, perfKernel, len(stacks))
	if d := kernel - perfKernel; d > points || d < -points {
		t.Errorf("dd's share in the kernel is %.1f points from what perf saw", d)
	}
}

// waitForWork waits until each process has used as much CPU time as enough samples
// need, however much of the machine others take.
func waitForWork(t *testing.T, pids ...int) {
	t.Helper()
	waitForSamples(t, 1.3*minSamples, truthFrequency, pids...)
}

// waitForSamples waits until each process has used as much CPU time as so many samples
// need, however much of the machine others take.
func waitForSamples(t *testing.T, samples float64, frequency int, pids ...int) {
	t.Helper()
	need := samples / float64(frequency) * 100 // clock ticks
	start := map[int]float64{}
	for _, pid := range pids {
		now := times(t, pid)
		start[pid] = now[0] + now[1]
	}
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if !slices.ContainsFunc(pids, func(pid int) bool {
			now := times(t, pid)
			return now[0]+now[1]-start[pid] < need
		}) {
			return
		}
	}
}

func enough(t *testing.T, what string, samples int64) {
	t.Helper()
	if samples < minSamples {
		t.Errorf("%s: only %d samples, %d are needed to judge", what, samples, minSamples)
	}
}

// kernelShare is the percentage of samples whose innermost frame is the kernel's.
func kernelShare(p *profile.Profile, match func(*profile.Sample) bool) float64 {
	var kernel, all int64
	for _, s := range p.Sample {
		if !match(s) {
			continue
		}
		all += s.Value[0]
		if m := s.Location[0].Mapping; m != nil && m.File == "[kernel.kallsyms]" {
			kernel += s.Value[0]
		}
	}
	return 100 * float64(kernel) / float64(all)
}

// times are a process's user and system time so far, in clock ticks (proc(5)).
func times(t *testing.T, pid int) [2]float64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+2:]))
	var got [2]float64
	for i, field := range fields[11:13] {
		if got[i], err = strconv.ParseFloat(field, 64); err != nil {
			t.Fatal(err)
		}
	}
	return got
}

// perfStack is one sample of perf's: its symbols, the leaf first.
type perfStack struct {
	symbols  []string
	inKernel bool
}

func perfStacks(t *testing.T, data string, pid int) []perfStack {
	t.Helper()
	out, err := exec.Command("perf", "script", "-i", data, "--pid", strconv.Itoa(pid), "-F", "pid,ip,sym").Output()
	if err != nil {
		t.Fatal("perf script: ", err)
	}
	var stacks []perfStack
	for block := range strings.SplitSeq(string(out), "\n\n") {
		lines := strings.Split(strings.TrimSpace(block), "\n")
		var stack perfStack
		for i, line := range lines[1:] {
			address, symbol, _ := strings.Cut(strings.TrimSpace(line), " ")
			stack.symbols = append(stack.symbols, symbol)
			stack.inKernel = stack.inKernel || i == 0 && len(address) == 16 && address >= "8"
		}
		if len(stack.symbols) > 0 {
			stacks = append(stacks, stack)
		}
	}
	return stacks
}

// compareWithPerf computes the same shares from perf's call chains.
func compareWithPerf(t *testing.T, stacks []perfStack, names []string, got map[string]float64) {
	t.Helper()
	counts := map[string]float64{}
	for _, stack := range stacks {
		for _, name := range names {
			if slices.ContainsFunc(stack.symbols, func(symbol string) bool {
				return symbol == name || strings.HasSuffix(symbol, "."+name)
			}) {
				counts[name]++
				break
			}
		}
	}
	for _, name := range names {
		perf := 100 * counts[name] / float64(len(stacks))
		t.Logf("%s: %.1f %%, perf %.1f %% of its %d samples", name, got[name], perf, len(stacks))
		if d := got[name] - perf; d > points || d < -points {
			t.Errorf("%s is %.1f points from what perf saw", name, d)
		}
	}
}
