package waits

import (
	"time"

	"github.com/google/pprof/profile"
)

// Window is what one window of a recording says of waits.
type Window struct {
	Start, End time.Time
	Locks      []LockSeen
	Edges      []EdgeSeen
	// Deadlocks are those that were under way when the window ended.
	Deadlocks []DeadlockSeen
	// Programs has, of processes that were forked without an exec, the first process that
	// runs the same program.
	Programs map[uint32]uint32
	// The profiles' functions are named; nil where one was not recorded. Idle is what
	// [MarkIdle] said of OffCPU.
	CPU, OffCPU, LockWait, LockBlame, LockHeld *profile.Profile
	Idle                                       Idle
}

// Thread is one thread as it was called last.
type Thread struct {
	Service   string `json:"service"`
	Process   string `json:"process"`
	Name      string `json:"thread"`
	Container string `json:"container"`
	PID       uint32 `json:"pid"`
	TID       uint32 `json:"tid"`
}

// LockSeen is what a window says of a lock.
type LockSeen struct {
	ID, Kind, Name string
	// Of is the ID of the whole where a recorder keeps apart where a lock is waited for, and
	// OnlyIfNamed that it may be no lock at all: [Places.Name] knows. Implementation is whose
	// a lock is that was named so.
	Of               string
	OnlyIfNamed      bool
	Implementation   string
	PID              uint32
	Process, Service string

	Acquisitions, Waits, TotalNS float64
	// Lengths is how many waits were about so long, in ns, in few classes.
	Lengths       map[uint64]float64
	LongestNS     uint64
	Outcomes      map[string]float64
	Holds, HeldNS float64
	Waiters       map[uint32]struct{} // TIDs
}

// EdgeKey tells edges apart.
type EdgeKey struct {
	Waiter, Holder   Thread // the holder is zero if nobody is known
	State, Lock      string
	Benchmark, Phase string
}

// EdgeSeen is what a window says of two threads.
type EdgeSeen struct {
	EdgeKey
	Waits, NS float64
	LongestNS uint64
}

// DeadlockSeen is a circle that a recorder saw: each thread waits for the lock that the
// next one holds, the last for the first one's.
type DeadlockSeen struct {
	Members []Member // without functions
	Since   time.Time
}
