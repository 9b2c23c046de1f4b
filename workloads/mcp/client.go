package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/transport"
)

// Client calls the tools of one service. Any number of calls may run at a time.
type Client struct {
	input  io.WriteCloser
	output io.Reader
	turn   chan struct{} // held while a message is written

	mutex   sync.Mutex
	last    int64
	waiting map[int64]chan<- reply
	broken  *fault // why nothing can be asked any more

	reading sync.WaitGroup
}

// fault is an error and the outcome that it gives a request.
type fault struct {
	outcome metrics.Outcome
	err     error
}

// reply is the answer to a call as it came.
type reply struct {
	message
	first, end time.Time
	fault      *fault
}

// NewClient begins to read what the service says. The service's input has to have
// SetWriteDeadline and its output SetReadDeadline, as pipes and connections do;
// else they are closed where a deadline would have to pass.
func NewClient(input io.WriteCloser, output io.Reader) *Client {
	return newClient(input, output, MaxLine)
}

func newClient(input io.WriteCloser, output io.Reader, limit int) *Client {
	c := &Client{input: input, output: output, turn: make(chan struct{}, 1), waiting: make(map[int64]chan<- reply)}
	c.reading.Go(func() { c.read(limit) })
	return c
}

// Close closes the service's input, which asks it to end, and stops to read. Calls
// that still wait end.
func (c *Client) Close() error {
	err := c.input.Close()
	if errors.Is(err, os.ErrClosed) {
		err = nil // a call was given up while it was written
	}
	d, ok := c.output.(interface{ SetReadDeadline(time.Time) error })
	if !ok || d.SetReadDeadline(time.Unix(1, 0)) != nil {
		if closer, ok := c.output.(io.Closer); ok {
			_ = closer.Close() // there is nothing more to read, or nobody reads it
		}
	}
	c.reading.Wait()
	if err != nil {
		return fmt.Errorf("letting go of the service: %w", err)
	}
	return nil
}

// Initialize agrees on the protocol with the service.
func (c *Client) Initialize(ctx context.Context, name, version string) transport.Answer {
	answer := c.Request(ctx, "initialize", map[string]any{
		"protocolVersion": Version,
		"capabilities":    struct{}{},
		"clientInfo":      map[string]string{"name": name, "version": version},
	})
	if answer.Outcome != metrics.OK {
		return answer
	}
	line, err := encode(request{Version: jsonrpc, Method: "notifications/initialized"})
	if err == nil {
		err = c.write(ctx, line)
	}
	if err != nil {
		answer.Fail(transport.Classify(err, false), err)
	}
	return answer
}

// CallTool calls a tool; the answer's body is the text that it gives.
func (c *Client) CallTool(ctx context.Context, name string, arguments any) transport.Answer {
	answer := c.Request(ctx, "tools/call", call{name, arguments})
	if answer.Outcome != metrics.OK {
		return answer
	}
	var given result
	if err := json.Unmarshal(answer.Body, &given); err != nil {
		answer.Fail(metrics.Malformed, fmt.Errorf("reading the result of %s: %w", name, err))
		return answer
	}
	answer.Body = nil
	found := false
	for _, part := range given.Content {
		if part.Type == "text" {
			answer.Body = append(answer.Body, part.Text...)
			found = true
		}
	}
	switch {
	case given.IsError:
		answer.Fail(metrics.ServiceError, fmt.Errorf("%s failed: %s", name, transport.Excerpt(answer.Body)))
	case !found:
		answer.Fail(metrics.Empty, fmt.Errorf("%s answered without text", name))
	}
	return answer
}

// Request sends a request and waits for its answer until ctx ends; the answer's
// body is the result as it is written.
func (c *Client) Request(ctx context.Context, method string, params any) transport.Answer {
	var answer transport.Answer
	replies := make(chan reply, 1)
	id, broken := c.expect(replies)
	if broken != nil {
		answer.End = time.Now()
		answer.Fail(broken.outcome, broken.err)
		return answer
	}
	defer c.forget(id)
	line, err := encode(request{jsonrpc, json.RawMessage(strconv.FormatInt(id, 10)), method, params})
	if err == nil {
		err = c.write(ctx, line)
	}
	if err != nil {
		answer.End = time.Now()
		answer.Fail(transport.Classify(err, false), fmt.Errorf("sending %s: %w", method, err))
		return answer
	}
	select {
	case r := <-replies:
		answer.FirstByte, answer.End = r.first, r.end
		take(&answer, r, method)
	case <-ctx.Done():
		answer.End = time.Now()
		err := ending(ctx)
		answer.Fail(transport.Classify(err, false), fmt.Errorf("waiting for the answer to %s: %w", method, err))
	}
	return answer
}

// expect gets a number for a request and has its answer sent to replies.
func (c *Client) expect(replies chan<- reply) (id int64, broken *fault) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.broken != nil {
		return 0, c.broken
	}
	c.last++
	c.waiting[c.last] = replies
	return c.last, nil
}

func (c *Client) forget(id int64) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	delete(c.waiting, id)
}

// fail ends all requests that wait, and all to come.
func (c *Client) fail(f fault) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.broken == nil {
		c.broken = &f
	}
	for id, replies := range c.waiting {
		replies <- reply{fault: &f, end: time.Now()}
		delete(c.waiting, id)
	}
}
