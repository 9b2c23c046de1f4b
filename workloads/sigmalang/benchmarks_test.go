package sigmalang

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/sigmalang/corpus"
)

// Against a compressor of known speed and ratio every metric is the script's number
// exactly.
func TestMetricsAreTheScripts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		model := &script{perMB: 8 * time.Millisecond, perMBBack: 2 * time.Millisecond, ratio: 4}
		got := drive(t.Context(), t, small(compressionThroughput()), model, load.Options{Iterations: 60, Seed: 5})
		if got.err != nil {
			t.Fatal(got.err)
		}
		d := got.document
		for name, want := range map[string]float64{
			"compression_ratio": 4, "compression_ratio_english": 4, "compression_ratio_code": 4, "compression_ratio_repeated": 4,
			"compression_ratio_random": 4, "compression_ratio_all": 4, "round_trip_ok_ratio": 1,
			"throughput_mb_per_s": 125, "throughput_mb_per_s_random": 125, "compress_ms_per_mb": 8,
			"decompress_mb_per_s": 500, "decompress_ms_per_mb": 2,
			"encode_p50_ms": 0.016, "request_mean_ms": 4 * 0.020, "request_p95_ms": 4 * 0.020, "text_bytes_mean": 2000,
		} {
			if v := value(t, d, name); !near(v, want) {
				t.Errorf("%s is %v, want %v", name, v, want)
			}
		}
		if d.N != 60 || d.Status != metrics.Complete || d.Targets[0].Verdict != metrics.Met || len(got.requests) != 60 {
			t.Errorf("n %d, status %s, target %+v, %d records", d.N, d.Status, d.Targets[0], len(got.requests))
		}
		if d.RoundTrip == nil || *d.RoundTrip != (metrics.RoundTrip{Lossless: "true", Checked: 240, Whole: 240}) {
			t.Errorf("%+v", d.RoundTrip)
		}
		if d.Load.Arrivals != "uniform" || d.Load.MaxInFlight != 1 || !near(d.Load.RatePerSecond, 0.5/(4*0.020e-3)) {
			t.Errorf("%+v", d.Load)
		}
		if err := d.Validate(); err != nil {
			t.Error(err)
		}
	})
}

// The same seed gives the same texts, another one others.
func TestInputsAreTheSeeds(t *testing.T) {
	sets := func(seed uint64) (all [][]text) {
		d := &driver{shape: compressionRatio(), source: corpus.NewSource(seed), seed: seed}
		for index := -warmup; index < 3; index++ {
			all = append(all, d.set(index))
		}
		return all
	}
	a, b, other := sets(1), sets(1), sets(2)
	seen := map[string]bool{}
	for i := range a {
		bytes := map[corpus.Kind]int{}
		for j, text := range a[i] {
			if string(text.text) != string(b[i][j].text) || string(text.text) == string(other[i][j].text) || seen[string(text.text)] {
				t.Errorf("set %d, text %d (%s) is not as it should be", i, j, text.kind)
			}
			seen[string(text.text)] = true
			bytes[text.kind] += len(text.text)
		}
		for _, kind := range corpus.Kinds() {
			if len(a[i]) != 32 || bytes[kind] != bytes[corpus.English] || bytes[kind] < 8*16<<10 || bytes[kind] > 8*48<<10 {
				t.Errorf("set %d of %d texts has %v", i, len(a[i]), bytes)
			}
		}
	}
}

