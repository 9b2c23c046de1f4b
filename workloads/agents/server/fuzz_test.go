package server

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/narrows-profiler/narrows/workloads/agents/knowledge"
)

// FuzzRequest sends any body to all ways of asking: the answer is JSON or a stream, and
// never the server's own fault.
func FuzzRequest(f *testing.F) {
	for _, body := range []string{
		ask,
		`{"messages":[{"role":"user","content":"@LENS @SILO @APEX draft, compress and archive it"}],"model":"gpt-4","stream":true}`,
		`{"messages":[{"role":"user","content":"\u0000\ufffd \ud800 @"}]}`, `{"messages":{}}`, `[`, `null`, ``,
	} {
		f.Add(body)
	}
	s, err := New(Config{Workers: 1, Search: knowledge.Options{Candidates: 3}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body string) {
		for _, path := range []string{"/agents/APEX/invoke", "/copilot", "/agent"} {
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
			switch w.Code {
			case http.StatusOK, http.StatusBadRequest, http.StatusRequestEntityTooLarge:
			default:
				t.Fatalf("%s: status %d: %s", path, w.Code, w.Body)
			}
			if w.Header().Get("Content-Type") == "text/event-stream" {
				if !strings.HasSuffix(w.Body.String(), "\n\ndata: [DONE]\n\n") {
					t.Fatalf("%s: the stream is %s", path, w.Body)
				}
			} else if !json.Valid(w.Body.Bytes()) {
				t.Fatalf("%s: not JSON: %s", path, w.Body)
			}
			if working, waiting := s.queue.load(); working+waiting+len(s.queue.places) != 0 {
				t.Fatalf("%s: %d tasks are worked on and %d wait after the answer", path, working, waiting)
			}
		}
	})
}
