package collector

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/narrows-profiler/narrows/collector/alloc"
	"github.com/narrows-profiler/narrows/collector/cpu"
	"github.com/narrows-profiler/narrows/collector/fault"
	"github.com/narrows-profiler/narrows/collector/goheap"
	"github.com/narrows-profiler/narrows/collector/golock"
	"github.com/narrows-profiler/narrows/collector/jit"
	"github.com/narrows-profiler/narrows/collector/kernellock"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/unwind"
)

// Report says how a recording went, beside what its windows say.
type Report struct {
	Source   cpu.Source
	Attempts []cpu.Attempt
	// Losses counts everything that went wrong, by reason, zeros included.
	Losses    []Loss
	Unwinding []*Unwinding
	Mistakes  process.Mistakes
	// Tables and Tracking say how the kernel's walker got what it goes by; Forks which
	// hook gives children their parents' mappings.
	Tables   unwind.TableStatistics
	Tracking unwind.TrackerStatistics
	Forks    *unwind.Forks
	ForksErr error // why there is none, if so
	// ProgramRuns and ProgramTime are the kernel's count of what the eBPF programs
	// took; it is part of no process's time.
	ProgramRuns uint64
	ProgramTime time.Duration
	// InterruptCost is what one tick took from the CPU it came to, the program
	// included, as measured at the start; 0 if that could not be told.
	InterruptCost    time.Duration
	InterruptCostErr error // what kept it from being measured, if something did
	JIT              jit.Counts
	// WaitRuns and WaitTime are the same of the programs that watch waits; WaitsErr is why
	// waits were not recorded, if they should have been.
	WaitRuns uint64
	WaitTime time.Duration
	WaitsErr error
	// KernelLocks is all contention of the kernel's locks, sent or not, by their flags.
	// KernelLockRuns is how many of WaitRuns were for them, and KernelLocksErr why they were
	// not watched, if waits were.
	KernelLocks    map[kernellock.Flags]kernellock.Total
	KernelLockRuns uint64
	KernelLocksErr error
	// FutexRuns and FutexTime are those of the programs that tell locks of user space;
	// FutexErr is why these were not told apart, if waits were recorded.
	FutexRuns uint64
	FutexTime time.Duration
	FutexErr  error
	// GoTargets are the Go programs that were probed, or could not be, and why not;
	// GoTargetsErr is why none was.
	GoTargets    []golock.Target
	GoTargetsErr error
	// AllocTargets are the processes whose allocations were recorded, or could not be, and why
	// not; AllocsErr is why none were. AllocBackend is the hook, and AllocRuns and AllocTime
	// what its programs took.
	AllocTargets []alloc.Target
	AllocsErr    error
	AllocBackend string
	// GoHeaps are the Go programs whose own heap profile was read, or could not be.
	GoHeaps   []goheap.Target
	AllocRuns uint64
	AllocTime time.Duration
	// Faults is all page faults there were while they were recorded, and the bytes that were
	// taken for them, sent or not; FaultRuns and FaultTime are what the programs took, and
	// FaultsErr is why faults were not recorded, if they should have been.
	Faults    fault.Totals
	FaultRuns uint64
	FaultTime time.Duration
	FaultsErr error
	// KernelAllocs is what the kernel allocated for itself; Runs and Time are what the programs
	// took, and Err is why it was not recorded, if it should have been.
	KernelAllocs    KernelAllocs
	KernelAllocRuns uint64
	KernelAllocTime time.Duration
	KernelAllocsErr error
	Unreadable      []int // processes whose mappings could not be read at the start
}

// Unwinding counts how the stacks ended that began in one file. The file without a
// name is unknown.
type Unwinding struct {
	Path, BuildID string
	Complete      int64
	// InUserSpace is how many of the complete ones the kernel did not know enough for:
	// user space walked them, or the rest of them, in a copy of the stack.
	InUserSpace int64
	Truncated   map[string]int64 // by reason
}

// Loss counts what was lost for one reason.
type Loss struct {
	Where  string // "kernel" or "user space"
	Reason string
	Count  uint64
}

func (c *Collector) report() (Report, error) {
	r := Report{
		Source: c.sampler.Source(), Attempts: c.sampler.Attempts(),
		Unwinding: unwinding(c.replayer.unwinding), Mistakes: c.replayer.table.Mistakes(), Unreadable: c.unscanned,
	}
	r.Tables, r.Tracking, r.Forks = c.tables.Statistics(), c.tracker.Statistics(), c.forks
	r.ForksErr = c.forksErr
	r.InterruptCost, r.InterruptCostErr = c.sampler.InterruptCost()
	counters, err := c.core.Counters()
	if err != nil {
		return r, err
	}
	for reason, count := range counters.Losses() {
		r.Losses = append(r.Losses, Loss{"kernel", reason, count})
	}
	r.Losses = append(r.Losses,
		Loss{"kernel", "process records: ring full", c.stream.Lost()},
		Loss{"user space", "malformed event", c.malformed},
		Loss{"user space", "stack memory dropped: too much waits", c.memory.dropped.Load()},
		Loss{"user space", "process has too many mappings to be unwound in the kernel", r.Tracking.TooMany},
		Loss{"user space", "no room in the kernel for a process's mappings", r.Tracking.Full},
		Loss{"user space", "no room in the kernel for an unwind table", r.Tables.NoRoom},
		Loss{"user space", "unwind table put out of the kernel for another", r.Tables.PutOut},
		Loss{"user space", "event came too late to be ordered", c.queue.Late()},
	)
	r.JIT = c.jit.Counts()
	c.reportGoroutines(&r)
	if err := c.reportAllocs(&r); err != nil {
		return r, err
	}
	if r.ProgramRuns, r.ProgramTime, err = c.sampler.Cost(); err != nil {
		return r, err
	}
	return r, errors.Join(c.reportWaits(&r), c.reportFaults(&r), c.reportKernelAllocs(&r))
}

// reportWaits adds how the recording of waits went.
func (c *Collector) reportWaits(r *Report) (err error) {
	r.WaitsErr = c.waitsErr
	if c.waits == nil {
		return nil
	}
	r.WaitRuns, r.WaitTime, err = c.waits.Cost()
	r.Losses = append(r.Losses,
		Loss{"user space", "no room for a wait's stack", c.replayer.offCPU.stacks.Refused()},
		Loss{"user space", "wait without its stack", c.replayer.offCPU.missing},
	)
	return errors.Join(err, c.kernelLocks.report(r), c.reportFutexes(r))
}

// unwinding adds up by file: one that was mapped before and after the start of the
// recording is known twice.
func unwinding(byBinary map[*process.Binary]*ends) []*Unwinding {
	type name struct{ path, buildID string }
	sums := map[name]*Unwinding{}
	for b, ends := range byBinary {
		var n name
		if b != nil {
			n = name{b.Path, b.BuildID}
			if file, err := b.File(); err == nil {
				n.buildID = file.BuildID()
			}
		}
		u := sums[n]
		if u == nil {
			u = &Unwinding{Path: n.path, BuildID: n.buildID, Truncated: map[string]int64{}}
			sums[n] = u
		}
		u.Complete += ends.complete
		u.InUserSpace += ends.inUser
		for reason, count := range ends.truncated {
			u.Truncated[reason] += count
		}
	}
	return slices.SortedFunc(maps.Values(sums), func(a, b *Unwinding) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.BuildID, b.BuildID))
	})
}
