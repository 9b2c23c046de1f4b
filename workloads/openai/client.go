package openai

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/transport"
)

// Client sends requests to one service.
type Client struct {
	base *url.URL
	http *http.Client
}

// NewClient returns a client of the service at base, for example
// "http://127.0.0.1:8000". A path of base is kept before "/v1/...". A nil dial
// stands for TCP as usual.
func NewClient(base string, dial transport.Dial) (*Client, error) {
	target, err := transport.Base(base)
	if err != nil {
		return nil, err
	}
	return &Client{base: target, http: transport.NewClient(dial)}, nil
}

// Close closes the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Stream sends a request and reads the answer to its end, or to ctx's. It calls
// firstToken, if set, when the first content has arrived. Whatever happens is in
// the Answer.
func (c *Client) Stream(ctx context.Context, request Request, firstToken func()) Answer {
	wire := wireRequest{Request: request, Stream: true}
	if !request.OmitUsage {
		wire.StreamOptions = &streamOptions{IncludeUsage: true}
	}
	return c.StreamFrom(ctx, "v1/chat/completions", wire, firstToken)
}

// StreamFrom is Stream for a service that answers with the same stream of events but
// at another path, relative to the base, and to another request, any JSON document.
func (c *Client) StreamFrom(ctx context.Context, path string, request any, firstToken func()) Answer {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var answer Answer
	var trace transport.Trace
	err := c.exchange(trace.Attach(ctx), cancel, path, request, &answer, firstToken)
	answer.FirstByte, answer.LocalPort = trace.Seen()
	if err != nil {
		answer.fail(transport.Classify(err, !answer.FirstByte.IsZero()), err)
	}
	if answer.End.IsZero() {
		answer.End = time.Now()
	}
	if answer.Outcome != metrics.OK {
		answer.TokensFrom = ""
		answer.Tokens = 0
	}
	return answer
}

// exchange performs the request into answer; the error is one of transport.
func (c *Client) exchange(ctx context.Context, cancel func(), path string, request any, answer *Answer, firstToken func()) error {
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("encoding a request: %w", err)
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.JoinPath(path).String(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("building a request: %w", err)
	}
	post.Header.Set("Content-Type", "application/json")
	post.Header.Set("Accept", "text/event-stream")
	response, err := c.http.Do(post)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer.Header = response.Header
	if fault := transport.Refusal(response, "a stream of events", "text/event-stream", "text/plain"); fault != nil {
		answer.fail(fault.Outcome, fault)
		return nil
	}
	events := NewReader(response.Body)
	if err := answer.read(events, firstToken); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if answer.Outcome == metrics.OK {
		drain(response.Body, cancel)
	}
	return nil
}

// drain reads what follows the end mark, normally nothing but the body's end, so
// that the connection can serve the next request. A service that keeps the
// stream open loses its connection after a moment.
func drain(body io.Reader, cancel func()) {
	const moment, most = 100 * time.Millisecond, 4096
	impatience := time.AfterFunc(moment, cancel)
	defer impatience.Stop()
	// Whatever goes wrong costs the connection only: the answer is complete.
	_, _ = io.CopyN(io.Discard, body, most)
}
