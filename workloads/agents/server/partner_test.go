package server

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/narrows-profiler/narrows/workloads/agents/collective"
)

// standIns are the other services as their interfaces are described, and what they were
// asked.
type standIns struct {
	*httptest.Server
	mutex sync.Mutex
	asked map[string][]string // body by method and address
}

func newStandIns(t *testing.T, change map[string]http.HandlerFunc) *standIns {
	s := &standIns{asked: make(map[string][]string)}
	usual := map[string]http.HandlerFunc{
		"POST /v1/chat/completions": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain") // as one of the real servers does
			fmt.Fprint(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Use \"}}]}\n\n",
				"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"shards.\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
		},
		"POST /api/v1/encode": func(w http.ResponseWriter, _ *http.Request) {
			answer(w, http.StatusOK, map[string]any{"success": true, "original_size": 900, "compressed_size": 300})
		},
		"PUT /rsus/{id}": func(w http.ResponseWriter, r *http.Request) {
			answer(w, http.StatusOK, map[string]any{"success": true, "rsu_id": r.PathValue("id")})
		},
	}
	mux := http.NewServeMux()
	for pattern, handler := range usual {
		if change[pattern] != nil {
			handler = change[pattern]
		}
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			s.mutex.Lock()
			s.asked[r.Method+" "+r.URL.String()] = append(s.asked[r.Method+" "+r.URL.String()], string(body))
			s.mutex.Unlock()
			handler(w, r)
		})
	}
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// partners connects to all stand-ins.
func (s *standIns) partners(t *testing.T) Partners {
	t.Helper()
	p, err := NewPartners(s.URL, "m", s.URL, s.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

const delegated = "@WEAVER explain who waits for the lock, compress the answer and archive it."

func TestTasksAreHandedOn(t *testing.T) {
	others := newStandIns(t, nil)
	s := start(t, Config{Partners: others.partners(t)})
	digest := collective.Digest(delegated)
	text := s.text("/copilot", delegated)
	for _, want := range []string{`ryot writes: "Use shards."`, "sigmalang makes 300 bytes of the ", "sigmavault keeps ", " bytes as WEAVER-" + digest + "."} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the answer:\n%s", want, text)
		}
	}
	if again := s.text("/copilot", delegated); again != text {
		t.Errorf("two answers to one task:\n%s\n%s", text, again)
	}
	_, _, health := s.get(http.MethodGet, "/health", "")
	if !strings.Contains(string(health), `"connected":["ryot","sigmalang","sigmavault"]`) {
		t.Errorf("%s", health)
	}
	others.mutex.Lock()
	defer others.mutex.Unlock()
	draft, _, _ := strings.Cut(text, "ryot writes")
	words := len(strings.Fields(draft))
	stored := fmt.Sprintf("PUT /rsus/WEAVER-%s?original_token_count=%d&semantic_hash=%s", digest, words, digest)
	if got := others.asked[stored]; len(got) != 2 || got[0] != draft {
		t.Errorf("stored was %q as %v", got, others.asked)
	}
	if got := others.asked["POST /api/v1/encode"]; len(got) != 2 || strict[map[string]string](t, []byte(got[0]))["text"] != draft {
		t.Errorf("compressed was %q", got)
	}
	var prompt struct {
		Model    string
		Messages []struct{ Role, Content string }
		Seed     int64
		Stream   bool
	}
	if err := json.Unmarshal([]byte(others.asked["POST /v1/chat/completions"][0]), &prompt); err != nil {
		t.Fatal(err)
	}
	if prompt.Model != "m" || !prompt.Stream || prompt.Seed < 0 || !strings.HasPrefix(prompt.Messages[0].Content, delegated) {
		t.Errorf("inferred was %+v", prompt)
	}
	before := len(others.asked)
	if text := s.text("/copilot", question); strings.Contains(text, "ryot") || len(others.asked) != before {
		t.Errorf("a task that asks for nobody was handed on: %s", text)
	}
}

