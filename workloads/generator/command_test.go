package generator

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/service"
)

// as is the command that makes this test binary play a role.
func as(t *testing.T, role string) Command {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Command{Arguments: []string{"env", roleVariable + "=" + role, self}, Threads: 1}
}

// seen is what came out of a load.
type seen struct {
	phases   []string
	times    []int64
	progress []int
	requests []metrics.Request
	document *metrics.Document
	err      error
}

// run makes a load and keeps what comes out. Record may refuse requests.
func run(ctx context.Context, c Command, a load.Assignment, record func(metrics.Request) error, marked func(phase string)) *seen {
	s := new(seen)
	a.Progress = func(done, _ int) { s.progress = append(s.progress, done) }
	a.Record = func(r metrics.Request) error {
		s.requests = append(s.requests, r)
		if record != nil {
			return record(r)
		}
		return nil
	}
	s.document, s.err = c.Run(ctx, a, func(phase string, at metrics.Instant) {
		s.phases, s.times = append(s.phases, phase), append(s.times, at.MonotonicNs)
		if marked != nil {
			marked(phase)
		}
	})
	return s
}

func monotonic(t *testing.T) int64 {
	t.Helper()
	clock, err := load.NewClock()
	if err != nil {
		t.Fatal(err)
	}
	return clock.Instant(time.Now()).MonotonicNs
}

// Everything that a benchmark tells arrives as it was told, with the times of its
// phases on this process's clock.
func TestALoadApartIsTheLoad(t *testing.T) {
	const n = 1000
	a := load.Assignment{
		Name: "Tells", Options: load.Options{Iterations: n, Seed: 7, Rate: 0.5}, RequestsFile: "requests/x.ndjson", Version: "1.2",
		Endpoints: map[string]service.Endpoint{"ryot": {
			Service: "ryot", Kind: service.External, URL: "http://user:secret@127.0.0.1:1", PID: 4, PIDUnknown: "a", Model: "m", Planted: "p",
		}},
	}
	before := monotonic(t)
	s := run(t.Context(), as(t, "generator"), a, nil, nil)
	after := monotonic(t)
	if s.err != nil {
		t.Fatal(s.err)
	}
	if diff := cmp.Diff(truthDocument(a), s.document); diff != "" {
		t.Errorf("the document differs (-told +heard):\n%s", diff)
	}
	if len(s.requests) != n || len(s.phases) != n+1 || len(s.progress) != n {
		t.Fatalf("%d requests, %d phases, %d times progress", len(s.requests), len(s.phases), len(s.progress))
	}
	for i, r := range s.requests {
		if diff := cmp.Diff(truth(i), r); diff != "" {
			t.Fatalf("request %d differs (-told +heard):\n%s", i, diff)
		}
		if s.phases[i] != fmt.Sprintf("phase %d", i) || s.progress[i] != i+1 {
			t.Fatalf("phase %q and progress %d where request %d is", s.phases[i], s.progress[i], i)
		}
	}
	if s.phases[n] != "" || !slices.IsSorted(s.times) || s.times[0] < before || s.times[n] > after {
		t.Errorf("phases end with %q, from %d to %d ns between %d and %d", s.phases[n], s.times[0], s.times[n], before, after)
	}
}

// The reason to stop goes in and comes back in the document.
func TestStop(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	s := run(ctx, as(t, "generator"), load.Assignment{Name: "Waits"}, nil, func(string) { cancel(errors.New("ended early by Ctrl-C")) })
	if s.err != nil || s.document == nil || s.document.StatusReason != "ended early by Ctrl-C" {
		t.Errorf("%+v, %v", s.document, s.err)
	}
}

// A record that cannot be kept ends the load. The error is the caller's own, and nothing
// is recorded after it.
func TestARefusedRecordEndsTheLoad(t *testing.T) {
	s := run(t.Context(), as(t, "generator"), load.Assignment{Name: "Waits", Options: load.Options{Iterations: 1}},
		func(metrics.Request) error { return syscall.ENOSPC }, nil)
	if !errors.Is(s.err, syscall.ENOSPC) || len(s.requests) != 1 || s.document == nil || s.document.StatusReason != syscall.ENOSPC.Error() {
		t.Errorf("%v after %d requests, %+v", s.err, len(s.requests), s.document)
	}
	s = run(t.Context(), as(t, "generator"), load.Assignment{Name: "Tells", Options: load.Options{Iterations: 1000}},
		func(r metrics.Request) error {
			if r.Index == 2 {
				return syscall.ENOSPC
			}
			return nil
		}, nil)
	if !errors.Is(s.err, syscall.ENOSPC) || len(s.requests) != 3 {
		t.Errorf("%v after %d requests", s.err, len(s.requests))
	}
}