func TestVerdictsFollowTheTruth(t *testing.T) {
	half := func(text string) string { return text[:len(text)/2] }
	other := func(text string) string { return strings.Replace(text, " ", "_", 1) }
	for name, test := range map[string]struct {
		shape    shape
		model    *script
		lossless metrics.Lossless
		want     metrics.Verdict
	}{
		"small":                 {compressionRatio(), &script{perMB: time.Millisecond, ratio: 4}, "true", metrics.Met},
		"not small":             {compressionRatio(), &script{perMB: time.Millisecond, ratio: 2}, "true", metrics.Missed},
		"fast":                  {compressionThroughput(), &script{perMB: 9 * time.Millisecond, ratio: 4}, "true", metrics.Met},
		"slow":                  {compressionThroughput(), &script{perMB: 11 * time.Millisecond, ratio: 4}, "true", metrics.Missed},
		"small and lossy":       {compressionRatio(), &script{perMB: time.Millisecond, ratio: 4, lose: half}, "false", metrics.Missed},
		"fast and lossy":        {compressionThroughput(), &script{perMB: time.Millisecond, ratio: 4, lose: half}, "false", metrics.Missed},
		"one character is lost": {compressionRatio(), &script{perMB: time.Millisecond, ratio: 4, lose: other}, "false", metrics.Missed},
		"it does not decode": {compressionRatio(), &script{perMB: time.Millisecond, ratio: 4, fault: func(path string, _ int, w http.ResponseWriter) bool {
			if path == "/api/v1/decode" {
				http.NotFound(w, nil)
			}
			return path == "/api/v1/decode"
		}}, "unverified", metrics.Undecided},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := drive(t.Context(), t, small(test.shape), test.model, load.Options{Iterations: 20, Seed: 2})
				if got.err != nil {
					t.Fatal(got.err)
				}
				d := got.document
				if d.N != 20 || d.RoundTrip.Lossless != test.lossless || d.Targets[0].Verdict != test.want {
					t.Errorf("n %d, %s, %s: %s", d.N, d.RoundTrip, d.Targets[0].Verdict, d.Targets[0].Reason)
				}
				if test.lossless != "true" && (d.Metrics["compression_ratio"] == nil || d.Metrics["decompress_ms_per_mb"] != nil && test.model.lose == nil) {
					t.Errorf("%v", d.Metrics)
				}
				if err := d.Validate(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// An embedding has no bytes: its speed can be told, a ratio cannot.
func TestEmbeddingHasNoRatio(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		model := &script{fault: func(path string, _ int, w http.ResponseWriter) bool {
			time.Sleep(10 * time.Millisecond)
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"success":true,"embedding":[0.25,-1.5],"dimensions":2}`)
			return true
		}}
		got := drive(t.Context(), t, small(compressionRatio()), model, load.Options{Iterations: 20, Seed: 2})
		if got.err != nil {
			t.Fatal(got.err)
		}
		d := got.document
		if d.N != 20 || d.Metrics["compression_ratio"] != nil || !strings.Contains(d.Unavailable["compression_ratio"], "embedding") {
			t.Errorf("n %d, ratio %v: %s", d.N, d.Metrics["compression_ratio"], d.Unavailable["compression_ratio"])
		}
		if d.RoundTrip.Lossless != "unverified" || !strings.Contains(d.RoundTrip.Reason, "embedding") || d.Targets[0].Verdict != metrics.Undecided {
			t.Errorf("%s, %+v", d.RoundTrip, d.Targets[0])
		}
		if v := value(t, d, "throughput_mb_per_s"); !near(v, 0.2) {
			t.Errorf("%v MB/s, want 2000 bytes in 10 ms", v)
		}
		if err := d.Validate(); err != nil {
			t.Error(err)
		}
	})
}

// What goes wrong is counted by its kind, and is in no latency.
func TestFailuresAreKeptApart(t *testing.T) {
	say := func(text string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { _, _ = io.WriteString(w, text) }
	}
	status := func(code int) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { http.Error(w, "no", code) }
	}
	for name, test := range map[string]struct {
		path   string
		answer func(http.ResponseWriter)
		want   metrics.Outcome
	}{
		"success is false": {"/api/v1/encode", say(`{"success":false,"error":"codebook not loaded"}`), metrics.ServiceError},
		"decoding fails":   {"/api/v1/decode", say(`{"success": false}`), metrics.ServiceError},
		"503":              {"/api/v1/encode", status(503), "http_503"},
		"501":              {"/api/v1/encode", status(501), "http_501"},
		"500 of decoding":  {"/api/v1/decode", status(500), "http_500"},
		"no JSON":          {"/api/v1/encode", say("Internal error"), metrics.Malformed},
		"half of it":       {"/api/v1/encode", say(`{"success":true,"enc`), metrics.Malformed},
		"HTML": {"/api/v1/encode", func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<p>")
		}, metrics.Malformed},
		"nothing encoded":  {"/api/v1/encode", say(`{"success":true,"encoded":""}`), metrics.Empty},
		"no encoded form":  {"/api/v1/encode", say(`{"success":true}`), metrics.InvalidAnswer},
		"no hexadecimal":   {"/api/v1/encode", say(`{"success":true,"encoded":"xyz"}`), metrics.InvalidAnswer},
		"another encoding": {"/api/v1/encode", say(`{"success":true,"encoded":"00","encoding":"octal"}`), metrics.InvalidAnswer},
		"another length":   {"/api/v1/encode", say(`{"success":true,"encoded":"00","original_size":7}`), metrics.InvalidAnswer},
		"another size":     {"/api/v1/encode", say(`{"success":true,"encoded":"00","compressed_size":2}`), metrics.InvalidAnswer},
		"no text":          {"/api/v1/decode", say(`{"success":true}`), metrics.InvalidAnswer},
		"no string":        {"/api/v1/decode", say(`{"success":true,"text":7}`), metrics.InvalidAnswer},
		"shorter than it says": {"/api/v1/encode", func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"success":true`)
		}, metrics.Truncated},
		"reset": {"/api/v1/encode", func(w http.ResponseWriter) {
			connection, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			_ = connection.Close()
		}, metrics.Reset},
		"slow first byte": {"/api/v1/encode", func(http.ResponseWriter) { time.Sleep(time.Minute) }, metrics.TimedOut},
		"slow last byte": {"/api/v1/decode", func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, "{")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(time.Minute)
		}, metrics.TimedOut},
		"endless": {"/api/v1/encode", func(w http.ResponseWriter) {
			for range mostAnswer >> 20 {
				_, _ = w.Write(make([]byte, 1<<20))
			}
			_, _ = w.Write([]byte{0})
		}, metrics.TooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				model := &script{perMB: 10 * time.Millisecond, perMBBack: 10 * time.Millisecond, ratio: 4, fault: func(path string, number int, w http.ResponseWriter) bool {
					if path != test.path || number != 20 {
						return false
					}
					w.Header().Set("Content-Type", "application/json")
					test.answer(w)
					return true
				}}
				got := drive(t.Context(), t, small(compressionRatio()), model, load.Options{Iterations: 20, Seed: 2, Concurrency: 1, Timeout: 20 * time.Second})
				if got.err != nil {
					t.Fatal(got.err)
				}
				d := got.document
				if d.N != 19 || fmt.Sprint(d.Errors) != fmt.Sprint(map[string]int{string(test.want): 1}) || d.Status != metrics.Complete {
					t.Errorf("n %d, errors %v, status %s", d.N, d.Errors, d.Status)
				}
				if v := value(t, d, "throughput_mb_per_s"); !near(v, 100) {
					t.Errorf("%v MB/s, want the 100 of the valid answers", v)
				}
				if v := value(t, d, "decompress_mb_per_s"); !near(v, 100) {
					t.Errorf("%v MB/s back, want the 100 of the valid answers", v)
				}
				if err := d.Validate(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A service that never answers is given up in the warm-up, and nothing is a number.
func TestUnansweredWarmupFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		model := &script{fault: func(string, int, http.ResponseWriter) bool { time.Sleep(time.Hour); return true }}
		got := drive(t.Context(), t, small(compressionRatio()), model, load.Options{Iterations: 20, Timeout: time.Second})
		if got.err != nil {
			t.Fatal(got.err)
		}
		d := got.document
		if d.Status != metrics.Failed || !strings.Contains(d.StatusReason, "timeout") || d.Targets[0].Verdict != metrics.Undecided || d.RoundTrip != nil {
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

// Services put what they answer into other objects, and say it in base64.
func TestOtherShapesOfAnswers(t *testing.T) {
	for _, around := range []string{`{"success":true,"result":%s}`, `{"success":true,"data":%s,"took":1}`} {
		synctest.Test(t, func(t *testing.T) {
			got := drive(t.Context(), t, small(compressionRatio()), &script{perMB: time.Millisecond, ratio: 4, around: around}, load.Options{Iterations: 5, Seed: 2})
			if got.err != nil || got.document.N != 5 || got.document.RoundTrip.Lossless != "true" {
				t.Errorf("%s: %v, %+v", around, got.err, got.document)
			}
		})
	}
	var e encoded
	e.read(map[string][]byte{"encoded": []byte(`"AAECAw=="`), "encoding": []byte(`"base64"`), "compressed_size": []byte("4.0")}, []byte("text"))
	if e.Outcome != "" || e.size != 4 || e.digits != "AAECAw==" {
		t.Errorf("%+v", e)
	}
}

// The phases follow what the only set in flight does.
func TestPhases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		model := &script{perMB: time.Second, perMBBack: time.Second, ratio: 4}
		got := drive(t.Context(), t, small(compressionRatio()), model, load.Options{Iterations: 2, Concurrency: 1, Seed: 1})
		set := []string{"encode", "decode", "encode", "decode", "encode", "decode", "encode", "decode", load.Mixed}
		want := slices.Concat([]string{load.Warmup, load.Mixed}, set, set)
		if !slices.Equal(got.marks, want) {
			t.Errorf("marks %v, want %v", got.marks, want)
		}
	})
}
