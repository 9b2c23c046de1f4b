package plan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.uber.org/goleak"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/ryot"
	"github.com/narrows-profiler/narrows/workloads/ryot/server"
	"github.com/narrows-profiler/narrows/workloads/service"
	"github.com/narrows-profiler/narrows/workloads/serving"
	"github.com/narrows-profiler/narrows/workloads/sigmalang"
	sigmalangserver "github.com/narrows-profiler/narrows/workloads/sigmalang/server"
	"github.com/narrows-profiler/narrows/workloads/sigmavault"
	sigmavaultserver "github.com/narrows-profiler/narrows/workloads/sigmavault/server"
)

// serveVariable makes this test binary the reference service that it names; that of ryot
// has a tiny model. nullVariable makes it the null server of the benchmark that it names,
// generateVariable a load generator.
const (
	serveVariable    = "NARROWS_TEST_SERVE"
	nullVariable     = "NARROWS_TEST_NULL"
	generateVariable = "NARROWS_TEST_GENERATE"
)

func TestMain(m *testing.M) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var err error
	switch {
	case os.Getenv(serveVariable) != "":
		err = serve(ctx, os.Getenv(serveVariable))
	case os.Getenv(nullVariable) != "":
		err = serveNull(ctx, os.Getenv(nullVariable))
	case os.Getenv(generateVariable) != "":
		err = generate(ctx)
	default:
		stop()
		goleak.VerifyTestMain(m)
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, name string) error {
	switch name {
	case sigmavault.Service:
		options := sigmavaultserver.DefaultOptions()
		options.Listen = "127.0.0.1:0"
		return options.Run(ctx, os.Stdout)
	case sigmalang.Service:
		options := sigmalangserver.DefaultOptions()
		options.Listen = "127.0.0.1:0"
		return options.Run(ctx, os.Stdout)
	case sigmalang.Service + " tool":
		return sigmalangserver.DefaultOptions().RunTool(ctx, os.Stdin, os.Stdout)
	}
	return tiny("127.0.0.1:0").Run(ctx, os.Stdout)
}

// benchmarksOf are those of one service.
func benchmarksOf(t *testing.T, name string) []Benchmark {
	t.Helper()
	chosen, err := Select("", name, "")
	if err != nil {
		t.Fatal(err)
	}
	return chosen
}

func serveNull(ctx context.Context, name string) error {
	benchmark, err := Lookup(name)
	if err != nil {
		return err
	}
	return serving.Run(ctx, "127.0.0.1:0", os.Stdout, serving.Ready{Service: benchmark.Services[0]}, func() (http.Handler, serving.Config, error) {
		return benchmark.Null(), serving.Config{Refuse: http.NotFound}, nil
	})
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func tiny(listen string) server.Options {
	options := server.DefaultOptions()
	options.Listen = listen
	options.Dim, options.HiddenDim, options.Layers, options.Heads, options.KVHeads = 16, 32, 1, 2, 1
	options.Vocab, options.Context = 512, 512
	return options
}

// memory is a sink and an observer that keep everything.
type memory struct {
	t         *testing.T
	mutex     sync.Mutex
	documents []*metrics.Document
	requests  map[string]*bytes.Buffer
	open      int
	marks     []string
	services  []string
	progress  map[string]int
	refuse    error
}

func newMemory(t *testing.T) *memory {
	return &memory{t: t, requests: make(map[string]*bytes.Buffer), progress: make(map[string]int)}
}

func (m *memory) Metrics(document *metrics.Document) error {
	m.documents = append(m.documents, document)
	return m.refuse
}

func (m *memory) Requests(benchmark string) (io.WriteCloser, error) {
	if m.refuse != nil {
		return nil, m.refuse
	}
	m.open++
	m.requests[benchmark] = new(bytes.Buffer)
	return &record{m.requests[benchmark], m}, nil
}

type record struct {
	io.Writer
	memory *memory
}

func (r *record) Close() error { r.memory.open--; return nil }

func (m *memory) Mark(benchmark, phase string, _ metrics.Instant) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.marks = append(m.marks, benchmark+"/"+phase)
}

// Service checks that the process is there, and that no earlier one still is.
func (m *memory) Service(name string, pid int) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	for _, earlier := range m.services {
		var old int
		if _, err := fmt.Sscanf(earlier, name+" %d", &old); err != nil {
			m.t.Errorf("%s: %v", earlier, err)
			continue
		}
		if old != os.Getpid() && syscall.Kill(old, 0) == nil {
			m.t.Errorf("process %d of the benchmark before is alive", old)
		}
	}
	if err := syscall.Kill(pid, 0); err != nil {
		m.t.Errorf("process %d of %s: %v", pid, name, err)
	}
	m.services = append(m.services, fmt.Sprintf("%s %d", name, pid))
}

func (m *memory) Progress(benchmark string, done, total int) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.progress[benchmark] = done
}

