package kerneltest

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// KernelResult is what became of one kernel.
type KernelResult struct {
	Series   string
	Release  string // empty if there was no kernel to boot
	Skipped  string // why nothing was tried here; empty if it was
	Problem  string // how the machine failed; empty if it booted, ran every package and stopped
	Boot     time.Duration
	Total    time.Duration // by the host's clock, to the end of the emulator
	Packages []PackageResult
}

// Report has one result for each series asked for, in that order.
type Report struct {
	Kernels []KernelResult
}

// Err says what failed, or returns nil. With require set, a kernel that was skipped is a failure too. A kernel on which no test passed or failed has tested nothing, and is one.
func (r Report) Err(require bool) error {
	var failures []error
	for _, k := range r.Kernels {
		if k.Skipped != "" {
			if require {
				failures = append(failures, fmt.Errorf("kernel %s was not tested: %s", k.Series, k.Skipped))
			}
			continue
		}
		failures = append(failures, k.failures()...)
	}
	return errors.Join(failures...)
}

func (k KernelResult) failures() []error {
	var failures []error
	if k.Problem != "" {
		first, _, _ := strings.Cut(k.Problem, "\n")
		failures = append(failures, fmt.Errorf("kernel %s: %s", k.Series, first))
	}
	judged := 0
	for _, p := range k.Packages {
		judged += p.Passed + p.Failed
		if p.Problem != "" {
			failures = append(failures, fmt.Errorf("kernel %s: %s: %s", k.Series, p.Package, p.Problem))
		}
	}
	if judged == 0 && len(failures) == 0 {
		failures = append(failures, fmt.Errorf("kernel %s: not one test passed or failed", k.Series))
	}
	return failures
}

// WriteTo prints the report as a table.
func (r Report) WriteTo(out io.Writer) (int64, error) {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "KERNEL\tPACKAGE\tPASSED\tFAILED\tSKIPPED\tRESULT")
	for _, k := range r.Kernels {
		if k.Skipped != "" {
			fmt.Fprintf(table, "%s\t\t\t\t\tskipped: %s\n", k.Series, strings.ReplaceAll(k.Skipped, "\n", "; "))
			continue
		}
		for _, p := range k.Packages {
			result := "ok"
			if p.Problem != "" {
				result = "FAIL: " + p.Problem
			}
			fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%s\n", k.Series, p.Package, p.Passed, p.Failed, p.Skipped, result)
		}
		state := "ok"
		if k.Problem != "" {
			state, _, _ = strings.Cut("FAIL: "+k.Problem, "\n")
		}
		fmt.Fprintf(table, "%s\t(machine: up after %.1f s, %.1f s in all)\t\t\t\t%s\n", k.Series, k.Boot.Seconds(), k.Total.Seconds(), state)
	}
	if err := table.Flush(); err != nil {
		return 0, fmt.Errorf("printing the report: %w", err)
	}
	n, err := io.WriteString(out, text.String())
	if err != nil {
		return int64(n), fmt.Errorf("printing the report: %w", err)
	}
	return int64(n), nil
}

// printer prints lines with the kernel's series before each.
type printer struct {
	out     io.Writer
	series  string
	verbose bool
}

// lines prints text, which ends with a newline if it is not empty.
func (p printer) lines(text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintf(p.out, "%-5s %s\n", p.series, strings.TrimSuffix(line, "\n"))
	}
}
