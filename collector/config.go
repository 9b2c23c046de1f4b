package collector

import (
	"errors"
	"fmt"
	"time"

	"github.com/narrows-profiler/narrows/collector/alloc"
	"github.com/narrows-profiler/narrows/collector/wait"
)

// Config says what to record.
type Config struct {
	// Frequency is the number of CPU samples a second on each CPU.
	Frequency int
	// Window is the length of the windows. One whose stacks would take too much
	// memory is shorter.
	Window time.Duration
	// UnwindMemory is how many bytes of unwind tables the kernel may hold; 0 is the
	// default of 24 MB. What does not fit is unwound in user space, which is slower.
	UnwindMemory int
	// Waits records where threads wait, beside what they run.
	Waits bool
	// Faults records which code makes memory resident.
	Faults bool
	// KernelAllocMean records where the kernel allocates memory for itself, and what of it is
	// not freed: an allocation for each so many bytes on average, each one if it is 1. 0 does
	// not.
	KernelAllocMean uint64
	// Kernel names the kernel's functions, by which waits are told apart; nil if nobody
	// can.
	Kernel wait.Names
	// MaxSlowdown is what probes may add to the CPU time that a program takes, as a share
	// of it: where goroutines wait is learnt from probes in the processes that are
	// selected or services. 0 is the default of 10 %, below 0 there are no probes.
	MaxSlowdown float64
	// AllocMean records where the processes that are selected, or services, allocate memory, and
	// what of it they do not free: an allocation for each so many bytes on average, each one if it is 1.
	// 0 does not. It takes Waits, with which it shares how stacks are kept.
	AllocMean uint64
	// Announce is told what probes will cost a process before they have cost it much; nil if
	// nobody is. It is called by another goroutine.
	Announce func(text string)
	// Selection restricts what is kept; the whole machine is watched all the same.
	Selection Selection
}

// Selection is the processes whose samples are kept.
type Selection struct {
	// All keeps everything, whatever the rest says.
	All bool
	// PIDs keeps these processes and all their descendants.
	PIDs []int
	// Cgroups keeps what runs in these cgroups, by their id in the v2 hierarchy.
	Cgroups []uint64
	// CgroupFolders are their folders, by which the processes are found that allocations are
	// recorded of.
	CgroupFolders []string
}

// Limits of a configuration. Above maxFrequency the timer interrupts alone take a
// quarter of a core.
const (
	maxFrequency = 10_000
	minWindow    = 100 * time.Millisecond
	// minUnwindMemory and maxUnwindMemory are what an array map takes.
	minUnwindMemory = 64 << 10
	maxUnwindMemory = 1 << 30
)

// Check says what is wrong with a configuration; Start refuses what it refuses.
func (c Config) Check() error {
	if c.Frequency < 1 || c.Frequency > maxFrequency {
		return fmt.Errorf("a frequency of %d samples a second: use 1 to %d", c.Frequency, maxFrequency)
	}
	if c.Window < minWindow {
		return fmt.Errorf("windows of %v: use at least %v", c.Window, minWindow)
	}
	if m := c.UnwindMemory; m != 0 && (m < minUnwindMemory || m > maxUnwindMemory) {
		return fmt.Errorf("%d bytes of unwind tables: use %d to %d", m, minUnwindMemory, maxUnwindMemory)
	}
	if c.AllocMean > alloc.MaxMean {
		return fmt.Errorf("an allocation for each %d bytes: use 1 to %d", c.AllocMean, uint64(alloc.MaxMean))
	}
	if c.KernelAllocMean > alloc.MaxMean {
		return fmt.Errorf("an allocation of the kernel for each %d bytes: use 1 to %d", c.KernelAllocMean, uint64(alloc.MaxMean))
	}
	if c.AllocMean > 0 && !c.Waits {
		return errors.New("allocations are recorded only together with waits")
	}
	if c.AllocMean > 0 && c.MaxSlowdown < 0 {
		return errors.New("allocations are not recorded without probes: let them slow programs down")
	}
	return nil
}