func reference(t *testing.T) map[string]service.Command {
	t.Helper()
	return map[string]service.Command{ryot.Service: {Service: ryot.Service, Arguments: []string{"env", serveVariable + "=" + ryot.Service, self(t)}}}
}

func target(address string) service.Target {
	return service.Target{Service: ryot.Service, Interface: service.HTTP, Address: address}
}

func schema(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	compiled, err := compiler.Compile(filepath.Join("..", "..", "docs", "schema", name))
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// validate checks a document against its schema and returns it as it is written.
func validate(t *testing.T, document *metrics.Document) []byte {
	t.Helper()
	encoded, err := document.Encode()
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(encoded))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema(t, "metrics.schema.json").Validate(value); err != nil {
		t.Errorf("%s: %v", document.Benchmark, err)
	}
	return encoded
}

// check judges what a whole run of the plan left, by the schemas and by itself.
func (m *memory) check(kind string, iterations int) {
	t := m.t
	t.Helper()
	requestSchema := schema(t, "request.schema.json")
	for _, document := range m.documents {
		encoded := validate(t, document)
		if document.Status != metrics.Complete || document.N != iterations || document.TargetKind != kind || len(document.Errors) != 0 {
			t.Errorf("%s", encoded)
		}
		for _, name := range []string{"ttft_mean_ms", "ttft_p50_ms", "ttft_p95_ms", "tokens_per_second", "peak_memory_mb", "prompt_tokens_mean"} {
			// So small a model can write all tokens of all answers into one packet each,
			// which leaves no time between them.
			if name == "tokens_per_second" && document.Metrics[name] == nil && slices.ContainsFunc(document.Notes, allAtOnce) {
				continue
			}
			if v := document.Metrics[name]; v == nil || *v <= 0 {
				t.Errorf("%s: %s is not measured: %s", document.Benchmark, name, document.Unavailable[name])
			}
		}
		lines := m.requests[document.Benchmark].Bytes()
		for line := range bytes.Lines(lines) {
			value, err := jsonschema.UnmarshalJSON(bytes.NewReader(line))
			if err != nil {
				t.Fatal(err)
			}
			if err := requestSchema.Validate(value); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
		m.checkRequests(document, lines)
	}
}

func allAtOnce(note string) bool { return strings.Contains(note, "no second token to time") }

// checkRequests recomputes a document's numbers from the request records alone.
func (m *memory) checkRequests(document *metrics.Document, lines []byte) {
	var ttft float64
	var indexes []int
	for request, err := range metrics.ReadRequests(bytes.NewReader(lines)) {
		if err != nil {
			m.t.Fatal(err)
		}
		indexes = append(indexes, request.Index)
		ttft += request.FirstToken.Sub(request.IntendedStart).Seconds() * 1000
		if request.LocalPort == 0 || request.Tokens == 0 || request.TokensFrom != "usage" {
			m.t.Errorf("%+v", request)
		}
	}
	slices.Sort(indexes)
	for i, index := range indexes {
		if i != index {
			m.t.Fatalf("record %d is missing", i)
		}
	}
	mean := ttft / float64(len(indexes))
	if got := *document.Metrics["ttft_mean_ms"]; len(indexes) != document.N || got < mean*0.999999 || got > mean*1.000001 {
		m.t.Errorf("%s: mean TTFT %v, the %d records say %v", document.Benchmark, got, len(indexes), mean)
	}
}

func TestBothBenchmarksOnTheReferenceService(t *testing.T) {
	kept := newMemory(t)
	runner := Runner{
		Benchmarks: benchmarksOf(t, ryot.Service), Commands: reference(t), Observer: kept, Sink: kept, Version: "test",
		Options: load.Options{Iterations: 72}, Load: apart(t),
	}
	if err := runner.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	kept.check("reference", 72)
	if len(kept.documents) != 2 || len(kept.services) != 2 || kept.services[0] == kept.services[1] || kept.open != 0 {
		t.Errorf("%d documents, services %v, %d records open", len(kept.documents), kept.services, kept.open)
	}
	for _, benchmark := range benchmarksOf(t, ryot.Service) {
		if kept.progress[benchmark.Name] != 72 {
			t.Errorf("%s: progress ended at %d", benchmark.Name, kept.progress[benchmark.Name])
		}
		for _, phase := range []string{"warmup", "mixed", "prefill", "decode"} {
			if !slices.Contains(kept.marks, benchmark.Name+"/"+phase) {
				t.Errorf("%s: no phase %s", benchmark.Name, phase)
			}
		}
	}
	if first, last := kept.marks[0], kept.marks[len(kept.marks)-1]; first != "FirstTokenLatencyBenchmark/warmup" || last != "/" {
		t.Errorf("marks from %q to %q", first, last)
	}
}

func TestExternalTarget(t *testing.T) {
	config, err := tiny("").Config()
	if err != nil {
		t.Fatal(err)
	}
	model, err := server.New(config)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- model.Serve(ctx, listener) }()
	defer func() { cancel(); <-over }()
	kept := newMemory(t)
	runner := Runner{
		Benchmarks: benchmarksOf(t, ryot.Service), Observer: kept, Sink: kept, Version: "test",
		Targets: map[string]service.Target{"ryot": target("http://" + listener.Addr().String())},
		Options: load.Options{Iterations: 59, Concurrency: 2},
	}
	if err := runner.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	kept.check("external", 59)
	if want := fmt.Sprintf("ryot %d", os.Getpid()); len(kept.services) != 2 || kept.services[0] != want {
		t.Errorf("services %v, want this process", kept.services)
	}
}

