package recording

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/collector"
)

// full tells whether the long tests are asked for.
func full() bool { return os.Getenv("NARROWS_TEST_FULL") != "" }

// compileOptimized builds a C or C++ program the way distributions do: without frame
// pointers, nor debug information.
func compileOptimized(t *testing.T, compiler, output, source string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(compiler)
	if err != nil {
		t.Skipf("needs %s: %v", compiler, err)
	}
	args = append([]string{"-O2", "-g0", "-fomit-frame-pointer", "-o", output, source}, args...)
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", compiler, err, out)
	}
	return output
}

// shapes are the programs whose stacks must reach the root, by what is special about
// them. What a host cannot build or run is left out.
func shapes(t *testing.T, dir string) map[string]*exec.Cmd {
	t.Helper()
	programs := map[string]*exec.Cmd{}
	build := func(names []string, tool string, args ...string) {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Logf("without %s: %v", strings.Join(names, ", "), err)
			return
		}
		output := filepath.Join(dir, names[0])
		if out, err := exec.Command(path, append(args, "-o", output)...).CombinedOutput(); err != nil {
			t.Logf("without %s: %v\n%s", strings.Join(names, ", "), err, out)
			return
		}
		for _, name := range names {
			programs[name] = exec.Command(output, name)
		}
	}
	interpret := func(name string, interpreters []string, script string) {
		for _, interpreter := range interpreters {
			if path, err := exec.LookPath(interpreter); err == nil {
				programs[name] = exec.Command(path, script)
				return
			}
		}
		t.Logf("without %s: none of %v is here", name, interpreters)
	}
	build([]string{"recursion", "signal", "syscall", "callback"}, "gcc", "-O2", "-g0", "-fomit-frame-pointer", "testdata/unwind/shapes.c")
	build([]string{"C++"}, "g++", "-O2", "-g0", "-fomit-frame-pointer", "testdata/unwind/templates.cc")
	build([]string{"Rust"}, "rustc", "-O", "testdata/unwind/containers.rs")
	interpret("CPython", []string{"/usr/bin/python3", "python3"}, "testdata/unwind/busy.py")
	interpret("Node", []string{"node"}, "testdata/unwind/busy.js")
	if len(programs) == 0 {
		t.Skip("none of the programs can be built here")
	}
	return programs
}

// An account of a process's stacks: how many there are, and why some do not reach the
// root.
type account struct {
	samples, lost int64
	truncated     map[string]int64
}

func accountOf(p *profile.Profile, match func(*profile.Sample) bool) account {
	a := account{truncated: map[string]int64{}}
	for _, s := range p.Sample {
		if !match(s) {
			continue
		}
		a.samples += s.Value[0]
		if reason := s.Label["unwind"]; len(reason) > 0 {
			a.lost += s.Value[0]
			a.truncated[reason[0]] += s.Value[0]
		}
	}
	return a
}

// judged is the share of stacks that do not reach the root, without those that a
// machine too busy for this test, whose reader could not keep up, made the kernel drop.
func (a account) judged(s session.Summary) float64 {
	var refused int64
	for _, l := range s.Losses {
		if l.Reason == "stack memory above its budget" || l.Reason == "stack memory dropped: too much waits" {
			refused += l.Count
		}
	}
	refused = min(refused, a.truncated["mappings not known"]+a.truncated["table not loaded"])
	return float64(a.lost-refused) / float64(a.samples)
}

func (a account) String() string {
	return fmt.Sprintf("%.2f %% of %d stacks reach the root %v", 100-100*float64(a.lost)/float64(a.samples), a.samples, a.truncated)
}

// Programs as distributions build them: at least 99.5 % of their samples reach the
// root, from the first sample on.
func TestStacksReachTheRoot(t *testing.T) {
	requireRoot(t)
	const need, frequency, share = 1000, 1999, 0.995
	programs := shapes(t, t.TempDir())
	targets := map[string]*target{}
	perf := map[string]float64{}
	p, summary := record(t, frequency, 2*time.Second, func(*Recording) {
		var pids []int
		for name, cmd := range programs {
			targets[name] = startTarget(t, cmd)
			pids = append(pids, cmd.Process.Pid)
		}
		waitForSamples(t, 1.1*need, frequency, pids...)
		if full() {
			perf = perfRooted(t, targets)
		}
	})
	for name, g := range targets {
		g.end(t)
		stacks := accountOf(p, ofProcess(g.Process.Pid))
		beside := ""
		if share, ok := perf[name]; ok {
			beside = fmt.Sprintf("; perf record --call-graph dwarf: %.2f %%", 100*share)
		}
		t.Logf("%-10s %v%s", name, stacks, beside)
		if stacks.samples < need {
			t.Errorf("%s: only %d samples, %d are needed to judge", name, stacks.samples, need)
		}
		if stacks.judged(summary) > 1-share {
			t.Errorf("%s: %v, want %.1f %%", name, stacks, 100*share)
		}
	}
	checkDepths(t, p, targets)
}

