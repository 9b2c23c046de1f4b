package recording

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/analysis/memory"
	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/collector"
)

// allocated is what was allocated by a function, and what of it was not freed.
type allocated struct{ bytes, objects, liveBytes, liveObjects int64 }

// allocProgram is a running testdata/allocs.
type allocProgram struct {
	cmd    *exec.Cmd
	input  io.WriteCloser
	output *bufio.Scanner
}

// buildAllocs builds testdata/allocs, or skips the test where there is no such compiler.
func buildAllocs(t *testing.T, compiler string, flags ...string) string {
	t.Helper()
	return buildOfAllocs(t, "main.c", compiler, flags...)
}

func buildOfAllocs(t *testing.T, source, compiler string, flags ...string) string {
	t.Helper()
	found, err := exec.LookPath(compiler)
	if err != nil {
		t.Skip("needs " + compiler)
	}
	path := filepath.Join(t.TempDir(), "allocs")
	build := exec.Command(found, append(flags, "-O1", "-g", "-w", "-pthread", "-o", path, filepath.Join("testdata", "allocs", source))...)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

func startAllocs(t *testing.T, path, preload string, seed, blocks, leak int) *allocProgram {
	t.Helper()
	return startOfAllocs(t, path, preload, fmt.Sprint(seed), fmt.Sprint(blocks), fmt.Sprint(leak))
}

func startOfAllocs(t *testing.T, path, preload string, arguments ...string) *allocProgram {
	t.Helper()
	p := &allocProgram{cmd: exec.Command(path, arguments...)}
	p.cmd.Env, p.cmd.Stderr = append(os.Environ(), "LD_PRELOAD="+preload), os.Stderr
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
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			p.cmd.Process.Kill() // it may have ended
			p.cmd.Wait()
		}
	})
	if !p.output.Scan() || p.output.Text() != "ready" {
		t.Fatalf("the program says %q", p.output.Text())
	}
	return p
}

// work lets the program work, and returns what it says that it did.
func (p *allocProgram) work(t *testing.T) map[string]allocated {
	t.Helper()
	p.begin()
	return p.did(t)
}

func (p *allocProgram) begin() { fmt.Fprintln(p.input, "go") }

// did waits until the program has worked.
func (p *allocProgram) did(t *testing.T) map[string]allocated {
	t.Helper()
	truth := map[string]allocated{}
	for p.output.Scan() && p.output.Text() != "done" {
		var name string
		var a allocated
		if _, err := fmt.Sscan(p.output.Text(), &name, &a.bytes, &a.objects, &a.liveBytes, &a.liveObjects); err != nil {
			t.Fatalf("%q: %v", p.output.Text(), err)
		}
		truth[name] = a
	}
	if len(truth) == 0 {
		t.Fatal("the program did nothing")
	}
	return truth
}

// end lets the program end; nothing in it may have gone wrong.
func (p *allocProgram) end(t *testing.T) {
	t.Helper()
	if err := errors.Join(p.input.Close(), p.cmd.Wait()); err != nil {
		t.Errorf("the program did not survive: %v", err)
	}
}

