package agents

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
)

// whole is an answer in one piece with a text in place of the right one.
func wholeAnswer(text string) string {
	return fmt.Sprintf(`{"choices":[{"message":{"role":"assistant","content":%q},"finish_reason":"stop"}]}`, text)
}

// says is a fault that answers JSON.
func says(status int, document string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, document)
	}
}

// A misbehaving service gives errors by kind, no hang and no wrong latency: the answers
// that are right keep their times.
func TestFailuresAreKeptApart(t *testing.T) {
	for name, test := range map[string]struct {
		want  string
		fault func(w http.ResponseWriter)
	}{
		"busy":            {"http_503", says(503, `{"choices":[{"message":{"role":"assistant","content":"busy"},"finish_reason":"stop"}]}`)},
		"not implemented": {"http_501", says(501, "")},
		"unknown agent":   {"http_404", func(w http.ResponseWriter) { http.Error(w, "agent not found: X", 404) }},
		"error in a 200":  {"service_error", says(200, `{"success":false,"error":"no model"}`)},
		"error object":    {"service_error", says(200, `{"error":{"message":"no model"}}`)},
		"no choices":      {"empty", says(200, `{"choices":[]}`)},
		"no content":      {"empty", says(200, wholeAnswer(""))},
		"garbage":         {"malformed", says(200, `<html>`)},
		"a page":          {"malformed", func(w http.ResponseWriter) { fmt.Fprint(w, "<html>hello</html>") }},
		"another task":    {"invalid_answer", says(200, wholeAnswer("APEX on task 0123456789abcdef, as engineer:\n"))},
		"unsigned":        {"invalid_answer", says(200, wholeAnswer("Somebody says something."))},
		"wrong role":      {"invalid_answer", says(200, `{"choices":[{"message":{"role":"user","content":"x"},"finish_reason":"stop"}]}`)},
		"cut off":         {"invalid_answer", says(200, `{"choices":[{"message":{"role":"assistant","content":"x"},"finish_reason":"length"}]}`)},
		"half an answer": {"truncated", func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "1000")
			says(200, `{"choices":[`)(w)
		}},
		"endless": {"too_large", func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/json")
			for range 40 {
				_, _ = io.WriteString(w, strings.Repeat(" ", 64<<10))
			}
		}},
		"slow first byte": {"timeout", func(http.ResponseWriter) { time.Sleep(time.Minute) }},
		"gone": {"reset", func(w http.ResponseWriter) {
			if connection, _, err := w.(http.Hijacker).Hijack(); err == nil {
				connection.Close()
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var faults atomic.Int64
				s := &standIn{takes: 5 * time.Millisecond, list: twoAgents, signed: true}
				s.fault = func(number int, w http.ResponseWriter, _ string) bool {
					// Of those sent whole; streams go wrong elsewhere.
					if number < 0 || number%20 != 3 || s.streams(number) {
						return false
					}
					faults.Add(1)
					test.fault(w)
					return true
				}
				got := drive(t.Context(), t, s, load.Options{Iterations: 320, Seed: 2, Timeout: 2 * time.Second, Concurrency: 1})
				if got.err != nil {
					t.Fatal(got.err)
				}
				check(t, got.document, test.want, int(faults.Load()), 320)
			})
		})
	}
}

// check judges a run in which some tasks went wrong in one way, and the others took 5 ms.
func check(t *testing.T, d *metrics.Document, kind string, faults, all int) {
	t.Helper()
	if faults < 5 || d.N != all-faults || d.Errors[kind] != faults || len(d.Errors) != 1 || d.Status != metrics.Complete {
		t.Errorf("n %d of %d with %d faults, errors %v, status %s", d.N, d.Iterations, faults, d.Errors, d.Status)
	}
	if p99 := value(t, d, "task_p99_ms"); !near(p99, 5) {
		t.Errorf("p99 %v ms of the valid answers, want 5", p99)
	}
	if d.Targets[0].Verdict == metrics.Met {
		t.Error("some tasks in twenty failed, and the target is met")
	}
	if err := d.Validate(); err != nil {
		t.Error(err)
	}
}

// streams tells whether the task with a number, in a closed loop of one, is streamed.
func (s *standIn) streams(number int) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.bodies[warmup+number].Stream
}

