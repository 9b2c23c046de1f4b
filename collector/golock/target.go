package golock

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/core"
	"github.com/narrows-profiler/narrows/collector/process"
)

// Target is a process with probes, or one that could not have any.
type Target struct {
	PID  uint32
	Path string
	// Park and Ready are where the probes are: "+0xa push rbp (emulated)".
	Park, Ready string
	// Probed tells that its probes were set.
	Probed bool
	// Hits counts how often they were hit, and Spent is what that took from the process, as
	// predicted from the prices of the probes and measured of the programs.
	Hits  uint64
	Spent time.Duration
	// Detached is why the process has no probes any more, or never had; nil if it has.
	Detached error

	number  uint32
	start   uint64 // of the mapping that has the program's code
	program *program
	reasons []kind // by number; those without a name are not recorded
	links   []link.Link
	began   time.Time
	// measured is the last measurement, and before the one before it.
	measured, before measurement
}

// Limits on processes.
const (
	maxTargets = 4096 // MAX_TARGETS of bpf/golock.bpf.c
	// A program that was just started may not have filled in its tables of pointers yet:
	// so often and after so long it is looked at again.
	relocationTries = 20
	relocationDelay = 50 * time.Millisecond
)

// ErrGone says that a process with probes has ended, or runs another program now.
var ErrGone = errors.New("the process has ended, or runs another program now")

var errTooMany = fmt.Errorf("there are %d processes with probes already", maxTargets)

// readKinds reads the process's own table of wait reasons.
func readKinds(pid uint32, p *program, bias uint64) ([]kind, error) {
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return nil, fmt.Errorf("opening the memory of process %d: %w", pid, err)
	}
	defer memory.Close()
	tables := make([]uint64, len(p.tables))
	for i, at := range p.tables {
		tables[i] = at + bias
	}
	names, err := readReasons(memory, tables)
	if err != nil {
		return nil, err
	}
	reasons := make([]kind, len(names))
	for i, name := range names {
		reasons[i] = kinds[name]
	}
	return reasons, nil
}

// describe tells the programs of the process.
func (t *Target) describe(objects *bpf.GoLockObjects, bias uint64) error {
	described := bpf.GoLockGoTarget{Tgid: t.PID}
	for i, k := range t.reasons {
		if k.name != "" {
			described.Waits |= 1 << i
		}
		if k.semaphore {
			described.Semaphores |= 1 << i
		}
	}
	if t.program.acquire.End > t.program.acquire.Entry {
		described.Semacquire, described.SemacquireEnd = t.program.acquire.Entry+bias, t.program.acquire.End+bias
	}
	if err := objects.GoTargets.Put(t.number, described); err != nil {
		return fmt.Errorf("describing process %d to the kernel: %w", t.PID, err)
	}
	return nil
}

// copied is what others than the watcher's goroutine may read of it, under the watcher's lock.
func (t *Target) copied() Target {
	return Target{PID: t.PID, Path: t.Path, Park: t.Park, Ready: t.Ready, Probed: t.Probed, Hits: t.Hits, Spent: t.Spent, Detached: t.Detached}
}

// attach sets the probes. Those at ready come first: what parks before them would never
// be seen to go on.
func (t *Target) attach(objects *bpf.GoLockObjects) error {
	executable, err := link.OpenExecutable(t.program.path)
	if err != nil {
		return err
	}
	// Uprobes by perf event, one process each: links for several at once (uprobe_multi) are
	// hit by the first thread of a process only on kernels from 6.6 to 6.9, and two
	// probes have nothing to gain from them.
	for _, probe := range []struct {
		program *ebpf.Program
		at      place
	}{{objects.GoReady, t.program.ready}, {objects.GoPark, t.program.park}} {
		attached, err := executable.Uprobe("go", probe.program, &link.UprobeOptions{
			Address: probe.at.offset, PID: int(t.PID), Cookie: uint64(t.number),
		})
		if err != nil {
			return fmt.Errorf("probing process %d: %w", t.PID, err)
		}
		t.links = append(t.links, attached)
	}
	return nil
}

// detach takes the probes away.
func (t *Target) detach() error {
	err := core.Detach(t.links)
	t.links = nil
	return err
}

// runs tells whether the process runs the program at the place where it has probes.
func (t *Target) runs(p *program, m process.Mapping) bool {
	return t.start == m.Start && sameFile(t.program.file, p.file)
}
