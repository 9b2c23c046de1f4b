package sigmavault

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script is a service made of a map and of waiting times. It follows what package server
// documents.
type script struct {
	warm, cold, write time.Duration
	// fault, if set, may answer a request in place of the service, by the number of its
	// kind ("PUT", "GET", ...), from 0; it returns whether it did.
	fault func(number int, w http.ResponseWriter, r *http.Request) bool
	// noDrop leaves /cache/drop and /stats out.
	noDrop bool

	mutex   sync.Mutex
	kept    map[string][]byte
	dropped map[string]bool
	arrived map[string]int
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mutex.Lock()
	if s.kept == nil {
		s.kept, s.dropped, s.arrived = map[string][]byte{}, map[string]bool{}, map[string]int{}
	}
	number := s.arrived[r.Method]
	s.arrived[r.Method]++
	s.mutex.Unlock()
	if s.fault != nil && s.fault(number, w, r) {
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /rsus/{id}", s.put)
	mux.HandleFunc("GET /rsus/{id}", s.get)
	mux.HandleFunc("DELETE /rsus/{id}", func(w http.ResponseWriter, r *http.Request) {
		s.mutex.Lock()
		delete(s.kept, r.PathValue("id"))
		s.mutex.Unlock()
		say(w, map[string]any{"success": true})
	})
	if !s.noDrop {
		mux.HandleFunc("POST /cache/drop", func(w http.ResponseWriter, r *http.Request) {
			s.mutex.Lock()
			s.dropped[r.URL.Query().Get("rsu_id")] = true
			s.mutex.Unlock()
			say(w, map[string]any{"success": true, "page_cache": "dropped"})
		})
		mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) {
			say(w, map[string]any{"success": true, "file_system": "tmpfs"})
		})
	}
	mux.ServeHTTP(w, r)
}

func (s *script) put(w http.ResponseWriter, r *http.Request) {
	content, err := io.ReadAll(r.Body)
	tokens, tokensErr := strconv.Atoi(r.URL.Query().Get("original_token_count"))
	cache, cacheErr := strconv.Atoi(r.URL.Query().Get("kv_cache_bytes"))
	if err != nil || tokensErr != nil || cacheErr != nil || tokens < 0 || cache > len(content) || len(r.URL.Query().Get("semantic_hash")) != 64 {
		http.Error(w, "no unit", http.StatusBadRequest)
		return
	}
	select {
	case <-time.After(s.write):
	case <-r.Context().Done(): // the client has gone away
		return
	}
	s.mutex.Lock()
	s.kept[r.PathValue("id")] = content
	s.mutex.Unlock()
	say(w, map[string]any{"success": true, "rsu_id": r.PathValue("id"), "bytes": len(content), "chunk_ids": []string{"00"}})
}

func (s *script) get(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	s.mutex.Lock()
	content, there := s.kept[id]
	wait := s.warm
	if s.dropped[id] {
		wait = s.cold
	}
	delete(s.dropped, id)
	s.mutex.Unlock()
	time.Sleep(wait)
	if !there {
		http.Error(w, `{"success":false}`, http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Rsu-Record", `{"rsu_id":"x"}`)
	_, _ = w.Write(content)
}

func say(w http.ResponseWriter, document any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(document)
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

// assignment is what a run is given, and keeps what comes out of it.
func (o *outcome) assignment(name string, endpoint service.Endpoint, options load.Options) load.Assignment {
	var mutex sync.Mutex
	return load.Assignment{
		Name:      name,
		Endpoints: map[string]service.Endpoint{Service: endpoint},
		Options:   options,
		Mark:      func(phase string) { mutex.Lock(); defer mutex.Unlock(); o.marks = append(o.marks, phase) },
		Progress:  func(int, int) {},
		Record:    func(r metrics.Request) error { o.requests = append(o.requests, r); return r.Validate() },
		Version:   "test",
	}
}

// drive runs a benchmark against a script; it must be called in a bubble.
func drive(ctx context.Context, t *testing.T, name string, k kind, s *script, options load.Options) *outcome {
	t.Helper()
	listener := &pipeListener{make(chan net.Conn), make(chan struct{})}
	server := &http.Server{Handler: s}
	over := make(chan struct{})
	go func() { defer close(over); _ = server.Serve(listener) }()
	dial := func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		select {
		case listener.connections <- far:
			return near, nil
		case <-listener.closed:
			return nil, net.ErrClosed
		}
	}
	endpoint := service.Endpoint{Service: Service, Kind: service.External, URL: "http://scripted", PID: os.Getpid()}
	result := new(outcome)
	result.document, result.err = run(ctx, result.assignment(name, endpoint, options), k, dial)
	// Shutdown waits for handlers that still sleep; the fake clock makes it short.
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

// checkMetrics compares metrics with what the script makes them.
func checkMetrics(t *testing.T, d *metrics.Document, want map[string]float64) {
	t.Helper()
	for name, number := range want {
		if v := value(t, d, name); !near(v, number) {
			t.Errorf("%s is %v, want %v", name, v, number)
		}
	}
	if err := d.Validate(); err != nil {
		t.Error(err)
	}
}

// everyNull checks that the metrics of the other benchmark are null for that reason.
func everyNull(t *testing.T, d *metrics.Document, names []string) {
	t.Helper()
	for _, name := range names {
		if v, there := d.Metrics[name]; !there || v != nil || d.Unavailable[name] != "another benchmark of this service measures it" {
			t.Errorf("%s: %v, %q", name, v, d.Unavailable[name])
		}
	}
}

func verdicts(d *metrics.Document) string {
	var text string
	for _, target := range d.Targets {
		text += fmt.Sprintf("%s %s ", target.Metric, target.Verdict)
	}
	return text
}