func TestWithoutPartnersTheAnswerSaysSo(t *testing.T) {
	text := start(t, Config{}).text("/copilot", delegated)
	for _, want := range []string{"ryot is not connected: answered from the own index.", "sigmalang is not connected: nothing was compressed.", "sigmavault is not connected: nothing was stored."} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("%q is not in the answer:\n%s", want, text)
		}
	}
}

func TestAnEmbeddingIsTakenForOne(t *testing.T) {
	others := newStandIns(t, map[string]http.HandlerFunc{"POST /api/v1/encode": func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{"success": true, "embedding": []float64{0.5, -1, 2}})
	}})
	if text := start(t, Config{Partners: others.partners(t)}).text("/copilot", delegated); !strings.Contains(text, "sigmalang makes an embedding of 3 numbers.") {
		t.Errorf("%s", text)
	}
}

func TestFailingPartnersAreNamed(t *testing.T) {
	status := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			fmt.Fprint(w, body)
		}
	}
	for name, test := range map[string]struct {
		pattern string
		handler http.HandlerFunc
		want    string
	}{
		"engine not loaded":    {"POST /v1/chat/completions", status(503, "engine not loaded"), "ryot failed: the service answered HTTP 503"},
		"half a stream":        {"POST /v1/chat/completions", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "data: {\"cho") }, "ryot failed: "},
		"error in an answer":   {"POST /api/v1/encode", status(200, `{"success":false,"error":"no codebook"}`), "sigmalang failed: the service reported an error within its answer: no codebook"},
		"neither bytes nor it": {"POST /api/v1/encode", status(200, `{"success":true}`), "sigmalang failed: its answer has neither"},
		"no JSON":              {"POST /api/v1/encode", status(200, `<html>`), "sigmalang failed: reading the answer"},
		"another unit":         {"PUT /rsus/{id}", status(200, `{"success":true,"rsu_id":"x"}`), "sigmavault failed: its answer is about the unit"},
		"full disk":            {"PUT /rsus/{id}", status(507, `{"success":false}`), "sigmavault failed: the service answered HTTP 507"},
	} {
		others := newStandIns(t, map[string]http.HandlerFunc{test.pattern: test.handler})
		s := start(t, Config{Partners: others.partners(t)})
		code, _, body := s.get(http.MethodPost, "/copilot", `{"messages":[{"role":"user","content":"`+delegated+`"}]}`)
		if got := strict[problem](t, body).Error; code != http.StatusBadGateway || got.Code != "partner_failed" || !strings.HasPrefix(got.Message, test.want) {
			t.Errorf("%s: status %d, %s", name, code, body)
		}
		s.waitLoad(0, 0)
		s.stop()
	}
}

// While a partner is waited for the worker is free for another task.
func TestWorkersDoNotWaitForPartners(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	others := newStandIns(t, map[string]http.HandlerFunc{"POST /api/v1/encode": func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-release
		answer(w, http.StatusOK, map[string]any{"compressed_size": 1})
	}})
	s := start(t, Config{Workers: 1, Partners: others.partners(t)})
	slow := s.later(t.Context(), "/copilot", `{"messages":[{"role":"user","content":"compress this"}]}`)
	<-arrived
	_ = s.text("/copilot", question)
	close(release)
	if r := <-slow; r.status != http.StatusOK {
		t.Errorf("status %d, %v: %s", r.status, r.err, r.body)
	}
}

func TestPartnersNeedAddresses(t *testing.T) {
	for i := range 3 {
		addresses := []string{"", "", ""}
		addresses[i] = "localhost"
		if _, err := NewPartners(addresses[0], "", addresses[1], addresses[2]); err == nil || !strings.Contains(err.Error(), []string{"ryot", "sigmalang", "sigmavault"}[i]) {
			t.Errorf("%q: %v", addresses, err)
		}
	}
}
