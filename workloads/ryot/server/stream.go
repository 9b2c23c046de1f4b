package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/narrows-profiler/narrows/workloads/ryot/llama"
	"github.com/narrows-profiler/narrows/workloads/serving"
)

// eventStream writes Server-Sent Events (WHATWG HTML, 9.2), each flushed.
type eventStream struct {
	writer  http.ResponseWriter
	control *http.ResponseController
}

// newEventStream sends the headers.
func newEventStream(w http.ResponseWriter) *eventStream {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(http.StatusOK)
	return &eventStream{w, http.NewResponseController(w)}
}

// send writes one event of one line.
func (e *eventStream) send(data []byte) error {
	// A recorder instead of a connection knows no deadlines.
	if err := e.control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("setting an event's deadline: %w", err)
	}
	if _, err := fmt.Fprintf(e.writer, "data: %s\n\n", data); err != nil {
		return fmt.Errorf("writing an event: %w", err)
	}
	if err := e.control.Flush(); err != nil {
		return fmt.Errorf("flushing an event: %w", err)
	}
	return nil
}

// sendJSON writes one event with a document.
func (e *eventStream) sendJSON(document any) error {
	data, err := json.Marshal(document)
	if err != nil {
		return fmt.Errorf("writing an event's JSON: %w", err)
	}
	return e.send(data)
}

// stream performs a job as a stream of chunks. What fails after the headers is
// told in an event with an error object, and the stream then has no "[DONE]".
func (s *Server) stream(ctx context.Context, w http.ResponseWriter, sequence *llama.Sequence, j *job, f form, d document) {
	events := newEventStream(w)
	if j.includeUsage {
		d.Usage = json.RawMessage("null")
	}
	chunk := func(choices any) error {
		d.Choices = choices
		return events.sendJSON(d)
	}
	if opening := f.opening(); opening != nil {
		if chunk(opening) != nil {
			return
		}
	}
	result, err := s.generate(ctx, sequence, j, func(text string) error { return chunk(f.part(text)) })
	if err != nil {
		s.failStream(ctx, events, err)
		return
	}
	if chunk(f.closing(result.reason)) != nil {
		return
	}
	if j.includeUsage {
		// A struct of three integers cannot fail to become JSON.
		d.Usage, _ = json.Marshal(result.usage)
		if chunk([]struct{}{}) != nil {
			return
		}
	}
	_ = events.send([]byte("[DONE]"))
}

// failStream ends a stream with an error, which a client that has gone away
// does not get to see.
func (s *Server) failStream(ctx context.Context, events *eventStream, err error) {
	f := failure{http.StatusInternalServerError, err.Error(), "", "internal_error"}
	if ctx.Err() != nil {
		if !errors.Is(context.Cause(ctx), serving.ErrStopping) {
			return
		}
		f.message, f.code = serving.ErrStopping.Error(), "shutting_down"
	} else {
		s.config.Log.Error("stream failed", "error", err)
	}
	_ = events.sendJSON(f.object())
}
