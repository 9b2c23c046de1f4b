package futex

import (
	"fmt"
	"slices"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/lock"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/wait"
)

// Key tells locks apart.
type Key struct {
	PID     uint32
	Address uint64
}

// Kinds of locks, as far as a futex call tells.
const (
	PIMutex = "pi mutex"
	Mutex   = "mutex"
	Join    = "join" // a thread's end
	Unknown = "futex"
)

// Operations that wait for a lock which the kernel hands over (linux/futex.h).
const (
	lockPI     = 6
	lockPI2    = 13
	waiters    = 1 << 31
	tidMask    = 1<<30 - 1
	private    = 128
	contended  = 2
	mostThread = 4 << 20 // PID_MAX_LIMIT
)

// Identify names the lock that a call waits for. Names of functions tell more later: a
// condition variable's or a semaphore's call looks like any other.
func Identify(pid uint32, call wait.FutexCall) lock.Identity {
	return lock.Identity{ID: name(pid, call.Address), Kind: kind(call, false), PID: pid, Address: call.Address}
}

// Identify names the lock that a thread waits for. A thread's end is told from other futexes
// by the thread, which must be one of the process.
func (l *Locks) Identify(e wait.Event) lock.Identity {
	id := Identify(e.Thread.PID, e.Futex)
	_, thread := l.Owner(e)
	id.Kind = kind(e.Futex, thread)
	return id
}

func kind(call wait.FutexCall, thread bool) string {
	switch {
	case call.Operation == lockPI+1 || call.Operation == lockPI2+1:
		return PIMutex
	case call.Value == contended || call.Value&waiters != 0 && call.Value&tidMask != 0 && call.Value&tidMask < mostThread:
		return Mutex
	case thread && call.Flags&private == 0 && call.Value > contended && call.Value < mostThread && call.Owner == call.Value:
		return Join
	}
	return Unknown
}

// Private tells that no other process has the lock that a call with these flags is about.
func Private(flags uint32) bool { return flags&private != 0 }

// OfProcess is a lock by the name that it has in a process.
func OfProcess(id lock.Identity, pid uint32) lock.Identity {
	id.ID, id.PID = name(pid, id.Address), pid
	return id
}

func name(pid uint32, address uint64) string { return fmt.Sprintf("%d:%#x", pid, address) }

// Exclusive tells that a lock of this kind has one holder at a time.
func Exclusive(kind string) bool { return kind == Mutex || kind == PIMutex }

// Release is that a thread let go of a lock, and woke one that waited for it.
type Release struct {
	Key  Key
	Time uint64
	By   wait.Waker

	taken uint64 // when the one that was woken ran; 0 if that is not known yet
}

// Released says whose futex call ended the wait, if one did.
func Released(e wait.Event) (Release, bool) {
	if e.Futex.Operation == 0 || e.Woken == 0 || e.Waker.TID == 0 || e.Flags&bpf.CoreWaitFlagWAIT_RELEASED == 0 {
		return Release{}, false
	}
	return Release{Key: Key{e.Thread.PID, e.Futex.Address}, Time: e.Woken, By: e.Waker}, true
}

// Holding is that a thread held a lock for a part of somebody's wait.
type Holding struct {
	From, To uint64
	// Free is when it let go of it: until To nobody held it, since the next had no CPU.
	Free uint64
	// By is the holder, its TID 0 if it is not known, and its stack where it let go.
	By wait.Waker
}

// maxReleases bounds what is kept of one lock, and of all.
const (
	maxReleases    = 8 << 10
	maxAllReleases = 256 << 10
)

// Locks knows who held which lock when. It is used by one goroutine.
type Locks struct {
	releases map[Key][]Release
	kept     int
	owners   owners
	holdings []Holding
}

// NewLocks knows nothing yet.
func NewLocks() *Locks { return &Locks{releases: map[Key][]Release{}, owners: newOwners()} }

// See learns how a thread calls itself.
func (l *Locks) See(t process.Thread, namespaceTID uint32) { l.owners.see(t, namespaceTID) }

