package ryot

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/openai"
)

// The phases of a request while it is the only one in flight.
const (
	prefill = "prefill"
	decode  = "decode"
)

// driver sends the requests of one run and keeps what came of them.
type driver struct {
	client    *openai.Client
	model     string
	maxTokens int
	judge     func(*metrics.Document, *samples)
	prompts   *prompts
	plain     bool         // found in the warm-up: it refuses optional fields
	phases    *load.Phases // nil in the warm-up

	mutex sync.Mutex
	seen  map[int]observation

	samples *samples // empty until the run is over
}

// observation is what a request record has no place for.
type observation struct {
	gaps         []time.Duration // between consecutive contents
	promptTokens int
}

// Measuring ends the warm-up.
func (d *driver) Measuring(phases *load.Phases) { d.phases = phases }

// Fill sets the metrics.
func (d *driver) Fill(document *metrics.Document, result *load.Result) {
	d.samples = collect(result, d.seen)
	d.samples.fill(document, result)
}

// Judge sets the target.
func (d *driver) Judge(document *metrics.Document) { d.judge(document, d.samples) }

// Send performs one request.
func (d *driver) Send(ctx context.Context, index int) load.Exchange {
	request := openai.Request{
		Model:       d.model,
		Messages:    []openai.Message{{Role: "user", Content: d.prompts.text(index)}},
		Temperature: 0.8,
		TopP:        0.95,
		MaxTokens:   d.maxTokens,
		OmitUsage:   d.plain,
	}
	if !d.plain {
		seed := d.prompts.answerSeed(index)
		request.Seed = &seed
	}
	if index < 0 {
		return d.warmUp(ctx, request)
	}
	d.phases.Enter(index, prefill)
	answer := d.client.Stream(ctx, request, func() { d.phases.Enter(index, decode) })
	d.phases.Leave(index)
	check(&answer, d.maxTokens)
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.seen[index] = observe(&answer)
	return exchange(&answer)
}

// warmUp sends a request and learns from the answer: whether the service takes
// the wish for a token count and a seed, and how long its tokens are.
func (d *driver) warmUp(ctx context.Context, request openai.Request) load.Exchange {
	answer := d.client.Stream(ctx, request, nil)
	refused := answer.Outcome == metrics.HTTPOutcome(http.StatusBadRequest) ||
		answer.Outcome == metrics.HTTPOutcome(http.StatusUnprocessableEntity)
	if refused && !request.OmitUsage {
		request.OmitUsage, request.Seed = true, nil
		answer = d.client.Stream(ctx, request, nil)
		d.plain = answer.Outcome == metrics.OK
	}
	check(&answer, d.maxTokens)
	if answer.Outcome == metrics.OK {
		d.prompts.fit(request.Messages[0].Content, answer.PromptTokens)
	}
	return exchange(&answer)
}

// check turns a whole answer that is not what was asked for into an invalid one.
func check(answer *openai.Answer, maxTokens int) {
	if answer.Outcome != metrics.OK {
		return
	}
	var fault error
	switch {
	case answer.FinishReason != "length" && answer.FinishReason != "stop":
		fault = fmt.Errorf("the answer ended for the reason %q, want stop or length", answer.FinishReason)
	case answer.Tokens < 1 || answer.Tokens > maxTokens:
		fault = fmt.Errorf("the answer has %d tokens (%s), asked were 1 to %d", answer.Tokens, answer.TokensFrom, maxTokens)
	}
	if fault != nil {
		answer.Outcome, answer.Err = metrics.InvalidAnswer, fault
	}
}

func observe(answer *openai.Answer) observation {
	seen := observation{promptTokens: answer.PromptTokens}
	last := answer.FirstToken
	for _, at := range answer.Chunks {
		seen.gaps = append(seen.gaps, at.Sub(last))
		last = at
	}
	return seen
}

func exchange(answer *openai.Answer) load.Exchange {
	return load.Exchange{
		Outcome:    answer.Outcome,
		Err:        answer.Err,
		FirstByte:  answer.FirstByte,
		FirstToken: answer.FirstToken,
		End:        answer.End,
		LocalPort:  answer.LocalPort,
		Tokens:     answer.Tokens,
		TokensFrom: answer.TokensFrom,
		Bytes:      answer.Bytes,
	}
}