func TestRunRefusesBeforeAnythingStarts(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	for name, test := range map[string]struct {
		runner Runner
		want   string
	}{
		"unreachable":  {Runner{Targets: map[string]service.Target{"ryot": target("http://" + listener.Addr().String())}}, "connection refused"},
		"no command":   {Runner{}, "--target ryot=URL"},
		"wrong target": {Runner{Commands: reference(t), Targets: map[string]service.Target{"riot": target("http://127.0.0.1:1")}}, `"riot"`},
	} {
		kept := newMemory(t)
		test.runner.Benchmarks, test.runner.Observer, test.runner.Sink = benchmarksOf(t, ryot.Service), kept, kept
		err := test.runner.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), test.want) || len(kept.documents) != 0 || len(kept.requests) != 0 {
			t.Errorf("%s: %v, %d documents", name, err, len(kept.documents))
		}
	}
}

func TestInterruptKeepsWhatThereIs(t *testing.T) {
	for where, makeLoad := range map[string]Load{"here": Here, "apart": apart(t)} {
		interrupted := errors.New("interrupted")
		ctx, cancel := context.WithCancelCause(t.Context())
		kept := newMemory(t)
		runner := Runner{
			Benchmarks: benchmarksOf(t, ryot.Service), Commands: reference(t), Version: "test", Sink: kept, Load: makeLoad,
			Observer: &interrupter{kept, func() { cancel(interrupted) }},
			Options:  load.Options{Iterations: 100_000},
		}
		if err := runner.Run(ctx); !errors.Is(err, interrupted) {
			t.Fatalf("%s: %v", where, err)
		}
		if len(kept.documents) != 1 || kept.documents[0].Status != metrics.Invalid || kept.documents[0].N < 20 ||
			!strings.Contains(kept.documents[0].StatusReason, "interrupted") {
			t.Fatalf("%s: %d documents, %+v", where, len(kept.documents), kept.documents)
		}
		lines := bytes.Count(kept.requests["FirstTokenLatencyBenchmark"].Bytes(), []byte("\n"))
		if last := kept.marks[len(kept.marks)-1]; lines < 20 || last != "/" {
			t.Errorf("%s: %d request records, the last mark is %q", where, lines, last)
		}
	}
}

// interrupter stops the run after twenty requests.
type interrupter struct {
	*memory
	stop func()
}

func (i *interrupter) Progress(_ string, done, _ int) {
	if done == 20 {
		i.stop()
	}
}

func TestFullDiskIsAnError(t *testing.T) {
	kept := newMemory(t)
	kept.refuse = syscall.ENOSPC
	runner := Runner{Benchmarks: benchmarksOf(t, ryot.Service)[:1], Commands: reference(t), Observer: kept, Sink: kept}
	if err := runner.Run(t.Context()); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%v", err)
	}
}

// A service that dies in the middle must not hang the run, and its last words
// must be told.
func TestDyingServiceIsTold(t *testing.T) {
	kept := newMemory(t)
	runner := Runner{
		Benchmarks: benchmarksOf(t, ryot.Service)[:1], Commands: reference(t), Version: "test", Sink: kept,
		Observer: &killer{memory: kept},
		Options:  load.Options{Iterations: 60, Timeout: 5 * time.Second},
	}
	err := runner.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "ended by itself (signal: killed)") {
		t.Errorf("%v", err)
	}
	if len(kept.documents) != 1 {
		t.Fatalf("%d documents", len(kept.documents))
	}
	d := kept.documents[0]
	died := d.Errors["connection_refused"] + d.Errors["reset"] + d.Errors["truncated"] // by how far each request had come
	if d.N >= 60 || died == 0 || d.Targets[0].Verdict == metrics.Met || d.Metrics["peak_memory_mb"] != nil {
		t.Errorf("n %d, errors %v, target %+v", d.N, d.Errors, d.Targets[0])
	}
}

// killer kills the service after ten requests.
type killer struct {
	*memory
	pid int
}

func (k *killer) Service(name string, pid int) { k.pid = pid }

func (k *killer) Progress(_ string, done, _ int) {
	if done == 10 {
		if err := syscall.Kill(k.pid, syscall.SIGKILL); err != nil {
			k.t.Error(err)
		}
	}
}
