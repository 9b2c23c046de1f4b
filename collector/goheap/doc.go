// Package goheap reads the sampled heap profile that Go's runtime keeps of itself, from
// outside: out of the memory of processes that go on running, without an import, a signal
// or a stop.
//
// [Open] finds where an unmodified program that Go 1.20 or later linked, stripped or not,
// has the profile. [Heap.Read] copies it: what was sampled at each stack since the
// program began, as the program's own heap profile would have it at that moment, and what
// came later and is not published yet. [Snapshot.Sub] leaves what a recording added.
// [Heap.Samples] and [Heap.Profile] scale it as package runtime/pprof does.
//
// # What is read
//
// Variables of the runtime, all in src/runtime: mbuckets and mProfCycle (mprof.go),
// MemProfileRate (mprof.go). mbuckets begins a list of buckets, one for each size of
// allocation at each stack; nothing is ever taken off it, and new ones are put in front
// when they are complete. A bucket is, in words of 8 bytes (mprof.go: bucket, memRecord,
// memRecordCycle; newBucket, stk and mp lay them out):
//
//	0  next       of the same hash
//	1  allnext    of the list
//	2  typ        1, memProfile
//	3  hash       of the stack and the size (stkbucket)
//	4  size       of each allocation
//	5  nstk       how many words the stack has
//	6  stk        return addresses, the innermost first
//	.. active     allocs, frees, alloc_bytes, free_bytes: what is published
//	.. future     the same, three times, by cycle modulo 3
//
// These were compared in the sources of Go 1.20.14, 1.21.13, 1.22.12, 1.23.12, 1.24.11,
// 1.25.5 and 1.26.8: they are the same. What has changed is the longest stack (32 words,
// since 1.23 up to 1024: maxStack, maxProfStackDepth), and which function asks for the
// profile (MemProfile, since 1.23 memProfileInternal). Nothing here goes by the version:
// the hash of each bucket is computed again from its stack and size, so that another layout
// is refused and not misread.
//
// mProfCycle has the number of the cycle C above its lowest bit. Allocations are counted in
// future[(C+2)%3] and what is freed in future[(C+1)%3]; each garbage collection begins a
// cycle and adds what has become future[C%3] to active. MemProfile does that first, if it is
// still to be done, and gives active; so does Read, in its copy. Where nothing was ever
// published, MemProfile adds all three; so does Read.
//
// # Limits
//
// The linker turns memory profiling off in programs that nothing could ask for their profile,
// that is which do not have runtime/pprof or net/http/pprof linked in ([ErrNotProfiled]).
// As in Go's own profile, what is published may be two garbage collections old.
package goheap