// checkDepths looks into the stacks: that they end at a root is not enough.
func checkDepths(t *testing.T, p *profile.Profile, targets map[string]*target) {
	t.Helper()
	for name, must := range map[string][]string{
		"recursion": {"leaf", "recursion", "main", "_start"}, "signal": {"leaf", "handler", "in_signal", "main", "_start"},
		"syscall": {"syscalls", "main", "_start"}, "callback": {"compare", "callbacks", "main", "_start"},
	} {
		g := targets[name]
		if g == nil {
			continue
		}
		var inside, all, deepest int64
		for _, s := range p.Sample {
			if !ofProcess(g.Process.Pid)(s) || findFunction(s, must[:1]) == "" {
				continue
			}
			all += s.Value[0]
			if !slices.ContainsFunc(must, func(function string) bool { return findFunction(s, []string{function}) == "" }) {
				inside += s.Value[0]
			}
			deepest = max(deepest, int64(len(s.Location)))
		}
		if all == 0 || float64(inside) < 0.99*float64(all) {
			t.Errorf("%s: of %d stacks of %s only %d have all of %v", name, all, must[0], inside, must[1:])
		}
		if name == "recursion" && deepest < 500 {
			t.Errorf("the deepest stack has %d frames of a recursion of 500", deepest)
		}
	}
}

// perfRooted is what perf makes of the same programs by DWARF: the share of its stacks
// that end in a function that has no caller. It looks at them one after the other,
// since it copies stacks of 8 KB or more for each sample.
func perfRooted(t *testing.T, targets map[string]*target) map[string]float64 {
	t.Helper()
	path, err := exec.LookPath("perf")
	if err != nil {
		t.Log("perf is not installed: not compared with it")
		return nil
	}
	shares := map[string]float64{}
	for name, g := range targets {
		data := filepath.Join(t.TempDir(), "perf.data")
		cmd := exec.Command(path, "record", "-q", "-B", "-N", "-e", "cpu-clock:u", "-F", "199", "--call-graph", "dwarf,32768",
			"-o", data, "-p", fmt.Sprint(g.Process.Pid), "--", "sleep", "1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Logf("perf record of %s: %v\n%s", name, err, out)
			continue
		}
		roots := []string{"_start", "clone3", "clone", "__clone3", "__clone", "thread_start"}
		var rooted float64
		stacks := perfStacks(t, data, g.Process.Pid)
		for _, stack := range stacks {
			if slices.Contains(roots, stack.symbols[len(stack.symbols)-1]) {
				rooted++
			}
		}
		if len(stacks) > 0 {
			shares[name] = rooted / float64(len(stacks))
		}
	}
	return shares
}

//go:noinline
func goLeaf(x uint64, units int) uint64 {
	for range units * 500 {
		x = x*6364136223846793005 + 1442695040888963407
	}
	return x
}

//go:noinline
func goLeafHalf() { splitSink += goLeaf(splitSink, 50) }

//go:noinline
func goLeafThird() { splitSink += goLeaf(splitSink, 30) }

//go:noinline
func goLeafFifth() { splitSink += goLeaf(splitSink, 20) }

// goLeaves is a Go program whose leaf is called from three functions, for 50, 30 and
// 20 of each 100 units of its work.
func goLeaves() {
	told := make(chan struct{})
	go func() {
		os.Stdin.Read(make([]byte, 1))
		close(told)
	}()
	for rounds := 0; ; rounds += 20 {
		for range 20 {
			goLeafHalf()
			goLeafThird()
			goLeafFifth()
		}
		select {
		case <-told:
			json.NewEncoder(os.Stdout).Encode(map[string]int{"goLeafHalf": 50 * rounds, "goLeafThird": 30 * rounds, "goLeafFifth": 20 * rounds})
			return
		default:
		}
	}
}

// A function that has no frame of its own, called from three others: their shares are
// those of the work that they count themselves.
func TestCallersOfLeavesAreTrue(t *testing.T) {
	requireRoot(t)
	dir := t.TempDir()
	c := startTarget(t, exec.Command(compileOptimized(t, "gcc", filepath.Join(dir, "leaf"), "testdata/unwind/leaf.c")))
	golang := exec.Command(unstripped(t, dir))
	golang.Env = append(os.Environ(), "NARROWS_TEST_TARGET=leaves")
	g := startTarget(t, golang)
	const frequency = 2999
	p, _ := record(t, frequency, 2*time.Second, func(*Recording) {
		waitForSamples(t, 1.2*minSamples, frequency, c.Process.Pid, g.Process.Pid)
	})
	for what, one := range map[string]struct {
		target *target
		names  []string
	}{"C": {c, []string{"half", "third", "fifth"}}, "Go": {g, []string{"goLeafHalf", "goLeafThird", "goLeafFifth"}}} {
		truth := one.target.end(t)
		got, n := share(p, one.names, ofProcess(one.target.Process.Pid))
		enough(t, what, n)
		compare(t, what, got, truth)
	}
}

