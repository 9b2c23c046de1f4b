package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/narrows-profiler/narrows/workloads/agents/collective"
	"github.com/narrows-profiler/narrows/workloads/serving"
)

// QueueDepth is the header with the number of tasks that waited when one came.
const QueueDepth = "X-Queue-Depth"

// task is one piece of work and what is logged of it.
type task struct {
	text   string
	agents []*collective.Agent
	depth  int
	waited time.Duration
	worked time.Duration
}

// invoke answers POST /agents/{codename}/invoke.
func (s *Server) invoke(w http.ResponseWriter, r *http.Request) {
	if agent := s.named(w, r); agent != nil {
		s.perform(w, r, func(string) []*collective.Agent { return []*collective.Agent{agent} })
	}
}

// copilot answers POST /copilot by all agents that the text mentions.
func (s *Server) copilot(w http.ResponseWriter, r *http.Request) { s.perform(w, r, s.collective.Route) }

// agent answers POST /agent by the first agent that the text mentions.
func (s *Server) agent(w http.ResponseWriter, r *http.Request) {
	s.perform(w, r, func(text string) []*collective.Agent { return s.collective.Route(text)[:1] })
}

// perform reads a task, works on it in its turn, and answers.
func (s *Server) perform(w http.ResponseWriter, r *http.Request, choose func(text string) []*collective.Agent) {
	ctx, cancel := context.WithTimeout(r.Context(), s.config.Timeout)
	defer cancel()
	var t task
	begun := time.Now()
	text, stream, err := s.decode(w, r)
	var said string
	if err == nil {
		t.text = text
		t.agents = choose(text)
		said, err = s.admit(ctx, &t)
	}
	s.log(ctx, r, &t, time.Since(begun), err)
	w.Header().Set(QueueDepth, strconv.Itoa(t.depth))
	switch {
	case err == nil:
		sendText(w, said, stream)
	case r.Context().Err() == nil || errors.Is(context.Cause(r.Context()), serving.ErrStopping):
		fail(w, failed(err))
	}
	// Else the client has gone away and is told nothing.
}

// admit lets a task into the house, has a worker compute it, and hands it to the other
// services. No worker is kept while those are waited for.
func (s *Server) admit(ctx context.Context, t *task) (string, error) {
	var err error
	if t.depth, err = s.queue.enter(); err != nil {
		return "", err
	}
	defer s.queue.leave()
	drafts, err := s.work(ctx, t)
	if err != nil {
		return "", err
	}
	parts := make([]string, len(drafts))
	for i, draft := range drafts {
		notes, err := s.config.Partners.consult(ctx, t.text, draft)
		if err != nil {
			return "", err
		}
		parts[i] = draft.Compose(notes...)
	}
	said := strings.Join(parts, "\n")
	s.config.transcripts.keep(t.text, said)
	return said, nil
}

// work computes a task's drafts with one worker.
func (s *Server) work(ctx context.Context, t *task) ([]*collective.Draft, error) {
	arrived := time.Now()
	worker, err := s.queue.awaitWorker(ctx)
	t.waited = time.Since(arrived)
	if err != nil {
		return nil, err
	}
	defer s.queue.giveBack(worker)
	defer func(begun time.Time) { t.worked = time.Since(begun) }(time.Now())
	var drafts []*collective.Draft
	for _, agent := range t.agents {
		draft, err := s.collective.Work(ctx, worker, agent, t.text)
		if err != nil {
			return nil, err
		}
		drafts = append(drafts, draft)
	}
	return drafts, nil
}

// log writes a task's line.
func (s *Server) log(ctx context.Context, r *http.Request, t *task, took time.Duration, err error) {
	level, outcome := slog.LevelInfo, "ok"
	if err != nil {
		level, outcome = slog.LevelWarn, err.Error()
	}
	if !s.config.Log.Enabled(ctx, level) {
		return
	}
	names := make([]string, len(t.agents))
	for i, agent := range t.agents {
		names[i] = agent.Codename
	}
	s.config.Log.LogAttrs(ctx, level, "task",
		slog.String("path", r.URL.Path), slog.Any("agents", names), slog.Int("bytes", len(t.text)),
		slog.Int("queue_depth", t.depth), slog.Duration("waited", t.waited), slog.Duration("worked", t.worked),
		slog.Duration("took", took), slog.String("outcome", outcome))
}
