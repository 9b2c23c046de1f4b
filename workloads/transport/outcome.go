package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"

	"github.com/narrows-profiler/narrows/workloads/metrics"
)

// Fault is an answer that is not what was asked for.
type Fault struct {
	Outcome metrics.Outcome
	text    string
}

func (f *Fault) Error() string { return f.text }

// Refusal returns what makes a response another than 200 with one of the given media
// types, or nil. A response that names no type is taken as it is. It reads a
// little of the body.
func Refusal(response *http.Response, want string, kinds ...string) *Fault {
	if response.StatusCode != http.StatusOK {
		text := fmt.Sprintf("the service answered HTTP %d: %s", response.StatusCode, beginning(response.Body))
		return &Fault{metrics.HTTPOutcome(response.StatusCode), text}
	}
	header := response.Header.Get("Content-Type")
	kind, _, err := mime.ParseMediaType(header)
	if header != "" && (err != nil || !slices.Contains(kinds, kind)) {
		text := fmt.Sprintf("the service answered %q where %s was asked for: %s", header, want, beginning(response.Body))
		return &Fault{metrics.Malformed, text}
	}
	return nil
}

// beginning reads as much of a body as an error message has room for.
func beginning(body io.Reader) string {
	content, err := io.ReadAll(io.LimitReader(body, 200))
	if err != nil && len(content) == 0 {
		return fmt.Sprintf("(no body: %v)", err)
	}
	return Excerpt(content)
}

// Excerpt returns the beginning of a foreign text for an error message.
func Excerpt(text []byte) string {
	const limit = 160
	if len(text) > limit {
		return fmt.Sprintf("%q...", text[:limit])
	}
	return fmt.Sprintf("%q", text)
}

// Classify names a transport error. Answering tells whether any byte of an
// answer had come.
func Classify(err error, answering bool) metrics.Outcome {
	var timeout net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return metrics.Canceled
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return metrics.TimedOut
	case errors.Is(err, syscall.ECONNREFUSED):
		return metrics.Refused
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return metrics.Reset
	case answering && (errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)):
		return metrics.Truncated
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), strings.Contains(err.Error(), "server closed idle connection"):
		return metrics.Reset
	case strings.Contains(err.Error(), "server response headers exceeded"):
		return metrics.TooLarge
	case strings.Contains(err.Error(), "malformed HTTP"), strings.Contains(err.Error(), "invalid byte in chunk length"),
		strings.Contains(err.Error(), "malformed chunked encoding"):
		return metrics.Malformed
	}
	if answering {
		return metrics.Malformed
	}
	return metrics.Unreachable
}
