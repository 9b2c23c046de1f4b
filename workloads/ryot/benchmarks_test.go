package ryot

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
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script is a language model made of waiting times.
type script struct {
	prefill, perToken time.Duration
	// slots bounds how many requests are computed at a time; 0 is no bound.
	slots int
	// fault, if set, may answer a measured request in place of the model;
	// it returns whether it did.
	fault func(number int, w http.ResponseWriter) bool
	// noUsage leaves the token count out, strict refuses stream_options.
	noUsage, strict bool
}

// pipeListener hands out in-memory connections, for a whole HTTP exchange on a
// fake clock.
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
	progress int
	arrived  int
	err      error
}

// drive runs a shape against a script; it must be called in a bubble.
func drive(ctx context.Context, t *testing.T, name string, s shape, model script, options load.Options) outcome {
	t.Helper()
	var result outcome
	var mutex sync.Mutex
	listener := &pipeListener{make(chan net.Conn), make(chan struct{})}
	server := &http.Server{Handler: model.handler(t, func() int {
		mutex.Lock()
		defer mutex.Unlock()
		result.arrived++
		return result.arrived - 1 - s.warmup
	})}
	over := make(chan struct{})
	go func() { defer close(over); _ = server.Serve(listener) }()
	s.dial = func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		listener.connections <- far
		return near, nil
	}
	result.document, result.err = run(ctx, load.Assignment{
		Name:      name,
		Endpoints: map[string]service.Endpoint{Service: {Service: Service, Kind: service.Reference, URL: "http://scripted", PID: os.Getpid(), Model: "script"}},
		Options:   options,
		Mark:      func(phase string) { mutex.Lock(); defer mutex.Unlock(); result.marks = append(result.marks, phase) },
		Progress:  func(done, _ int) { result.progress = done },
		Record:    func(r metrics.Request) error { result.requests = append(result.requests, r); return r.Validate() },
		Version:   "test",
	}, s)
	// Shutdown waits for handlers that still sleep; the fake clock makes it short.
	_ = server.Shutdown(context.Background())
	<-over
	slices.SortFunc(result.requests, func(a, b metrics.Request) int { return a.Index - b.Index })
	return result
}

func (m script) handler(t *testing.T, arrive func() int) http.Handler {
	var slots chan struct{}
	if m.slots > 0 {
		slots = make(chan struct{}, m.slots)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var request struct {
			Messages  []struct{ Content string }
			MaxTokens int             `json:"max_tokens"`
			Options   json.RawMessage `json:"stream_options"`
		}
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
			t.Error(err)
			return
		}
		if m.strict && request.Options != nil {
			http.Error(w, `{"error":"unknown field stream_options"}`, http.StatusUnprocessableEntity)
			return
		}
		prompt := request.Messages[0].Content
		if number := arrive(); m.fault != nil && number >= 0 && m.fault(number, w) {
			return
		}
		if slots != nil {
			slots <- struct{}{}
			defer func() { <-slots }()
		}
		m.answer(w, len(strings.Fields(prompt)), request.MaxTokens)
	})
}

func (m script) answer(w http.ResponseWriter, promptTokens, tokens int) {
	w.Header().Set("Content-Type", "text/event-stream")
	for i := range tokens {
		time.Sleep(m.perToken)
		if i == 0 {
			time.Sleep(m.prefill - m.perToken)
		}
		fmt.Fprintf(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\" t%d\"}}]}\n\n", i)
		_ = http.NewResponseController(w).Flush()
	}
	_, _ = io.WriteString(w, "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"length\"}]}\n\n")
	if !m.noUsage {
		fmt.Fprintf(w, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":%d}}\n\n", promptTokens, tokens)
	}
	_, _ = io.WriteString(w, "data: [DONE]\n\n")
}

func value(t *testing.T, d *metrics.Document, name string) float64 {
	t.Helper()
	if d.Metrics[name] == nil {
		t.Fatalf("%s is null: %s", name, d.Unavailable[name])
	}
	return *d.Metrics[name]
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-6*math.Abs(b) }

