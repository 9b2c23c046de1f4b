package sigmalang

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/sigmalang/object"
	"github.com/narrows-profiler/narrows/workloads/transport"
)

// coder is a service that encodes and decodes.
type coder interface {
	encode(ctx context.Context, text []byte) encoded
	// decode takes what encode gave, as it was written.
	decode(ctx context.Context, digits string) decoded
	close() error
}

// encoded is what came of encoding a text.
type encoded struct {
	transport.Answer
	took time.Duration
	// digits are the encoded form as it was written, size what they stand for in
	// bytes. Without them, noBytes says what the service answers instead.
	digits  string
	size    int
	noBytes string
}

// decoded is what came of decoding one.
type decoded struct {
	transport.Answer
	took time.Duration
	text []byte
}

// mostAnswer bounds an answer, in bytes.
const mostAnswer = 64 << 20

// payload returns the members of an answer, or of the object in it that holds them.
// It fails the answer where it is none or says that the service failed.
func payload(a *transport.Answer) map[string][]byte {
	members, err := object.Members(a.Body)
	if err != nil {
		a.Fail(metrics.Malformed, err)
		return nil
	}
	if string(members["success"]) == "false" {
		a.Fail(metrics.ServiceError, fmt.Errorf("the service says that it failed: %s", transport.Excerpt(reason(members, a.Body))))
		return nil
	}
	for _, name := range []string{"result", "data"} {
		if inner := members[name]; len(inner) > 0 && inner[0] == '{' {
			if members, err = object.Members(inner); err != nil {
				a.Fail(metrics.Malformed, err)
				return nil
			}
		}
	}
	return members
}

// reason is the most telling part of an error answer.
func reason(members map[string][]byte, whole []byte) []byte {
	for _, name := range []string{"error", "message", "detail"} {
		if text := members[name]; text != nil {
			return text
		}
	}
	return whole
}

// read takes an answer's members into the result.
func (e *encoded) read(members map[string][]byte, text []byte) {
	quoted, ok := members["encoded"]
	if !ok {
		if _, ok := members["embedding"]; ok {
			e.noBytes = "the service answers an embedding of the text, which is not an encoded form of it"
			return
		}
		e.Fail(metrics.InvalidAnswer, fmt.Errorf("the answer has no encoded form: %s", transport.Excerpt(e.Body)))
		return
	}
	digits, err := object.Unquote(nil, quoted)
	if err == nil {
		e.digits = string(digits)
		e.size, err = sizeOf(digits, string(members["encoding"]))
	}
	if err == nil {
		err = errors.Join(stated(members, "original_size", len(text)), stated(members, "compressed_size", e.size))
	}
	switch {
	case err != nil:
		e.Fail(metrics.InvalidAnswer, err)
	case e.size == 0 && len(text) > 0:
		e.Fail(metrics.Empty, errors.New("the encoded form of a text has no bytes"))
	}
}

// sizeOf checks the digits of an encoded form and returns the number of its bytes.
func sizeOf(digits []byte, encoding string) (int, error) {
	decode := hex.Decode
	switch encoding {
	case "", `"hex"`:
	case `"base64"`:
		decode = base64.StdEncoding.Decode
	default:
		return 0, fmt.Errorf("the encoded form is %.20s, want hex or base64", encoding)
	}
	n, err := decode(digits, digits)
	if err != nil {
		return 0, fmt.Errorf("reading the encoded form: %w", err)
	}
	return n, nil
}

// stated checks a size that the service may state.
func stated(members map[string][]byte, name string, want int) error {
	value, ok := members[name]
	if !ok {
		return nil
	}
	if got, err := strconv.ParseFloat(string(value), 64); err != nil || got != float64(want) {
		return fmt.Errorf("the service says that %s is %.30s, it is %d", name, value, want)
	}
	return nil
}

// read takes an answer's members into the result.
func (d *decoded) read(members map[string][]byte) {
	quoted, ok := members["text"]
	if !ok {
		quoted, ok = members["decoded"]
	}
	if !ok {
		d.Fail(metrics.InvalidAnswer, fmt.Errorf("the answer has no text: %s", transport.Excerpt(d.Body)))
		return
	}
	var err error
	if d.text, err = object.Unquote(nil, quoted); err != nil {
		d.Fail(metrics.InvalidAnswer, err)
	}
}
