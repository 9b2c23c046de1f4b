package ryot

import (
	"fmt"
	"time"

	"github.com/narrows-profiler/narrows/workloads/benchmark"
	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
)

// samples are the values behind a document, of valid answers only; times are in
// milliseconds.
type samples struct {
	ttft, request, gaps     []float64
	rates                   []float64 // tokens a second
	prompt, output          []float64 // tokens
	answers, counted, short int
	failures                int
}

// collect gathers the samples of a run.
func collect(result *load.Result, observed map[int]observation) *samples {
	s := &samples{failures: benchmark.Failures(result)}
	for _, request := range result.Requests {
		if request.Outcome != metrics.OK {
			continue
		}
		s.answers++
		s.ttft = append(s.ttft, milliseconds(request.FirstToken.Sub(request.IntendedStart)))
		s.request = append(s.request, milliseconds(request.End.Sub(request.IntendedStart)))
		s.output = append(s.output, float64(request.Tokens))
		if request.TokensFrom == "chunks" {
			s.counted++
		}
		if decoding := request.End.Sub(*request.FirstToken); request.Tokens > 1 && decoding > 0 {
			s.rates = append(s.rates, float64(request.Tokens-1)/decoding.Seconds())
		} else {
			s.short++
		}
		seen := observed[request.Index]
		for _, gap := range seen.gaps {
			s.gaps = append(s.gaps, milliseconds(gap))
		}
		if seen.promptTokens > 0 {
			s.prompt = append(s.prompt, float64(seen.promptTokens))
		}
	}
	return s
}

// fill takes the samples of a run into its document.
func (s *samples) fill(document *metrics.Document, result *load.Result) {
	document.SetMean("ttft_mean_ms", s.ttft)
	document.SetQuantile("ttft_p50_ms", s.ttft, 0.50)
	document.SetQuantile("ttft_p95_ms", s.ttft, 0.95)
	document.SetQuantile("ttft_p99_ms", s.ttft, 0.99)
	document.SetMean("request_mean_ms", s.request)
	document.SetQuantile("request_p50_ms", s.request, 0.50)
	document.SetQuantile("request_p95_ms", s.request, 0.95)
	document.SetMean("tokens_per_second", s.rates)
	document.SetPooledMean("inter_token_mean_ms", s.gaps)
	document.SetPooledQuantile("inter_token_p50_ms", s.gaps, s.answers, 0.50)
	document.SetPooledQuantile("inter_token_p99_ms", s.gaps, s.answers, 0.99)
	document.SetMean("prompt_tokens_mean", s.prompt)
	document.SetMean("output_tokens_mean", s.output)
	if length := result.Ended.Sub(result.Started).Seconds(); length > 0 {
		document.Set("answers_per_second", float64(s.answers)/length)
	}
	if s.counted > 0 {
		document.Notes = append(document.Notes, fmt.Sprintf("the service gave no token count for %d of %d answers; their content chunks were counted", s.counted, s.answers))
	}
	if s.short > 0 {
		document.Notes = append(document.Notes, fmt.Sprintf("%d of %d answers had no second token to time; they are not in tokens_per_second", s.short, s.answers))
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
