// Package rank answers which places hold a benchmark back: for each benchmark
// and service, the functions that used most of the service's CPU time
// themselves, with how sure that is and what fixing them could bring at most; and beside
// them the places where threads and goroutines waited, and those that memory costs time.
//
// A [Tally] takes CPU profiles, one for each window of the recording, with the
// sample types samples/count and cpu/nanoseconds and the labels benchmark,
// service and phase. [Tally.Report] combines them with the benchmarks' metrics
// documents into a [Report], which is what bottleneck_report.json holds;
// [FromSession] does both for a recorded session. [ServiceProfile] is the
// flat table of one service's functions, profiles/<service>.json.
//
// # What is counted
//
// A sample belongs to its innermost frame alone, inlined functions included, so
// shares of one service in one benchmark add up to at most 1 and may be summed.
// The denominator is the CPU time of that service's samples in that benchmark.
// Weight that was lost ("[lost: reason]") is no place and is in no denominator;
// it is reported beside. Addresses without a function's name count together, as
// the unnamed code of their binary. Places with fewer than 30 samples are counted, not
// shown.
//
// # Places that wait
//
// One list ([Service.ByTime]) orders places of all kinds by one measure: seconds of CPU time
// or of waiting, of all threads and goroutines together, for each second that the benchmark
// ran. Three threads that wait all the time have a share of 3. Places are
//
//	locks      each lock by its ID, Go's by kind and waiting function; named by the innermost
//	           function that is not the lock's own, beside the one that lets go
//	off-cpu    waits for disks, page faults, times and pipes, by such a function
//	runnable   waits for a CPU, one place for each service
//	memory     the CPU time of allocators, garbage collectors, page faults and mappings, by the
//	           innermost function of the program that it is spent for
//
// CPU time of memory is that of stacks with such a function (memory.Work), and is not counted
// again with the function that is innermost. A garbage collector's own threads do not say for
// whom they work: where allocations were recorded, their time is shared out by the bytes that
// functions allocated, which is what makes collections due; else it is a place of its own. The
// first touch of fresh memory is of the function that touches it, which may be another one
// than allocated it.
//
// Each second of waiting counts once: who let a lock go and what holders did are the same
// seconds seen from the other side, and evidence only; off-CPU time in a state of which the
// locks are known is theirs. What is in no place is in [Service.Unranked] with the reason:
// waits of those with nothing to do, for what was started to be waited for, for queues
// while no CPU is idle, or the service is held up by locks, or those who serve the queue wait
// most of their time at places of the list. What they do is what ran and waited below the
// innermost function that all stacks have which let the queue's waiters go.
//
// Causes are told by the table in causes.go. What holders of Go's locks did is not recorded;
// what ran and waited below the function that lets go, or that calls it and what takes the lock,
// stands for it, and the entry says so.
//
// A closed loop gains at most the share of its time that a place waits, or all of it where
// the share is 1 or more. Of an open loop nothing is predicted: its time does not shrink, and
// how much of a request's time a wait is, is not known here.
//
// # How sure
//
// Windows are replicates: a share over at least three of them is a ratio of two
// sums, and its interval follows from how the ratio varies between windows,
// which includes that neighbouring samples resemble each other. With fewer
// windows it is Wilson's interval for independent samples, which is too narrow
// when they are not independent. The interval names its method.
//
// Waits are measured, not sampled, and have no interval. Of a place of memory the lower end of the
// interval of what was sampled below it decides the priority, and is not told; how well allocated
// bytes share out a garbage collector's time is not known, and in no interval.
//
// # Priority
//
// The lower end of a share's interval, or the share of the benchmark's time of a place that
// waits, and the benchmark's targets decide:
//
//	share is at least     target missed   undecided or none   target met
//	20 %                  CRITICAL        HIGH                MEDIUM
//	5 %                   HIGH            MEDIUM              LOW
//	less                  MEDIUM          LOW                 LOW
//
// Only targets in a unit of time or rate count, and only those of a benchmark
// that ran as asked; a compression ratio is not reached by saving CPU time.
//
// # Payoff
//
// Amdahl's law (AFIPS 1967): if a share f of the time is made s times faster,
// f(1-1/s) of the time is saved, never more than f, and the whole becomes at
// most 1/(1-f) times faster. Here f is a share of CPU time; a benchmark that
// waits gains less.
package rank
