// Package core loads the eBPF object that owns what all programs share: the ring
// buffer by which events leave the kernel and the counters of what went wrong.
//
// Each signal loads its own object with [Core.Replacements], so that all of them
// write to the same ring. [Core.Events] gives the ring to read; [Core.Counters]
// the counters, summed over CPUs.
package core

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"github.com/narrows-profiler/narrows/bpf"
)

// Core is the loaded core object.
type Core struct {
	objects bpf.CoreObjects
	stacks  generation
}

// The ring buffer's size grows with the CPUs that fill it: at 999 Hz, a CPU whose
// stacks have 50 frames sends some 600 KB a second, so that this holds what comes in
// seconds. It is a power of two, as ring buffers are (bpf(2)).
const (
	ringBytesPerCPU = 2 << 20
	maxRingBytes    = 16 << 20
)

// DefaultRows is how many unwind rows there is room for in the kernel, 8 bytes each:
// 24 MB, which a host's shells, interpreters, one browser and one compiler fit in. They
// are a quarter of what the whole of Narrows may take.
const DefaultRows = 3 << 20

// Load loads the core object, with room for so many unwind rows; 0 stands for
// DefaultRows. It needs CAP_BPF and CAP_PERFMON (or root) and Linux 5.17 for bpf_loop.
func Load(rows int) (*Core, error) {
	// Kernels before 5.11 charge maps to RLIMIT_MEMLOCK; later ones ignore it, so
	// a refusal matters only if loading fails as well.
	limit := rlimit.RemoveMemlock()
	c := &Core{}
	if err := c.load(rows); err != nil {
		return nil, errors.Join(fmt.Errorf("loading the shared maps: %w", err), limit)
	}
	return c, nil
}

func (c *Core) load(rows int) error {
	spec, err := bpf.LoadCore()
	if err != nil {
		return err
	}
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return fmt.Errorf("counting the CPUs: %w", err)
	}
	if rows <= 0 {
		rows = DefaultRows
	}
	spec.Maps[bpf.CoreMapEvents].MaxEntries = ringBytes(cpus)
	spec.Maps[bpf.CoreMapUnwindRows].MaxEntries = uint32(rows)
	spec.Maps[bpf.CoreMapStackMemorySpace].MaxEntries = uint32(cpus)
	return spec.LoadAndAssign(&c.objects, nil)
}

func ringBytes(cpus int) uint32 {
	size := ringBytesPerCPU
	for size < maxRingBytes && size/ringBytesPerCPU < cpus {
		size *= 2
	}
	return uint32(size)
}

// LoadAndAssign loads the programs of another object, with the core's maps in the
// place of those of the same names, into a struct that bpf2go made for it.
func (c *Core) LoadAndAssign(spec *ebpf.CollectionSpec, objects any) error {
	return spec.LoadAndAssign(objects, c.options(spec))
}

// LoadPrograms loads the programs of another object in the same way, and returns them
// by name.
func (c *Core) LoadPrograms(spec *ebpf.CollectionSpec) (map[string]*ebpf.Program, error) {
	collection, err := ebpf.NewCollectionWithOptions(spec, *c.options(spec))
	if err != nil {
		return nil, err
	}
	programs := collection.Programs
	collection.Programs = nil
	collection.Close()
	return programs, nil
}

// options puts the core's maps in the place of those that an object declares.
func (c *Core) options(spec *ebpf.CollectionSpec) *ebpf.CollectionOptions {
	shared := map[string]*ebpf.Map{}
	for name, m := range map[string]*ebpf.Map{
		bpf.CoreMapEvents: c.objects.Events, bpf.CoreMapCounters: c.objects.Counters,
		bpf.CoreMapStackMemorySpace: c.objects.StackMemorySpace,
		bpf.CoreMapUnwindRows:       c.objects.UnwindRows, bpf.CoreMapUnwindFiles: c.objects.UnwindFiles,
		bpf.CoreMapUnwindMappings: c.objects.UnwindMappings, bpf.CoreMapUnwindSets: c.objects.UnwindSets,
		bpf.CoreMapUnwindProcesses: c.objects.UnwindProcesses,
		bpf.CoreMapStackSettings:   c.objects.StackSettings, bpf.CoreMapStacksSent: c.objects.StacksSent,
		bpf.CoreMapThreadWaits: c.objects.ThreadWaits, bpf.CoreMapFutexLocks: c.objects.FutexLocks,
		bpf.CoreMapFutexEntries: c.objects.FutexEntries,
	} {
		if declared := spec.Maps[name]; declared != nil {
			declared.MaxEntries = m.MaxEntries()
			shared[name] = m
		}
	}
	return &ebpf.CollectionOptions{MapReplacements: shared}
}

// Events is the ring buffer.
func (c *Core) Events() *ebpf.Map { return c.objects.Events }

// Rows holds the unwind tables that the walker of user stacks reads; see
// bpf/unwind_machine.h for this and the four maps below.
func (c *Core) Rows() *ebpf.Map { return c.objects.UnwindRows }

