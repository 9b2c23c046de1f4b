package report

import (
	"encoding/json"
	"io"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/analysis/rank"
	"github.com/narrows-profiler/narrows/analysis/session"
	"github.com/narrows-profiler/narrows/workloads/metrics"
)

var start = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// share is a function's part of a benchmark's samples; inner frames first.
type share struct {
	stack []string
	of    float64
}

// windowProfile draws n samples of 10 ms from the shares.
func windowProfile(random *rand.Rand, labels map[string]string, n int, shares []share) *profile.Profile {
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}, Period: 10_000_000,
		Mapping: []*profile.Mapping{{ID: 1, Start: 0x400000, Limit: 0x900000, File: "/usr/local/bin/narrows", BuildID: "abc"}},
	}
	counts := make([]int64, len(shares))
	for range n {
		at, i := random.Float64(), 0
		for at -= shares[i].of; at > 0 && i < len(shares)-1; at -= shares[i].of {
			i++
		}
		counts[i]++
	}
	locations := map[string]*profile.Location{}
	for i, s := range shares {
		sample := &profile.Sample{Value: []int64{counts[i], counts[i] * 10_000_000}, Label: map[string][]string{}}
		for key, value := range labels {
			sample.Label[key] = []string{value}
		}
		for _, name := range s.stack {
			if locations[name] == nil {
				id := uint64(len(locations) + 1)
				f := &profile.Function{ID: id, Name: name, SystemName: name, Filename: "/src/llama/forward.go"}
				locations[name] = &profile.Location{ID: id, Mapping: p.Mapping[0], Address: 0x400000 + 16*id, Line: []profile.Line{{Function: f, Line: int64(10 * id)}}}
				p.Function = append(p.Function, f)
				p.Location = append(p.Location, locations[name])
			}
			sample.Location = append(sample.Location, locations[name])
		}
		p.Sample = append(p.Sample, sample)
	}
	return p
}

// waitProfile is what ten seconds have of threads and goroutines that waited: 12 s for a
// mutex, 1 s for a disk, and 30 s for work.
func waitProfile(name, benchmark string) *profile.Profile {
	forward := []string{module + "(*Model).Forward", module + "(*Model).Generate", "net/http.HandlerFunc.ServeHTTP", "runtime.goexit"}
	at := func(of ...string) []share { return []share{{append(of, forward...), 1}} }
	wait := func(shares []share, count, seconds int64, more ...string) *profile.Profile {
		labels := map[string]string{"benchmark": benchmark, "service": "ryot"}
		for i := 0; i < len(more); i += 2 {
			labels[more[i]] = more[i+1]
		}
		p := windowProfile(rand.New(rand.NewPCG(1, 1)), labels, 1, shares)
		p.SampleType = []*profile.ValueType{{Type: "contentions", Unit: "count"}, {Type: "delay", Unit: "nanoseconds"}}
		if name == session.OffCPU {
			p.SampleType = []*profile.ValueType{{Type: "waits", Unit: "count"}, {Type: "offcpu", Unit: "nanoseconds"}}
		}
		p.PeriodType = p.SampleType[0]
		p.Sample[0].Value = []int64{count, seconds * 1e9}
		return p
	}
	cache := module + "(*Cache).get"
	switch name {
	case session.LockWait:
		return wait(at("sync.(*Mutex).Lock", cache), 40, 12, "state", "go", "lock", "42:go:0x1", "lock_kind", "sync.Mutex")
	case session.LockBlame:
		return wait(at("sync.(*Mutex).Unlock", cache+".deferwrap1", cache), 40, 12, "lock", "42:go:0x1", "lock_kind", "sync.Mutex")
	}
	all, err := profile.Merge([]*profile.Profile{wait(at("syscall.Fsync", "os.(*File).Sync", cache), 9, 1, "state", "io"), wait(at("runtime.stopm"), 9, 30, "state", "idle")})
	if err != nil {
		panic(err)
	}
	return all
}

const module = "github.com/narrows-profiler/narrows/workloads/ryot/llama."

func inference(matmul float64) []share {
	forward := []string{module + "(*Model).Forward", module + "(*Model).Generate", "net/http.HandlerFunc.ServeHTTP", "runtime.goexit"}
	return []share{
		{append([]string{module + "(*Model).matmul"}, forward...), matmul},
		{append([]string{module + "(*Model).attention"}, forward...), 0.8 - matmul},
		{append([]string{module + "softmax", module + "(*Model).attention"}, forward...), 0.15},
		{append([]string{module + "(*Model).sample"}, forward...), 0.045},
		{append([]string{"runtime.mallocgc"}, forward...), 0.005},
	}
}

