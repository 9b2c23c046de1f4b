// Package alloc tells where programs allocate memory by malloc and its kin, and what of it
// they never free.
//
// [Open] loads the programs (bpf/alloc.bpf.c). [Watcher.Attach] is told of processes and
// their files; in each file that defines an allocator (the C library, jemalloc, tcmalloc, a
// static program) its functions get uprobes, of which package probesite chooses the byte.
// What is taken arrives in the core's ring buffer as [Event]s, which name their stacks by ID
// as waits do (package wait); what lives is read from the kernel by [Watcher.Live].
//
// Allocations are taken with a chance that grows with their size, 1 - exp(-size/mean), and
// stand for its inverse ([Weight]): sums are right on average, and it is known how
// uncertain they are. Probes cost the process time with each call, whatever is taken of them;
// [Limit] bounds that. A process of which it would be exceeded loses its probes, and the
// recording says so.
package alloc
