package agents

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/narrows-profiler/narrows/workloads/agents/collective"
	"github.com/narrows-profiler/narrows/workloads/agents/knowledge"
	"github.com/narrows-profiler/narrows/workloads/agents/server"
	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/service"
)

// serve runs the reference service in this process.
func serve(t *testing.T, c server.Config) service.Endpoint {
	t.Helper()
	c.Search.Candidates = 10
	s, err := server.New(c)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- s.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-over; err != nil {
			t.Errorf("Serve returned %v", err)
		}
	})
	return service.Endpoint{Service: Service, Kind: service.Reference, URL: "http://" + listener.Addr().String(), PID: os.Getpid()}
}

// All answers of the reference service are valid, each agent is asked, and what depends
// on the seed alone is the same in two runs.
func TestReferenceServiceIsDriven(t *testing.T) {
	endpoint := serve(t, server.Config{})
	var lengths []float64
	for range 2 {
		got := measure(t.Context(), endpoint, load.Options{Iterations: 300, Seed: 7, Concurrency: 4}, nil)
		if got.err != nil {
			t.Fatal(got.err)
		}
		d := got.document
		if d.N != 300 || d.Status != metrics.Complete || len(d.Errors) != 0 || len(d.Notes) != 0 {
			t.Fatalf("n %d, status %s (%s), errors %v, notes %q", d.N, d.Status, d.StatusReason, d.Errors, d.Notes)
		}
		for _, name := range []string{"task_mean_ms", "task_p50_ms", "task_p95_ms", "task_p99_ms", "tasks_per_second", "peak_memory_mb", "answer_bytes_mean"} {
			if v := value(t, d, name); v <= 0 {
				t.Errorf("%s is %v", name, v)
			}
		}
		if depth := value(t, d, "queue_depth_max"); depth > 4 {
			t.Errorf("%v tasks waited, four were sent at a time", depth)
		}
		conform(t, d)
		lengths = append(lengths, value(t, d, "answer_bytes_mean"))
		if err := d.Validate(); err != nil {
			t.Error(err)
		}
	}
	if lengths[0] != lengths[1] || lengths[0] < 200 {
		t.Errorf("answers of %v and %v bytes for the same seed", lengths[0], lengths[1])
	}
}

// conform checks a document by its schema, and that the schema misses what is missing.
func conform(t *testing.T, d *metrics.Document) {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	schema, err := compiler.Compile(filepath.Join("..", "..", "docs", "schema", "metrics.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(encoded))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(document); err != nil {
		t.Error(err)
	}
	for _, name := range metrics.RequiredFields(Service) {
		fields := document.(map[string]any)["metrics"].(map[string]any)
		value := fields[name]
		delete(fields, name)
		if schema.Validate(document) == nil {
			t.Errorf("the schema does not miss %s", name)
		}
		fields[name] = value
	}
}

// Tasks beyond the queue are errors of their kind.
func TestFullQueueIsAnError(t *testing.T) {
	scored := 0
	slow := knowledge.Options{Trace: func(*knowledge.Passage, float64) {
		if scored++; scored%1000 == 0 {
			time.Sleep(time.Millisecond)
		}
	}}
	endpoint := serve(t, server.Config{Workers: 1, Waiting: -1, Search: slow})
	got := measure(t.Context(), endpoint, load.Options{Iterations: 60, Seed: 7, Concurrency: 3}, nil)
	if got.err != nil {
		t.Fatal(got.err)
	}
	if d := got.document; d.Errors["http_503"] == 0 || d.N+d.Errors["http_503"] != 60 || d.Targets[0].Verdict == metrics.Met {
		t.Errorf("n %d, errors %v, target %+v", d.N, d.Errors, d.Targets[0])
	}
}

// What the driver takes for a task's digest is what the service says.
func TestDigestsAgree(t *testing.T) {
	if text := "@APEX help"; (task{text: text}).digest() != collective.Digest(text) {
		t.Error("the two sides of the interface digest differently")
	}
	if (task{text: "abc"}).digest() != "ba7816bf8f01cfea" { // FIPS 180-2, B.1
		t.Error("this is not SHA-256")
	}
}

// No task asks to be handed to another service.
func TestTasksAskForNobodyElse(t *testing.T) {
	endpoint := serve(t, server.Config{})
	c, err := newClient(endpoint.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	all := strings.Join(append(append(append(append([]string{}, sentences...), systems...), parts...), append(troubles, wishes...)...), " ")
	if r := c.send(t.Context(), task{agent: "APEX", way: invoke, text: all}); r.Outcome != metrics.OK || strings.Contains(r.text, "not connected") {
		t.Errorf("%s, %v: %s", r.Outcome, r.Err, r.text)
	}
}