func startRecordingAllocs(t *testing.T, mean uint64, slowdown float64, programs ...*allocProgram) (*Recording, *signalSink) {
	t.Helper()
	config := collector.Config{Frequency: 49, Window: time.Minute, Waits: true, AllocMean: mean, MaxSlowdown: slowdown}
	for _, p := range programs {
		config.Selection.PIDs = append(config.Selection.PIDs, p.cmd.Process.Pid)
	}
	sink := &signalSink{kept: map[collector.Signal][]*profile.Profile{}}
	rec, err := Start(t.Context(), config, sink)
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		probed := 0
		for _, target := range rec.Collector().AllocTargets() {
			if target.Detached != nil {
				t.Errorf("process %d cannot be probed: %v", target.PID, target.Detached)
			}
			if target.Probed {
				probed++
			}
		}
		if probed == len(programs) {
			return rec, sink
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatal("the programs were not probed")
	return nil, nil
}

// way is the function of testdata/allocs in a stack; "" if there is none.
func way(s *profile.Sample) string {
	for _, l := range s.Location {
		for _, line := range l.Line {
			if name := plainName(line.Function.Name); strings.HasPrefix(name, "by_") {
				return name
			}
		}
	}
	return ""
}

// plainName is a function's name in C: without parameters, and the module that Rust has it in.
func plainName(function string) string {
	name, _, _ := strings.Cut(function, "(")
	return name[strings.LastIndexByte(name, ':')+1:]
}

// byWay adds up a profile by the functions of testdata/allocs.
func byWay(p *profile.Profile) map[string]allocated {
	sums := map[string]allocated{}
	for _, s := range p.Sample {
		a := sums[way(s)]
		a.objects += s.Value[0]
		a.bytes += s.Value[1]
		a.liveObjects += s.Value[2]
		a.liveBytes += s.Value[3]
		sums[way(s)] = a
	}
	return sums
}

const (
	jemalloc = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"
	tcmalloc = "/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4"
	mimalloc = "/usr/lib/x86_64-linux-gnu/libmimalloc.so"
)

// TestAllocs takes every allocation of programs with several allocators.
func TestAllocs(t *testing.T) {
	requireRoot(t)
	cpp := []string{"-x", "c++", "-std=c++17"}
	for _, test := range []struct {
		name, compiler, preload string
		flags                   []string
	}{
		{"glibc", "gcc", "", nil},
		{"C++", "g++", "", cpp},
		{"static glibc", "g++", "", append([]string{"-static"}, cpp...)},
		{"musl", "musl-gcc", "", []string{"-fno-omit-frame-pointer"}},
		{"static musl", "musl-gcc", "", []string{"-static"}},
		{"jemalloc", "g++", jemalloc, cpp},
		{"tcmalloc", "g++", tcmalloc, cpp},
		{"mimalloc", "g++", mimalloc, cpp},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := os.Stat(test.preload); test.preload != "" && err != nil {
				t.Skip(err)
			}
			checkAllocs(t, startAllocs(t, buildAllocs(t, test.compiler, test.flags...), test.preload, 1, 20000, 10))
		})
	}
}

// TestAllocsOfRust does the same with Rust's own types.
func TestAllocsOfRust(t *testing.T) {
	requireRoot(t)
	compiler, err := exec.LookPath("rustc")
	if err != nil {
		t.Skipf("needs rustc: %v", err)
	}
	path := filepath.Join(t.TempDir(), "main")
	if out, err := exec.Command(compiler, "-O", "-g", "-o", path, "testdata/allocs/main.rs").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	checkAllocs(t, startAllocs(t, path, "", 1, 20000, 10))
}

// checkAllocs records all that a program allocates, and compares that with what it says.
func checkAllocs(t *testing.T, program *allocProgram) {
	t.Helper()
	rec, sink := startRecordingAllocs(t, 1, 1e6, program)
	truth := program.work(t)
	summary, err := rec.Stop()
	if err != nil {
		t.Fatal(err)
	}
	program.end(t)
	t.Log("\n" + Describe(summary))
	got := byWay(sink.merged(t, collector.Alloc))
	for name, want := range truth {
		if g := got[name]; !near(g.bytes, want.bytes) || !near(g.objects, want.objects) || !near(g.liveBytes, want.liveBytes) || !near(g.liveObjects, want.liveObjects) {
			t.Errorf("%s: %+v, want %+v", name, g, want)
		}
	}
	t.Logf("elsewhere %+v", got[""])
	checkAllocStacks(t, sink.merged(t, collector.Alloc))
}

// near: within 2 %.
func near(got, want int64) bool {
	return math.Abs(float64(got-want)) <= 0.02*float64(want)
}

// checkAllocStacks: stacks reach the start of the thread.
func checkAllocStacks(t *testing.T, p *profile.Profile) {
	t.Helper()
	complete, all := int64(0), int64(0)
	for _, s := range p.Sample {
		if way(s) == "" {
			continue
		}
		all += s.Value[0]
		for _, l := range s.Location {
			for _, line := range l.Line {
				if plainName(line.Function.Name) == "work" {
					complete += s.Value[0]
				}
			}
		}
	}
	if float64(complete) < 0.98*float64(all) {
		t.Errorf("%d of %d allocations have stacks that reach work", complete, all)
	}
}

// TestAllocsWithoutLeak: what frees everything has nothing in use.
func TestAllocsWithoutLeak(t *testing.T) {
	requireRoot(t)
	program := startAllocs(t, buildAllocs(t, "gcc"), "", 7, 20000, 0)
	rec, sink := startRecordingAllocs(t, 1, 1e6, program)
	program.work(t)
	summary, err := rec.Stop()
	if err != nil {
		t.Fatal(err)
	}
	program.end(t)
	for name, got := range byWay(sink.merged(t, collector.Alloc)) {
		if name != "" && (got.liveBytes != 0 || got.liveObjects != 0 || got.bytes == 0) {
			t.Errorf("%s: %+v, though all was freed", name, got)
		}
	}
	for _, s := range summary.Memory.Stacks {
		if s.Live.Bytes > 0 && slices.ContainsFunc(s.Functions, func(f string) bool { return strings.HasPrefix(f, "by_") }) {
			t.Errorf("the session says that %+v lives", s)
		}
	}
}

