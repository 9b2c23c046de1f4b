// Package lock gathers who waited for which lock, and for whom, into the profiles of a
// window and into tables of locks and of pairs of threads.
//
// Each source of contention (futexes, kernel locks, Go's own) describes a wait as a
// [Contention]; [Window.Add] adds it to the profiles lock-wait and lock-blame, to its
// [Lock] and to the [Edge] between the two threads. [Window.Edge] adds a wait for another
// thread that is not for a lock, such as one for an answer. [Window.Held] adds what a
// holder did while others waited.
package lock

import (
	"github.com/narrows-profiler/narrows/collector/window"
)

// Wakeup is the kind of what is a lock only if the functions that waited say so: a thread
// waited for any event, and another one of the same program ended that.
const Wakeup = "wake-up"

// Identity names a lock. It is comparable.
type Identity struct {
	// ID is unique in a recording: the label "lock" of samples. A lock of a process is
	// "PID:0xADDRESS", one of the kernel "kernel:NAME".
	ID string
	// Kind is what it is, as far as that is known when the wait is seen: "mutex", "futex",
	// "spinlock" and so on. Names of functions may tell more later.
	Kind string
	// Of is set where a lock is told apart by where it is waited for: the ID of all of it.
	Of string
	// PID is the process whose memory it lies in, 0 for the kernel's.
	PID     uint32
	Address uint64
	// Name is what the lock is called, where it has a name: a kernel symbol, or the slab
	// cache and field.
	Name string
}

// Thread is one side of a wait. The zero value is nobody known.
type Thread struct {
	PID, TID                          uint32
	Process, Name, Service, Container string
}

// Outcome is how a wait for a lock ended.
type Outcome int

// The outcomes.
const (
	Woken       Outcome = iota // somebody let it go on
	TimedOut                   // its time was over
	Interrupted                // a signal came
	Changed                    // the lock was free again before the wait began (EAGAIN)
	Open                       // it has not ended
	outcomes
)

// Contention is one wait for a lock, or the part of it that one window has.
type Contention struct {
	Lock   Identity
	Waiter Thread
	// Stack is where it waited, kernel frames first, and Unwind why that does not reach
	// the root, if so.
	Stack  []window.Frame
	Unwind string
	// Holder is who held the lock, and ReleaseStack where it let go; unknown if zero.
	Holder        Thread
	ReleaseStack  []window.Frame
	ReleaseUnwind string
	// Length is how long it waited, in ns, and Weight how many such waits it stands for.
	Length uint64
	Weight float64
	// A wait may be told in parts, if several threads held the lock meanwhile: Of is then
	// the length of the whole, and Continued says that it is not the first part.
	Of        uint64
	Continued bool
	// First tells that it begins an acquisition: getting a lock may take several waits.
	First            bool
	Outcome          Outcome
	Benchmark, Phase string
	State            string
}

// Lock is what is known of a lock after a window.
type Lock struct {
	Identity
	Process, Service string
	// Acquisitions is how often the lock was waited for, Waits how many waits that took.
	Acquisitions, Waits float64
	Total               float64 // ns waited by all
	Lengths             Histogram
	Outcomes            [outcomes]float64
	// Holds is how often, and HeldFor for how many ns, a thread that had waited held it.
	Holds, HeldFor float64
	Waiters        map[uint32]struct{} // TIDs
}

// EdgeKey tells edges apart.
type EdgeKey struct {
	Waiter, Holder   Thread
	State            string // of the waiter: futex, socket ...
	Lock             string // its ID, if it is one
	Benchmark, Phase string
}

// Edge is how long one thread waited for another.
type Edge struct {
	Waits, Total float64 // Total in ns
	Longest      uint64
}
