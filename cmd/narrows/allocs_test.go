package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/narrows-profiler/narrows/analysis/memory"
)

// leakProgram leaks 300 bytes each millisecond, in a process of its own.
const leakProgram = `
#include <stdlib.h>
#include <unistd.h>
#include <time.h>
__attribute__((noinline, noipa)) void leaks(void) { char *volatile p = malloc(300); *p = 1; }
int main(void)
{
	struct timespec t, begun;
	clock_gettime(CLOCK_MONOTONIC, &begun);
	do {
		leaks();
		usleep(1000);
		clock_gettime(CLOCK_MONOTONIC, &t);
	} while (t.tv_sec - begun.tv_sec < 120);
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
	checkLeak(t, dir)
	if !regexp.MustCompile(`(?s)^leak +[0-9.]+ MB in \d+ blocks by leaks, called by main`).MatchString(out.stdout) {
		t.Errorf("printed:\n%s", out.stdout)
	}
}

// checkLeak wants the leak of leakProgram, and no other, in a session.
func checkLeak(t *testing.T, dir string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, memory.FileName))
	if err != nil {
		t.Fatal(err)
	}
	d, err := memory.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if leaks := d.Leaks(); len(leaks) != 1 || leaks[0].Functions[0] != "leaks" || leaks[0].Live.Bytes != 300*leaks[0].Live.Objects {
		t.Errorf("%s", data)
	}
}
