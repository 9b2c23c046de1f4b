package alloc

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/accounting"
	"github.com/narrows-profiler/narrows/collector/core"
	"github.com/narrows-profiler/narrows/collector/process"
)

// Target is a process with probes, or one that could not have any.
type Target struct {
	PID uint32
	// Number is what its blocks have as their Target; of no meaning if it never had probes.
	Number uint32
	// Began and Ended are from when to when it had probes, in ns of CLOCK_MONOTONIC; Ended is 0
	// while it has.
	Began, Ended uint64
	// Allocators are the files that have probes.
	Allocators []string
	// Sites are where the probes are: "malloc +0x0 push r12 (emulated)".
	Sites []string
	// Probed tells that its probes were set.
	Probed bool
	// Go tells that it runs a Go program, which has a heap of its own.
	Go bool
	// Hits counts how often the probes were hit, Returns how often a function returned to
	// one, and Spent is what that took from the process, as predicted from the prices of the
	// probes and measured of the programs.
	Hits, Returns uint64
	Spent         time.Duration
	// Detached is why the process has no probes any more, or never had; nil if it has.
	Detached error

	described bpf.AllocAllocTarget
	prices    [bpf.AllocAllocFunctionALLOC_FUNCTIONS]time.Duration
	attached  map[fileID]bool
	known     map[place]bool // whose functions are described
	links     []io.Closer
	began     time.Time
	predicted bool
	replaced  bool // another program runs in it now: what it had allocated is gone
	measured  measurement
}

// place is a file that is mapped somewhere.
type place struct {
	file  fileID
	start uint64
}

const (
	maxTargets   = 4096 // MAX_TARGETS of bpf/alloc.bpf.c
	maxFunctions = 32   // MAX_FUNCTIONS
)

var (
	// ErrGone says that a process with probes has ended, or runs another program now.
	ErrGone = errors.New("the process has ended, or runs another program now")
	// ErrNoAllocator says that nothing in a process is known to allocate memory.
	ErrNoAllocator = errors.New("no function malloc was found in it: a static program without symbols, or one with an allocator of its own")
	// ErrGo says that a process is a Go program and nothing else.
	ErrGo = errors.New("a Go program, which has no heap but its own")

	errTooMany = fmt.Errorf("there are %d processes with probes already", maxTargets)
)

// describe tells the programs of the functions of an allocator in the process.
func (t *Target) describe(objects *objects, a *allocator, m process.Mapping) error {
	d := &t.described
	d.Tgid = t.PID
	for _, s := range a.sites {
		t.prices[s.function] = max(t.prices[s.function], s.where.Price.Predicted())
		bias, ok := a.bias(s, m)
		if s.frees() || !ok {
			continue
		}
		if d.Functions >= maxFunctions {
			return fmt.Errorf("it has more than %d functions that allocate", maxFunctions)
		}
		d.Function[d.Functions].Start, d.Function[d.Functions].End = s.start+bias, s.end+bias
		d.Functions++
	}
	if err := objects.AllocTargets.Put(t.Number, d); err != nil {
		return fmt.Errorf("describing process %d to the kernel: %w", t.PID, err)
	}
	return nil
}

// end notes that it has no probes any more, and why.
func (t *Target) end(reason error) {
	t.Detached, t.Ended = reason, accounting.Monotonic()
}

// detach takes the probes away, those where memory is freed last.
func (t *Target) detach() error {
	slices.Reverse(t.links)
	err := core.Detach(t.links)
	t.links = nil
	return err
}

// copied is what others may keep.
func (t *Target) copied() Target {
	return Target{
		PID: t.PID, Number: t.Number, Began: t.Began, Ended: t.Ended, Allocators: slices.Clone(t.Allocators), Sites: slices.Clone(t.Sites), Probed: t.Probed, Go: t.Go,
		Hits: t.Hits, Returns: t.Returns, Spent: t.Spent, Detached: t.Detached,
	}
}
