package metrics

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"iter"
)

// maxRequestLine bounds one line of a requests file that is read, in bytes.
const maxRequestLine = 64 << 10

// RequestWriter writes requests as JSON lines.
type RequestWriter struct {
	w io.Writer
}

// NewRequestWriter returns a writer of JSON lines to w. Each request is one
// Write, so a file opened without buffering keeps all but a torn last line when
// the program dies.
func NewRequestWriter(w io.Writer) *RequestWriter {
	return &RequestWriter{w: w}
}

// Write appends one request; an invalid one is refused.
func (w *RequestWriter) Write(request Request) error {
	if err := request.Validate(); err != nil {
		return fmt.Errorf("checking a request record: %w", err)
	}
	line, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("encoding a request record: %w", err)
	}
	if _, err := w.w.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("writing a request record: %w", err)
	}
	return nil
}

// ReadRequests yields the requests of a requests file in the order of its
// lines. The first line that is too long, unknown in a field or invalid is
// yielded as an error that names its number, and ends the sequence.
func ReadRequests(r io.Reader) iter.Seq2[Request, error] {
	return func(yield func(Request, error) bool) {
		scanner := bufio.NewScanner(r)
		scanner.Buffer(make([]byte, 0, 4096), maxRequestLine)
		number := 0
		for scanner.Scan() {
			number++
			var request Request
			err := decodeStrict(scanner.Bytes(), &request)
			if err == nil {
				err = request.Validate()
			}
			if err != nil {
				yield(Request{}, fmt.Errorf("line %d of the request records: %w", number, err))
				return
			}
			if !yield(request, nil) {
				return
			}
		}
		if err := scanner.Err(); err != nil {
			yield(Request{}, fmt.Errorf("after line %d of the request records: %w", number, err))
		}
	}
}
