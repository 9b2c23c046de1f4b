package eval

import (
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/narrows-profiler/narrows/workloads/plant"
)

// WriteTable prints results in Markdown. The signals are those that a run records:
// a fault that shows in others is listed as not yet seen.
func WriteTable(w io.Writer, results []Result, recorded ...plant.Signal) error {
	var b strings.Builder
	fmt.Fprint(&b, "| service | fault | planted place | ranked first | found at rank | gain predicted, at most | gain that the fix gave |\n|---|---|---|---|---|--:|--:|\n")
	for _, r := range results {
		fmt.Fprintf(&b, "| %s | %s | `%s` | %s | %s | %s | %s |\n", r.Service, r.Name, r.place(), r.first(), r.found(recorded), factor(r.Predicted), r.gain())
	}
	for _, r := range results {
		if r.Err != nil {
			fmt.Fprintf(&b, "\n%s %s: %v\n", r.Service, r.Name, r.Err)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteFaults prints what each fault and its fix do.
func WriteFaults(w io.Writer, subjects []Subject) error {
	var b strings.Builder
	fmt.Fprint(&b, "| service | fault | what is wrong | what the fix does | shows in | driven by |\n|---|---|---|---|---|---|\n")
	for _, s := range subjects {
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s | %s | %s |\n", s.Service, s.Name, s.Fault.Fault, s.Fix, s.Signal, s.drivenBy())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// drivenBy names the benchmark, and its metric that the fix improves.
func (s Subject) drivenBy() string {
	if s.Metric == "" {
		return s.Benchmark
	}
	return fmt.Sprintf("%s, `%s`", s.Benchmark, s.Metric)
}

func (r *Result) place() string {
	if r.Through == "" {
		return r.Place
	}
	return r.Place + "` under `" + r.Through
}

func (r *Result) first() string {
	if r.First == "" {
		return "nothing"
	}
	if r.Signal == plant.Leak {
		return fmt.Sprintf("`%s`, %s", path.Base(r.First), r.FirstWhat)
	}
	text := fmt.Sprintf("`%s` %.0f %%", path.Base(r.First), 100*r.FirstShare)
	if r.FirstWhat != "" {
		text += " of the time, " + r.FirstWhat
	}
	if r.FirstHolder != "" {
		text += fmt.Sprintf(", let go by `%s`", path.Base(r.FirstHolder))
	}
	return text
}

// found says at which rank, or why not.
func (r *Result) found(recorded []plant.Signal) string {
	if r.Rank > 0 && r.Cause != "" {
		return fmt.Sprintf("%d (%s)", r.Rank, r.Cause)
	}
	if r.Rank > 0 {
		return fmt.Sprint(r.Rank)
	}
	for _, s := range recorded {
		if s == r.Signal {
			return "**not found**"
		}
	}
	return fmt.Sprintf("not yet seen: shows in %s", r.Signal)
}

func factor(f float64) string {
	if f == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f ×", f)
}

func (r *Result) gain() string {
	if r.Gained == 0 {
		return "unknown"
	}
	if r.GainedLow == 0 {
		return factor(r.Gained)
	}
	return fmt.Sprintf("%s (%.2f to %.2f)", factor(r.Gained), r.GainedLow, r.GainedHigh)
}
