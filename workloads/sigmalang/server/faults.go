package server

import (
	"github.com/narrows-profiler/narrows/workloads/plant"
	"github.com/narrows-profiler/narrows/workloads/sigmalang/glyph"
)

// The names of the faults.
const (
	linearCodebook = "linear-codebook"
	slowChecksum   = "slow-checksum"
	freshEncoders  = "fresh-encoders"
	sharedMemo     = "shared-memo"
)

// Faults lists what the service can be started with.
func Faults() []plant.Fault {
	return []plant.Fault{
		{
			Name: linearCodebook, Place: "glyph.(*Codebook).scanCodebook", Signal: plant.CPU,
			Benchmark: "CompressionThroughputBenchmark", Metric: "throughput_mb_per_s",
			Fault: "Each word is compared with all patterns of its length in the codebook, one after another, so the time grows with the codebook.",
			Fix:   "A hash table finds the pattern at once.",
		},
		{
			Name: slowChecksum, Place: "glyph.checksumBitwise", Signal: plant.CPU,
			Benchmark: "CompressionThroughputBenchmark", Metric: "throughput_mb_per_s",
			Fault: "The checksum of each text is computed bit by bit.",
			Fix:   "The processor's instruction for it is used.",
		},
		{
			Name: freshEncoders, Place: "glyph.newWorkspace", Signal: plant.Alloc,
			Benchmark: "CompressionRatioBenchmark", Metric: "throughput_mb_per_s",
			Fault: "Buffers, encoder and decoder are made anew for each segment of a text, megabytes that are thrown away after it.",
			Fix:   "They are taken from a pool.",
		},
		{
			Name: sharedMemo, Place: "glyph.(*wordMemo).recall", Signal: plant.Lock,
			Benchmark: "CompressionThroughputBenchmark", Metric: "throughput_mb_per_s",
			Fault: "Each word is looked up in a memo of the words used last, which the cores that compress share. Its lock is held while all words of a segment go through it, some milliseconds, so that the cores do most of their work in single file.",
			Fix:   "Words are looked up in the codebook itself, which does not change and needs no lock.",
		},
	}
}

// damage is what a choice does to the codec. A fault that is mended is the service
// as it is.
func damage(c plant.Choice) glyph.Faults {
	return glyph.Faults{Scan: c.Has(linearCodebook), Bitwise: c.Has(slowChecksum), Fresh: c.Has(freshEncoders), Memo: c.Has(sharedMemo)}
}
