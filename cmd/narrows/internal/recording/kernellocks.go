package recording

import (
	"fmt"

	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/collector"
	"github.com/narrows-profiler/narrows/collector/kernellock"
)

// kernelLockSignal is what sessions call the watching of the kernel's locks, which end up in
// the same profiles as those of programs.
const kernelLockSignal = "kernel-lock"

// kernelLocks says how the kernel's locks were watched.
func (s *summary) kernelLocks(r collector.Report) {
	signal := session.Signal{Signal: kernelLockSignal}
	switch {
	case r.KernelLocksErr != nil:
		signal.Why = "no hook works here"
		signal.Tried = []session.Attempt{{Backend: kernellock.Backend, Error: r.KernelLocksErr.Error()}}
		s.warn(fmt.Sprintf("waits for the kernel's locks were not recorded: %v", r.KernelLocksErr))
	case r.KernelLockRuns > 0:
		signal.Backend, signal.Why = kernellock.Backend, "the only one, and it works here"
	default:
		return
	}
	s.Signals = append(s.Signals, signal)
}
