package kerneltest

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/narrows-profiler/narrows/internal/kerneltest/kernel"
)

// runMachines runs testdata packages on real kernels, if the environment asks for that.
func runMachines(t *testing.T, change func(*Config), packages ...string) (Report, string) {
	t.Helper()
	if os.Getenv("NARROWS_TEST_KERNELS") != "1" {
		t.Skip("NARROWS_TEST_KERNELS is not 1: boots emulated machines, which takes a minute")
	}
	dir, err := kernel.DefaultDir()
	if err != nil {
		t.Fatal(err)
	}
	var printed bytes.Buffer
	c := Defaults()
	c.Series, c.Cache.Dir, c.Out = []string{"6.1", "6.12"}, dir, &printed
	for _, name := range packages {
		c.Packages = append(c.Packages, "./testdata/"+name)
	}
	if change != nil {
		change(&c)
	}
	report, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range report.Kernels {
		if k.Skipped != "" {
			t.Skip("no test machine: " + k.Skipped)
		}
		t.Logf("%s: up after %.1f s, %.1f s in all", k.Release, k.Boot.Seconds(), k.Total.Seconds())
	}
	return report, printed.String()
}

func TestKernelsHaveWhatTheCollectorNeeds(t *testing.T) {
	report, printed := runMachines(t, nil, "features")
	if err := report.Err(true); err != nil {
		t.Errorf("%v\n%s", err, printed)
	}
	for _, k := range report.Kernels {
		if len(k.Packages) != 1 || k.Packages[0].Skipped > 0 {
			t.Errorf("kernel %s: %+v", k.Series, k.Packages)
		}
	}
}

func TestMachinesShowPassAndFailure(t *testing.T) {
	report, printed := runMachines(t, nil, "passes", "fails")
	want := []PackageResult{
		{Package: ownPath + "testdata/passes", Passed: 3, Skipped: 1},
		{Package: ownPath + "testdata/fails", Passed: 2, Failed: 1, Problem: "tests failed"},
	}
	for _, k := range report.Kernels {
		if diff := cmp.Diff(want, k.Packages, cmpopts.IgnoreFields(PackageResult{}, "Elapsed")); diff != "" || k.Problem != "" {
			t.Errorf("kernel %s: %s (-want +got):\n%s", k.Series, k.Problem, diff)
		}
	}
	if strings.Count(printed, "the reason for failing") != 2 {
		t.Errorf("the failure was not printed once for each kernel:\n%s", printed)
	}
	if report.Err(false) == nil {
		t.Error("the report of a failed test is no error")
	}
}

func TestHangingTestsAreEndedAndNamed(t *testing.T) {
	report, printed := runMachines(t, func(c *Config) { c.Series, c.PackageTimeout = []string{"6.1"}, 3*time.Second }, "sleeps", "stops", "passes")
	k := report.Kernels[0]
	if len(k.Packages) != 3 || k.Packages[0].Failed != 1 || !strings.HasPrefix(k.Packages[1].Problem, "killed after") || k.Packages[2].Problem != "" || k.Problem != "" {
		t.Errorf("the kernel came out as %+v", k)
	}
	for _, name := range []string{"TestSleeps (it did not end)", "TestStops (it did not end)", "test timed out after 3s"} {
		if !strings.Contains(printed, name) {
			t.Errorf("%q is not in:\n%s", name, printed)
		}
	}
}

func TestHangingMachineIsKilled(t *testing.T) {
	report, printed := runMachines(t, func(c *Config) { c.Series, c.Silence = []string{"6.12"}, 25*time.Second }, "silent", "passes")
	expectFailedMachine(t, report, printed, "said nothing for 25s", "TestSilences")
}

func TestPanickingKernelIsReported(t *testing.T) {
	report, printed := runMachines(t, func(c *Config) { c.Series = []string{"6.12"} }, "panics", "passes")
	expectFailedMachine(t, report, printed, "Kernel panic - not syncing: sysrq triggered crash", "TestPanics")
}

func expectFailedMachine(t *testing.T, report Report, printed, problem, test string) {
	t.Helper()
	k := report.Kernels[0]
	if !strings.Contains(k.Problem, problem) || !strings.Contains(printed, "--- FAIL: "+test+" (it did not end)") {
		t.Errorf("the machine's problem is %q; printed was\n%s", k.Problem, printed)
	}
	if len(k.Packages) != 2 || k.Packages[0].Failed != 1 || !strings.HasPrefix(k.Packages[1].Problem, "not run") {
		t.Errorf("the packages came out as %+v", k.Packages)
	}
}

func TestWithoutEmulatorKernelsAreSkipped(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	c := Defaults()
	c.Series, c.Packages, c.Cache.Dir = []string{"6.1"}, []string{"./testdata/passes"}, t.TempDir()
	report, err := Run(t.Context(), c)
	if err != nil || len(report.Kernels) != 1 || !strings.Contains(report.Kernels[0].Skipped, emulator) {
		t.Fatalf("the report is %+v (%v)", report, err)
	}
	if err := report.Err(false); err != nil {
		t.Errorf("a skipped kernel is an error: %v", err)
	}
	if err := report.Err(true); err == nil {
		t.Error("a skipped kernel is no error though it is required")
	}
}

func TestConfigIsChecked(t *testing.T) {
	good := Defaults()
	good.Series, good.Packages = []string{"6.1"}, []string{"./testdata/passes"}
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"no series":    func(c *Config) { c.Series = nil },
		"no package":   func(c *Config) { c.Packages = nil },
		"no limit":     func(c *Config) { c.Total = 0 },
		"no memory":    func(c *Config) { c.MemoryMiB = 8 },
		"no processor": func(c *Config) { c.Processors = 0 },
		"no variable":  func(c *Config) { c.Env = []string{"NAME"} },
	} {
		c := good
		change(&c)
		if _, err := Run(t.Context(), c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for text, want := range map[string]File{"a/b:/c": {"a/b", "/c"}, "a:c": {}, ":/c": {}, "a": {}} {
		if got, err := ParseFile(text); got != want || (err == nil) != (want != File{}) {
			t.Errorf("ParseFile(%q) = %+v, %v", text, got, err)
		}
	}
}

func TestUncompilablePackageIsAnError(t *testing.T) {
	c := Defaults()
	for _, pattern := range []string{"./testdata/nowhere", "./cmd/guestinit"} {
		c.Packages = []string{pattern}
		if _, err := buildTests(t.Context(), c, t.TempDir()); err == nil {
			t.Errorf("%s was built", pattern)
		}
	}
}
