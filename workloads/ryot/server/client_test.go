package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/narrows-profiler/narrows/workloads/ryot/llama"
)

// The structs below are a client's view of OpenAI's documents, written down
// apart from the server's own and decoded strictly.

type clientUsage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
}

type clientChunk struct {
	ID      string       `json:"id"`
	Object  string       `json:"object"`
	Created int64        `json:"created"`
	Model   string       `json:"model"`
	Usage   *clientUsage `json:"usage"`
	Choices []struct {
		Index int `json:"index"`
		Delta struct {
			Role    string  `json:"role"`
			Content *string `json:"content"`
		} `json:"delta"`
		Logprobs     any     `json:"logprobs"`
		FinishReason *string `json:"finish_reason"`
	} `json:"choices"`
}

type clientChat struct {
	ID      string      `json:"id"`
	Object  string      `json:"object"`
	Created int64       `json:"created"`
	Model   string      `json:"model"`
	Usage   clientUsage `json:"usage"`
	Choices []struct {
		Index   int `json:"index"`
		Message struct {
			Role    string `json:"role"`
			Content string `json:"content"`
		} `json:"message"`
		Logprobs     any    `json:"logprobs"`
		FinishReason string `json:"finish_reason"`
	} `json:"choices"`
}

type clientText struct {
	ID      string       `json:"id"`
	Object  string       `json:"object"`
	Created int64        `json:"created"`
	Model   string       `json:"model"`
	Usage   *clientUsage `json:"usage"`
	Choices []struct {
		Index        int     `json:"index"`
		Text         string  `json:"text"`
		Logprobs     any     `json:"logprobs"`
		FinishReason *string `json:"finish_reason"`
	} `json:"choices"`
}

type clientError struct {
	Error struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	} `json:"error"`
}

// strict decodes one JSON document and refuses fields that T does not have.
func strict[T any](t *testing.T, data []byte) T {
	t.Helper()
	var v T
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("decoding %s: %v", data, err)
	}
	return v
}

// seeded is a small model with pseudo-random weights.
func seeded(t *testing.T) Config {
	t.Helper()
	shape := llama.Config{Dim: 32, HiddenDim: 48, Layers: 2, Heads: 4, KVHeads: 2, Vocab: 1000, Context: 128}
	weights, err := llama.SeededWeights(shape, 5)
	if err != nil {
		t.Fatal(err)
	}
	return withBuiltin(t, shape, weights)
}

// scripted is a model that goes through a text byte by byte and then begins
// again, whatever came before the last byte. No byte may occur twice.
func scripted(t *testing.T, text string, context int) Config {
	t.Helper()
	const n = 256
	shape := llama.Config{Dim: n, HiddenDim: 1, Layers: 1, Heads: 1, KVHeads: 1, Vocab: n, Context: context}
	w := &llama.Weights{
		Embedding: make([]float32, n*n), FinalNorm: make([]float32, n), Classifier: make([]float32, n*n),
		Layers: []llama.LayerWeights{{
			AttentionNorm: make([]float32, n), Query: make([]float32, n*n), Key: make([]float32, n*n),
			Value: make([]float32, n*n), Output: make([]float32, n*n), FeedForwardNorm: make([]float32, n),
			Gate: make([]float32, n), Down: make([]float32, n), Up: make([]float32, n),
		}},
	}
	for i := range n {
		w.Embedding[i*n+i] = 1 // each token is a direction of its own
		w.FinalNorm[i] = 1
	}
	for i := range n {
		next := text[0] // from any byte outside of the text
		if at := strings.IndexByte(text, byte(i)); at >= 0 {
			next = text[(at+1)%len(text)]
		}
		w.Classifier[int(next)*n+i] = 1
	}
	return withBuiltin(t, shape, w)
}

func withBuiltin(t *testing.T, shape llama.Config, w *llama.Weights) Config {
	t.Helper()
	model, err := llama.NewModel(shape, w)
	if err != nil {
		t.Fatal(err)
	}
	tokenizer, err := llama.BuiltinTokenizer(shape.Vocab)
	if err != nil {
		t.Fatal(err)
	}
	return Config{Model: model, Tokenizer: tokenizer, Name: "m"}
}

// service is a server on a port of its own.
type service struct {
	t    *testing.T
	url  string
	stop context.CancelFunc // ends Serve's context
	done chan error         // Serve's result
}

// start serves until the test ends and then checks that nothing is left over.
func start(t *testing.T, c Config) *service {
	t.Helper()
	before := goleak.IgnoreCurrent()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	v := &service{t, "http://" + listener.Addr().String(), stop, make(chan error, 1)}
	go func() { v.done <- s.Serve(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		if err := <-v.done; err != nil {
			t.Errorf("Serve returned %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
		goleak.VerifyNone(t, before)
	})
	return v
}

// request sends a body and returns the answer, which the caller closes.
func (s *service) request(ctx context.Context, method, path, body string) *http.Response {
	s.t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer
}

// post returns the status and the whole body of an answer.
func (s *service) post(path, body string) (int, []byte) {
	s.t.Helper()
	answer := s.request(s.t.Context(), http.MethodPost, path, body)
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.StatusCode, data
}

// events posts and returns the data of each event of a stream.
func (s *service) events(path, body string) []string {
	s.t.Helper()
	answer := s.request(s.t.Context(), http.MethodPost, path, body)
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/event-stream" {
		s.t.Fatalf("status %d, content type %q", answer.StatusCode, answer.Header.Get("Content-Type"))
	}
	return readEvents(s.t, answer.Body)
}

// readEvents checks that a stream is lines of data with an empty line after
// each.
func readEvents(t *testing.T, body io.Reader) []string {
	t.Helper()
	var events []string
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok || !lines.Scan() || lines.Text() != "" {
			t.Fatalf("not an event and an empty line: %q", lines.Text())
		}
		events = append(events, data)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return events
}
