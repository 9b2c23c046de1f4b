// Package sigmalang holds the benchmarks of text compression. They drive a service
// over HTTP or as a tool over its standard input and output, and judge two things:
// [CompressionRatio] how small it makes texts, [CompressionThroughput] how fast.
//
// A request of either is a set of texts, the same share of each kind (see package
// corpus): each is encoded, then what came is decoded and compared with the text.
// Both fill the same metrics, described at [Fields], and a verdict on whether the
// texts came back: no ratio means anything without it. While exactly one set is in
// flight the phase is "encode" or "decode"; otherwise it is load.Mixed, and during
// the warm-up load.Warmup.
//
// What is judged are English and code together, an equal number of bytes of each.
// The other two kinds are the best and the worst that can come to a compressor;
// how much of them a mean should have is anybody's guess, and decides what it is.
package sigmalang

// Fields names the metrics of both benchmarks. A megabyte is 10^6 bytes of text, in
// UTF-8. Times of compression are a request's, from the first byte sent to the last
// one received, and without waiting for the schedule.
//
//   - compression_ratio: bytes of text by bytes of its encoded form, of English and
//     code; the mean over the sets. compression_ratio_english, _code, _repeated and
//     _random are those of one kind, compression_ratio_all that of all kinds.
//   - round_trip_ok_ratio: the share of the texts that were decoded again and came
//     back as they were.
//   - throughput_mb_per_s: bytes of text by the time to encode them, of English and
//     code; the mean over the sets. throughput_mb_per_s_english, ... are those of
//     one kind. decompress_mb_per_s is that of decoding them.
//   - compress_ms_per_mb, decompress_ms_per_mb: the same as time, the mean over the
//     sets.
//   - encode_p50_ms, encode_p95_ms: of single texts of all kinds.
//   - request_mean_ms, request_p95_ms: of whole sets, from the intended start.
//   - text_bytes_mean: the mean length of a text.
//   - peak_memory_mb: the peak resident memory of the service's process tree since
//     its start.
func Fields() []string {
	return []string{
		"throughput_mb_per_s_english", "throughput_mb_per_s_code", "throughput_mb_per_s_repeated", "throughput_mb_per_s_random",
		"decompress_mb_per_s", "encode_p50_ms", "encode_p95_ms", "request_mean_ms", "request_p95_ms", "text_bytes_mean",
	}
}
