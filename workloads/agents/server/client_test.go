package server

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/narrows-profiler/narrows/workloads/agents/knowledge"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service is a server under test.
type service struct {
	t    *testing.T
	url  string
	stop func()
}

// start serves until the test ends or stop is called, which waits for the end.
func start(t *testing.T, c Config) *service {
	t.Helper()
	if c.Search.Candidates == 0 {
		c.Search.Candidates = 20
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- s.Serve(ctx, listener) }()
	stopped := false
	result := &service{t: t, url: "http://" + listener.Addr().String()}
	result.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-over; err != nil {
			t.Errorf("Serve returned %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	}
	t.Cleanup(result.stop)
	return result
}

// do performs a request and reads the whole answer.
func (s *service) do(ctx context.Context, method, path, body string) (status int, header http.Header, answer []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Error(err)
		return 0, nil, nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	return response.StatusCode, response.Header, answer, err
}

// get is do for what has to work.
func (s *service) get(method, path, body string) (status int, header http.Header, answer []byte) {
	s.t.Helper()
	status, header, answer, err := s.do(s.t.Context(), method, path, body)
	if err != nil {
		s.t.Error(err)
	}
	return status, header, answer
}

// text posts a task and returns the whole answer's text.
func (s *service) text(path, content string) string {
	s.t.Helper()
	body, err := json.Marshal(map[string]any{"messages": []map[string]string{{"role": "user", "content": content}}, "model": "gpt-4", "stream": false})
	if err != nil {
		s.t.Fatal(err)
	}
	status, header, answer := s.get(http.MethodPost, path, string(body))
	if status != http.StatusOK || header.Get("Content-Type") != "application/json" {
		s.t.Fatalf("%s: status %d: %s", path, status, answer)
	}
	got := strict[struct {
		Choices []struct {
			Index   int `json:"index"`
			Message struct {
				Role    string `json:"role"`
				Content string `json:"content"`
			} `json:"message"`
			FinishReason string `json:"finish_reason"`
		} `json:"choices"`
	}](s.t, answer)
	if len(got.Choices) != 1 || got.Choices[0].Message.Role != "assistant" || got.Choices[0].FinishReason != "stop" {
		s.t.Fatalf("%s", answer)
	}
	return got.Choices[0].Message.Content
}

// problem is an error object as a client has to read it.
type problem struct {
	Error struct {
		Message string `json:"message"`
		Code    string `json:"code"`
	} `json:"error"`
}

// strict reads JSON without unknown fields.
func strict[T any](t *testing.T, document []byte) T {
	t.Helper()
	var value T
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&value); err != nil {
		t.Fatalf("%v: %s", err, document)
	}
	return value
}

const ask = `{"messages":[{"role":"user","content":"Threads wait for a lock."}]}`

// gate is a search that goes on only when it is let through.
type gate struct{ open chan struct{} }

func newGate() gate { return gate{make(chan struct{})} }

func (g gate) options() knowledge.Options {
	return knowledge.Options{Candidates: 20, Trace: func(*knowledge.Passage, float64) { <-g.open }}
}

// waitLoad waits until /health tells how many tasks are worked on and wait.
func (s *service) waitLoad(working, waiting int) {
	s.t.Helper()
	for {
		_, _, body := s.get(http.MethodGet, "/health", "")
		var health struct{ Working, Waiting int }
		if err := json.Unmarshal(body, &health); err != nil {
			s.t.Fatal(err)
		}
		if health.Working == working && health.Waiting == waiting {
			return
		}
		// The test's own deadline bounds this.
		time.Sleep(time.Millisecond)
	}
}
