package openai

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/narrows-profiler/narrows/workloads/metrics"
)

// Client sends requests to one service. It follows no redirects, uses no proxy
// and asks for no compression: each would time something else than the service.
type Client struct {
	base *url.URL
	http *http.Client
}

// Dial opens a connection; it is the type of net.Dialer's DialContext.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// NewClient returns a client of the service at base, for example
// "http://127.0.0.1:8000". A path of base is kept before "/v1/...". A nil dial
// stands for TCP as usual.
func NewClient(base string, dial Dial) (*Client, error) {
	target, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("reading the service's address: %w", err)
	}
	if target.Scheme != "http" && target.Scheme != "https" || target.Host == "" {
		return nil, fmt.Errorf("the service's address %q is not http://HOST:PORT or https://HOST:PORT", target.Redacted())
	}
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	transport := &http.Transport{
		DialContext:            dial,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    256,
		MaxResponseHeaderBytes: 256 << 10,
		IdleConnTimeout:        time.Minute,
	}
	return &Client{base: target, http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Close closes the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Stream sends a request and reads the answer to its end, or to ctx's. It calls
// firstToken, if set, when the first content has arrived. Whatever happens is in
// the Answer.
func (c *Client) Stream(ctx context.Context, request Request, firstToken func()) Answer {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var answer Answer
	var trace connectionTrace
	err := c.exchange(trace.attach(ctx), cancel, request, &answer, firstToken)
	trace.copy(&answer)
	if err != nil {
		answer.fail(classify(err, !answer.FirstByte.IsZero()), err)
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
func (c *Client) exchange(ctx context.Context, cancel func(), request Request, answer *Answer, firstToken func()) error {
	wire := wireRequest{Request: request, Stream: true}
	if !request.OmitUsage {
		wire.StreamOptions = &streamOptions{IncludeUsage: true}
	}
	body, err := json.Marshal(wire)
	if err != nil {
		return fmt.Errorf("encoding a request: %w", err)
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.JoinPath("v1/chat/completions").String(), bytes.NewReader(body))
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
	if fault := refusal(response); fault != nil {
		answer.fail(fault.outcome, fault)
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

// fault is an answer that is no stream of events.
type fault struct {
	outcome metrics.Outcome
	text    string
}

func (f *fault) Error() string { return f.text }

// refusal returns what makes a response no stream of events, or nil.
func refusal(response *http.Response) *fault {
	if response.StatusCode != http.StatusOK {
		text := fmt.Sprintf("the service answered HTTP %d: %s", response.StatusCode, beginning(response.Body))
		return &fault{metrics.HTTPOutcome(response.StatusCode), text}
	}
	header := response.Header.Get("Content-Type")
	kind, _, err := mime.ParseMediaType(header)
	if header != "" && (err != nil || kind != "text/event-stream" && kind != "text/plain") {
		text := fmt.Sprintf("the service answered %q where a stream of events was asked for: %s", header, beginning(response.Body))
		return &fault{metrics.Malformed, text}
	}
	return nil
}

// beginning reads as much of a body as an error message has room for.
func beginning(body io.Reader) string {
	content, err := io.ReadAll(io.LimitReader(body, 200))
	if err != nil && len(content) == 0 {
		return fmt.Sprintf("(no body: %v)", err)
	}
	return excerpt(content)
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

// classify names a transport error. Answering tells whether any byte of an
// answer had come.
func classify(err error, answering bool) metrics.Outcome {
	var timeout net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return metrics.Canceled
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return metrics.TimedOut
	case errors.Is(err, syscall.ECONNREFUSED):
		return metrics.Refused
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return metrics.Reset
	case answering && (errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)):
		return metrics.Truncated
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), strings.Contains(err.Error(), "server closed idle connection"):
		return metrics.Reset
	case strings.Contains(err.Error(), "server response headers exceeded"):
		return metrics.TooLarge
	case strings.Contains(err.Error(), "malformed HTTP"), strings.Contains(err.Error(), "invalid byte in chunk length"),
		strings.Contains(err.Error(), "malformed chunked encoding"):
		return metrics.Malformed
	}
	if answering {
		return metrics.Malformed
	}
	return metrics.Unreachable
}

// connectionTrace collects what net/http tells from other goroutines.
type connectionTrace struct {
	mutex     sync.Mutex
	firstByte time.Time
	localPort int
}

func (t *connectionTrace) attach(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			t.mutex.Lock()
			defer t.mutex.Unlock()
			if address, ok := info.Conn.LocalAddr().(*net.TCPAddr); ok {
				t.localPort = address.Port
			}
		},
		GotFirstResponseByte: func() {
			t.mutex.Lock()
			defer t.mutex.Unlock()
			t.firstByte = time.Now()
		},
	})
}

func (t *connectionTrace) copy(answer *Answer) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	answer.FirstByte, answer.LocalPort = t.firstByte, t.localPort
}
