package sigmavault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/transport"
)

const ms = time.Millisecond

// small is a benchmark with little content to move.
func small(k kind) kind {
	k.scale = scale{largest: 2 << 10, library: 24, cold: 8, stock: 50}
	return k
}

// Against a service that answers each request alike, however many are in flight, every
// metric is the script's number exactly.
func TestReadMetricsAreTheScripts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{warm: 2 * ms, cold: 7 * ms, write: ms}
		got := drive(t.Context(), t, "RSUReadBenchmark", small(reading()), s, load.Options{Iterations: 300, Seed: 5})
		if got.err != nil {
			t.Fatal(got.err)
		}
		d := got.document
		checkMetrics(t, d, map[string]float64{
			"read_mean_ms": 2, "read_p50_ms": 2, "read_p95_ms": 2, "read_p99_ms": 2, "all_reads_p50_ms": 2, "all_reads_p99_ms": 2,
			"cold_read_mean_ms": 7, "cold_read_p50_ms": 7, "cold_read_p99_ms": 7,
		})
		everyNull(t, d, reading().elsewhere)
		// 18 ms of work: first 4 x 2 + 7 ms, which is 3.75 a read, then 4 again.
		if rate := 0.5 / 0.015; !near(d.Load.RatePerSecond, rate) || d.N != 300 || verdicts(d) != "read_p50_ms met read_p99_ms met " {
			t.Errorf("rate %v, want %v; n %d, %s", d.Load.RatePerSecond, rate, d.N, verdicts(d))
		}
		if notes := strings.Join(d.Notes, "\n"); !strings.Contains(notes, "tmpfs, which is memory") || !strings.Contains(notes, "POST /cache/drop") {
			t.Errorf("notes %q", d.Notes)
		}
		if len(s.kept) != 0 {
			t.Errorf("%d units were left behind", len(s.kept))
		}
	})
}

func TestWriteMetricsAreTheScripts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{warm: 2 * ms, write: 4 * ms}
		got := drive(t.Context(), t, "RSUWriteBenchmark", small(writing()), s, load.Options{Iterations: 300, Seed: 5})
		if got.err != nil {
			t.Fatal(got.err)
		}
		d := got.document
		checkMetrics(t, d, map[string]float64{
			"write_mean_ms": 4, "write_p50_ms": 4, "write_p95_ms": 4, "write_p99_ms": 4, "all_writes_p50_ms": 4, "all_writes_p99_ms": 4,
		})
		everyNull(t, d, writing().elsewhere)
		// 18 ms of work: first one round of 4 ms and 2 ms to read back, then 3, then 3 or 4
		// (14 ms by 3 rounds is 4.7 each).
		if rate := 0.5 / 0.014; !near(d.Load.RatePerSecond, rate) || d.N != 300 || verdicts(d) != "write_p50_ms met write_p99_ms met " {
			t.Errorf("rate %v, want %v; n %d, %s", d.Load.RatePerSecond, rate, d.N, verdicts(d))
		}
		if len(s.kept) != 0 || s.arrived[http.MethodDelete] < 300*Writers {
			t.Errorf("%d units were left behind, %d removed", len(s.kept), s.arrived[http.MethodDelete])
		}
	})
}

func TestVerdictsFollowTheTruth(t *testing.T) {
	for _, test := range []struct {
		kind   kind
		script *script
		want   string
	}{
		{small(reading()), &script{warm: 4900 * time.Microsecond}, "read_p50_ms met read_p99_ms met "},
		{small(reading()), &script{warm: 5100 * time.Microsecond}, "read_p50_ms missed read_p99_ms met "},
		{small(reading()), &script{warm: 10100 * time.Microsecond}, "read_p50_ms missed read_p99_ms missed "},
		{small(writing()), &script{write: 9900 * time.Microsecond}, "write_p50_ms met write_p99_ms met "},
		{small(writing()), &script{write: 20100 * time.Microsecond}, "write_p50_ms missed write_p99_ms missed "},
	} {
		synctest.Test(t, func(t *testing.T) {
			got := drive(t.Context(), t, "SomeBenchmark", test.kind, test.script, load.Options{Iterations: 300, Seed: 2, Concurrency: 1})
			if got.err != nil || verdicts(got.document) != test.want {
				t.Errorf("warm %v, write %v: %s, %v", test.script.warm, test.script.write, verdicts(got.document), got.err)
			}
		})
	}
}

