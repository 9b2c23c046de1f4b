// Package rank answers which places hold a benchmark back: for each benchmark
// and service, the functions that used most of the service's CPU time
// themselves, with how sure that is and what fixing them could bring at most.
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
// # How sure
//
// Windows are replicates: a share over at least three of them is a ratio of two
// sums, and its interval follows from how the ratio varies between windows,
// which includes that neighbouring samples resemble each other. With fewer
// windows it is Wilson's interval for independent samples, which is too narrow
// when they are not independent. The interval names its method.
//
// # Priority
//
// The lower end of a share's interval and the benchmark's targets decide:
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
