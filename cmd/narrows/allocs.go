package main

import (
	"errors"
	"fmt"

	"github.com/narrows-profiler/narrows/analysis/memory"
	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/cmd/narrows/internal/recording"
	"github.com/narrows-profiler/narrows/collector/alloc"
)

// allocFlags say whether allocations are recorded.
type allocFlags struct {
	Alloc     bool   `help:"Record where the processes that are named (-p, --cgroup, COMMAND; the services of run) allocate memory by malloc and its kin (glibc, musl, jemalloc, tcmalloc, mimalloc, static programs with symbols), and what of it leaks: alloc.pb.gz, memory.json. Of Go programs the heap profile that they keep is read. Probes slow them down within --max-slowdown."`
	AllocRate uint64 `default:"524288" placeholder:"BYTES" help:"Record an allocation for each so many bytes, on average; 1: every one."`
}

// mean is what the collector takes; 0 if allocations are not recorded.
func (f allocFlags) mean() uint64 {
	if !f.Alloc {
		return 0
	}
	return f.AllocRate
}

// valid refuses what goes not together with allocations.
func (f allocFlags) valid(waits bool, slowdown float64) error {
	switch {
	case f.AllocRate < 1 || f.AllocRate > alloc.MaxMean:
		return fmt.Errorf("an allocation for each %d bytes: use --alloc-rate 1 to %d", f.AllocRate, uint64(alloc.MaxMean))
	case !f.Alloc:
		return nil
	case !waits:
		return errors.New("--alloc takes stacks as waits do: leave --no-waits out")
	case slowdown == 0:
		return errors.New("--alloc needs probes, which --max-slowdown 0 does not allow")
	}
	return nil
}

// validAllocs refuses what goes not together with allocations.
func (c *recordCommand) validAllocs() error {
	switch {
	case !c.Alloc:
	case len(c.PID) == 0 && len(c.Cgroup) == 0 && len(c.Command) == 0:
		return errors.New("--alloc puts probes into programs: say into which, by -p PID, --cgroup PATH or a COMMAND after --")
	case recording.IsFile(c.Output):
		return errors.New("--alloc makes a profile of its own: name a folder with -o")
	}
	return c.allocFlags.valid(c.Waits, c.MaxSlowdown)
}

// leaksOf says which places leak in a session; nothing if it has no allocations.
func leaksOf(summary session.Summary, dir string) string {
	if summary.Memory == nil {
		return ""
	}
	d, err := readMemory(dir)
	if err != nil {
		return fmt.Sprintf("leak        unknown: %v\n", err)
	}
	return recording.DescribeLeaks(d)
}

// readMemory reads what a session says of memory that lives at its end.
func readMemory(dir string) (*memory.Document, error) {
	sess, err := session.Open(dir)
	if err != nil {
		return nil, err
	}
	return memory.Read(sess)
}
