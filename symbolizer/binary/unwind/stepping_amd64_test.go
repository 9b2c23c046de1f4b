package unwind

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// build compiles a program of testdata and returns its path.
func build(t testing.TB, environment []string, compiler string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(compiler); err != nil {
		t.Skipf("%s is not installed", compiler)
	}
	out := filepath.Join(t.TempDir(), "program")
	for i := range args {
		if args[i] == "OUT" {
			args[i] = out
		}
	}
	cmd := exec.Command(compiler, args...)
	cmd.Dir = "testdata"
	cmd.Env = append(os.Environ(), environment...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, text)
	}
	return out
}

// steps returns how many instructions to execute: few, or all of them if
// NARROWS_TEST_FULL is set.
func steps(few int) int {
	if os.Getenv("NARROWS_TEST_FULL") != "" {
		return 10_000_000
	}
	return few
}

// expect checks that a run found nothing wrong and saw enough to show anything.
func (s *steppedThread) expect(checked, deepest int, kinds ...Kind) {
	s.t.Helper()
	if s.wrong > 0 {
		s.t.Errorf("%d of %d instructions and %d walks are wrong", s.wrong, s.checked, s.walked)
	}
	if s.checked < checked || s.walked < checked/300 || s.deepest < deepest {
		s.t.Errorf("%d instructions and %d walks up to %d frames checked: too few to show anything", s.checked, s.walked, s.deepest)
	}
	// Padding, code between functions, longjmp.
	if without := s.none + s.inexpressible; without > s.checked/200 {
		s.t.Errorf("%d of %d instructions are without a rule", without, s.checked)
	}
	if s.imprecise > s.checked/1000 {
		s.t.Errorf("%d of %d instructions are imprecise", s.imprecise, s.checked)
	}
	for _, kind := range kinds {
		if s.kinds[kind] == 0 {
			s.t.Errorf("no instruction with a rule of kind %d was executed", kind)
		}
	}
}

// TestSteppingC executes a C program without frame pointers from its first
// instruction on, the dynamic linker's included, and checks each.
func TestSteppingC(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s := startStepped(t, 0, build(t, nil, "gcc", "-O2", "-fomit-frame-pointer", "-Wl,-z,lazy", "-w", "-o", "OUT", "stacks.c"))
	if !s.run(10_000_000) {
		t.Error("the program did not come to its end")
	}
	s.expect(80_000, 10, KindSP, KindFP, KindPLT, KindSignal, KindWide)
	if s.signals != 2 || s.switches == 0 {
		t.Errorf("%d signals, %d changes of the stack; want 2 and some", s.signals, s.switches)
	}
}

// TestSteppingExceptions does it for a C++ program that throws.
func TestSteppingExceptions(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s := startStepped(t, syscall.SIGUSR1, build(t, nil, "g++", "-O2", "-fomit-frame-pointer", "-o", "OUT", "throw.cc"))
	s.run(steps(60_000))
	s.expect(50_000, 10, KindSP, KindFP)
}

// TestSteppingGo does it for Go programs of several versions, from the beginning
// of their main function on.
func TestSteppingGo(t *testing.T) {
	versions := []string{"local"}
	if os.Getenv("NARROWS_TEST_FULL") != "" {
		versions = []string{"go1.20.14", "go1.21.13", "go1.22.12", "go1.23.12", "go1.24.11", "go1.25.5", "local"}
	}
	for _, version := range versions {
		for _, cgo := range []string{"0", "1"} {
			t.Run(version+"/cgo "+cgo, func(t *testing.T) {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				environment := []string{"GOTOOLCHAIN=" + version, "CGO_ENABLED=" + cgo, "GOFLAGS=", "GOWORK=off"}
				s := startStepped(t, syscall.SIGUSR1, build(t, environment, "go", "build", "-C", "gostacks", "-o", "OUT", "."))
				s.run(steps(30_000))
				s.expect(25_000, 15, KindSP, KindFP)
			})
		}
	}
}
