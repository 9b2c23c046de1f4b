package recording

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/narrows-profiler/narrows/analysis/memory"
	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/collector"
	"github.com/narrows-profiler/narrows/collector/cpu"
	"github.com/narrows-profiler/narrows/collector/futex"
	"github.com/narrows-profiler/narrows/collector/golock"
	"github.com/narrows-profiler/narrows/collector/wait"
	"github.com/narrows-profiler/narrows/symbolizer"
)

// summary gathers what session.json says of a recording at its end.
type summary struct {
	session.Summary
	accounting session.Accounting
	symbols    map[symbolsKey]*session.Symbols
	before     syscall.Rusage // what this process had used before the recording
	memory     *memory.Tally
	kernel     *memory.Tally // the same of the kernel's own
}

type symbolsKey struct{ file, buildID string }

func newSummary(before syscall.Rusage) summary {
	return summary{symbols: map[symbolsKey]*session.Symbols{}, before: before, memory: memory.NewTally(), kernel: memory.NewTally()}
}

func (s *summary) warn(text string) { s.Warnings = append(s.Warnings, text) }

// window adds one window's accounting.
func (s *summary) window(w collector.Window) {
	for _, c := range w.Accounting {
		t := session.Time{
			ExpectedNS: int64(c.Busy), SeenNS: int64(c.Seen), LostNS: int64(c.Lost),
			StealNS: int64(c.Steal), TickingNS: int64(c.Ticking), IdleNS: int64(c.Idle), Samples: int64(c.Samples),
		}
		s.accounting.ByCPUAndWindow = append(s.accounting.ByCPUAndWindow, session.CPUTime{CPU: c.CPU, Window: w.Index, Time: t})
		total := &s.accounting.Total
		total.ExpectedNS += t.ExpectedNS
		total.SeenNS += t.SeenNS
		total.LostNS += t.LostNS
		total.StealNS += t.StealNS
		total.TickingNS += t.TickingNS
		total.IdleNS += t.IdleNS
		total.Samples += t.Samples
	}
}

// named adds how many frames of one profile got names.
func (s *summary) named(named symbolizer.Statistics) {
	for _, b := range named.Binaries {
		key := symbolsKey{b.File, b.BuildID}
		sum := s.symbols[key]
		if sum == nil {
			sum = &session.Symbols{File: b.File, BuildID: b.BuildID, Unnamed: map[string]int64{}}
			s.symbols[key] = sum
		}
		sum.Named += int64(b.Named + b.Kept)
		for reason, count := range b.Unnamed {
			sum.Unnamed[string(reason)] += int64(count)
		}
	}
}

// report adds what the collector says at the end.
func (s *summary) report(r collector.Report) {
	s.End, s.EndMonotonicNS = time.Now(), int64(collector.Now())
	s.Accounting = &s.accounting
	s.Signals = append(s.Signals, signal(r))
	s.waits(r)
	s.futexes(r)
	s.goroutines(r)
	s.allocs(r)
	s.faults(r)
	s.kernelAllocs(r)
	for _, l := range r.Losses {
		s.Losses = append(s.Losses, session.Loss{Reason: l.Reason, Count: int64(l.Count), Where: l.Where})
	}
	for reason, count := range map[string]uint64{
		"sample of an unknown process": r.Mistakes.UnknownProcess,
		"fork without a record":        r.Mistakes.MissedFork,
		"exec without a record":        r.Mistakes.MissedExec,
	} {
		s.Losses = append(s.Losses, session.Loss{Reason: reason, Count: int64(count), Where: "process table"})
	}
	slices.SortFunc(s.Losses, func(a, b session.Loss) int {
		return cmp.Or(strings.Compare(a.Where, b.Where), strings.Compare(a.Reason, b.Reason))
	})
	if len(r.Unreadable) > 0 {
		s.warn("at the start the mappings could not be read of " + processes(r.Unreadable) + ": without names until the next exec")
	}
	if r.JIT.Refused > 0 {
		s.warn(fmt.Sprintf("%d lists of code that programs made were not used; %s", r.JIT.Refused, r.JIT.Detail))
	}
	if r.ForksErr != nil {
		s.warn(fmt.Sprintf("no hook on forks works here, so the first stacks of forked processes are unwound in user space: %v", r.ForksErr))
	}
	if r.InterruptCostErr != nil {
		s.warn(fmt.Sprintf("what a tick costs could not be measured, so ticks on idle CPUs may look lost: %v", r.InterruptCostErr))
	}
	for _, u := range r.Unwinding {
		s.Unwinding = append(s.Unwinding, session.Unwinding{
			File: u.Path, BuildID: u.BuildID, Complete: u.Complete, InUserSpace: u.InUserSpace, Truncated: u.Truncated,
		})
	}
	s.Symbols = slices.SortedFunc(derefAll(s.symbols), func(a, b session.Symbols) int {
		return cmp.Or(strings.Compare(a.File, b.File), strings.Compare(a.BuildID, b.BuildID))
	})
}

