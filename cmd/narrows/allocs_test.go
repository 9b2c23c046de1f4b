package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/narrows-profiler/narrows/analysis/memory"
	"github.com/narrows-profiler/narrows/analysis/session"
)

// leakProgram leaks 300 bytes each millisecond, as often as it is told to.
const leakProgram = `
#include <stdlib.h>
#include <unistd.h>
__attribute__((noinline, noipa)) void leaks(void) { char *volatile p = malloc(300); *p = 1; }
int main(int argc, char **argv)
{
	for (int left = argc > 1 ? atoi(argv[1]) : 100000; left; left--) {
		leaks();
		usleep(1000);
	}
	return 0;
}
`

// buildC builds a C program, or skips the test.
func buildC(t *testing.T, source string) string {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("needs gcc")
	}
	path := filepath.Join(t.TempDir(), "program")
	build := exec.Command(gcc, "-O1", "-w", "-x", "c", "-o", path, "-")
	build.Stdin = strings.NewReader(source)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// TestRecordLeak: the leak of a command is the first that is printed, and in memory.json.
func TestRecordLeak(t *testing.T) {
	requireRecording(t)
	cmd := narrows(t, "record", "--alloc", "--alloc-rate", "1", "--max-slowdown", "100000", "-d", "5s", "-o", "s", "--", buildC(t, leakProgram))
	out := succeed(t, cmd)
	dir := filepath.Join(cmd.Dir, "s")
	checkSession(t, dir)
	checkLeaks(t, dir)
	if !regexp.MustCompile(`(?s)^leak +[0-9.]+ MB in \d+ blocks by leaks, called by main`).MatchString(out.stdout) {
		t.Errorf("printed:\n%s", out.stdout)
	}
}

// checkLeaks wants the leaks of leakProgram, and no others, in a session; of these processes, if
// any are named.
func checkLeaks(t *testing.T, dir string, of ...*process) {
	t.Helper()
	d, err := readMemory(dir)
	if err != nil {
		t.Fatal(err)
	}
	leaking := map[int]bool{}
	for _, l := range d.Leaks() {
		leaking[int(l.PID)] = true
		if l.Functions[0] != "leaks" || l.Live.Bytes != 300*l.Live.Objects {
			t.Errorf("%+v", l)
		}
	}
	for _, p := range of {
		if !leaking[p.Process.Pid] {
			t.Errorf("process %d is not said to leak", p.Process.Pid)
		}
	}
	if len(leaking) != max(len(of), 1) {
		t.Errorf("processes %v are said to leak; %+v", leaking, d.Sites)
	}
}

// TestRecordSampled: what a command leaks is estimated from some of its blocks.
func TestRecordSampled(t *testing.T) {
	requireRecording(t)
	cmd := narrows(t, "record", "--alloc", "--alloc-rate", "1024", "--max-slowdown", "100000", "-o", "s", "--", buildC(t, leakProgram), "4000")
	succeed(t, cmd)
	d, err := readMemory(filepath.Join(cmd.Dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	// A quarter is taken: 1,000 blocks, whose number chance puts off by 3 %. What it leaked
	// before it had probes is not seen.
	if leaks := d.Leaks(); len(leaks) != 1 || leaks[0].Live.Samples > 1200 || leaks[0].Live.Bytes < 4000*300*8/10 || leaks[0].Live.Bytes > 4000*300*115/100 {
		t.Errorf("%d bytes are leaked, said is %+v of %+v", 4000*300, leaks, d.Sites)
	}
}

// TestRecordLeaksOfCgroup: who is in a cgroup, who is put into it later, and who is started in it
// later are followed, and nobody else.
func TestRecordLeaksOfCgroup(t *testing.T) {
	requireRecording(t)
	cgroup := filepath.Join(makeCgroup(t), "cgroup.procs")
	program := buildC(t, leakProgram)
	enter := func(p *process) {
		if err := os.WriteFile(cgroup, []byte(strconv.Itoa(p.Process.Pid)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	outside, inside, moved := launch(t, exec.Command(program)), launch(t, exec.Command(program)), launch(t, exec.Command(program))
	enter(inside)
	cmd := narrows(t, "record", "--alloc", "--alloc-rate", "1", "--max-slowdown", "100000", "-d", "9s", "-o", "s", "--cgroup", filepath.Base(filepath.Dir(cgroup)))
	record := recordingUnderWay(t, cmd)
	enter(moved)
	started := launch(t, exec.Command("sh", "-c", "echo 0 >"+cgroup+"; exec "+program))
	if status := record.wait(); status != 0 {
		t.Errorf("record ended with the status %d", status)
	}
	for _, p := range []*process{outside, inside, moved, started} {
		p.Process.Kill() // or the cgroup cannot be removed
		p.wait()
	}
	checkSession(t, filepath.Join(cmd.Dir, "s"))
	checkLeaks(t, filepath.Join(cmd.Dir, "s"), inside, moved, started)
}

// TestRunAllocations: what a service of run allocates is recorded, as its own heap profile has it.
func TestRunAllocations(t *testing.T) {
	requireRecording(t)
	cmd := narrows(t, "run", "--alloc", "--no-calibrate", "--benchmark", "RSUWrite", "--iterations", "20", "-o", "s")
	r := succeed(t, cmd)
	dir := filepath.Join(cmd.Dir, "s")
	s := checkSession(t, dir)
	bytes := int64(0)
	for _, sample := range readProfile(t, filepath.Join(dir, session.Alloc)).Sample {
		if sample.HasLabel("service", "sigmavault") && sample.NumLabel["pid"][0] == int64(s.Services[0].PID) {
			bytes += sample.Value[1]
		}
	}
	d, err := readMemory(dir)
	if err != nil {
		t.Fatal(err)
	}
	if bytes == 0 || len(d.Sites) == 0 || d.Sites[0].Service != "sigmavault" || d.Sites[0].Source != memory.SourceGo {
		t.Errorf("%d bytes by the service, which has %+v; warned: %q", bytes, d.Sites, s.Warnings)
	}
	if !strings.Contains(r.stdout, "     no leak: ") {
		t.Errorf("leaks are not told of:\n%s", r.stdout)
	}
}
