package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// reply is what came of a request in the background.
type reply struct {
	status int
	header http.Header
	body   []byte
	err    error
}

// later performs a request in the background.
func (s *service) later(ctx context.Context, path, body string) <-chan reply {
	done := make(chan reply, 1)
	go func() {
		var r reply
		r.status, r.header, r.body, r.err = s.do(ctx, http.MethodPost, path, body)
		done <- r
	}()
	return done
}

func TestFullQueueIsRefused(t *testing.T) {
	g := newGate()
	s := start(t, Config{Workers: 1, Waiting: 2, Search: g.options()})
	tasks := []<-chan reply{}
	for waiting := range 3 {
		tasks = append(tasks, s.later(t.Context(), "/copilot", ask))
		s.waitLoad(1, waiting)
	}
	status, header, body := s.get(http.MethodPost, "/agents/APEX/invoke", ask)
	if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || strict[problem](t, body).Error.Code != "overloaded" {
		t.Errorf("status %d, header %v: %s", status, header, body)
	}
	close(g.open)
	for i, task := range tasks {
		// The first found nobody waiting, and neither did the second.
		want := []string{"0", "0", "1"}[i]
		if r := <-task; r.err != nil || r.status != http.StatusOK || r.header.Get(QueueDepth) != want {
			t.Errorf("task %d: status %d, %v, queue depth %q, want %s", i, r.status, r.err, r.header.Get(QueueDepth), want)
		}
	}
	s.waitLoad(0, 0)
	if status, _, body := s.get(http.MethodPost, "/copilot", ask); status != http.StatusOK {
		t.Errorf("after the rush: status %d: %s", status, body)
	}
}

func TestTasksTimeOut(t *testing.T) {
	g := newGate()
	s := start(t, Config{Workers: 1, Timeout: 20 * time.Millisecond, Search: g.options()})
	first := s.later(t.Context(), "/copilot", ask)
	s.waitLoad(1, 0)
	second := s.later(t.Context(), "/copilot", ask) // never gets a worker
	r := <-second
	if r.status != http.StatusGatewayTimeout || strict[problem](t, r.body).Error.Code != "timeout" {
		t.Errorf("the waiting task: status %d, %v: %s", r.status, r.err, r.body)
	}
	close(g.open)
	if r := <-first; r.status != http.StatusGatewayTimeout {
		t.Errorf("the task that was worked on: status %d, %v: %s", r.status, r.err, r.body)
	}
	s.waitLoad(0, 0)
}

func TestLeavingClientsFreeTheirPlaces(t *testing.T) {
	g := newGate()
	s := start(t, Config{Workers: 1, Search: g.options()})
	first := s.later(t.Context(), "/copilot", ask)
	s.waitLoad(1, 0)
	ctx, leave := context.WithCancel(t.Context())
	second := s.later(ctx, "/copilot", ask)
	s.waitLoad(1, 1)
	leave()
	if r := <-second; !errors.Is(r.err, context.Canceled) {
		t.Errorf("the client that left got %d, %v", r.status, r.err)
	}
	s.waitLoad(1, 0)
	close(g.open)
	if r := <-first; r.status != http.StatusOK {
		t.Errorf("the one that stayed got %d, %v", r.status, r.err)
	}
}

func TestShutdownLetsTasksFinish(t *testing.T) {
	g := newGate()
	s := start(t, Config{Workers: 1, Grace: time.Hour, Search: g.options()})
	task := s.later(t.Context(), "/agents/APEX/invoke", ask)
	s.waitLoad(1, 0)
	time.AfterFunc(20*time.Millisecond, func() { close(g.open) })
	s.stop()
	if r := <-task; r.status != http.StatusOK || !strings.Contains(string(r.body), "APEX on task") {
		t.Errorf("status %d, %v: %s", r.status, r.err, r.body)
	}
}

func TestShutdownEndsTasksAfterGrace(t *testing.T) {
	g := newGate()
	s := start(t, Config{Workers: 1, Grace: -1, Search: g.options()})
	working := s.later(t.Context(), "/copilot", ask)
	s.waitLoad(1, 0)
	waiting := s.later(t.Context(), "/copilot", ask)
	s.waitLoad(1, 1)
	time.AfterFunc(50*time.Millisecond, func() { close(g.open) })
	s.stop()
	for name, task := range map[string]<-chan reply{"working": working, "waiting": waiting} {
		if r := <-task; r.err == nil && (r.status != http.StatusServiceUnavailable || strict[problem](t, r.body).Error.Code != "shutting_down") {
			t.Errorf("%s: status %d: %s", name, r.status, r.body)
		}
	}
}

func TestServeReportsABrokenListener(t *testing.T) {
	s, err := New(Config{})
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