func TestStreamsThatGoWrong(t *testing.T) {
	event := func(content string) string {
		return fmt.Sprintf("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":%q}}]}\n\n", content)
	}
	for name, test := range map[string]struct{ want, stream string }{
		"half an event": {"truncated", "data: {\"choices\":[{\"index\":0,\"delta\":{\"con"},
		"no end":        {"truncated", event("APEX on task")},
		"no content":    {"empty", "data: [DONE]\n\n"},
		"error":         {"service_error", "data: {\"error\":\"no model\"}\n\n"},
		"garbage":       {"malformed", "data: hello\n\ndata: [DONE]\n\n"},
		"another task":  {"invalid_answer", event("APEX on task 0123456789abcdef, as engineer:\n") + "data: [DONE]\n\n"},
		"another end":   {"invalid_answer", "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"error\"}]}\n\ndata: [DONE]\n\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var faults atomic.Int64
				s := &standIn{takes: 5 * time.Millisecond, list: twoAgents, signed: true}
				s.fault = func(number int, w http.ResponseWriter, _ string) bool {
					if number < 0 || !s.streams(number) {
						return false
					}
					faults.Add(1)
					w.Header().Set("Content-Type", "text/event-stream")
					_, _ = io.WriteString(w, test.stream)
					return true
				}
				got := drive(t.Context(), t, s, load.Options{Iterations: 400, Seed: 2, Timeout: 2 * time.Second, Concurrency: 1})
				if got.err != nil {
					t.Fatal(got.err)
				}
				check(t, got.document, test.want, int(faults.Load()), 400)
			})
		})
	}
}

// A service that gives two answers to the same task is found out in the warm-up.
func TestWaveringServicesAreFoundOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &standIn{takes: time.Millisecond, list: twoAgents, signed: true}
		s.fault = func(number int, w http.ResponseWriter, text string) bool {
			name, _, _ := strings.Cut(strings.TrimPrefix(s.last(), "/agents/"), "/")
			if mentioned, _, ok := strings.Cut(text, " "); ok && strings.HasPrefix(mentioned, "@") {
				name = mentioned[1:]
			}
			s.answer(w, fmt.Sprintf("%s%d", s.says(name, text), number), s.streams(number))
			return true
		}
		got := drive(t.Context(), t, s, load.Options{Iterations: 50, Seed: 2, Concurrency: 1})
		if got.err != nil {
			t.Fatal(got.err)
		}
		if d := got.document; d.N != 50 || len(d.Notes) != 1 || !strings.Contains(d.Notes[0], "two different answers") {
			t.Errorf("n %d, notes %q, errors %v", d.N, d.Notes, d.Errors)
		}
	})
}

// last is the path of the task that came last.
func (s *standIn) last() string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	path, _, _ := strings.Cut(s.asked[len(s.asked)-1], " ")
	return path
}

func TestUnreachableServicesAreNamed(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "http://" + listener.Addr().String()
	listener.Close()
	c, err := newClient(address, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for _, by := range []way{invoke, copilot, stream} {
		r := c.send(t.Context(), task{agent: "APEX", way: by, text: "x"})
		if r.Outcome != metrics.Refused || r.Err == nil || r.End.IsZero() {
			t.Errorf("%s: %s, %v", by, r.Outcome, r.Err)
		}
	}
	if _, err := newClient("localhost:8080", nil); err == nil {
		t.Error("an address without a scheme was taken")
	}
}

func TestAgentListsOfManyForms(t *testing.T) {
	for document, want := range map[string]string{
		twoAgents: "APEX CIPHER_2",
		`{"agents":[{"codename":"B"},{"codename":"A"},{"codename":"B"}],"count":3}`: "A B",
		`["APEX","../../etc","",7,null,{"name":"x"}]`:                               "APEX",
		`[]`:                       "",
		`{}`:                       "",
		`<html>`:                   "",
		`[{"codename":"A/../B?"}]`: "",
	} {
		names, err := parseAgents([]byte(document))
		if got := strings.Join(names, " "); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v, want %q", document, got, err, want)
		}
	}
}

// FuzzAnswers reads any documents as a whole answer and as a list of agents.
func FuzzAnswers(f *testing.F) {
	for _, document := range []string{wholeAnswer("x"), twoAgents, `{"choices":[null]}`, `{"agents":{}}`, `{"success":false}`, `[[[`, ``} {
		f.Add([]byte(document))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		if text, fault := parseAnswer(document); (text == "") != (fault != nil) || fault != nil && !fault.outcome.Known() {
			t.Fatalf("%q, %v", text, fault)
		}
		names, err := parseAgents(document)
		if (len(names) == 0) != (err != nil) {
			t.Fatalf("%q, %v", names, err)
		}
		for _, name := range names {
			if !plainName.MatchString(name) {
				t.Fatalf("the name %q", name)
			}
		}
	})
}
