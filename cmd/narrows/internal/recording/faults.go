package recording

import (
	"fmt"

	"github.com/narrows-profiler/narrows/analysis/memory"
	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/collector"
	"github.com/narrows-profiler/narrows/collector/fault"
)

// faults says how page faults were watched.
func (s *summary) faults(r collector.Report) {
	switch {
	case r.FaultsErr != nil:
		s.Signals = append(s.Signals, session.Signal{
			Signal: string(collector.Fault), Why: "no hook works here", Tried: []session.Attempt{{Backend: fault.Backend, Error: r.FaultsErr.Error()}},
		})
		s.warn(fmt.Sprintf("which code makes memory resident was not recorded: %v", r.FaultsErr))
	case r.FaultRuns > 0:
		s.Signals = append(s.Signals, session.Signal{Signal: string(collector.Fault), Backend: fault.Backend, Why: "the only one, and it works here"})
		s.Faults = &session.Faults{
			Faults: int64(r.Faults.Faults), Bytes: int64(r.Faults.Bytes), LostFaults: int64(r.Faults.LostFaults), LostBytes: int64(r.Faults.LostBytes),
			PieceFaults: int64(r.Faults.PieceFaults), PieceBytes: int64(r.Faults.PieceBytes),
		}
	}
}

// describeFaults says in a line what became resident.
func describeFaults(f *session.Faults) string {
	if f == nil {
		return ""
	}
	return fmt.Sprintf("resident    %s taken for %d page faults of the machine; by stack up to %s off on each CPU\n", memory.Megabytes(f.Bytes), f.Faults, memory.Megabytes(f.PieceBytes))
}
