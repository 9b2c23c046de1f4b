package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/narrows-profiler/narrows/workloads/serving"
)

// failure is an error that is told to the client.
type failure struct {
	status  int
	message string
	code    string
}

func (f failure) Error() string { return f.message }

// invalid is a request that the client must change.
func invalid(format string, args ...any) failure {
	return failure{http.StatusBadRequest, fmt.Sprintf(format, args...), "invalid_request"}
}

// failed says what an error is to the client of a task.
func failed(err error) failure {
	var f failure
	var partner *partnerError
	switch {
	case errors.As(err, &f):
	case errors.Is(err, errQueueFull):
		f = failure{http.StatusServiceUnavailable, err.Error() + "; try again later", "overloaded"}
	case errors.Is(err, serving.ErrStopping):
		f = failure{http.StatusServiceUnavailable, err.Error(), "shutting_down"}
	case errors.As(err, &partner):
		f = failure{http.StatusBadGateway, err.Error(), "partner_failed"}
	case errors.Is(err, context.DeadlineExceeded):
		f = failure{http.StatusGatewayTimeout, "the task took longer than it may", "timeout"}
	default:
		f = failure{http.StatusInternalServerError, err.Error(), "internal_error"}
	}
	return f
}

// fail answers with an error object.
func fail(w http.ResponseWriter, f failure) {
	if f.code == "overloaded" {
		w.Header().Set("Retry-After", "1")
	}
	answer(w, f.status, map[string]any{"error": map[string]string{"message": f.message, "code": f.code}})
}

// answer sends a whole JSON document. A client that has gone away cannot be told so,
// hence no error.
func answer(w http.ResponseWriter, status int, document any) {
	body, err := json.Marshal(document)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	// Over a recorder instead of a connection there are no deadlines.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// choice has a message in a whole answer, a delta in a stream.
type choice struct {
	Index        int      `json:"index"`
	Message      *message `json:"message,omitempty"`
	Delta        *message `json:"delta,omitempty"`
	FinishReason string   `json:"finish_reason"`
}

type completion struct {
	Choices []choice `json:"choices"`
}

// sendText answers with a text, whole or as a stream of one chunk.
func sendText(w http.ResponseWriter, text string, stream bool) {
	said := &message{"assistant", text}
	if !stream {
		answer(w, http.StatusOK, completion{[]choice{{Message: said, FinishReason: "stop"}}})
		return
	}
	chunk, err := json.Marshal(completion{[]choice{{Delta: said, FinishReason: "stop"}}})
	if err != nil {
		fail(w, failed(fmt.Errorf("writing the answer: %w", err)))
		return
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(http.StatusOK)
	fmt.Fprintf(w, "data: %s\n\n", chunk)
	// Without a flusher the events leave with the end of the answer.
	_ = http.NewResponseController(w).Flush()
	fmt.Fprint(w, "data: [DONE]\n\n")
}