// A generator that ends by itself, or says what is none of its messages, is an error that
// tells how it ended; the benchmark's phases end too.
func TestAGeneratorThatFails(t *testing.T) {
	killed := func(phase string) {
		if pid, err := strconv.Atoi(phase); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	echo := Command{Arguments: []string{"sh", "-c", "yes this is no message of ours | head -c 1000"}}
	for name, test := range map[string]struct {
		command Command
		load    string
		marked  func(string)
		says    string
	}{
		"crash":              {as(t, "generator"), "Dies", nil, "index out of range"},
		"status of a crash":  {as(t, "generator"), "Dies", nil, "exit status 2"},
		"kill":               {as(t, "generator"), "Waits", killed, "signal: killed"},
		"error":              {as(t, "generator"), "Fails", nil, "there is no clock"},
		"unknown benchmark":  {as(t, "generator"), "None", nil, `there is no benchmark "None"`},
		"nothing at all":     {Command{Arguments: []string{"true"}}, "Tells", nil, "ended before its benchmark (exit status 0)"},
		"something else":     {echo, "Tells", nil, "listening to the load generator"},
		"a program not here": {Command{Arguments: []string{"/no/such/program"}}, "Tells", nil, "starting the load generator"},
	} {
		s := run(t.Context(), test.command, load.Assignment{Name: test.load}, nil, test.marked)
		if s.err == nil || s.document != nil || !strings.Contains(s.err.Error(), test.says) {
			t.Errorf("%s: %v, %v", name, s.document, s.err)
		}
		if started := test.says != "starting the load generator"; started && (len(s.phases) == 0 || s.phases[len(s.phases)-1] != "") {
			t.Errorf("%s: the phases are %q", name, s.phases)
		}
	}
}

// One that does not stop is killed.
func TestAGeneratorThatDoesNotStop(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := as(t, "mute")
	c.patience = 100 * time.Millisecond
	s := run(ctx, c, load.Assignment{Name: "Waits"}, nil, nil)
	if s.err == nil || s.document != nil || !strings.Contains(s.err.Error(), "signal: killed") {
		t.Errorf("%v, %v", s.document, s.err)
	}
}

// No generator outlives the process that started it.
func TestTheGeneratorEndsWithItsParent(t *testing.T) {
	c := as(t, "parent")
	cmd := exec.Command(c.Arguments[0], c.Arguments[1:]...)
	said, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(said).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if !alive(pid) {
			return
		}
	}
	t.Errorf("process %d outlived its parent by ten seconds", pid)
}

// alive tells a running process from a zombie that nobody has reaped.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z") && !strings.HasPrefix(after, "X")
}

// The streams of a service that was started for the benchmark go along.
func TestStreamsGoAlong(t *testing.T) {
	theirInput, input, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	output, theirOutput, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	tool := exec.Command("head", "-c", "14") // it ends though its input is open here
	tool.Stdin, tool.Stdout = theirInput, theirOutput
	if err := tool.Start(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(theirInput.Close(), theirOutput.Close()); err != nil {
		t.Fatal(err)
	}
	a := load.Assignment{Name: "Echoes", Endpoints: map[string]service.Endpoint{"tool": {Service: "tool", Input: input, Output: output}}}
	s := run(t.Context(), as(t, "generator"), a, nil, nil)
	if s.err != nil || s.document.StatusReason != "are you there?" {
		t.Errorf("%+v, %v", s.document, s.err)
	}
	if err := errors.Join(tool.Wait(), input.Close(), output.Close()); err != nil {
		t.Error(err)
	}
	a.Endpoints["tool"] = service.Endpoint{Service: "tool", Input: input, Output: io.LimitReader(output, 1)}
	if s := run(t.Context(), as(t, "generator"), a, nil, nil); s.err == nil || !strings.Contains(s.err.Error(), "not files") {
		t.Errorf("%v", s.err)
	}
}

// The runtime is set up for a load over sockets and pipes, and left as it is for one on
// files; what a user has set of it stays.
func TestEnvironment(t *testing.T) {
	t.Setenv("GODEBUG", "madvdontneed=1")
	last := func(environment []string, name string) (value string) {
		for _, setting := range environment {
			if found, ok := strings.CutPrefix(setting, name+"="); ok {
				value = found
			}
		}
		return value
	}
	t.Setenv("GOMAXPROCS", "7")
	for directory, want := range map[string][2]string{
		"":     {"madvdontneed=1,schedtrace=2147483647", "2"},
		"/mnt": {"madvdontneed=1", "7"},
	} {
		environment := Command{Threads: 2}.environment(load.Assignment{Endpoints: map[string]service.Endpoint{"s": {Directory: directory}}})
		if got := [2]string{last(environment, "GODEBUG"), last(environment, "GOMAXPROCS")}; got != want {
			t.Errorf("%q: %q, want %q", directory, got, want)
		}
	}
}
