package recording

import (
	"fmt"
	"strings"
	"time"

	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/collector"
	"github.com/narrows-profiler/narrows/internal/version"
)

// Info is what a session says of a recording before it starts.
func Info(host session.Host, commandLine []string, config collector.Config) session.Info {
	return session.Info{
		NarrowsVersion: version.String(),
		CommandLine:    commandLine,
		Configuration: map[string]any{
			"frequency":    config.Frequency,
			"window":       config.Window.String(),
			"alloc":        config.AllocMean,
			"kernel_alloc": config.KernelAllocMean,
			"selection": map[string]any{
				"all": config.Selection.All, "pids": config.Selection.PIDs, "cgroups": config.Selection.Cgroups,
			},
		},
		Host:             host,
		Start:            time.Now(),
		StartMonotonicNS: int64(collector.Now()),
		WindowSeconds:    config.Window.Seconds(),
	}
}

// Describe says in a few lines how a recording went: what was sampled, what was
// lost, and what it cost.
func Describe(s session.Summary) string {
	var b strings.Builder
	if s.Accounting != nil {
		t := s.Accounting.Total
		fmt.Fprintf(&b, "samples     %d, for %s of the %s that the CPUs were busy (%s)\n",
			t.Samples, seconds(t.SeenNS), seconds(t.ExpectedNS), accounted(t))
		if t.StealNS > 0 {
			fmt.Fprintf(&b, "stolen      %s by the hypervisor: no sample can see it\n", seconds(t.StealNS))
		}
	}
	fmt.Fprintf(&b, "lost        %s\n", losses(s.Losses))
	fmt.Fprintf(&b, "stacks      %s\n", stacks(s.Unwinding))
	b.WriteString(describeFaults(s.Faults))
	b.WriteString(describeMemory(s.Memory))
	b.WriteString(describeKernelMemory(s.KernelMemory))
	if c := s.OwnCost; c != nil {
		fmt.Fprintf(&b, "own cost    %.2f s of CPU, %s%s, %d MB at the peak\n",
			c.CPUUserSeconds+c.CPUSystemSeconds, sampling(*c), watching(*c)+watchingFaults(*c)+watchingKernelAllocs(*c), c.PeakMemoryBytes>>20)
	}
	for _, w := range s.Warnings {
		fmt.Fprintf(&b, "warning     %s\n", w)
	}
	return b.String()
}

// accounted compares what was seen with what was there to see, where there are
// enough samples for the comparison to mean something: n samples of a CPU that idles
// most of the time scatter by the square root of n.
func accounted(t session.Time) string {
	const few = 500
	if t.Samples < few || t.ExpectedNS <= 0 {
		return fmt.Sprintf("fewer than %d samples, too few to compare", few)
	}
	return fmt.Sprintf("%.1f %%", 100*float64(t.SeenNS)/float64(t.ExpectedNS))
}

// watching says what watching waits took from the machine.
func watching(c session.OwnCost) string {
	if c.WaitRuns == 0 {
		return ""
	}
	text := fmt.Sprintf(", %.2f s in eBPF at %d switches and wake-ups", c.WaitRunSeconds, c.WaitRuns)
	if c.AllocRuns > 0 {
		text += fmt.Sprintf(", %.2f s at %d calls of allocators", c.AllocRunSeconds, c.AllocRuns)
	}
	if c.FutexRuns > 0 {
		text += fmt.Sprintf(", %.2f s at %d ends of futex calls", c.FutexRunSeconds, c.FutexRuns)
	}
	return text
}

// watchingFaults says the same of page faults.
func watchingFaults(c session.OwnCost) string {
	if c.FaultRuns == 0 {
		return ""
	}
	return fmt.Sprintf(", %.2f s at %d page faults and pages taken", c.FaultRunSeconds, c.FaultRuns)
}

// sampling says what the ticks took from the machine, beside this process's own time.
func sampling(c session.OwnCost) string {
	if c.InterruptSeconds == 0 {
		return fmt.Sprintf("%d ticks, %.3f s of them in eBPF", c.EBPFRuns, c.EBPFRunSeconds)
	}
	return fmt.Sprintf("%.2f s in %d ticks, %.3f s of them in eBPF", c.InterruptSeconds, c.EBPFRuns, c.EBPFRunSeconds)
}

func seconds(ns int64) string { return fmt.Sprintf("%.2f s", time.Duration(ns).Seconds()) }

func losses(all []session.Loss) string {
	var lost []string
	for _, l := range all {
		if l.Count > 0 {
			lost = append(lost, fmt.Sprintf("%d × %s (%s)", l.Count, l.Reason, l.Where))
		}
	}
	if len(lost) == 0 {
		return "no event"
	}
	return strings.Join(lost, ", ")
}

func stacks(all []session.Unwinding) string {
	var complete, inUser, truncated int64
	for _, u := range all {
		complete += u.Complete
		inUser += u.InUserSpace
		for _, n := range u.Truncated {
			truncated += n
		}
	}
	if complete+truncated == 0 {
		return "none in user space"
	}
	total := float64(complete + truncated)
	return fmt.Sprintf("%.2f %% of %d user stacks reach their root: %.2f %% in the kernel, %.2f %% in user space",
		100*float64(complete)/total, complete+truncated, 100*float64(complete-inUser)/total, 100*float64(inUser)/total)
}
