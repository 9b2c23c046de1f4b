package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/narrows-profiler/narrows/workloads/agents/collective"
	"github.com/narrows-profiler/narrows/workloads/agents/knowledge"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/openai"
	"github.com/narrows-profiler/narrows/workloads/transport"
)

// Partners are the services that a task may be handed to. The zero value has none.
type Partners struct {
	ryot                  *openai.Client
	model                 string
	client                *http.Client
	sigmalang, sigmavault *url.URL
}

// NewPartners returns the partners at the given addresses, of which any may be empty.
// Nothing is asked of them yet.
func NewPartners(ryot, model, sigmalang, sigmavault string) (Partners, error) {
	p := Partners{model: model, client: transport.NewClient(nil)}
	var err error
	if ryot != "" {
		if p.ryot, err = openai.NewClient(ryot, nil); err != nil {
			return Partners{}, fmt.Errorf("connecting ryot: %w", err)
		}
	}
	for name, base := range map[string]struct {
		address string
		at      **url.URL
	}{"sigmalang": {sigmalang, &p.sigmalang}, "sigmavault": {sigmavault, &p.sigmavault}} {
		if base.address == "" {
			continue
		}
		if *base.at, err = transport.Base(base.address); err != nil {
			return Partners{}, fmt.Errorf("connecting %s: %w", name, err)
		}
	}
	return p, nil
}

// Close closes the idle connections.
func (p Partners) Close() {
	if p.ryot != nil {
		p.ryot.Close()
	}
	if p.client != nil {
		p.client.CloseIdleConnections()
	}
}

// connected lists the partners' names.
func (p Partners) connected() []string {
	names := []string{}
	for _, partner := range p.all() {
		if partner.connected {
			names = append(names, partner.name)
		}
	}
	return names
}

// partner is one service by what it does for a task.
type partner struct {
	name      string
	connected bool
	// words ask for it.
	words string
	// instead is said where a task asks for it and it is not connected.
	instead string
	call    func(ctx context.Context, task string, draft *collective.Draft) (note string, err error)
}

func (p Partners) all() []partner {
	return []partner{
		{"ryot", p.ryot != nil, "draft explain summarise summarize propose", "answered from the own index", p.infer},
		{"sigmalang", p.sigmalang != nil, "compress condense", "nothing was compressed", p.compress},
		{"sigmavault", p.sigmavault != nil, "archive remember", "nothing was stored", p.store},
	}
}

// partnerError says that a service failed which a task was handed to.
type partnerError struct {
	name string
	err  error
}

func (e *partnerError) Error() string { return fmt.Sprintf("%s failed: %v", e.name, e.err) }

func (e *partnerError) Unwrap() error { return e.err }

// consult hands a task to the partners that its words ask for and returns what each
// has to say, or that it could not be asked.
func (p Partners) consult(ctx context.Context, task string, draft *collective.Draft) ([]string, error) {
	asked := make(map[string]bool)
	for word := range knowledge.Tokenize(task) {
		asked[word] = true
	}
	var notes []string
	for _, partner := range p.all() {
		wanted := false
		for word := range knowledge.Tokenize(partner.words) {
			wanted = wanted || asked[word]
		}
		if !wanted {
			continue
		}
		if !partner.connected {
			notes = append(notes, fmt.Sprintf("%s is not connected: %s.", partner.name, partner.instead))
			continue
		}
		note, err := partner.call(ctx, task, draft)
		if err != nil {
			return nil, &partnerError{partner.name, err}
		}
		notes = append(notes, partner.name+" "+note)
	}
	return notes, nil
}

const (
	// inferred is how many tokens a text of the language model has at most, and
	// maxPrompt how much of a task it is shown, in bytes.
	inferred  = 32
	maxPrompt = 512
	// maxReply bounds a partner's answer, in bytes.
	maxReply = 4 << 20
)

// infer has the language model write about a task, the same text each time.
func (p Partners) infer(ctx context.Context, task string, draft *collective.Draft) (string, error) {
	prompt := strings.ToValidUTF8(task[:min(len(task), maxPrompt)], "")
	if len(draft.Advice) > 0 {
		prompt += "\n" + draft.Advice[0].Text
	}
	// 31 bits of the digest, which every server's JSON reader keeps whole.
	bits, err := strconv.ParseUint(draft.Digest[:8], 16, 32)
	if err != nil {
		return "", fmt.Errorf("reading the digest: %w", err)
	}
	seed := int64(bits >> 1)
	answer := p.ryot.Stream(ctx, openai.Request{
		Model: p.model, Messages: []openai.Message{{Role: "user", Content: prompt}},
		MaxTokens: inferred, TopP: 1, Seed: &seed,
	}, nil)
	if answer.Outcome != metrics.OK {
		return "", answer.Err
	}
	return fmt.Sprintf("writes: %q", answer.Text), nil
}

// compress has the answer encoded. A service that answers numbers instead of bytes, an
// embedding, is taken at its word.
func (p Partners) compress(ctx context.Context, _ string, draft *collective.Draft) (string, error) {
	var reply struct {
		Success        *bool     `json:"success"`
		Error          any       `json:"error"`
		OriginalSize   int       `json:"original_size"`
		CompressedSize int       `json:"compressed_size"`
		Embedding      []float64 `json:"embedding"`
	}
	text := draft.Compose()
	body, err := json.Marshal(map[string]string{"text": text})
	if err != nil {
		return "", fmt.Errorf("encoding a request: %w", err)
	}
	if err := p.exchange(ctx, http.MethodPost, p.sigmalang.JoinPath("api/v1/encode"), "application/json", body, &reply); err != nil {
		return "", err
	}
	switch {
	case reply.Success != nil && !*reply.Success:
		return "", reported(reply.Error)
	case reply.CompressedSize > 0:
		return fmt.Sprintf("makes %d bytes of the %d.", reply.CompressedSize, len(text)), nil
	case len(reply.Embedding) > 0:
		return fmt.Sprintf("makes an embedding of %d numbers.", len(reply.Embedding)), nil
	}
	return "", errors.New("its answer has neither a compressed size nor an embedding")
}

// reported is the error that a service put into an answer of status 200.
func reported(text any) error {
	return fmt.Errorf("the service reported an error within its answer: %.200v", text)
}

// exchange sends a body and reads JSON.
func (p Partners) exchange(ctx context.Context, method string, to *url.URL, kind string, body []byte, reply any) error {
	request, err := http.NewRequestWithContext(ctx, method, to.String(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("building a request: %w", err)
	}
	request.Header.Set("Content-Type", kind)
	answer := transport.Call(ctx, p.client, request, maxReply, "a JSON document", "application/json")
	if answer.Outcome != metrics.OK {
		return answer.Err
	}
	if err := json.Unmarshal(answer.Body, reply); err != nil {
		return fmt.Errorf("reading the answer: %w: %s", err, transport.Excerpt(answer.Body))
	}
	return nil
}
