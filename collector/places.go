package collector

import (
	"fmt"
	"hash/maphash"

	"github.com/narrows-profiler/narrows/collector/futex"
	"github.com/narrows-profiler/narrows/collector/lock"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/wait"
	"github.com/narrows-profiler/narrows/collector/window"
)

// Servers of several processes have locks of their own making, in memory that they share: who
// has to wait sleeps where only it does, at a semaphore of its own or in poll, and is woken by
// who lets the lock go. So neither the semaphore nor the files of poll are the lock. What is
// waited for is told by where: waits at different places are kept apart here, by the addresses
// of their frames, until the names of functions are known.

// placeDepth is how many of the program's frames make a place: those of libraries that wait
// and of the lock, and some of who wanted it.
const placeDepth = 16

// place is a number for where a stack waits, the same in all processes of a program; 0 if
// that is not known.
func (o *offCPU) place(stack window.Resolved) uint64 {
	user := stack.Frames[min(stack.Kernel, len(stack.Frames)):]
	if len(user) == 0 || user[0].Function != nil && user[0].Binary == nil {
		return 0
	}
	var h maphash.Hash
	h.SetSeed(o.seed)
	for _, f := range user[:min(placeDepth, len(user))] {
		maphash.WriteComparable(&h, f)
	}
	return max(h.Sum64(), 1)
}

// identify names the lock that a call waits for. One in memory of several processes is that
// of all who run the program, and is told apart by where it is waited for.
func (r *replayer) identify(e wait.Event, stack window.Resolved) lock.Identity {
	id := r.offCPU.futexes.locks.Identify(e)
	return at(shared(id, e.Futex.Flags, r.table.Identified(e.Thread.Identity)), r.offCPU.place(stack))
}

// shared is a lock as all processes of a program have it, if it lies in memory that they share.
func shared(id lock.Identity, flags uint32, p *process.Process) lock.Identity {
	if futex.Private(flags) || id.Kind == futex.Join {
		return id
	}
	if p != nil && p.Program != 0 {
		id = futex.OfProcess(id, p.Program)
	}
	if id.Kind == futex.Unknown {
		id.Of = id.ID
	}
	return id
}

// at is a lock where it is waited for.
func at(id lock.Identity, place uint64) lock.Identity {
	if id.Of != "" && place != 0 {
		id.ID = fmt.Sprintf("%s@%x", id.Of, place)
	}
	return id
}

// wakeup tells whether a thread of a server of several processes waited in poll for another
// one of them: that may be for a lock.
func (r *replayer) wakeup(e wait.Event, p *process.Process, stack window.Resolved) bool {
	if r.offCPU.futexes == nil || e.Futex.Operation != 0 || e.Preempted() || e.BlockedState(stack.State) != wait.Poll {
		return false
	}
	if e.Waker.TID == 0 { // for nobody yet
		return p.Program != p.PID
	}
	by := r.table.Known(e.Waker.PID)
	return by != nil && by != p && by.Program == p.Program
}

// wakeupAt names what is waited for in poll: by the place alone.
func (o *offCPU) wakeupAt(p *process.Process, stack window.Resolved) lock.Identity {
	of := fmt.Sprintf("%d:poll", p.Program)
	return at(lock.Identity{ID: of, Of: of, Kind: lock.Wakeup, PID: p.Program}, o.place(stack))
}
