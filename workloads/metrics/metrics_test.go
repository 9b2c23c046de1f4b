package metrics

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// sample is a document with every kind of field in use.
func sample() *Document {
	ttft, rate := 42.5, 151.25
	return &Document{
		SchemaVersion: SchemaVersion, Service: "ryot", Benchmark: "FirstTokenLatencyBenchmark",
		Timestamp:  time.Date(2026, 3, 1, 12, 0, 0, 500, time.UTC),
		Iterations: 100, N: 98, Status: Complete, TargetKind: "reference",
		Provenance: Provenance{Host: "host", Kernel: "6.12", NarrowsVersion: "v0", TargetURL: "http://127.0.0.1:1", Seed: 7},
		Load: Load{
			Model: "open-loop", Arrivals: "poisson", RatePerSecond: 4, WarmupRequests: 8, DurationSeconds: 25,
			Calibration: &Calibration{ServiceTimeMedianMs: 125, Requests: 6, Utilization: 0.5},
			MaxInFlight: 3, InFlightLimit: 256,
		},
		Metrics: map[string]*float64{
			"ttft_mean_ms": &ttft, "ttft_p50_ms": &ttft, "ttft_p95_ms": &ttft, "ttft_p99_ms": nil,
			"tokens_per_second": &rate, "peak_memory_mb": nil, "gpu_utilization_percent": nil,
		},
		Unavailable: map[string]string{
			"ttft_p99_ms": "needs 299 answers", "peak_memory_mb": "no process", "gpu_utilization_percent": "no GPU was observed",
		},
		CI:      map[string]Interval{"ttft_p95_ms": {Low: 40, High: 50, Confidence: 0.95, Method: "order statistics"}},
		Targets: []Target{{Metric: "ttft_p95_ms", Comparison: "<", Value: 100, Unit: "ms", Verdict: Met, Reason: "below"}},
		Errors:  map[string]int{string(TimedOut): 1, string(HTTPOutcome(503)): 1},
		Notes:   []string{"a note"},
	}
}

func compile(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	schema, err := compiler.Compile(filepath.Join("..", "..", "docs", "schema", name))
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func conforms(t *testing.T, schema *jsonschema.Schema, encoded []byte) error {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(encoded))
	if err != nil {
		t.Fatal(err)
	}
	return schema.Validate(value)
}

func TestWriteThenRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "FirstTokenLatencyBenchmark.json")
	want := sample()
	if err := want.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	got, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if difference := cmp.Diff(want, got); difference != "" {
		t.Error(difference)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode())
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v (%v), want the document alone", entries, err)
	}
}

func TestWriteLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(path, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := sample().WriteFile(path); err == nil {
		t.Error("writing over a folder succeeded")
	}
	bad := sample()
	bad.N = 101
	if err := bad.WriteFile(filepath.Join(dir, "bad.json")); err == nil {
		t.Error("an invalid document was written")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v (%v)", entries, err)
	}
}

func TestSchemaAcceptsWhatIsWritten(t *testing.T) {
	schema := compile(t, "metrics.schema.json")
	minimal := sample()
	minimal.N, minimal.Status, minimal.StatusReason = 0, Failed, "connection refused"
	minimal.CI, minimal.Targets, minimal.Errors, minimal.Notes, minimal.Load.Calibration = nil, nil, nil, nil, nil
	for _, document := range []*Document{sample(), minimal} {
		encoded, err := document.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := conforms(t, schema, encoded); err != nil {
			t.Errorf("%s\n%v", encoded, err)
		}
	}
}

