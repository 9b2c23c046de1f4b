package sigmalang

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/service"
	"github.com/narrows-profiler/narrows/workloads/sigmalang/corpus"
)

func TestMain(m *testing.M) {
	texts() // outside of any bubble
	goleak.VerifyTestMain(m)
}

// script is a compressor made of waiting times: what it answers is a number by which
// it finds the text again, made as long as a ratio says.
type script struct {
	perMB, perMBBack time.Duration
	ratio            int
	// fault, if set, may answer in place of the compressor; it returns whether it
	// did. Number counts the measured requests to the path.
	fault func(path string, number int, w http.ResponseWriter) bool
	// lose changes what is given back.
	lose func(text string) string
	// around is a format that an answer is put into.
	around string

	mutex    sync.Mutex
	texts    []string
	requests map[string]int
	arrived  []int // lengths
}

// wait takes the time that so many bytes take.
func wait(perMB time.Duration, bytes int) {
	time.Sleep(time.Duration(float64(perMB) * float64(bytes) / 1e6))
}

// encode keeps a text.
func (s *script) encode(text string) (digits string, size int) {
	wait(s.perMB, len(text))
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.texts = append(s.texts, text)
	s.arrived = append(s.arrived, len(text))
	bytes := make([]byte, max(8, len(text)/s.ratio))
	copy(bytes, fmt.Sprintf("%08d", len(s.texts)-1))
	return hex.EncodeToString(bytes), len(bytes)
}

func (s *script) decode(digits string) string {
	bytes, err := hex.DecodeString(digits)
	if err != nil {
		panic(err)
	}
	var index int
	if _, err := fmt.Sscanf(string(bytes[:8]), "%d", &index); err != nil {
		panic(err)
	}
	s.mutex.Lock()
	text := s.texts[index]
	s.mutex.Unlock()
	wait(s.perMBBack, len(text))
	if s.lose != nil {
		text = s.lose(text)
	}
	return text
}

// ServeHTTP is the service's REST interface.
func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var asked struct{ Text, Encoded string }
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		panic(err)
	}
	s.mutex.Lock()
	number := s.requests[r.URL.Path] - s.requests["warm "+r.URL.Path]
	s.requests[r.URL.Path]++
	s.mutex.Unlock()
	if s.fault != nil && s.fault(r.URL.Path, number, w) {
		return
	}
	var answer any
	switch r.URL.Path {
	case "/api/v1/encode":
		digits, size := s.encode(asked.Text)
		answer = map[string]any{"success": true, "encoded": digits, "original_size": len(asked.Text), "compressed_size": size}
	case "/api/v1/decode":
		answer = map[string]any{"success": true, "text": s.decode(asked.Encoded)}
	default:
		http.NotFound(w, r)
		return
	}
	text, err := json.Marshal(answer)
	if err != nil {
		panic(err)
	}
	if s.around != "" {
		text = fmt.Appendf(nil, s.around, text)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text)
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

// texts are those of all tests, as making them takes time.
var texts = sync.OnceValue(func() *corpus.Source { return corpus.NewSource(1) })

// small is a set of short texts, so that a test takes no time.
func small(s shape) shape {
	s.source = texts()
	s.ofEach, s.least, s.most = 1, 2000, 2000
	return s
}

// assignment is a run on an endpoint; what it leaves goes into the outcome.
func assignment(name string, endpoint service.Endpoint, options load.Options, result *outcome) load.Assignment {
	var mutex sync.Mutex
	endpoint.Service, endpoint.Kind, endpoint.PID = Service, service.External, os.Getpid()
	return load.Assignment{
		Name:      name,
		Endpoints: map[string]service.Endpoint{Service: endpoint},
		Options:   options,
		Mark:      func(phase string) { mutex.Lock(); defer mutex.Unlock(); result.marks = append(result.marks, phase) },
		Progress:  func(int, int) {},
		Record:    func(r metrics.Request) error { result.requests = append(result.requests, r); return r.Validate() },
		Version:   "test",
	}
}

// drive runs a shape against a script over HTTP; it must be called in a bubble.
func drive(ctx context.Context, t *testing.T, s shape, model *script, options load.Options) outcome {
	t.Helper()
	var result outcome
	model.requests = make(map[string]int)
	listener := &pipeListener{make(chan net.Conn), make(chan struct{})}
	server := &http.Server{Handler: model}
	over := make(chan struct{})
	go func() { defer close(over); _ = server.Serve(listener) }()
	s.dial = func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		listener.connections <- far
		return near, nil
	}
	a := assignment("CompressionRatioBenchmark", service.Endpoint{URL: "http://scripted"}, options, &result)
	mark := a.Mark
	a.Mark = func(phase string) {
		if phase == load.Mixed && len(result.marks) == 1 { // the warm-up is over
			model.mutex.Lock()
			for _, path := range []string{"/api/v1/encode", "/api/v1/decode"} {
				model.requests["warm "+path] = model.requests[path]
			}
			model.mutex.Unlock()
		}
		mark(phase)
	}
	result.document, result.err = run(ctx, a, s)
	_ = server.Shutdown(context.Background())
	<-over
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

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-6*math.Abs(b) }
