// Package sigmavault holds the benchmarks of encrypted storage of reusable semantic
// units (RSUs): [RSURead] and [RSUWrite]. They drive the HTTP interface that package
// server documents, or a directory of files, such as a mount of a service that has no
// other interface.
//
// An iteration stands for a context that is restored or saved: several clients at once
// read or write several units each, of which one is judged, by its time from the iteration's intended start. So the judged values
// are as many and as independent of each other as the iterations of an open loop, and
// the others are the load beside which they are measured. How many units an iteration
// has follows from how fast the service is in the warm-up: about 18 ms of work.
//
// Every answer is validated: what is read by a hash of its content, what is written by
// the service's word and, for a sample of it, by reading it back and comparing every
// byte. None of that is in the times.
//
// While exactly one iteration is in flight the phase is "read" and then "cold read", or
// "write" and then "read back".
package sigmavault

// Service is the name of the service that these benchmarks drive.
const Service = "sigmavault"

// Fields names the metrics of both benchmarks beyond the required ones; each benchmark
// leaves those of the other null. Times are in milliseconds.
//
//   - read_mean_ms, read_p50_ms, read_p95_ms, read_p99_ms: a warm read of one whole unit,
//     one of those that an iteration begins with at
//     once, from the intended start to the last byte.
//   - all_reads_p50_ms, all_reads_p99_ms: every warm read, from its own send.
//   - cold_read_mean_ms, cold_read_p50_ms, cold_read_p99_ms: one read an iteration of a
//     unit that was dropped from the caches before, from its own send; the document's
//     notes say what cold means for the target.
//   - write_mean_ms, write_p50_ms, write_p95_ms, write_p99_ms: a durable write of one
//     whole unit, one of those that an iteration begins with at once, from the intended
//     start to the word that it is on disk.
//   - all_writes_p50_ms, all_writes_p99_ms: every write, from its own send.
//   - throughput_mb_per_s: 10^6 bytes a second that one client moves while it waits for
//     an answer: the mean over iterations of bytes by time, of warm reads or of writes.
//   - operations_per_second: warm reads, or writes, by the length of the measured phase.
//   - unit_bytes_mean: the size of the judged units.
//   - peak_memory_mb: the peak resident memory of the service's process tree since its
//     start, in 10^6 bytes, with the pages of files that it maps.
func Fields() []string {
	return []string{
		"read_mean_ms", "read_p95_ms", "all_reads_p50_ms", "all_reads_p99_ms", "cold_read_mean_ms",
		"write_mean_ms", "write_p95_ms", "all_writes_p50_ms", "all_writes_p99_ms",
		"operations_per_second", "unit_bytes_mean",
	}
}
