package openai

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/narrows-profiler/narrows/workloads/metrics"
)

// pipeListener hands out the server's ends of in-memory connections, so that a
// whole HTTP exchange runs on a fake clock.
type pipeListener struct {
	connections chan net.Conn
	closed      chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case connection := <-l.connections:
		return connection, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.closed); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// servePipe returns a client of handler without a network in between.
func servePipe(t *testing.T, handler http.HandlerFunc) *Client {
	t.Helper()
	listener := &pipeListener{make(chan net.Conn), make(chan struct{})}
	server := &http.Server{Handler: handler}
	over := make(chan struct{})
	go func() { defer close(over); _ = server.Serve(listener) }()
	client, err := NewClient("http://service", func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		listener.connections <- far
		return near, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close(); <-over })
	return client
}

// With a fake clock the times of an answer are exactly the server's script.
func TestTimesAreExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var connections, requests int
		client := servePipe(t, func(w http.ResponseWriter, r *http.Request) {
			requests++
			flush := http.NewResponseController(w).Flush
			script := func(wait time.Duration, text string) {
				time.Sleep(wait)
				_, _ = io.WriteString(w, text)
				_ = flush()
			}
			w.Header().Set("Content-Type", "text/event-stream")
			script(30*time.Millisecond, role)
			script(20*time.Millisecond, ": still thinking\n\n")
			script(50*time.Millisecond, piece("a"))
			script(7*time.Millisecond, piece("b"))
			script(9*time.Millisecond, piece("c")[:20])
			script(4*time.Millisecond, piece("c")[20:]+piece("d"))
			script(10*time.Millisecond, finish+counts+done)
		})
		dial := client.http.Transport.(*http.Transport).DialContext
		client.http.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			connections++
			return dial(ctx, network, address)
		}
		for range 3 {
			start := time.Now()
			var noticed time.Duration
			answer := client.Stream(t.Context(), Request{}, func() { noticed = time.Since(start) })
			if answer.Outcome != metrics.OK {
				t.Fatal(answer.Err)
			}
			var chunks []time.Duration
			for _, at := range answer.Chunks {
				chunks = append(chunks, at.Sub(start))
			}
			const ms = time.Millisecond
			if got := answer.FirstByte.Sub(start); got != 30*ms {
				t.Errorf("first byte after %v, want 30 ms", got)
			}
			if got := answer.FirstToken.Sub(start); got != 100*ms || noticed != 100*ms {
				t.Errorf("first token after %v, told after %v, want 100 ms", got, noticed)
			}
			if !slices.Equal(chunks, []time.Duration{107 * ms, 120 * ms, 120 * ms}) {
				t.Errorf("later chunks after %v", chunks)
			}
			if got := answer.End.Sub(start); got != 130*ms || answer.PromptTokens != 9 {
				t.Errorf("end after %v, want 130 ms; %d prompt tokens", got, answer.PromptTokens)
			}
		}
		if connections != 1 || requests != 3 {
			t.Errorf("%d connections for %d requests, want one for all", connections, requests)
		}
	})
}

// A service that never ends its body after the mark costs no time of the answer.
func TestMarkEndsTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := servePipe(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, piece("a")+done)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		})
		start := time.Now()
		answer := client.Stream(t.Context(), Request{}, nil)
		if answer.Outcome != metrics.OK || answer.End != start || time.Since(start) > time.Second {
			t.Errorf("outcome %q after %v, returned after %v", answer.Outcome, answer.End.Sub(start), time.Since(start))
		}
	})
}

func TestRequestOnTheWire(t *testing.T) {
	for _, omit := range []bool{false, true} {
		var got map[string]any
		synctest.Test(t, func(t *testing.T) {
			client := servePipe(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v1/chat/completions" || r.Method != http.MethodPost || r.Header.Get("Accept-Encoding") == "gzip" {
					t.Errorf("%s %s with %v", r.Method, r.URL, r.Header)
				}
				if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
					t.Error(err)
				}
			})
			client.Stream(t.Context(), Request{Model: "m", Messages: []Message{{"user", "hi"}}, MaxTokens: 5, TopP: 1, OmitUsage: omit}, nil)
		})
		_, hasOptions := got["stream_options"]
		if got["stream"] != true || got["max_tokens"] != 5.0 || got["model"] != "m" || hasOptions == omit || len(got) > 7 {
			t.Errorf("sent %v", got)
		}
	}
}