// Release keeps that a lock was let go of.
func (l *Locks) Release(r Release) {
	if l.kept >= maxAllReleases {
		clear(l.releases)
		l.kept = 0
	}
	of := l.releases[r.Key]
	if len(of) >= maxReleases {
		of = slices.Delete(of, 0, maxReleases/2)
		l.kept -= maxReleases / 2
	}
	at := len(of)
	for at > 0 && of[at-1].Time > r.Time { // one that is heard of late
		at--
	}
	l.releases[r.Key] = slices.Insert(of, at, r)
	l.kept++
}

// Taken keeps that a thread runs again to which a lock was let go.
func (l *Locks) Taken(e wait.Event) {
	r, ok := Released(e)
	if !ok {
		return
	}
	of := l.releases[r.Key]
	for i := len(of) - 1; i >= 0 && of[i].Time >= r.Time; i-- {
		if of[i].Time == r.Time {
			of[i].taken = e.Time
			return
		}
	}
	r.taken = e.Time
	l.Release(r)
}

// Forget drops what was before the time.
func (l *Locks) Forget(before uint64) {
	l.kept = 0
	for key, of := range l.releases {
		of = slices.DeleteFunc(of, func(r Release) bool { return r.Time < before })
		if len(of) == 0 {
			delete(l.releases, key)
			continue
		}
		l.releases[key] = of
		l.kept += len(of)
	}
	l.owners.forget()
}

// Owner is the thread that the lock's memory named as its owner, if it is one of the process.
func (l *Locks) Owner(e wait.Event) (tid uint32, ok bool) {
	return l.owners.find(e.Thread, e.NamespaceTID, e.Futex.Owner)
}

// Holders says who held the lock between two times of a wait for it that had not ended by
// then, in order and without gaps. It is valid until the next call.
func (l *Locks) Holders(e wait.Event, kind string, from, to uint64) []Holding {
	l.holdings = l.holdings[:0]
	last := l.lastHolder(e, kind)
	if Exclusive(kind) {
		of := l.releases[Key{e.Thread.PID, e.Futex.Address}]
		first, _ := slices.BinarySearchFunc(of, e.Since, func(r Release, since uint64) int {
			if r.Time <= since {
				return -1
			}
			return 1
		})
		for i, r := range of[first:] {
			if r.Time >= to {
				last = r.By // it held it until then
				break
			}
			if !released(e) && e.Flags&bpf.CoreWaitFlagWAIT_OPEN == 0 {
				last = wait.Waker{} // the owner of the beginning is gone
			}
			end := r.Time
			if kind != PIMutex { // which the kernel gives to the next at once
				end = min(max(end, r.taken), to)
			}
			if next := first + i + 1; next < len(of) {
				end = min(end, of[next].Time) // another one was faster
			}
			if end > from {
				l.holdings = append(l.holdings, Holding{from, end, max(r.Time, from), r.By})
				from = end
			}
		}
	}
	if from < to || len(l.holdings) == 0 {
		l.holdings = append(l.holdings, Holding{from, to, to, last})
	}
	return l.holdings
}

func released(e wait.Event) bool { return e.Flags&bpf.CoreWaitFlagWAIT_RELEASED != 0 }

// lastHolder is who held the lock at the end of a wait: who let the waiter go on, else the
// owner by the lock's memory. Of a wait that was given up that was its owner at the beginning.
func (l *Locks) lastHolder(e wait.Event, kind string) wait.Waker {
	if released(e) || kind == lock.Wakeup {
		return e.Waker
	}
	if tid, ok := l.Owner(e); ok {
		by := wait.Waker{PID: e.Thread.PID, TID: tid}
		if e.Waker.TID == tid {
			by.Stack = e.Waker.Stack
		}
		return by
	}
	// The end of a thread, or a wait that was moved to another lock, ends without such a call.
	if e.Waker.TID != 0 && e.Waker.PID == e.Thread.PID && !Exclusive(kind) {
		return e.Waker
	}
	return wait.Waker{}
}
