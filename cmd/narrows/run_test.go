package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"
	"github.com/prometheus/procfs"

	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/cmd/narrows/internal/calibration"
	"github.com/narrows-profiler/narrows/workloads/metrics"
)

func ofService(s *profile.Sample) bool { return s.HasLabel("service", "ryot") }

// The main job, end to end on the reference service.
func TestRun(t *testing.T) {
	requireRecording(t)
	cmd := narrows(t, "run", "--benchmark", "FirstTokenLatency", "--iterations", "60", "--concurrent_requests", "1", "-F", "499", "-o", "s")
	r := succeed(t, cmd)
	checkPlainLines(t, r.stderr, "calibrating", "FirstTokenLatencyBenchmark: 60 requests")
	dir := filepath.Join(cmd.Dir, "s")
	s := checkSession(t, dir)
	if s.Status != session.Complete || len(s.Services) != 1 || s.Services[0].Name != "ryot" || s.Services[0].TargetKind != "reference" {
		t.Errorf("status %q, services %+v", s.Status, s.Services)
	}
	checkWindows(t, dir, 1)
	checkTrust(t, s)
	checkLabels(t, readProfile(t, filepath.Join(dir, session.CPU)), s.Services[0].PID)
	checkPhases(t, readProfile(t, filepath.Join(dir, session.CPU)))

	top := pprof(t, "-top", "-tagfocus=service=ryot", filepath.Join(dir, session.CPU))
	for _, function := range []string{"llama.matmul", "llama.attention"} {
		if !strings.Contains(top, function) {
			t.Errorf("go tool pprof -top -tagfocus=service=ryot lacks %s:\n%.3000s", function, top)
		}
	}
	for _, part := range []string{
		"FirstTokenLatencyBenchmark: ryot (reference), 60 of 60 answers valid, complete",
		"ttft_p95_ms < 100 ms", "llama.matmul",
		"s/cpu.pb.gz", "s/flame/ryot.svg", "s/CONSOLIDATED_PROFILING_REPORT.md", "go tool pprof -http=",
	} {
		if !strings.Contains(r.stdout, part) {
			t.Errorf("the summary lacks %q:\n%s", part, r.stdout)
		}
	}
	for _, name := range []string{"flame/ryot.svg", "profiles/ryot.json", "metrics/FirstTokenLatencyBenchmark.json", "requests/FirstTokenLatencyBenchmark.ndjson", "bottleneck_report.json", "CONSOLIDATED_PROFILING_REPORT.md"} {
		if !exists(filepath.Join(dir, name)) {
			t.Errorf("the session lacks %s", name)
		}
	}
	t.Run("flame", func(t *testing.T) { checkFlameFocus(t, dir) })
}

// checkTrust checks that the session says how far off the profiler was where the truth
// was known, and what the load generator adds by itself.
func checkTrust(t *testing.T, s *session.Session) {
	t.Helper()
	names := map[string]bool{}
	for _, c := range s.Calibration {
		names[c.Name] = true
	}
	if !names[calibration.SplitCheck] || !names[calibration.TickCheck] {
		t.Errorf("calibrated were %v", names)
	}
	documents, err := s.Metrics()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range documents {
		if own := d.Load.Generator; own == nil || own.Concurrency != 1 || own.AddedP99Ms <= 0 {
			t.Errorf("%s: the generator's own part is %+v (%s)", d.Benchmark, own, d.Load.GeneratorUnknown)
		}
	}
}

// checkLabels checks that all of the service's processes and nothing else carries
// its name, and that its samples are told apart by benchmark and phase.
func checkLabels(t *testing.T, p *profile.Profile, pid int) {
	t.Helper()
	total := weight(p, ofService)
	benchmark := weight(p, func(s *profile.Sample) bool {
		return ofService(s) && s.HasLabel("benchmark", "FirstTokenLatencyBenchmark")
	})
	if total == 0 || float64(benchmark) < 0.5*float64(total) {
		t.Errorf("%d of the service's %d ns carry the benchmark's name", benchmark, total)
	}
	phases := map[string]bool{}
	for _, s := range p.Sample {
		// Before it is ready it is a process like any other.
		ours := slices.Equal(s.NumLabel["pid"], []int64{int64(pid)})
		if ofService(s) && !ours || ours && !ofService(s) && s.Label["phase"] != nil {
			t.Errorf("a sample of process %v has the labels %v; the service is process %d", s.NumLabel["pid"], s.Label, pid)
			return
		}
		if ofService(s) {
			for _, phase := range s.Label["phase"] {
				phases[phase] = true
			}
		}
	}
	for _, want := range []string{"warmup", "prefill"} {
		if !phases[want] {
			t.Errorf("the service's samples are of the phases %v, want %q among them", phases, want)
		}
	}
}

