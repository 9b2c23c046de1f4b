package agents

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// standIn is a collective made of waiting times, with the interface of a Go server of
// this kind: agents listed as an array, a router that takes the first mention, a stream
// that opens with a role, has the whole text in one chunk and ends with [DONE].
type standIn struct {
	takes time.Duration
	// slots bounds how many tasks are worked on at a time; 0 is no bound.
	slots int
	// signed makes the answers name their agent and task.
	signed bool
	// list is the body of GET /agents; empty for a status 404.
	list string
	// depth, if set, is told in a header.
	depth string
	// fault, if set, may answer a task in place of the agents; it returns whether it did.
	fault func(number int, w http.ResponseWriter, text string) bool

	t      *testing.T
	mutex  sync.Mutex
	tasks  int
	asked  []string // path and text of each task
	bodies []body
}

const twoAgents = `[{"id":"01","codename":"APEX","tier":1,"specialty":"x","philosophy":"y","directives":["z"]},{"id":"02","codename":"CIPHER_2","tier":1}]`

func (s *standIn) handler() http.Handler {
	var slots chan struct{}
	if s.slots > 0 {
		slots = make(chan struct{}, s.slots)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /agents", func(w http.ResponseWriter, r *http.Request) {
		if s.list == "" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, s.list)
	})
	work := func(w http.ResponseWriter, r *http.Request) {
		var asked body
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			s.t.Error(err)
		}
		text := asked.Messages[len(asked.Messages)-1].Content
		s.mutex.Lock()
		number := s.tasks - warmup
		s.tasks++
		s.asked = append(s.asked, r.URL.Path+" "+text)
		s.bodies = append(s.bodies, asked)
		s.mutex.Unlock()
		if s.fault != nil && s.fault(number, w, text) {
			return
		}
		if slots != nil {
			slots <- struct{}{}
			defer func() { <-slots }()
		}
		time.Sleep(s.takes)
		name := r.PathValue("codename")
		if name == "" {
			name, _, _ = strings.Cut(strings.TrimPrefix(text, "@"), " ")
		}
		s.answer(w, s.says(name, text), asked.Stream)
	}
	mux.HandleFunc("POST /agents/{codename}/invoke", work)
	mux.HandleFunc("POST /copilot", work)
	return mux
}

// says is the text of an answer.
func (s *standIn) says(name, text string) string {
	if !s.signed {
		return "**" + name + "** has thought about it."
	}
	return fmt.Sprintf("%s on task %s, as engineer:\n1. Measure.\n", name, task{text: text}.digest())
}

func (s *standIn) answer(w http.ResponseWriter, text string, stream bool) {
	if s.depth != "" {
		w.Header().Set(queueDepth, s.depth)
	}
	quoted, err := json.Marshal(text)
	if err != nil {
		s.t.Error(err)
	}
	if !stream {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, "{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":%s},\"finish_reason\":\"stop\"}]}\n", quoted)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for _, event := range []string{
		`{"choices":[{"index":0,"delta":{"role":"assistant"},"finish_reason":""}]}`,
		`{"choices":[{"index":0,"delta":{"content":` + string(quoted) + `},"finish_reason":""}]}`,
		`{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`,
		`[DONE]`,
	} {
		fmt.Fprintf(w, "data: %s\n\n", event)
		_ = http.NewResponseController(w).Flush()
	}
}

// pipeListener hands out in-memory connections, for a whole HTTP exchange on a fake
// clock.
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

// outcome is what a run under test left.
type outcome struct {
	document *metrics.Document
	requests []metrics.Request
	marks    []string
	err      error
}

// drive runs the benchmark against a stand-in; it must be called in a bubble.
func drive(ctx context.Context, t *testing.T, s *standIn, options load.Options) outcome {
	t.Helper()
	s.t = t
	listener := &pipeListener{make(chan net.Conn), make(chan struct{})}
	server := &http.Server{Handler: s.handler()}
	over := make(chan struct{})
	go func() { defer close(over); _ = server.Serve(listener) }()
	result := measure(ctx, service.Endpoint{Service: Service, Kind: service.External, URL: "http://scripted", PID: os.Getpid()}, options,
		func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			listener.connections <- far
			return near, nil
		})
	// Shutdown waits for handlers that still sleep; the fake clock makes it short.
	_ = server.Shutdown(context.Background())
	<-over
	return result
}

// measure runs the benchmark against any endpoint.
func measure(ctx context.Context, endpoint service.Endpoint, options load.Options, dial func(context.Context, string, string) (net.Conn, error)) outcome {
	var result outcome
	var mutex sync.Mutex
	result.document, result.err = run(ctx, load.Assignment{
		Name:      "AgentTaskLatencyBenchmark",
		Endpoints: map[string]service.Endpoint{Service: endpoint},
		Options:   options,
		Mark:      func(phase string) { mutex.Lock(); defer mutex.Unlock(); result.marks = append(result.marks, phase) },
		Progress:  func(int, int) {},
		Record:    func(r metrics.Request) error { result.requests = append(result.requests, r); return r.Validate() },
		Version:   "test",
	}, dial)
	slices.SortFunc(result.requests, func(a, b metrics.Request) int { return a.Index - b.Index })
	return result
}

func value(t *testing.T, d *metrics.Document, name string) float64 {
	t.Helper()
	if d.Metrics[name] == nil {
		t.Fatalf("%s is null: %s", name, d.Unavailable[name])
	}
	return *d.Metrics[name]
}

func near(a, b float64) bool { return a-b <= 1e-6*b && b-a <= 1e-6*b }
