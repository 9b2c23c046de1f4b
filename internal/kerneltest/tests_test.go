package kerneltest

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/narrows-profiler/narrows/internal/kerneltest/guest"
)

const ownPath = "github.com/narrows-profiler/narrows/internal/kerneltest/"

// runHere runs testdata packages with the machine's runner, but on this host, and returns what the host's side made of the events, and what it printed.
func runHere(t *testing.T, verbose bool, limit time.Duration, packages ...string) (KernelResult, string) {
	t.Helper()
	config := Defaults()
	for _, name := range packages {
		config.Packages = append(config.Packages, "./testdata/"+name)
	}
	binaries, err := buildTests(t.Context(), config, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var plan guest.Plan
	for _, b := range binaries {
		plan.Binaries = append(plan.Binaries, guest.Binary{
			Package: b.importPath, Path: b.host, Dir: b.sourceDir, Args: []string{"-test.v=test2json", "-test.paniconexit0", "-test.timeout=1s"}, Limit: limit,
		})
	}
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	var printed bytes.Buffer
	result := KernelResult{Series: "6.1", Release: "6.1.0-here"}
	s := session{ctx: t.Context(), begin: time.Now(), result: &result, printer: printer{out: &printed, series: "6.1", verbose: verbose}}
	reading, writing := io.Pipe()
	ran := make(chan error, 1)
	go func() {
		err := guest.Run(t.Context(), plan, "6.1.0-here", writing)
		writing.Close()
		ran <- err
	}()
	watchdog := time.AfterFunc(time.Hour, func() {})
	defer watchdog.Stop()
	seen := events{silence: time.Hour, watchdog: watchdog}
	if err := seen.read(reading, s.handle); err != nil {
		t.Error(err)
	}
	reading.Close()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	if !seen.up || !seen.done {
		t.Errorf("the runner's start was seen: %v, its end: %v", seen.up, seen.done)
	}
	return result, printed.String()
}

func TestPackagesAreCountedAndPrinted(t *testing.T) {
	result, printed := runHere(t, false, time.Minute, "passes", "fails", "sleeps")
	want := []PackageResult{
		{Package: ownPath + "testdata/fails", Passed: 2, Failed: 1, Problem: "tests failed"},
		{Package: ownPath + "testdata/passes", Passed: 3, Skipped: 1},
		{Package: ownPath + "testdata/sleeps", Failed: 1, Problem: "tests failed"},
	}
	slices.SortFunc(result.Packages, func(a, b PackageResult) int { return strings.Compare(a.Package, b.Package) })
	if diff := cmp.Diff(want, result.Packages, cmpopts.IgnoreFields(PackageResult{}, "Elapsed")); diff != "" {
		t.Errorf("the packages' results differ (-want +got):\n%s", diff)
	}
	for _, wanted := range []string{
		"the reason for failing", "--- FAIL: TestFails", "skipped for a reason", "panic: test timed out after 1s", "--- FAIL: TestSleeps (it did not end)", "ok  \t" + ownPath + "testdata/passes",
	} {
		if !strings.Contains(printed, wanted) {
			t.Errorf("%q is not printed", wanted)
		}
	}
	for _, unwanted := range []string{"said while passing", "TestBefore", "=== RUN"} {
		if strings.Contains(printed, unwanted) {
			t.Errorf("%q is printed, though its test passed", unwanted)
		}
	}
	for line := range strings.Lines(printed) {
		if !strings.HasPrefix(line, "6.1   ") {
			t.Errorf("a line does not begin with the kernel: %q", line)
		}
	}
	if err := (Report{Kernels: []KernelResult{result}}).Err(false); err == nil || strings.Contains(err.Error(), "testdata/passes") {
		t.Errorf("the report's error is %v", err)
	}
}

func TestVerboseShowsPassingTests(t *testing.T) {
	result, printed := runHere(t, true, time.Minute, "passes")
	if got := result.Packages[0]; got.Passed != 3 || got.Problem != "" {
		t.Errorf("the package came out as %+v", got)
	}
	for _, wanted := range []string{"said while passing", "--- PASS: TestPasses/below", "=== RUN   TestPasses"} {
		if strings.Count(printed, wanted) == 0 {
			t.Errorf("%q is not printed", wanted)
		}
	}
}

func TestStoppedProcessIsKilled(t *testing.T) {
	result, printed := runHere(t, false, 3*time.Second, "stops")
	if got := result.Packages[0]; got.Failed != 1 || !strings.HasPrefix(got.Problem, "killed after 3s") {
		t.Errorf("the package came out as %+v", got)
	}
	if !strings.Contains(printed, "--- FAIL: TestStops (it did not end)") {
		t.Errorf("the test that hung is not named in:\n%s", printed)
	}
}

func TestEventsOutOfOrderAreRefused(t *testing.T) {
	for name, stream := range map[string][]guest.Event{
		"output before begin": {{Kind: guest.Output, Output: []byte("x")}},
		"end before begin":    {{Kind: guest.End}},
		"wrong kernel":        {{Kind: guest.Up, Release: "5.0"}},
		"unknown":             {{Kind: "surprise"}},
	} {
		s := session{ctx: t.Context(), result: &KernelResult{Release: "6.1"}, printer: printer{out: io.Discard}}
		var err error
		for _, event := range stream {
			err = s.handle(event)
		}
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestReport(t *testing.T) {
	good := PackageResult{Package: "p", Passed: 1}
	for name, test := range map[string]struct {
		kernel          KernelResult
		fails, required bool // fails without and with -require
	}{
		"passed":          {KernelResult{Packages: []PackageResult{good}}, false, false},
		"skipped kernel":  {KernelResult{Skipped: "no qemu"}, false, true},
		"failed test":     {KernelResult{Packages: []PackageResult{good, {Package: "q", Failed: 1, Problem: "tests failed"}}}, true, true},
		"no test":         {KernelResult{Packages: []PackageResult{{Package: "p"}}}, true, true},
		"only skips":      {KernelResult{Packages: []PackageResult{{Package: "p", Skipped: 4}}}, true, true},
		"machine failed":  {KernelResult{Problem: "it hangs\nconsole", Packages: []PackageResult{good}}, true, true},
		"nothing happens": {KernelResult{}, true, true},
	} {
		report := Report{Kernels: []KernelResult{test.kernel}}
		if err := report.Err(false); (err != nil) != test.fails {
			t.Errorf("%s: %v", name, err)
		}
		if err := report.Err(true); (err != nil) != test.required {
			t.Errorf("%s, required: %v", name, err)
		}
	}
	var table bytes.Buffer
	report := Report{Kernels: []KernelResult{
		{Series: "6.1", Problem: "it hangs\nconsole", Packages: []PackageResult{{Package: "some/package", Passed: 11, Failed: 12, Skipped: 13, Problem: "tests failed"}}},
		{Series: "6.12", Skipped: "no such\nkernel"},
	}}
	if n, err := report.WriteTo(&table); err != nil || n != int64(table.Len()) {
		t.Errorf("%d bytes written of %d (%v)", n, table.Len(), err)
	}
	lines := strings.Split(strings.TrimSpace(table.String()), "\n")
	if len(lines) != 4 || strings.Join(strings.Fields(lines[1]), " ") != "6.1 some/package 11 12 13 FAIL: tests failed" ||
		!strings.HasSuffix(lines[2], "FAIL: it hangs") || !strings.HasSuffix(lines[3], "skipped: no such; kernel") {
		t.Errorf("the table is\n%s", table.String())
	}
}
