package server

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// endless is a request whose answer takes much longer than a test, some ten
// seconds, because attention to thousands of positions does.
const endless = `{"stream":true,"temperature":0,"max_tokens":16000}`

// endlessModel has room for it.
func endlessModel(t *testing.T) Config {
	c := scripted(t, script, 1<<14)
	c.Computing = 1
	return c
}

// begin starts a stream and waits for its first event.
func (s *service) begin(ctx context.Context, body string) (*http.Response, *bufio.Reader) {
	s.t.Helper()
	answer := s.request(ctx, http.MethodPost, "/v1/completions", body)
	lines := bufio.NewReader(answer.Body)
	if line, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(line, "data: {") {
		s.t.Fatalf("the stream began with %q, %v", line, err)
	}
	return answer, lines
}

// waitLoad waits until /health says how many requests compute and wait.
func (s *service) waitLoad(computing, waiting int) {
	s.t.Helper()
	for {
		answer := s.request(s.t.Context(), http.MethodGet, "/health", "")
		var h struct{ Computing, Waiting int }
		err := json.NewDecoder(answer.Body).Decode(&h)
		answer.Body.Close()
		if err != nil {
			s.t.Fatal(err)
		}
		if h.Computing == computing && h.Waiting == waiting {
			return
		}
		// The test's own deadline bounds this.
		time.Sleep(time.Millisecond)
	}
}

func TestFullQueueIsRefused(t *testing.T) {
	c := endlessModel(t)
	c.Waiting = 1
	c.Grace = -1
	s := start(t, c)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	first, _ := s.begin(ctx, endless)
	defer first.Body.Close()
	waited := make(chan int, 1)
	go func() {
		status, _ := s.post("/v1/completions", `{"max_tokens":1}`)
		waited <- status
	}()
	s.waitLoad(1, 1)
	answer := s.request(t.Context(), http.MethodPost, "/v1/completions", `{}`)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := strict[clientError](t, body).Error
	if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" || got.Type != "server_error" || *got.Code != "overloaded" {
		t.Errorf("status %d, Retry-After %q: %s", answer.StatusCode, answer.Header.Get("Retry-After"), body)
	}
	leave()
	if status := <-waited; status != http.StatusOK {
		t.Errorf("the waiting request got status %d once the first had left", status)
	}
}

func TestLeavingClientsFreeTheirPlaces(t *testing.T) {
	s := start(t, endlessModel(t))
	ctx, leave := context.WithCancel(t.Context())
	answer, _ := s.begin(ctx, endless)
	defer answer.Body.Close()
	gone := make(chan error, 1)
	go func() {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/v1/completions", strings.NewReader(`{}`))
		if err == nil {
			var answer *http.Response
			if answer, err = http.DefaultClient.Do(r); err == nil {
				answer.Body.Close()
			}
		}
		gone <- err
	}()
	s.waitLoad(1, 1)
	leave()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("the waiting client got %v", err)
	}
	s.waitLoad(0, 0)
}

func TestShutdownLetsRequestsFinish(t *testing.T) {
	c := scripted(t, script, 1<<9)
	c.Grace = time.Hour
	s := start(t, c)
	answer, lines := s.begin(t.Context(), `{"stream":true,"temperature":0,"max_tokens":400}`)
	defer answer.Body.Close()
	s.stop()
	rest, err := io.ReadAll(lines)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(string(rest), "data: [DONE]\n\n") {
		t.Errorf("the stream was cut off: it ended with %q", rest[max(0, len(rest)-100):])
	}
}

func TestShutdownEndsRequestsAfterGrace(t *testing.T) {
	c := endlessModel(t)
	c.Grace = -1
	s := start(t, c)
	answer, lines := s.begin(t.Context(), endless)
	defer answer.Body.Close()
	type reply struct {
		status int
		body   []byte
	}
	waiting := make(chan reply, 1)
	go func() {
		status, body := s.post("/v1/completions", `{}`)
		waiting <- reply{status, body}
	}()
	s.waitLoad(1, 1)
	s.stop()
	if got := <-waiting; got.status != http.StatusServiceUnavailable || *strict[clientError](t, got.body).Error.Code != "shutting_down" {
		t.Errorf("the waiting request got %d: %s", got.status, got.body)
	}
	rest, err := io.ReadAll(lines)
	if err != nil {
		t.Fatal(err)
	}
	events := readEvents(t, strings.NewReader("data: 0\n"+string(rest)))
	if got := strict[clientError](t, []byte(events[len(events)-1])).Error; *got.Code != "shutting_down" {
		t.Errorf("the stream ended with %+v", got)
	}
}

func TestServeReportsABrokenListener(t *testing.T) {
	s, err := New(seeded(t))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	if err := s.Serve(t.Context(), listener); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve returned %v", err)
	}
}

func TestNewRefusesWhatDoesNotFit(t *testing.T) {
	c := seeded(t)
	c.Tokenizer = scripted(t, script, 8).Tokenizer
	if _, err := New(c); err == nil || !strings.Contains(err.Error(), "1000 tokens and the tokenizer 256") {
		t.Errorf("got %v", err)
	}
	if _, err := New(Config{}); err == nil {
		t.Error("a server without a model was made")
	}
}
