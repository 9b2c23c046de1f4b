package server

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/narrows-profiler/narrows/workloads/serving"
	"github.com/narrows-profiler/narrows/workloads/sigmalang/glyph"
	"github.com/narrows-profiler/narrows/workloads/sigmalang/object"
)

// failure is an error that is told to the client.
type failure struct {
	status  int
	message string
}

func (f failure) Error() string { return f.message }

// invalid is a request that the client must change.
func invalid(format string, arguments ...any) failure {
	return failure{http.StatusBadRequest, fmt.Sprintf(format, arguments...)}
}

// failureOf says how an error is told.
func failureOf(err error) failure {
	var f failure
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, glyph.ErrTooLong):
		return failure{http.StatusRequestEntityTooLarge, err.Error()}
	case errors.Is(err, glyph.ErrFrame):
		return failure{http.StatusBadRequest, err.Error()}
	case errors.Is(err, serving.ErrStopping):
		return failure{http.StatusServiceUnavailable, err.Error()}
	}
	return failure{http.StatusInternalServerError, err.Error()}
}

// fail answers with an error object.
func fail(w http.ResponseWriter, f failure) {
	text := object.AppendQuoted([]byte(`{"success":false,"error":`), []byte(f.message))
	answer(w, f.status, append(text, '}'))
}

// answer sends a whole JSON document. A client that has gone away cannot be told
// so, hence no error.
func answer(w http.ResponseWriter, status int, document []byte) {
	// Over a recorder instead of a connection there are no deadlines.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(document)))
	w.WriteHeader(status)
	_, _ = w.Write(document)
}