// checkPhases checks that phases, which the load generator marks in another process and
// tells of later, begin and end when they did: the model multiplies whole tiles of a
// prompt's tokens in the prefill and nowhere else, and every few milliseconds another
// phase begins.
func checkPhases(t *testing.T, p *profile.Profile) {
	t.Helper()
	tiles := func(phase string) int64 {
		return weight(p, func(s *profile.Sample) bool {
			return ofService(s) && s.HasLabel("phase", phase) && slices.ContainsFunc(s.Location, func(l *profile.Location) bool {
				return slices.ContainsFunc(l.Line, func(line profile.Line) bool { return strings.HasSuffix(line.Function.Name, "llama.matmulTiles") })
			})
		})
	}
	if prefill, decode := tiles("prefill"), tiles("decode"); prefill == 0 || float64(decode) > 0.05*float64(prefill) {
		t.Errorf("a prompt's tokens were multiplied for %d ns in the prefill and %d ns in the decoding", prefill, decode)
	}
}

// checkFlameFocus draws one phase of a session and one that does not exist.
func checkFlameFocus(t *testing.T, dir string) {
	one := narrows(t, "flame", "-l", "service=ryot", "-l", "phase=prefill", "-o", "x.svg", dir)
	succeed(t, one)
	content, err := os.ReadFile(filepath.Join(one.Dir, "x.svg"))
	if err != nil {
		t.Fatal(err)
	}
	checkSVG(t, content)
	if !bytes.Contains(content, []byte("llama.matmul")) || bytes.Contains(content, []byte("swapper")) {
		t.Error("the flame graph of the service's prefill is not of the service alone")
	}
	f := failure{status: 1, says: []string{"no samples to draw", "go tool pprof -tags"}}
	f.check(t, narrows(t, "flame", "-l", "service=ryot", "-l", "phase=none", "-o", "x.svg", dir))
	f = failure{status: 1, says: []string{`"phase" is no label`, "KEY=VALUE"}}
	f.check(t, narrows(t, "flame", "-l", "phase", "-o", "x.svg", dir))
	f = failure{status: 1, says: []string{`"heap" must be one of: [samples cpu]`}}
	f.check(t, narrows(t, "flame", "--sample-index", "heap", "-o", "x.svg", dir))
	f = failure{status: 1, says: []string{"/no/such/x.svg", "create its folder first"}}
	f.check(t, narrows(t, "flame", "-o", "/no/such/x.svg", dir))
}

// A load generator that is killed fails its benchmark, and says how it ended; what it
// recorded before is kept, and nothing it left runs on.
func TestBenchWhoseGeneratorDies(t *testing.T) {
	cmd := narrows(t, "bench", "--benchmark", "FirstTokenLatency", "--iterations", "100000", "--concurrent_requests", "1", "-o", "s")
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended, unless the test fails
	dir := filepath.Join(cmd.Dir, "s")
	until(t, "a request record", func() bool {
		partial, err := filepath.Glob(filepath.Join(dir, "requests", ".*"))
		if err != nil || len(partial) != 1 {
			return false
		}
		info, err := os.Stat(partial[0])
		return err == nil && info.Size() > 0
	})
	if err := syscall.Kill(childOf(t, cmd.Process.Pid, "generate"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("it ended as %v", cmd.ProcessState)
	}
	if text := said.String(); !strings.Contains(text, "FirstTokenLatencyBenchmark: the load generator ended before its benchmark (signal: killed)") {
		t.Errorf("it says\n%s", text)
	}
	s := checkSession(t, dir)
	records, err := os.Stat(filepath.Join(dir, "requests", "FirstTokenLatencyBenchmark.ndjson"))
	if s.Status != session.Failed || len(s.Services) != 1 || err != nil || records.Size() == 0 {
		t.Fatalf("status %q, services %+v, records: %v", s.Status, s.Services, err)
	}
	if err := syscall.Kill(s.Services[0].PID, 0); err == nil {
		t.Error("the reference service still runs")
	}
}

// childOf finds a process of ours by its parent and its subcommand.
func childOf(t *testing.T, parent int, subcommand string) int {
	t.Helper()
	processes, err := procfs.AllProcs()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		stat, err := p.Stat()
		if err != nil || stat.PPID != parent {
			continue
		}
		if line, err := p.CmdLine(); err == nil && len(line) > 1 && line[1] == subcommand {
			return p.PID
		}
	}
	t.Fatalf("process %d has no child that was started with %q", parent, subcommand)
	return 0
}

