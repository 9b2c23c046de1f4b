// Package waits judges where threads waited: for which lock, for whom, and what that one
// did meanwhile.
//
// A recorder hands over one [Window] at a time, with profiles whose functions are named.
// [MarkIdle] first sets apart the waits of threads that have nothing to do: it changes
// nothing but their label "state", before the profile is written. [Places] names the locks
// that a program made for itself, such as PostgreSQL's. A [Tally] then adds the
// window up, in bounded memory, and gives out the [Document] that waits.json holds:
//
//	locks       each lock: how often and how long it was waited for, who held it last and
//	            what holders did meanwhile
//	edges       which thread waited for which
//	chains      what waiting leads to, from thread to lock to thread, to what is at the end
//	convoys     locks before which threads queue
//	deadlocks   threads that wait for each other in a circle
//
// Locks, edges and chains describe the same seconds from three sides: they are never added.
// The package works on numbers and pprof profiles; it knows neither the collector nor the
// host that was recorded.
//
// # What holders did
//
// The profile lock-held charges a holder's stacks with the time of all who waited for it
// at that moment. Its shares are of that time, not of the time that the lock was held.
//
// # How chains are followed
//
// From the largest waits on: a wait for a lock leads to what its holders did, by
// lock-held where that was recorded, else by who ended the waits; a wait for a thread
// leads to that thread's own time, waits that are idle left out. Each step takes the
// largest part: a lock, or a function of the program with all that was done in it, on a CPU,
// waiting for one or asleep. A chain ends where that part is no wait for a thread, where it comes back
// to where it has been, where less than 5 % of its first wait is left, and where nobody is
// known to be waited for. Threads of one name, numbers at its end apart, are one, in all
// processes that were forked without an exec.
//
// # Locks of a program's own
//
// PostgreSQL's processes wait for its locks each at a semaphore of its own, or in poll. A
// recorder keeps apart where they do, and the functions there name the lock, as "LWLockAcquire
// in XLogInsertRecord". Several locks that are wanted at one place are one then, and a lock
// that is wanted at two places is two.
package waits