// A service that waits makes all that come meanwhile late: the judged read counts from
// the intended start.
func TestStallsAreInTheLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const stall = time.Second
		began := time.Now()
		s := &script{warm: 2 * ms, cold: 2 * ms}
		s.fault = func(_ int, _ http.ResponseWriter, r *http.Request) bool {
			if since := time.Since(began); r.Method == http.MethodGet && since > 3*time.Second && since < 3*time.Second+stall {
				time.Sleep(stall - (since - 3*time.Second))
			}
			return false
		}
		got := drive(t.Context(), t, "RSUReadBenchmark", small(reading()), s, load.Options{Iterations: 300, Seed: 3})
		if got.err != nil {
			t.Fatal(got.err)
		}
		late := 0
		for _, r := range got.requests {
			start, end := r.IntendedStart.Time.Sub(began), r.End.Time.Sub(began)
			if start > 3*time.Second && start < 3*time.Second+stall {
				late++
				if want := 3*time.Second + stall + 2*ms; (end - want).Abs() > ms/100 {
					t.Errorf("request %d of %v ended at %v, want %v", r.Index, start, end, want)
				}
			}
		}
		if late < 15 {
			t.Errorf("%d iterations were to begin in the stall: the test shows little", late)
		}
	})
}

// tear ends a connection in the middle of what was written.
func tear(w http.ResponseWriter, raw string, reset bool) {
	connection, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(connection, raw)
	if tcp, ok := connection.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0)
	}
	connection.Close()
}

// faults are ways for a service to misbehave, and what each is to be called.
var faults = []struct {
	outcome metrics.Outcome
	answer  func(w http.ResponseWriter, r *http.Request)
}{
	{"http_503", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "not mounted", http.StatusServiceUnavailable)
	}},
	{"http_501", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "", http.StatusNotImplemented) }},
	{metrics.ServiceError, func(w http.ResponseWriter, _ *http.Request) {
		say(w, map[string]any{"success": false, "error": map[string]string{"code": "disk_full"}})
	}},
	{metrics.Truncated, func(w http.ResponseWriter, _ *http.Request) {
		tear(w, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf", false)
	}},
	{metrics.Reset, func(w http.ResponseWriter, _ *http.Request) { tear(w, "", true) }},
	{metrics.Malformed, func(w http.ResponseWriter, _ *http.Request) { tear(w, "no protocol\r\n\r\n", false) }},
	{metrics.InvalidAnswer, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			say(w, map[string]any{"success": true, "rsu_id": "another", "bytes": 5})
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = io.WriteString(w, "wrong bytes")
	}},
	{metrics.TooLarge, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 32<<10)); err != nil {
				return
			}
		}
	}},
	{metrics.TimedOut, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
}

// A misbehaving service gives errors by kind, no hang, and no wrong latency.
func TestFailuresAreKeptApart(t *testing.T) {
	// An iteration has some 10 reads and 60 writes; the warm-up's have to succeed.
	first, each := map[string]int{http.MethodGet: 300, http.MethodPut: 1200}, map[string]int{http.MethodGet: 50, http.MethodPut: 500}
	for name, k := range map[string]kind{http.MethodGet: small(reading()), http.MethodPut: small(writing())} {
		for _, fault := range faults {
			t.Run(name+" "+string(fault.outcome), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := &script{warm: 2 * ms, cold: 2 * ms, write: 2 * ms}
					// Behind the warm-up's.
					s.fault = func(number int, w http.ResponseWriter, r *http.Request) bool {
						if r.Method != name || number < first[name] || number%each[name] != 0 {
							return false
						}
						// A server that left the body unread would not notice a client that goes away.
						_, _ = io.Copy(io.Discard, r.Body)
						fault.answer(w, r)
						return true
					}
					got := drive(t.Context(), t, "SomeBenchmark", k, s, load.Options{Iterations: 40, Seed: 2, Timeout: time.Second, Concurrency: 1})
					if got.err != nil {
						t.Fatal(got.err)
					}
					d := got.document
					if len(d.Errors) != 1 || d.Errors[string(fault.outcome)] < 2 || d.N+d.Errors[string(fault.outcome)] != 40 || d.Status != metrics.Complete {
						t.Errorf("n %d, errors %v, status %s", d.N, d.Errors, d.Status)
					}
					one := map[string]string{http.MethodGet: "read", http.MethodPut: "write"}[name]
					checkMetrics(t, d, map[string]float64{one + "_mean_ms": 2})
				})
			})
		}
	}
}

func TestServiceThatCannotDrop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := drive(t.Context(), t, "RSUReadBenchmark", small(reading()), &script{warm: 2 * ms, noDrop: true}, load.Options{Iterations: 60, Seed: 2})
		if got.err != nil {
			t.Fatal(got.err)
		}
		d := got.document
		for _, name := range []string{"cold_read_mean_ms", "cold_read_p50_ms", "cold_read_p99_ms"} {
			if d.Metrics[name] != nil || !strings.Contains(d.Unavailable[name], "http_404") {
				t.Errorf("%s: %v, %q", name, d.Metrics[name], d.Unavailable[name])
			}
		}
		if d.N != 60 || len(d.Notes) != 0 {
			t.Errorf("n %d, errors %v, notes %q", d.N, d.Errors, d.Notes)
		}
	})
}

