package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
)

// Answer is what came of a [Call].
type Answer struct {
	// Outcome is metrics.OK when the whole body came with status 200. Err
	// explains any other.
	Outcome metrics.Outcome
	Err     error
	Header  http.Header
	Body    []byte
	// FirstByte is the arrival of the answer's first byte, zero if none came; End
	// when the body was whole or the request was given up.
	FirstByte, End time.Time
	LocalPort      int

	taken int // bytes of the body that was taken away
}

// Call sends a request and reads the whole answer, at most limit bytes of it, which
// has to be of one of the given media types. Want names those in an error, such as
// "a JSON document". Whatever happens is in the Answer.
func Call(ctx context.Context, client *http.Client, request *http.Request, limit int64, want string, kinds ...string) Answer {
	return CallInto(ctx, client, request, nil, limit, want, kinds...)
}

// CallInto is Call with memory for the answer's body, which is used as far as there is
// enough of it.
func CallInto(ctx context.Context, client *http.Client, request *http.Request, buffer []byte, limit int64, want string, kinds ...string) Answer {
	var answer Answer
	var trace Trace
	err := answer.read(client, request.WithContext(trace.Attach(ctx)), buffer, limit, want, kinds)
	answer.End = time.Now()
	answer.FirstByte, answer.LocalPort = trace.Seen()
	if err != nil {
		answer.Fail(Classify(err, !answer.FirstByte.IsZero()), err)
	} else if trace.Repeated() {
		answer.Fail(metrics.Reset, errRepeated)
	}
	return answer
}

// errRepeated is a failure of the service that net/http would hide.
var errRepeated = errors.New("the service closed the connection without an answer; a second try got one")

// read performs the exchange; the error is one of transport.
func (a *Answer) read(client *http.Client, request *http.Request, buffer []byte, limit int64, want string, kinds []string) error {
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	a.Header = response.Header
	if fault := Refusal(response, want, kinds...); fault != nil {
		a.Fail(fault.Outcome, fault)
		return nil
	}
	body, err := readAll(response, buffer, limit+1)
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if int64(len(body)) > limit {
		a.Fail(metrics.TooLarge, fmt.Errorf("an answer of more than %d bytes", limit))
		return nil
	}
	a.Outcome, a.Body = metrics.OK, body
	return nil
}

// readAll reads a body of at most limit bytes, into the buffer if it fits. One whose
// length was announced is read into memory of that size, so that growing it is not
// timed as if it were the service.
func readAll(response *http.Response, buffer []byte, limit int64) ([]byte, error) {
	limited := io.LimitReader(response.Body, limit)
	length := response.ContentLength
	if length <= 0 || length >= limit {
		grown := bytes.NewBuffer(buffer[:0])
		_, err := grown.ReadFrom(limited)
		return grown.Bytes(), err
	}
	if int64(cap(buffer)) < length {
		buffer = make([]byte, length)
	}
	body := buffer[:length]
	_, err := io.ReadFull(limited, body)
	return body, err
}

// TakeBody takes the body away, whose memory may then be used again. How long it was
// stays in the answer's Exchange.
func (a *Answer) TakeBody() []byte {
	body := a.Body
	a.Body, a.taken = nil, len(body)
	return body
}

// Fail turns the answer into one of another outcome, for example because what it
// says is not what was asked for.
func (a *Answer) Fail(outcome metrics.Outcome, err error) { a.Outcome, a.Err = outcome, err }

// Exchange is the answer as the load generator records it.
func (a *Answer) Exchange() load.Exchange {
	return load.Exchange{
		Outcome: a.Outcome, Err: a.Err, FirstByte: a.FirstByte, End: a.End,
		LocalPort: a.LocalPort, Bytes: int64(len(a.Body) + a.taken),
	}
}