// TestAllocsSampled: what is estimated from a few lies in the interval as often as it says,
// of 20 programs with seeds of their own; and the leak is named first.
func TestAllocsSampled(t *testing.T) {
	requireRoot(t)
	const runs, mean = 20, 64 << 10
	path := buildAllocs(t, "gcc")
	var programs []*allocProgram
	for seed := range runs {
		programs = append(programs, startAllocs(t, path, "", seed+1, 20000, 10))
	}
	rec, sink := startRecordingAllocs(t, mean, 1e6, programs...)
	truths := make([]allocated, runs)
	for i, p := range programs {
		for _, a := range p.work(t) {
			truths[i].bytes += a.bytes
			truths[i].liveBytes += a.liveBytes
		}
	}
	summary, err := rec.Stop()
	if err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + Describe(summary))
	allocatedIn, liveIn := 0, 0
	for i, p := range programs {
		p.end(t)
		own := onlyOf(sink.merged(t, collector.Alloc), p.cmd.Process.Pid)
		tally := memory.NewTally()
		if err := tally.Add(own); err != nil {
			t.Fatal(err)
		}
		d := tally.Document()
		if within(d.Allocated, truths[i].bytes) {
			allocatedIn++
		}
		if within(d.Live, truths[i].liveBytes) {
			liveIn++
		}
		t.Logf("allocated %d: %+v; live %d: %+v", truths[i].bytes, d.Allocated, truths[i].liveBytes, d.Live)
	}
	if allocatedIn < 16 || liveIn < 16 {
		t.Errorf("of %d runs the truth lay in the interval of what was allocated in %d, of what lives in %d; want 16", runs, allocatedIn, liveIn)
	}
	if first := summary.Memory.Stacks[0].Functions[0]; !strings.HasPrefix(first, "by_") {
		t.Errorf("the first of the stacks of which something lives is %q", first)
	}
}

func within(e session.MemoryEstimate, truth int64) bool {
	return e.LowBytes <= truth && truth <= e.HighBytes
}

// onlyOf keeps the samples of one process in the functions of testdata/allocs.
func onlyOf(p *profile.Profile, pid int) *profile.Profile {
	p.Sample = slices.DeleteFunc(p.Sample, func(s *profile.Sample) bool {
		return way(s) == "" || !slices.Equal(s.NumLabel["pid"], []int64{int64(pid)})
	})
	return p
}

// TestAllocsWithinLimit: a program that does nothing but allocate loses its probes soon, and
// the session says so.
func TestAllocsWithinLimit(t *testing.T) {
	requireRoot(t)
	program := startAllocs(t, buildAllocs(t, "gcc"), "", 3, 3_000_000, 0)
	rec, _ := startRecordingAllocs(t, 1<<19, 0.1, program)
	program.work(t)
	libc := probedBytes(t, program.cmd.Process.Pid)
	summary, err := rec.Stop()
	if err != nil {
		t.Fatal(err)
	}
	program.end(t)
	target := rec.Collector().AllocTargets()[0]
	t.Logf("%+v", target)
	if target.Detached == nil || target.Hits == 0 || libc != 0 {
		t.Errorf("%+v, %d breakpoints left; want none, and a reason", target, libc)
	}
	if !slices.ContainsFunc(summary.Warnings, func(w string) bool { return strings.Contains(w, "calls a second would slow it down") }) {
		t.Errorf("the session does not say why allocations are missing: %q", summary.Warnings)
	}
}

// probedBytes counts the bytes of the C library's code in a process that are not its file's.
func probedBytes(t *testing.T, pid int) int {
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
	different := 0
	for line := range strings.Lines(string(maps)) {
		var start, end, offset, inode int64
		var permissions, device, path string
		n, _ := fmt.Sscanf(line, "%x-%x %s %x %s %d %s", &start, &end, &permissions, &offset, &device, &inode, &path)
		if n < 7 || !strings.Contains(permissions, "x") || !strings.Contains(path, "libc.so") {
			continue
		}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		code, original := make([]byte, end-start), make([]byte, end-start)
		_, err = memory.ReadAt(code, start)
		n, _ = file.ReadAt(original, offset)
		if err := errors.Join(err, file.Close()); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if code[i] != original[i] {
				different++
			}
		}
	}
	return different
}
