package session_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/narrows-profiler/narrows/analysis/session"
)

func fullSummary() session.Summary {
	return session.Summary{
		End: start.Add(30 * time.Second), EndMonotonicNS: 30_000_000_042,
		Signals: []session.Signal{{Signal: "cpu", Backend: "cpu-clock", Why: "no hardware counter", Tried: []session.Attempt{{Backend: "cycles", Error: "no such device"}}}},
		Accounting: &session.Accounting{
			Total:          session.Time{ExpectedNS: 100, SeenNS: 99, LostNS: 1, Samples: 9},
			ByCPUAndWindow: []session.CPUTime{{CPU: 1, Window: 2, Time: session.Time{ExpectedNS: 100, SeenNS: 99, LostNS: 1, IdleNS: 5, StealNS: 2, Samples: 9}}},
		},
		Losses:     []session.Loss{{Reason: "missed ticks", Count: 1, Where: "cpu 1"}},
		OwnCost:    &session.OwnCost{CPUUserSeconds: 0.5, CPUSystemSeconds: 0.25, EBPFRunSeconds: 0.125, EBPFRuns: 99, AllocRuns: 7, AllocRunSeconds: 0.5, KernelAllocRuns: 8, KernelAllocRunSeconds: 0.25, PeakMemoryBytes: 1 << 20},
		Unwinding:  []session.Unwinding{{File: "/bin/service", BuildID: "abc", Complete: 9, Truncated: map[string]int64{"no frame pointer": 1}}},
		Symbols:    []session.Symbols{{File: "/bin/service", BuildID: "abc", Named: 9, Unnamed: map[string]int64{"stripped": 1}}},
		Services:   []session.Service{{Name: "ryot", PID: 7, TargetKind: "reference", URL: "http://127.0.0.1:1"}},
		Benchmarks: []session.Benchmark{{Benchmark: "FirstTokenLatencyBenchmark", Phase: "prefill", Start: start, End: start.Add(time.Second)}},
		Calibration: []session.Check{
			{Name: "CPU split", What: "a program", Samples: 3000, Unit: "%", Values: []session.CheckValue{session.NewCheckValue("half", 50, 49, 2.8)}, Verdict: session.WithinChance, Reason: "near"},
			{Name: "price of a tick", Unit: "us", Values: []session.CheckValue{{Name: "eBPF program", Seen: 2.5}}, Verdict: session.JustMeasured, Reason: "no truth"},
		},
		Faults: &session.Faults{Faults: 9, Bytes: 4096, LostFaults: 1, PieceFaults: 1, PieceBytes: 4096},
		Memory: &session.Memory{
			MeanBytes: 524288, Allocated: session.MemoryEstimate{Bytes: 100, LowBytes: 90, HighBytes: 120, Objects: 4, Samples: 3},
			Live:   session.MemoryEstimate{Bytes: 10, LowBytes: 9, HighBytes: 12, Objects: 1, Samples: 1},
			Stacks: []session.MemoryStack{{Functions: []string{"leak", "main"}, Live: session.MemoryEstimate{Bytes: 10, Objects: 1}}},
		},
		KernelMemory: &session.KernelMemory{
			Memory: session.Memory{
				MeanBytes: 65536, Allocated: session.MemoryEstimate{Bytes: 100, Objects: 4, Samples: 3}, Live: session.MemoryEstimate{Bytes: 10, Objects: 1, Samples: 1},
				Stacks: []session.MemoryStack{{Functions: []string{"kmem_cache_alloc", "alloc_inode"}}},
			},
			Objects: 5, ObjectBytes: 960, PageBytes: 8192, UnseenPageBytes: 4096, SlabPageBytes: 2048, SlabPageLiveBytes: 1024, ProgramBytes: 64,
		},
		Warnings: []string{"a warning"},
	}
}

func TestDocumentComesBackAndMatchesItsSchema(t *testing.T) {
	w := create(t)
	validate(t, filepath.Join(w.Path(), "session.json"))
	if err := w.WriteWindow(t.Context(), window(0), session.CPU, cpuProfile(nil, map[string]int64{"f": 1})); err != nil {
		t.Fatal(err)
	}
	s := finish(t, w, fullSummary())
	validate(t, filepath.Join(w.Path(), "session.json"))
	if diff := cmp.Diff(testInfo(), s.Info); diff != "" {
		t.Errorf("info (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(fullSummary(), s.Summary); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
	if s.Status != session.Complete || s.UnderWay() {
		t.Errorf("status %q, under way %v", s.Status, s.UnderWay())
	}
}

func TestSchemaIsStrict(t *testing.T) {
	schema := compileSchema(t)
	w := create(t)
	finish(t, w, fullSummary())
	data, err := os.ReadFile(filepath.Join(w.Path(), "session.json"))
	if err != nil {
		t.Fatal(err)
	}
	for name, replace := range map[string][2]string{
		"unknown field":  {`"hostname"`, `"nodename"`},
		"unknown status": {`"complete"`, `"done"`},
		"text as number": {`"ebpf_runs": 99`, `"ebpf_runs": "99"`},
	} {
		broken := bytes.Replace(data, []byte(replace[0]), []byte(replace[1]), 1)
		if bytes.Equal(broken, data) {
			t.Fatalf("%s: nothing to replace", name)
		}
		instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(broken))
		if err != nil {
			t.Fatal(err)
		}
		if schema.Validate(instance) == nil {
			t.Errorf("%s: the schema accepts it", name)
		}
	}
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join("..", "..", "docs", "schema", "session.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func validate(t *testing.T, file string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	instance, err := jsonschema.UnmarshalJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := compileSchema(t).Validate(instance); err != nil {
		t.Errorf("%s: %v", filepath.Base(file), err)
	}
}