// processes lists a few PIDs and counts the rest.
func processes(pids []int) string {
	const shown = 5
	var list []string
	for _, pid := range pids[:min(len(pids), shown)] {
		list = append(list, fmt.Sprint("process ", pid))
	}
	if rest := len(pids) - shown; rest > 0 {
		list = append(list, fmt.Sprintf("%d more", rest))
	}
	return strings.Join(list, ", ")
}

func derefAll(m map[symbolsKey]*session.Symbols) func(yield func(session.Symbols) bool) {
	return func(yield func(session.Symbols) bool) {
		for v := range maps.Values(m) {
			if !yield(*v) {
				return
			}
		}
	}
}

// signal says which event source was taken and why the preferred ones were not.
func signal(r collector.Report) session.Signal {
	s := session.Signal{Signal: "cpu", Backend: r.Source.Name, Why: "the first that works here"}
	for _, a := range r.Attempts {
		if a.Err != nil {
			s.Tried = append(s.Tried, session.Attempt{Backend: a.Source, Error: a.Err.Error()})
		}
	}
	if len(s.Tried) == 0 {
		s.Why = "preferred, and it works here"
	}
	if r.Source.Unit == cpu.Cycles {
		s.Why += "; cycles are converted to time by the CPUs' busy time in each window"
	}
	return s
}

// waits says how waits were watched.
func (s *summary) waits(r collector.Report) {
	switch {
	case r.WaitsErr != nil:
		s.Signals = append(s.Signals, session.Signal{
			Signal: string(collector.OffCPU), Why: "no hook works here", Tried: []session.Attempt{{Backend: wait.Backend, Error: r.WaitsErr.Error()}},
		})
		s.warn(fmt.Sprintf("where threads wait was not recorded: %v", r.WaitsErr))
	case r.WaitRuns > 0:
		s.Signals = append(s.Signals, session.Signal{Signal: string(collector.OffCPU), Backend: wait.Backend, Why: "the only one, and it works here"})
	}
	s.kernelLocks(r)
}

// futexes says how locks of user space were told apart.
func (s *summary) futexes(r collector.Report) {
	const what = "user locks"
	switch {
	case r.FutexErr != nil:
		s.Signals = append(s.Signals, session.Signal{
			Signal: what, Why: "no hook works here", Tried: []session.Attempt{{Backend: futex.Backend, Error: r.FutexErr.Error()}},
		})
		s.warn(fmt.Sprintf("which locks of user space threads waited for was not recorded: %v", r.FutexErr))
	case r.WaitsErr == nil && r.WaitRuns > 0:
		s.Signals = append(s.Signals, session.Signal{Signal: what, Backend: futex.Backend, Why: "the only one, and it works here"})
	}
}

// goroutines says which Go programs could not be watched, or not all the time.
func (s *summary) goroutines(r collector.Report) {
	if r.GoTargetsErr != nil {
		s.warn(fmt.Sprintf("where goroutines wait was not recorded: %v", r.GoTargetsErr))
	}
	for _, t := range r.GoTargets {
		if t.Detached != nil && !errors.Is(t.Detached, golock.ErrGone) {
			s.warn(fmt.Sprintf("where goroutines wait in %s (process %d) was not recorded, or not all the time: %v", t.Path, t.PID, t.Detached))
		}
	}
	if len(r.GoTargets) > 0 {
		s.Signals = append(s.Signals, session.Signal{
			Signal: "goroutine waits", Backend: golock.Backend, Why: "one process at a time, where its instructions make it cheap",
		})
	}
}

// cost measures this process, after all its work is done. What it had done before the
// recording is not part of it.
func (s *summary) cost(r collector.Report) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		s.warn(fmt.Sprintf("the cost of this recording is unknown: %v", err))
		return
	}
	s.OwnCost = &session.OwnCost{
		CPUUserSeconds:        time.Duration(usage.Utime.Nano() - s.before.Utime.Nano()).Seconds(),
		CPUSystemSeconds:      time.Duration(usage.Stime.Nano() - s.before.Stime.Nano()).Seconds(),
		EBPFRunSeconds:        r.ProgramTime.Seconds(),
		WaitRunSeconds:        r.WaitTime.Seconds(),
		WaitRuns:              int64(r.WaitRuns),
		FutexRunSeconds:       r.FutexTime.Seconds(),
		FutexRuns:             int64(r.FutexRuns),
		FaultRunSeconds:       r.FaultTime.Seconds(),
		FaultRuns:             int64(r.FaultRuns),
		KernelAllocRunSeconds: r.KernelAllocTime.Seconds(),
		KernelAllocRuns:       int64(r.KernelAllocRuns),
		AllocRunSeconds:       r.AllocTime.Seconds(),
		AllocRuns:             int64(r.AllocRuns),
		EBPFRuns:              int64(r.ProgramRuns),
		InterruptSeconds:      (time.Duration(r.ProgramRuns) * r.InterruptCost).Seconds(),
		PeakMemoryBytes:       usage.Maxrss * 1024,
	}
}
