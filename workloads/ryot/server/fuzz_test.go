package server

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/narrows-profiler/narrows/workloads/ryot/llama"
)

// FuzzRequest sends any body to both interfaces of a tiny model: the answer is
// JSON or a stream, and never the server's own fault.
func FuzzRequest(f *testing.F) {
	for _, body := range []string{
		`{"messages":[{"role":"user","content":"x"}]}`,
		`{"model":"m","prompt":"a","stream":true,"stream_options":{"include_usage":true},"stop":["a","b"]}`,
		`{"prompt":[1,2],"max_tokens":3,"temperature":0,"top_p":0.5,"top_k":4,"seed":-1}`,
		`{"messages":[{"role":"user","content":[{"type":"text","text":"x"}]}],"n":1,"logprobs":false}`,
		`{"prompt":[["a"]],"max_completion_tokens":1e3}`, `[`, `null`, ``,
	} {
		f.Add(body)
	}
	shape := llama.Config{Dim: 4, HiddenDim: 4, Layers: 1, Heads: 2, KVHeads: 1, Vocab: 256, Context: 48}
	weights, err := llama.SeededWeights(shape, 1)
	if err != nil {
		f.Fatal(err)
	}
	model, err := llama.NewModel(shape, weights)
	if err != nil {
		f.Fatal(err)
	}
	tokenizer, err := llama.BuiltinTokenizer(shape.Vocab)
	if err != nil {
		f.Fatal(err)
	}
	s, err := New(Config{Model: model, Tokenizer: tokenizer, Name: "m", Computing: 1, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body string) {
		for _, path := range []string{"/v1/chat/completions", "/v1/completions"} {
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
			switch w.Code {
			case http.StatusOK, http.StatusBadRequest, http.StatusNotFound, http.StatusRequestEntityTooLarge:
			default:
				t.Fatalf("%s: status %d: %s", path, w.Code, w.Body)
			}
			if w.Header().Get("Content-Type") == "text/event-stream" {
				if events := readEvents(t, w.Body); events[len(events)-1] != "[DONE]" {
					t.Fatalf("%s: the stream ended with %s", path, events[len(events)-1])
				}
			} else if !json.Valid(w.Body.Bytes()) {
				t.Fatalf("%s: not JSON: %s", path, w.Body)
			}
			if computing, waiting := s.queue.load(); computing+waiting != 0 {
				t.Fatalf("%s: %d requests compute and %d wait after the answer", path, computing, waiting)
			}
		}
	})
}
