// Package ryot holds the benchmarks of language-model inference. They drive any
// service with OpenAI's streaming chat interface, each request with a prompt of
// its own, and judge the answers: [FirstTokenLatency] is about the time to the
// first token, [TokenGeneration] about the rate of those after it.
//
// Both fill the same metrics, described at [Fields]. While exactly one request
// is in flight the phase is "prefill" until its first token and "decode" after
// it; otherwise it is load.Mixed, and during the warm-up load.Warmup.
package ryot

// Fields names the metrics of both benchmarks beyond the required ones. Times
// count from a request's intended start, except those between tokens:
//
//   - ttft_mean_ms, ttft_p50_ms, ttft_p95_ms, ttft_p99_ms: to the first content.
//   - tokens_per_second: the mean over answers of (tokens - 1) / (end - first
//     content), so the prompt's processing is not in it.
//   - inter_token_mean_ms, inter_token_p50_ms, inter_token_p99_ms: between
//     consecutive contents of one answer, over all answers.
//   - request_mean_ms, request_p50_ms, request_p95_ms: to the end of the answer.
//   - answers_per_second: valid answers by the length of the measured phase.
//   - prompt_tokens_mean, output_tokens_mean: by the service's own count.
//   - peak_memory_mb: the peak resident memory of the service's process tree
//     since its start, in 10^6 bytes.
func Fields() []string {
	return []string{
		"inter_token_mean_ms", "inter_token_p50_ms", "inter_token_p99_ms",
		"request_mean_ms", "request_p50_ms", "request_p95_ms",
		"answers_per_second", "prompt_tokens_mean", "output_tokens_mean",
	}
}