// Files says where in Rows each file's table lies.
func (c *Core) Files() *ebpf.Map { return c.objects.UnwindFiles }

// Mappings holds the sets of mappings of all processes.
func (c *Core) Mappings() *ebpf.Map { return c.objects.UnwindMappings }

// Sets counts the processes that use each set of mappings.
func (c *Core) Sets() *ebpf.Map { return c.objects.UnwindSets }

// Processes says which set of mappings a process has.
func (c *Core) Processes() *ebpf.Map { return c.objects.UnwindProcesses }

// Locks holds the sums of each lock of user space; see bpf/futex.h.
func (c *Core) Locks() *ebpf.Map { return c.objects.FutexLocks }

// Entries holds what futex calls take before they sleep; see bpf/futex.h.
func (c *Core) Entries() *ebpf.Map { return c.objects.FutexEntries }

// Counters holds one number for each reason the kernel side counts.
type Counters [bpf.CoreCounterCOUNTER_MAX]uint64

// Names of the counters that stand for something lost, as sessions show them.
var losses = map[bpf.CoreCounter]string{
	bpf.CoreCounterCOUNTER_LOST_RING_FULL:         "ring buffer full",
	bpf.CoreCounterCOUNTER_LOST_SCRATCH:           "no scratch memory",
	bpf.CoreCounterCOUNTER_KERNEL_STACK_MISSING:   "kernel stack missing",
	bpf.CoreCounterCOUNTER_USER_REGISTERS_MISSING: "user registers missing",
	bpf.CoreCounterCOUNTER_MEMORY_REFUSED:         "stack memory above its budget",
	bpf.CoreCounterCOUNTER_MEMORY_FAILED:          "stack memory unreadable, or no room for it",
	bpf.CoreCounterCOUNTER_FORK_FULL:              "no room for a forked process's mappings",
	bpf.CoreCounterCOUNTER_WAIT_UNTRACKED:         "no memory for a thread's wait",
	bpf.CoreCounterCOUNTER_CONTENTION_UNTRACKED:   "wait for a kernel lock nested too deep, or no memory for it",
	bpf.CoreCounterCOUNTER_CONTENTION_UNMATCHED:   "wait for a kernel lock whose beginning or end was not seen",
	bpf.CoreCounterCOUNTER_CONTENTION_OWN:         "wait for a kernel lock that the recording itself took",
	bpf.CoreCounterCOUNTER_FUTEX_UNTRACKED:        "no memory for a thread's futex call",
	bpf.CoreCounterCOUNTER_RING_FILLED:            "waits thinned out more for 8 ms: ring buffer nearly full",
	bpf.CoreCounterCOUNTER_FUTEX_UNREADABLE:       "word of a lock unreadable",
	bpf.CoreCounterCOUNTER_FUTEX_FULL:             "wait for a lock not counted: too many locks",
	bpf.CoreCounterCOUNTER_GO_WAIT_FULL:           "too many goroutines wait",
	bpf.CoreCounterCOUNTER_GO_STACK_UNREADABLE:    "a goroutine's stack could not be found",
	bpf.CoreCounterCOUNTER_ALLOC_CALL_FULL:        "allocation not followed: too many calls under way",
	bpf.CoreCounterCOUNTER_ALLOC_FULL:             "allocation not followed until it is freed: too many live",
	bpf.CoreCounterCOUNTER_ALLOC_UNREADABLE:       "address of an allocation unreadable",
	bpf.CoreCounterCOUNTER_FAULT_UNTRACKED:        "no memory for a thread's page fault",
	bpf.CoreCounterCOUNTER_KERNEL_ALLOC_FULL:      "kernel's memory not followed until it is freed: too much lives",
	bpf.CoreCounterCOUNTER_KERNEL_ALLOC_REUSED:    "kernel's memory freed unseen, and allocated again",
	bpf.CoreCounterCOUNTER_KERNEL_ALLOC_IN_PART:   "kernel's pages freed in part, taken for freed",
}

// Losses returns the counters that stand for something lost, by name. Zeros are
// included: a session shows what was looked for.
func (c Counters) Losses() map[string]uint64 {
	byName := make(map[string]uint64, len(losses))
	for counter, name := range losses {
		byName[name] = c[counter]
	}
	return byName
}

// Counters reads the counters. A CPU that is inside this read takes no sample, so
// it is for the end of a window, not for a loop.
func (c *Core) Counters() (Counters, error) {
	var total Counters
	for i := range total {
		var perCPU []uint64
		if err := c.objects.Counters.Lookup(uint32(i), &perCPU); err != nil {
			return Counters{}, fmt.Errorf("reading the counters: %w", err)
		}
		for _, n := range perCPU {
			total[i] += n
		}
	}
	return total, nil
}

// Close frees the maps.
func (c *Core) Close() error {
	if err := c.objects.Close(); err != nil {
		return fmt.Errorf("closing the shared maps: %w", err)
	}
	return nil
}