// A shell that starts one short-lived process after the other, and compilers side by
// side: their stacks reach the root like those of others, though each of them is gone
// before anyone could have looked at it.
func TestStormOfShortProcesses(t *testing.T) {
	requireRoot(t)
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("needs a shell: ", err)
	}
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("needs gcc: ", err)
	}
	dir := t.TempDir()
	source := filepath.Join(dir, "small.c")
	if err := os.WriteFile(source, []byte("#include <stdio.h>\nint f(int x) { return x ? f(x - 1) + printf(\"%d\", x) : 0; }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	storm := exec.Command(shell, "-c", `while :; do /bin/true; done & while :; do gcc -O1 -c "$0" -o "$0.o" || exit; done & wait`, source)
	storm.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // to be ended with all that it starts
	if err := storm.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Kill(-storm.Process.Pid, syscall.SIGKILL); err != nil {
			t.Error("ending the storm: ", err)
		}
		storm.Wait()
	}()
	p, summary := record(t, 997, time.Second, func(*Recording) { time.Sleep(2500 * time.Millisecond) })
	stacks := accountOf(p, func(s *profile.Sample) bool {
		return slices.ContainsFunc([]string{"sh", "true", "gcc", "cc1", "as", "collect2"}, func(name string) bool { return s.HasLabel("process", name) })
	})
	t.Log(stacks)
	if stacks.samples < 500 {
		t.Errorf("only %d samples, 500 are needed to judge", stacks.samples)
	}
	if stacks.judged(summary) > 0.02 {
		t.Errorf("short-lived processes: %v", stacks)
	}
}

// With room for hardly a table in the kernel, stacks are unwound in user space: as
// completely, and the recording says so.
func TestTinyBudgetIsStillRight(t *testing.T) {
	requireRoot(t)
	programs := shapes(t, t.TempDir())
	targets := map[string]*target{}
	p, summary := recordWith(t, collector.Config{
		Frequency: 997, Window: time.Second, UnwindMemory: 64 << 10, Selection: collector.Selection{All: true},
	}, func(*Recording) {
		var pids []int
		for _, name := range []string{"callback", "CPython"} {
			if cmd := programs[name]; cmd != nil {
				targets[name] = startTarget(t, cmd)
				pids = append(pids, cmd.Process.Pid)
			}
		}
		waitForSamples(t, 500, 997, pids...)
	})
	var inUser int64
	for _, u := range summary.Unwinding {
		inUser += u.InUserSpace
	}
	if inUser == 0 {
		t.Error("no stack was unwound in user space, though nearly no table fits into the kernel")
	}
	for name, g := range targets {
		g.end(t)
		stacks := accountOf(p, ofProcess(g.Process.Pid))
		t.Log(name, stacks)
		if stacks.judged(summary) > 0.01 {
			t.Errorf("%s: %v", name, stacks)
		}
	}
}

// A process with 10,000 mappings of code, and one whose stack is garbage: the first is
// unwound, the second bounded and counted, and neither stops the recording.
func TestManyMappingsAndGarbage(t *testing.T) {
	requireRoot(t)
	path := compileOptimized(t, "gcc", filepath.Join(t.TempDir(), "shapes"), "testdata/unwind/shapes.c")
	targets := map[string]*target{}
	p, summary := record(t, 997, time.Second, func(*Recording) {
		var pids []int
		for _, name := range []string{"mappings", "garbage"} {
			targets[name] = startTarget(t, exec.Command(path, name))
			pids = append(pids, targets[name].Process.Pid)
		}
		waitForSamples(t, 800, 997, pids...)
	})
	for name, g := range targets {
		g.end(t)
		stacks := accountOf(p, ofProcess(g.Process.Pid))
		t.Log(name, stacks)
		switch {
		case stacks.samples < 500:
			t.Errorf("%s: only %d samples, 500 are needed to judge", name, stacks.samples)
		case name == "mappings" && stacks.judged(summary) > 0.02:
			t.Errorf("a process with 10,000 mappings: %v", stacks)
		case name == "garbage" && float64(stacks.lost) < 0.8*float64(stacks.samples):
			t.Errorf("garbage: %v", stacks)
		}
	}
}
