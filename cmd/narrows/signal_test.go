package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/narrows-profiler/narrows/analysis/session"
)

// until waits for something that must come.
func until(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if happened() {
			return
		}
	}
	t.Fatalf("waited in vain: %s", what)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// recordingUnderWay starts a recording and returns when it has some samples.
func recordingUnderWay(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	output, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p := read(t, cmd, output)
	if line := p.line(t); !strings.HasPrefix(line, "recording ") {
		t.Fatalf("the recording begins with %q", line)
	}
	time.Sleep(500 * time.Millisecond)
	return p
}

// An early end keeps the samples, says so in the session, and ends the program as
// the signal would have.
func TestInterruptedRecord(t *testing.T) {
	requireRecording(t)
	busy(t)
	for _, test := range []struct {
		signal syscall.Signal
		reason string
	}{{syscall.SIGINT, "Ctrl-C"}, {syscall.SIGTERM, "terminated"}, {syscall.SIGHUP, "hangup"}} {
		if signal.Ignored(test.signal) { // under nohup(1) it is for narrows too, on purpose
			continue
		}
		cmd := narrows(t, "record", "-d", "1h", "--window", "200ms", "-o", "s")
		p := recordingUnderWay(t, cmd)
		dir := filepath.Join(cmd.Dir, "s")
		if err := cmd.Process.Signal(test.signal); err != nil {
			t.Fatal(err)
		}
		if status := p.wait(); status != 128+int(test.signal) {
			t.Errorf("%v: exit status %d", test.signal, status)
		}
		s := checkSession(t, dir)
		if s.Status != session.Interrupted || !strings.Contains(s.Reason, test.reason) || s.End.IsZero() {
			t.Errorf("%v: status %q, reason %q", test.signal, s.Status, s.Reason)
		}
		checkWindows(t, dir, 2)
	}
}

// Without a duration the signal is the end that was asked for.
func TestRecordUntilInterrupted(t *testing.T) {
	requireRecording(t)
	busy(t)
	for _, output := range []string{"s", "x.pb.gz"} {
		cmd := narrows(t, "record", "-o", output)
		p := recordingUnderWay(t, cmd)
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if status := p.wait(); status != 0 {
			t.Errorf("%s: exit status %d", output, status)
		}
		path := filepath.Join(cmd.Dir, output)
		if output == "s" {
			if s := checkSession(t, path); s.Status != session.Complete {
				t.Errorf("status %q, reason %q", s.Status, s.Reason)
			}
			path = filepath.Join(path, session.CPU)
		}
		if sums(readProfile(t, path))["samples"] == 0 {
			t.Errorf("%s has no samples", output)
		}
	}
}

// A command that we started ends with us when we are asked to end.
func TestInterruptedRecordEndsItsCommand(t *testing.T) {
	requireRecording(t)
	cmd := narrows(t, "record", "-o", "s", "--", filepath.Join(programs, spinnerName), "1", "1h")
	p := launch(t, cmd)
	pid, err := strconv.Atoi(p.line(t))
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := p.wait(); status != 128+int(syscall.SIGTERM) {
		t.Errorf("exit status %d", status)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		syscall.Kill(pid, syscall.SIGKILL)
		t.Errorf("the command still runs: %v", err)
	}
	if s := checkSession(t, filepath.Join(cmd.Dir, "s")); s.Status != session.Interrupted || len(s.Profiles) != signals {
		t.Errorf("status %q, profiles %v", s.Status, s.Profiles)
	}
}

// A kill leaves what was written, a session that says it was cut off, nothing in
// the kernel, and the command, which nobody asked to end.
func TestKilledRecord(t *testing.T) {
	requireRecording(t)
	cmd := narrows(t, "record", "-d", "1h", "--window", "200ms", "-o", "s", "--", filepath.Join(programs, spinnerName), "1", "1h")
	p := launch(t, cmd)
	pid, err := strconv.Atoi(p.line(t))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(pid, syscall.SIGKILL)
	dir := filepath.Join(cmd.Dir, "s")
	until(t, "a window with samples after the first", func() bool {
		s, err := session.Open(dir)
		return err == nil && len(s.Profiles) == signals && s.Profiles[0].Windows > 1 && s.Profiles[0].SampleTypes[0].Total > 0
	})
	attached := programsOf(t, cmd.Process.Pid)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Errorf("the command ended: %v", err)
	}
	syscall.Kill(pid, syscall.SIGKILL) // it holds our pipe
	if status := p.wait(); status != -1 {
		t.Errorf("exit status %d after a kill", status)
	}

	s := checkSession(t, dir)
	if s.Status != session.Recording || s.UnderWay() || !strings.Contains(strings.Join(s.Warnings, "\n"), "cut off") {
		t.Errorf("status %q, warnings %q", s.Status, s.Warnings)
	}
	if len(s.Profiles) != signals || s.Profiles[0].Windows < 2 || s.Profiles[0].SampleTypes[0].Total == 0 {
		t.Errorf("profiles %+v", s.Profiles)
	}
	flame := narrows(t, "flame", "-o", "x.svg", dir)
	succeed(t, flame)
	for name, id := range attached {
		until(t, name+" is gone from the kernel", func() bool {
			program, err := ebpf.NewProgramFromID(id)
			if err == nil {
				program.Close()
			}
			return errors.Is(err, fs.ErrNotExist)
		})
	}
}

// programsOf are the eBPF programs that a process holds, by name.
func programsOf(t *testing.T, pid int) map[string]ebpf.ProgramID {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "fdinfo", "*"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]ebpf.ProgramID{}
	number := regexp.MustCompile(`(?m)^prog_id:\s+(\d+)$`)
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			continue // closed meanwhile
		}
		match := number.FindSubmatch(content)
		if match == nil {
			continue
		}
		id, err := strconv.ParseUint(string(match[1]), 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		program, err := ebpf.NewProgramFromID(ebpf.ProgramID(id))
		if err != nil {
			t.Fatal(err)
		}
		info, err := program.Info()
		program.Close()
		if err != nil {
			t.Fatal(err)
		}
		found[info.Name] = ebpf.ProgramID(id)
	}
	if _, ok := found["cpu_tick"]; !ok {
		t.Fatalf("the recording holds the programs %v, want cpu_tick among them", found)
	}
	return found
}

// Whoever sends a second signal does not want to wait.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	requireRecording(t)
	// The command ignores the request to end, so the first signal has to wait.
	cmd := narrows(t, "record", "-o", "s", "--", "sh", "-c", `trap "" TERM; echo $$; while :; do sleep 0.1; done`)
	p := launch(t, cmd)
	child, err := strconv.Atoi(p.line(t))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(child, syscall.SIGKILL)
	for range 2 {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond)
	}
	syscall.Kill(child, syscall.SIGKILL) // it holds our pipe
	if p.wait(); cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("ended with %v", cmd.ProcessState)
	}
}
