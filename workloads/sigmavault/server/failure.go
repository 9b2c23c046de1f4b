package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/workloads/serving"
	"github.com/narrows-profiler/narrows/workloads/sigmavault/vault"
)

// failure is an error that is told to the client.
type failure struct {
	status  int
	code    string
	message string
}

func (f failure) Error() string { return f.message }

// invalid is a request that the client must change.
func invalid(format string, args ...any) failure {
	return failure{http.StatusBadRequest, "invalid", fmt.Sprintf(format, args...)}
}

// failureOf turns an error of the vault or of this package into what is told.
func failureOf(err error) failure {
	var f failure
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, vault.ErrNotFound):
		return failure{http.StatusNotFound, "not_found", err.Error()}
	case errors.Is(err, vault.ErrInvalid):
		return failure{http.StatusBadRequest, "invalid", err.Error()}
	case errors.Is(err, vault.ErrDamaged):
		return failure{http.StatusInternalServerError, "damaged", err.Error()}
	case errors.Is(err, unix.ENOSPC):
		return failure{http.StatusInsufficientStorage, "disk_full", err.Error()}
	case errors.Is(err, serving.ErrStopping):
		return stopping
	}
	return failure{http.StatusInternalServerError, "internal", err.Error()}
}

var (
	stopping   = failure{http.StatusServiceUnavailable, "shutting_down", serving.ErrStopping.Error()}
	overloaded = failure{http.StatusServiceUnavailable, "overloaded", "too many requests are waiting"}
)

// refusal is how a failure is written.
type refusal struct {
	Success bool         `json:"success"`
	Error   refusalError `json:"error"`
}

type refusalError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// fail answers with an error. The client that it is for may have gone away, which
// cannot be told to it.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	f := failureOf(err)
	if f.status >= 500 && f.status != http.StatusServiceUnavailable && r.Context().Err() == nil {
		s.config.Log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	if f == overloaded {
		w.Header().Set("Retry-After", "1")
	}
	answer(w, f.status, refusal{Error: refusalError{f.code, f.message}})
}

// answer sends a whole JSON document.
func answer(w http.ResponseWriter, status int, document any) {
	body, err := json.Marshal(document)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	limitWriting(w)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

// limitWriting bounds how long a client may leave an answer unread. A recorder
// instead of a connection knows no deadlines.
func limitWriting(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
}
