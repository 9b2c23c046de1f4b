// Package costs measures what Narrows itself takes from a machine: the eBPF
// program for each sample, the collector, the symbolizer, the start of a
// recording, its memory, and the slowdown of a busy target.
//
// [Measure] takes everything and [Peers] compares with perf; both return a
// [Table], which prints itself in Markdown with the machine it was measured on.
// Everything is the median of repeated measurements, with a distribution-free
// interval where there are enough of them. A slowdown is the ratio of two runs of
// the same work next to each other, one bare and one not, in alternating order;
// pairs of different conditions are interleaved, and pairs of two bare runs show
// what the machine's own noise amounts to.
//
// It needs root, a C compiler for the target, and Go for the packages' benchmarks.
package costs
