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
)

// Faults lists what the service can be started with.
func Faults() []plant.Fault {
	const place = "glyph."
	return []plant.Fault{
		{
			Name: linearCodebook, Place: place + "(*Codebook).scanCodebook", Signal: plant.CPU,
			Benchmark: "CompressionThroughputBenchmark", Metric: "throughput_mb_per_s",
			Fault: "each word is compared with all patterns of its length in the codebook, one after another, so the time grows with the codebook",
			Fix:   "a hash table finds the pattern at once",
		},
		{
			Name: slowChecksum, Place: place + "checksumBitwise", Signal: plant.CPU,
			Benchmark: "CompressionThroughputBenchmark", Metric: "throughput_mb_per_s",
			Fault: "the checksum of each text is computed bit by bit",
			Fix:   "the processor's instruction for it is used",
		},
		{
			Name: freshEncoders, Place: place + "newWorkspace", Signal: plant.Alloc,
			Benchmark: "CompressionRatioBenchmark", Metric: "throughput_mb_per_s",
			Fault: "buffers, encoder and decoder are made anew for each segment of a text, megabytes that are thrown away after it",
			Fix:   "they are taken from a pool",
		},
	}
}

// damage is what a choice does to the codec. A fault that is mended is the service
// as it is.
func damage(c plant.Choice) glyph.Faults {
	return glyph.Faults{Scan: c.Has(linearCodebook), Bitwise: c.Has(slowChecksum), Fresh: c.Has(freshEncoders)}
}