// Each change must be refused by the schema, so that the schema is known to
// constrain anything at all.
func TestSchemaRefuses(t *testing.T) {
	schema := compile(t, "metrics.schema.json")
	for name, change := range map[string]func(map[string]any){
		"unknown field":        func(d map[string]any) { d["extra"] = 1 },
		"unknown load field":   func(d map[string]any) { d["load"].(map[string]any)["extra"] = 1 },
		"missing field":        func(d map[string]any) { delete(d, "provenance") },
		"missing baseline":     func(d map[string]any) { delete(d["metrics"].(map[string]any), "ttft_p99_ms") },
		"text as metric":       func(d map[string]any) { d["metrics"].(map[string]any)["ttft_p50_ms"] = "42" },
		"status":               func(d map[string]any) { d["status"] = "fine" },
		"unexplained status":   func(d map[string]any) { d["status"] = "invalid" },
		"complete without n":   func(d map[string]any) { d["n"] = 0 },
		"error kind":           func(d map[string]any) { d["errors"] = map[string]any{"gremlin": 1} },
		"timestamp":            func(d map[string]any) { d["timestamp"] = "yesterday" },
		"interval's certainty": func(d map[string]any) { ci(d)["confidence"] = 1 },
	} {
		encoded, err := sample().Encode()
		if err != nil {
			t.Fatal(err)
		}
		var document map[string]any
		if err := json.Unmarshal(encoded, &document); err != nil {
			t.Fatal(err)
		}
		change(document)
		if encoded, err = json.Marshal(document); err != nil {
			t.Fatal(err)
		}
		if conforms(t, schema, encoded) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func ci(document map[string]any) map[string]any {
	return document["ci"].(map[string]any)["ttft_p95_ms"].(map[string]any)
}

func TestValidateRefuses(t *testing.T) {
	nan := math.NaN()
	for name, change := range map[string]func(*Document){
		"null without reason":  func(d *Document) { delete(d.Unavailable, "ttft_p99_ms") },
		"reason with value":    func(d *Document) { d.Unavailable["ttft_p50_ms"] = "why" },
		"reason for nothing":   func(d *Document) { d.Unavailable["other"] = "why" },
		"missing baseline":     func(d *Document) { delete(d.Metrics, "tokens_per_second") },
		"not a number":         func(d *Document) { d.Metrics["ttft_mean_ms"] = &nan },
		"interval of null":     func(d *Document) { d.CI["ttft_p99_ms"] = d.CI["ttft_p95_ms"] },
		"interval upside down": func(d *Document) { d.CI["ttft_p95_ms"] = Interval{Low: 2, High: 1, Confidence: 0.95, Method: "m"} },
		"interval with NaN":    func(d *Document) { d.CI["ttft_p95_ms"] = Interval{Low: nan, High: 1, Confidence: 0.95, Method: "m"} },
		"no verdict":           func(d *Document) { d.Targets[0].Verdict = "" },
		"verdict, no reason":   func(d *Document) { d.Targets[0].Reason = "" },
		"target on nothing":    func(d *Document) { d.Targets[0].Metric = "other" },
		"met by null":          func(d *Document) { d.Targets[0].Metric = "ttft_p99_ms" },
		"met in a short run":   func(d *Document) { d.Status, d.StatusReason = Invalid, "short" },
		"more valid than run":  func(d *Document) { d.N = 101 },
		"unexplained status":   func(d *Document) { d.Status = Failed },
		"path in the name":     func(d *Document) { d.Benchmark = "../Evil" },
		"ok as an error":       func(d *Document) { d.Errors["ok"] = 1 },
		"schema version":       func(d *Document) { d.SchemaVersion = 2 },
	} {
		document := sample()
		change(document)
		if document.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := sample().Validate(); err != nil {
		t.Errorf("the unchanged document: %v", err)
	}
}

func TestDecodeIsStrict(t *testing.T) {
	encoded, err := sample().Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"unknown field": strings.Replace(string(encoded), `"n": 98`, `"n": 98, "m": 1`, 1),
		"two values":    string(encoded) + "{}",
		"cut":           string(encoded[:len(encoded)/2]),
		"empty":         "",
		"huge":          string(encoded) + strings.Repeat(" ", maxDocument),
	} {
		if _, err := Decode(strings.NewReader(content)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	encoded, err := sample().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(encoded)
	f.Add([]byte(`{"metrics":{"a":null}}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		document, err := Decode(bytes.NewReader(content))
		if err != nil {
			return
		}
		if _, err := document.Encode(); err != nil {
			t.Errorf("read, but not written again: %v", err)
		}
	})
}

func TestRatiosNeedAVerdict(t *testing.T) {
	for _, test := range []struct {
		trip *RoundTrip
		want string // part of the error, empty for none
	}{
		{nil, "nothing says"},
		{NewRoundTrip(3, 3, ""), ""},
		{NewRoundTrip(3, 2, ""), ""},
		{NewRoundTrip(0, 0, ""), ""},
		{&RoundTrip{Lossless: "true", Checked: 3, Whole: 2}, "lossless"},
		{&RoundTrip{Lossless: "false", Checked: 3, Whole: 3}, "lossless"},
		{&RoundTrip{Lossless: "true"}, "lossless"},
		{&RoundTrip{Lossless: "unverified"}, "without a reason"},
		{&RoundTrip{Lossless: "true", Checked: 2, Whole: 3}, "3 of 2"},
	} {
		d := New("sigmalang", "CompressionRatioBenchmark", "not measured")
		d.Timestamp, d.Iterations, d.N, d.Status, d.TargetKind = time.Now(), 1, 1, Complete, "reference"
		d.Load.Model = "open-loop"
		if err := d.Validate(); err != nil {
			t.Fatal(err)
		}
		d.Set("compression_ratio", 3)
		d.RoundTrip = test.trip
		err := d.Validate()
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v", test.trip, err)
		}
	}
}