// Against a service that answers each request alike, however many are in
// flight, every metric is the script's number exactly.
func TestMetricsAreTheScripts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		model := script{prefill: 40 * time.Millisecond, perToken: 4 * time.Millisecond}
		got := drive(t.Context(), t, "TokenGenerationBenchmark", tokenGeneration(), model, load.Options{Iterations: 100, Seed: 5})
		if got.err != nil {
			t.Fatal(got.err)
		}
		d := got.document
		for name, want := range map[string]float64{
			"ttft_mean_ms": 40, "ttft_p50_ms": 40, "ttft_p95_ms": 40,
			"tokens_per_second": 250, "inter_token_mean_ms": 4, "inter_token_p50_ms": 4,
			"request_p50_ms": 40 + 31*4, "output_tokens_mean": 32,
		} {
			if v := value(t, d, name); !near(v, want) {
				t.Errorf("%s is %v, want %v", name, v, want)
			}
		}
		if d.Metrics["ttft_p99_ms"] != nil || !strings.Contains(d.Unavailable["ttft_p99_ms"], "299") {
			t.Errorf("a p99 from 100 answers: %v, %q", d.Metrics["ttft_p99_ms"], d.Unavailable["ttft_p99_ms"])
		}
		if peak := value(t, d, "peak_memory_mb"); peak < 5 || peak > 2000 {
			t.Errorf("peak memory %v MB", peak)
		}
		if d.N != 100 || d.Status != metrics.Complete || d.Targets[0].Verdict != metrics.Met || len(got.requests) != 100 || got.progress != 100 {
			t.Errorf("n %d, status %s, target %+v, %d records", d.N, d.Status, d.Targets[0], len(got.requests))
		}
		if rate, want := d.Load.RatePerSecond, 0.7/0.164; !near(rate, want) {
			t.Errorf("rate %v, want 0.7 of the capacity, %v", rate, want)
		}
		if prompts := value(t, d, "prompt_tokens_mean"); prompts < 60 || prompts > 68 {
			t.Errorf("prompts of %v tokens on average", prompts)
		}
		if err := d.Validate(); err != nil {
			t.Error(err)
		}
	})
}

// A service that computes one request at a time makes the others wait. Lindley's
// recursion gives each wait from the schedule: W' = max(0, W + S - gap).
func TestQueueingIsInTheLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		model := script{prefill: 40 * time.Millisecond, perToken: 4 * time.Millisecond, slots: 1}
		got := drive(t.Context(), t, "FirstTokenLatencyBenchmark", firstTokenLatency(), model, load.Options{Iterations: 100, Seed: 5})
		if got.err != nil {
			t.Fatal(got.err)
		}
		const service = 52 * time.Millisecond
		schedule, err := load.Schedule(load.Poisson, firstTokenLatency().utilization/service.Seconds(), 5)
		if err != nil {
			t.Fatal(err)
		}
		var wait, last time.Duration
		index, waited := 0, 0
		var sum float64
		for at := range schedule {
			if index == 100 {
				break
			}
			if index > 0 {
				wait = max(0, wait+service-(at-last))
			}
			want := wait + 40*time.Millisecond
			record := got.requests[index]
			if ttft := record.FirstToken.Sub(record.IntendedStart); (ttft - want).Abs() > time.Microsecond {
				t.Fatalf("request %d: first token after %v, want %v", index, ttft, want)
			}
			if wait > 0 {
				waited++
			}
			sum += want.Seconds() * 1000
			last = at
			index++
		}
		if waited < 20 {
			t.Errorf("only %d requests waited: the test shows little", waited)
		}
		if mean := value(t, got.document, "ttft_mean_ms"); !near(math.Round(mean*1e3), math.Round(sum*10)) {
			t.Errorf("mean %v ms, want %v", mean, sum/100)
		}
	})
}

func TestVerdictsFollowTheTruth(t *testing.T) {
	for _, test := range []struct {
		name  string
		shape shape
		model script
		want  metrics.Verdict
	}{
		{"first token in time", firstTokenLatency(), script{prefill: 99 * time.Millisecond, perToken: time.Millisecond}, metrics.Met},
		{"first token late", firstTokenLatency(), script{prefill: 101 * time.Millisecond, perToken: time.Millisecond}, metrics.Missed},
		{"tokens fast", tokenGeneration(), script{prefill: 40 * time.Millisecond, perToken: 19 * time.Millisecond}, metrics.Met},
		{"tokens slow", tokenGeneration(), script{prefill: 40 * time.Millisecond, perToken: 21 * time.Millisecond}, metrics.Missed},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := drive(t.Context(), t, "FirstTokenLatencyBenchmark", test.shape, test.model, load.Options{Iterations: 100, Seed: 2})
				if got.err != nil {
					t.Fatal(got.err)
				}
				if target := got.document.Targets[0]; target.Verdict != test.want {
					t.Errorf("%s: %s", target.Verdict, target.Reason)
				}
			})
		})
	}
}

func TestFailuresAreKeptApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		model := script{prefill: 30 * time.Millisecond, perToken: 2 * time.Millisecond, fault: func(number int, w http.ResponseWriter) bool {
			switch {
			case number%20 == 3:
				http.Error(w, "engine not loaded", http.StatusServiceUnavailable)
			case number%20 == 7: // no answer's end
				_, _ = io.WriteString(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n")
			case number%20 == 11: // more tokens than asked for
				script{prefill: time.Millisecond, perToken: time.Millisecond}.answer(w, 5, 500)
			default:
				return false
			}
			return true
		}}
		got := drive(t.Context(), t, "FirstTokenLatencyBenchmark", firstTokenLatency(), model, load.Options{Iterations: 100, Seed: 2})
		if got.err != nil {
			t.Fatal(got.err)
		}
		d := got.document
		want := map[string]int{"http_503": 5, "truncated": 5, "invalid_answer": 5}
		if d.N != 85 || d.Iterations != 100 || fmt.Sprint(d.Errors) != fmt.Sprint(want) || d.Status != metrics.Complete {
			t.Errorf("n %d of %d, errors %v, status %s", d.N, d.Iterations, d.Errors, d.Status)
		}
		if v := value(t, d, "ttft_p95_ms"); !near(v, 30) {
			t.Errorf("p95 %v ms of the valid answers, want 30", v)
		}
		if verdict := d.Targets[0].Verdict; verdict == metrics.Met {
			t.Error("a tenth and more failed, and the target is met")
		}
		if err := d.Validate(); err != nil {
			t.Error(err)
		}
	})
}

func TestServiceWithoutUsage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		model := script{prefill: 30 * time.Millisecond, perToken: 2 * time.Millisecond, noUsage: true, strict: true}
		got := drive(t.Context(), t, "TokenGenerationBenchmark", tokenGeneration(), model, load.Options{Iterations: 60, Seed: 2})
		if got.err != nil {
			t.Fatal(got.err)
		}
		d := got.document
		if d.N != 60 || !near(value(t, d, "tokens_per_second"), 500) || len(d.Notes) != 1 || !strings.Contains(d.Notes[0], "60 of 60") {
			t.Errorf("n %d, %v tokens/s, notes %q, errors %v", d.N, *d.Metrics["tokens_per_second"], d.Notes, d.Errors)
		}
		if d.Metrics["prompt_tokens_mean"] != nil {
			t.Error("a prompt length that nobody counted")
		}
	})
}

func TestUnansweredWarmupFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		model := script{prefill: time.Hour, strict: true}
		got := drive(t.Context(), t, "FirstTokenLatencyBenchmark", firstTokenLatency(), model, load.Options{Iterations: 100, Timeout: time.Second})
		if got.err != nil {
			t.Fatal(got.err)
		}
		d := got.document
		if d.Status != metrics.Failed || !strings.Contains(d.StatusReason, "timeout") || d.N != 0 || d.Targets[0].Verdict != metrics.Undecided {
			t.Errorf("status %s (%s), targets %+v", d.Status, d.StatusReason, d.Targets)
		}
		for name, v := range d.Metrics {
			if v != nil {
				t.Errorf("%s is %v without any answer", name, *v)
			}
		}
		if err := d.Validate(); err != nil {
			t.Error(err)
		}
	})
}

// The phases must follow what the only request in flight does, and the warm-up
// must not pass for anything else.
func TestPhases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		model := script{prefill: 40 * time.Millisecond, perToken: 4 * time.Millisecond}
		got := drive(t.Context(), t, "FirstTokenLatencyBenchmark", firstTokenLatency(), model, load.Options{Iterations: 3, Concurrency: 1, Seed: 1})
		want := []string{load.Warmup, load.Mixed, "prefill", "decode", load.Mixed, "prefill", "decode", load.Mixed, "prefill", "decode", load.Mixed}
		if !slices.Equal(got.marks, want) {
			t.Errorf("marks %v, want %v", got.marks, want)
		}
	})
}