func pointer(v float64) *float64 { return &v }

func documents() []metrics.Document {
	base := metrics.Document{
		SchemaVersion: metrics.SchemaVersion, Service: "ryot", Timestamp: start, Iterations: 300, N: 300, Status: metrics.Complete, TargetKind: "reference",
		Provenance: metrics.Provenance{Host: "bench-1", Kernel: "6.18.0", NarrowsVersion: "0.1.0", TargetURL: "http://127.0.0.1:8000"},
		Load:       metrics.Load{Model: "open-loop", RatePerSecond: 10, WarmupRequests: 10, DurationSeconds: 30, MaxInFlight: 2},
		Errors:     map[string]int{},
	}
	a := base
	a.Benchmark = "FirstTokenLatencyBenchmark"
	a.Metrics = map[string]*float64{"ttft_mean_ms": pointer(121.25), "ttft_p50_ms": pointer(118.5), "ttft_p95_ms": pointer(142.7), "ttft_p99_ms": nil, "tokens_per_second": pointer(55.2), "peak_memory_mb": pointer(1234), "gpu_utilization_percent": nil}
	a.Unavailable = map[string]string{"ttft_p99_ms": "a p99 needs 299 answers, there are 280", "gpu_utilization_percent": "no GPU was found"}
	a.CI = map[string]metrics.Interval{"ttft_p95_ms": {Low: 138.1, High: 149.9, Confidence: 0.95, Method: "order statistics"}, "ttft_p50_ms": {Low: 117.2, High: 119.9, Confidence: 0.95, Method: "order statistics"}}
	a.Targets = []metrics.Target{{Metric: "ttft_p95_ms", Comparison: "<", Value: 100, Unit: "ms", Verdict: metrics.Missed, Reason: "the whole interval is above 100 ms"}}
	a.Notes = []string{"the service gave no token count for 3 of 280 answers; their content chunks were counted"}
	a.Load.OwnLateP50Ms, a.Load.OwnLateP99Ms, a.Load.GeneratorCPURatio = 0.061, 0.42, 0.0123
	a.Load.Generator = &metrics.Generator{RatePerSecond: 150, Requests: 300, ExchangeP50Ms: 0.19, ExchangeP99Ms: 0.7, AddedP50Ms: 0.2421, AddedP99Ms: 1.096, CPURatio: 0.067}
	a.N, a.Errors = 280, map[string]int{"timeout": 20}
	b := base
	b.Benchmark = "TokenGenerationBenchmark"
	b.Load.GeneratorUnknown = "the null server did not start"
	b.Metrics = map[string]*float64{"ttft_mean_ms": pointer(119), "ttft_p50_ms": nil, "ttft_p95_ms": nil, "ttft_p99_ms": nil, "tokens_per_second": pointer(51.34), "peak_memory_mb": pointer(1240.5), "gpu_utilization_percent": nil}
	b.Unavailable = map[string]string{"ttft_p50_ms": "not measured by this benchmark", "ttft_p95_ms": "not measured by this benchmark", "ttft_p99_ms": "not measured by this benchmark", "gpu_utilization_percent": "no GPU was found"}
	b.CI = map[string]metrics.Interval{"tokens_per_second": {Low: 49.6, High: 53.1, Confidence: 0.95, Method: "bootstrap"}}
	b.Targets = []metrics.Target{{Metric: "tokens_per_second", Comparison: ">", Value: 50, Unit: "tokens/s", Verdict: metrics.Undecided, Reason: "the interval holds 50 tokens/s"}}
	return []metrics.Document{a, b}
}