func TestServiceThatNeverAnswersFails(t *testing.T) {
	for _, k := range []kind{small(reading()), small(writing())} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{write: time.Hour}
			got := drive(t.Context(), t, "SomeBenchmark", k, s, load.Options{Iterations: 300, Timeout: time.Second})
			if got.err != nil {
				t.Fatal(got.err)
			}
			d := got.document
			if d.Status != metrics.Failed || !strings.Contains(d.StatusReason, "timeout") || d.N != 0 || len(d.Targets) != 2 || d.Targets[0].Verdict != metrics.Undecided {
				t.Errorf("status %s (%s), targets %+v", d.Status, d.StatusReason, d.Targets)
			}
			if err := d.Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

// What was stored is removed also after a run that was broken off, which says so.
func TestStoppedRun(t *testing.T) {
	for _, k := range []kind{small(reading()), small(writing())} {
		for _, after := range []time.Duration{9 * ms, 3 * time.Second} { // while it stores what it prepares, and later
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer time.AfterFunc(after, func() { cancel(errors.New("interrupted")) }).Stop()
				s := &script{warm: 2 * ms, cold: 2 * ms, write: 4 * ms}
				got := drive(ctx, t, "SomeBenchmark", k, s, load.Options{Iterations: 10_000, Seed: 1})
				d := got.document
				if got.err != nil || d.Status == metrics.Complete || !strings.Contains(d.StatusReason, "interrupted") || d.Targets[0].Verdict != metrics.Undecided {
					t.Errorf("status %s (%s), %v", d.Status, d.StatusReason, got.err)
				}
				if len(s.kept) != 0 {
					t.Errorf("%d units were left behind", len(s.kept))
				}
			})
		}
	}
}

// The phases follow what the only iteration in flight does.
func TestPhases(t *testing.T) {
	for _, test := range []struct {
		kind kind
		want []string
	}{
		{small(reading()), []string{"read", "cold read", load.Mixed}},
		{small(writing()), []string{"write", "read back", load.Mixed}},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{warm: 2 * ms, cold: 7 * ms, write: 4 * ms}
			got := drive(t.Context(), t, "SomeBenchmark", test.kind, s, load.Options{Iterations: 3, Concurrency: 1, Seed: 1})
			want := append([]string{load.Warmup, load.Warmup, load.Mixed}, slices.Repeat(test.want, 3)...)
			if !slices.Equal(got.marks, want) {
				t.Errorf("marks %v, want %v", got.marks, want)
			}
		})
	}
}

// The same seed gives the same units, another one others, and no two are alike.
func TestUnitsAreSeeded(t *testing.T) {
	first, again, other := newUnits(1, 256<<10), newUnits(1, 256<<10), newUnits(2, 256<<10)
	seen := map[string]bool{}
	var sizes []float64
	for number := range 2000 {
		u, v, w := first.unit("k", number), again.unit("k", number), other.unit("k", number)
		content := string(first.content(u))
		if content != string(again.content(v)) || u.hash != v.hash || u.tokens != v.tokens || u.id == v.id {
			t.Fatalf("unit %d of the same seed differs", number)
		}
		if seen[content] || seen[u.id] || content == string(other.content(w)) || content == string(first.content(first.unit("l", number))) {
			t.Fatalf("unit %d is another's", number)
		}
		seen[content], seen[u.id] = true, true
		if u.size < smallestUnit || u.size > 256<<10 || u.kvCacheSize < 0 || u.kvCacheSize > u.size || u.glyphs*glyphBytes+u.kvCacheSize != u.size {
			t.Fatalf("%+v", u)
		}
		first.remember(u, []byte(content))
		if !first.is(u, []byte(content)) || first.is(u, []byte(content[1:])) || first.is(u, append([]byte(content[:u.size-1]), content[u.size-1]^1)) {
			t.Fatalf("unit %d is not told from others", number)
		}
		sizes = append(sizes, float64(u.size))
	}
	slices.Sort(sizes)
	// Half the units are below the geometric mean of the bounds, 16 KiB: with 2,000 the
	// median is within 12 % of it but for one time in a thousand.
	if median := sizes[1000]; median < 14_400 || median > 18_600 {
		t.Errorf("the median size is %v", median)
	}
}

// FuzzUnderstand reads any JSON answer: it is taken, or a failure of a known kind.
func FuzzUnderstand(f *testing.F) {
	for _, text := range []string{`{"success":true,"rsu_id":"a","bytes":3}`, `{"success":false}`, `{"error":null}`, `{"error":{}}`, `[]`, `{"bytes":1e99}`, ``, `null`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		answer := transport.Answer{Outcome: metrics.OK, Body: text}
		understand(&answer)
		if !answer.Outcome.Known() || (answer.Outcome == metrics.OK) != (answer.Err == nil) {
			t.Errorf("%q: %s, %v", text, answer.Outcome, answer.Err)
		}
		if answer.Err != nil && len(fmt.Sprint(answer.Err)) > 2000 {
			t.Errorf("an error of %d bytes", len(fmt.Sprint(answer.Err)))
		}
	})
}