// Ctrl-C in the middle of the main job keeps all that was recorded and measured.
func TestInterruptedRun(t *testing.T) {
	requireRecording(t)
	cmd := narrows(t, "run", "--no-calibrate", "--iterations", "100", "--window", "500ms", "-F", "499", "-o", "s")
	p := launch(t, cmd)
	dir := filepath.Join(cmd.Dir, "s")
	until(t, "a window after the first requests", func() bool {
		return exists(filepath.Join(dir, "windows", "0004", session.CPU))
	})
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for line := range p.lines {
		out.WriteString(line + "\n")
	}
	if status := p.wait(); status != 128+int(syscall.SIGINT) {
		t.Errorf("exit status %d", status)
	}
	s := checkSession(t, dir)
	if s.Status != session.Interrupted || !strings.Contains(s.Reason, "Ctrl-C") {
		t.Errorf("status %q, reason %q", s.Status, s.Reason)
	}
	profile := readProfile(t, filepath.Join(dir, session.CPU))
	if weight(profile, ofService) == 0 {
		t.Error("no sample of the service was kept")
	}
	documents, err := s.Metrics()
	if err != nil {
		t.Fatal(err)
	}
	if len(documents) != 1 || documents[0].Status == metrics.Complete || !strings.Contains(documents[0].StatusReason, "Ctrl-C") {
		t.Errorf("the metrics are %+v", documents)
	}
	if !strings.Contains(out.String(), "s/cpu.pb.gz") {
		t.Errorf("the summary does not say what was kept:\n%s", out.String())
	}
	if err := syscall.Kill(s.Services[0].PID, 0); err == nil {
		t.Error("the reference service still runs")
	}
}

// answers are what a service said, by request, without when.
func answers(t *testing.T, dir string) map[int][2]int64 {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "requests", "TokenGenerationBenchmark.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	said := map[int][2]int64{}
	for request, err := range metrics.ReadRequests(f) {
		if err != nil {
			t.Fatal(err)
		}
		if request.Outcome != metrics.OK {
			t.Errorf("request %d ended as %s", request.Index, request.Outcome)
		}
		said[request.Index] = [2]int64{int64(request.Tokens), request.Bytes}
	}
	return said
}

// benchTwice runs a benchmark twice with a seed and once with another one.
func benchTwice(t *testing.T, benchmark, iterations string, more ...string) (dirs [3]string, documents [3]metrics.Document) {
	t.Helper()
	for i, seed := range []string{"7", "7", "8"} {
		args := []string{"bench", "--benchmark", benchmark, "--iterations", iterations, "--concurrent_requests", "1", "--seed", seed, "-o", "s", "--json"}
		cmd := narrows(t, append(args, more...)...)
		r := succeed(t, cmd)
		var printed []metrics.Document
		decode(t, r.stdout, &printed)
		if len(printed) != 1 || strconv.Itoa(printed[0].N) != iterations || printed[0].Status != metrics.Complete {
			t.Fatalf("the printed documents are\n%s", r.stdout)
		}
		dirs[i], documents[i] = filepath.Join(cmd.Dir, "s"), printed[0]
		checkSession(t, dirs[i])
	}
	return dirs, documents
}

// checkMeasuredAnew checks that two runs of a seed measured times of their own.
func checkMeasuredAnew(t *testing.T, first, again metrics.Document, names ...string) {
	t.Helper()
	for _, name := range names {
		if a, b := first.Metrics[name], again.Metrics[name]; a == nil || b == nil || *a == *b {
			t.Errorf("%s is the same in two runs, or unknown", name)
		}
	}
}

// Answers repeat with the seed, down to their bytes; what is measured does not, or
// it would not be measured.
func TestBenchRepeatsAnswersAndMeasuresAnew(t *testing.T) {
	dirs, documents := benchTwice(t, "TokenGeneration", "3")
	first, again, other := answers(t, dirs[0]), answers(t, dirs[1]), answers(t, dirs[2])
	if diff := cmp.Diff(first, again); diff != "" || len(first) != 3 {
		t.Errorf("tokens and bytes of the same seed differ (-first +second):\n%s", diff)
	}
	if cmp.Equal(first, other) {
		t.Errorf("another seed got the same answers: %v", other)
	}
	checkMeasuredAnew(t, documents[0], documents[1], "ttft_mean_ms", "tokens_per_second", "request_mean_ms")
}

// So do the ratios of compression, of every kind of text, and their intervals. The
// service is reached as a tool, which spares the measurement against a null server.
func TestBenchRepeatsRatiosAndMeasuresAnew(t *testing.T) {
	_, documents := benchTwice(t, "CompressionRatio", "3",
		"--target", "sigmalang=stdio:"+filepath.Join(programs, narrowsName)+" serve sigmalang --stdio")
	ratios := func(d metrics.Document) map[string][3]float64 {
		found := map[string][3]float64{}
		for name, value := range d.Metrics {
			if metrics.IsRatio(name) && value != nil {
				found[name] = [3]float64{*value, d.CI[name].Low, d.CI[name].High}
			}
		}
		return found
	}
	first, again, other := ratios(documents[0]), ratios(documents[1]), ratios(documents[2])
	if diff := cmp.Diff(first, again); diff != "" || len(first) != 6 {
		t.Errorf("%d ratios of the same seed differ (-first +second):\n%s", len(first), diff)
	}
	for _, name := range []string{"compression_ratio", "compression_ratio_english", "compression_ratio_code", "compression_ratio_all"} {
		if first[name][0] <= 1 || first[name] == other[name] {
			t.Errorf("%s is %v, and %v with another seed", name, first[name], other[name])
		}
	}
	checkMeasuredAnew(t, documents[0], documents[1], "throughput_mb_per_s", "compress_ms_per_mb", "decompress_ms_per_mb", "request_mean_ms")
}