// record writes a session as a run of two benchmarks leaves it, judged.
func record(t testing.TB) *Data {
	t.Helper()
	w, err := session.Create(filepath.Join(t.TempDir(), "s"), session.Info{
		NarrowsVersion: "0.1.0", CommandLine: []string{"narrows", "run", "--suite", "microbenchmarks"},
		Host:  session.Host{Hostname: "bench-1", Kernel: "6.18.0", Machine: "x86_64", CPUsOnline: 2, MemoryBytes: 8 << 30, BTF: true},
		Start: start, WindowSeconds: 10,
	})
	must(t, err)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 6 {
		benchmark, matmul := "FirstTokenLatencyBenchmark", 0.52+0.03*random.NormFloat64()
		if i >= 3 {
			benchmark, matmul = "TokenGenerationBenchmark", 0.7+0.03*random.NormFloat64()
		}
		p := windowProfile(random, map[string]string{"benchmark": benchmark, "service": "ryot", "phase": []string{"prefill", "decode"}[i/3]}, 900, inference(matmul))
		other := windowProfile(random, map[string]string{"benchmark": benchmark}, 120, []share{{[]string{"main.send", "runtime.goexit"}, 1}})
		lost := windowProfile(random, nil, 4, []share{{[]string{"[lost: missed ticks]"}, 1}})
		all, err := profile.Merge([]*profile.Profile{p, other, lost})
		must(t, err)
		from := start.Add(time.Duration(i) * 10 * time.Second)
		window := session.Window{Index: i, Start: from, End: from.Add(10 * time.Second)}
		must(t, w.WriteWindow(t.Context(), window, session.CPU, all))
		if i >= 3 {
			continue
		}
		for _, name := range []string{session.OffCPU, session.LockWait, session.LockBlame} {
			must(t, w.WriteWindow(t.Context(), window, name, waitProfile(name, benchmark)))
		}
	}
	for _, d := range documents() {
		f, err := w.Create("metrics/" + d.Benchmark + ".json")
		must(t, err)
		must(t, json.NewEncoder(f).Encode(d))
		must(t, f.Close())
		f, err = w.Create("requests/" + d.Benchmark + ".ndjson")
		must(t, err)
		_, err = io.WriteString(f, "{}\n")
		must(t, err)
		must(t, f.Close())
	}
	must(t, w.Finish(t.Context(), session.Outcome{Status: session.Complete}, session.Summary{
		End:        start.Add(60 * time.Second),
		Signals:    []session.Signal{{Signal: "cpu", Backend: "perf_event cpu-clock", Why: "the host has no hardware counters", Tried: []session.Attempt{{Backend: "perf_event cycles", Error: "no such device"}}}},
		Accounting: &session.Accounting{Total: session.Time{ExpectedNS: 61_440_000_000, SeenNS: 61_200_000_000, LostNS: 240_000_000, StealNS: 12_000_000, IdleNS: 58_000_000_000, Samples: 6120}},
		Losses:     []session.Loss{{Reason: "missed ticks", Count: 24, Where: "CPU 0 and 1"}},
		OwnCost:    &session.OwnCost{CPUUserSeconds: 0.9, CPUSystemSeconds: 0.3, EBPFRunSeconds: 0.02, EBPFRuns: 11880, PeakMemoryBytes: 86 << 20},
		Unwinding:  []session.Unwinding{{File: "/usr/local/bin/narrows", BuildID: "abc", Complete: 5890, Truncated: map[string]int64{"no frame pointer": 12}}},
		Symbols:    []session.Symbols{{File: "/usr/local/bin/narrows", BuildID: "abc", Named: 41230, Unnamed: map[string]int64{"no symbol covers the address": 3}}},
		Calibration: []session.Check{
			{Name: "CPU split", What: "a program counts its own time", Samples: 3009, Unit: "%", Verdict: session.WithinChance, Reason: "no value is far",
				Values: []session.CheckValue{session.NewCheckValue("half", 49.9, 49.8, 2.8), session.NewCheckValue("third", 30, 30.4, 2.6)}},
			{Name: "callers of leaves", What: "a leaf's caller is known", Samples: 900, Unit: "%", Verdict: session.BeyondChance, Reason: "none was seen",
				Values: []session.CheckValue{session.NewCheckValue("stacks with the caller", 100, 0, 1)}},
			{Name: "price of a tick", What: "of one sample", Samples: 6000, Unit: "us", Verdict: session.JustMeasured, Reason: "there is no truth to compare with",
				Values: []session.CheckValue{{Name: "eBPF program", Seen: 2.82}}},
		},
		Services:   []session.Service{{Name: "ryot", PID: 4242, TargetKind: "reference", URL: "http://127.0.0.1:8000"}},
		Benchmarks: []session.Benchmark{{Benchmark: "FirstTokenLatencyBenchmark", Start: start, End: start.Add(30 * time.Second)}, {Benchmark: "TokenGenerationBenchmark", Start: start.Add(30 * time.Second), End: start.Add(60 * time.Second)}},
	}))
	s, err := session.Open(w.Path())
	must(t, err)
	d, err := Judge(s, rank.Options{})
	must(t, err)
	return d
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
