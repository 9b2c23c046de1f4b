package server

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/narrows-profiler/narrows/workloads/sigmalang/object"
)

// computed wraps what needs a core: it has a place in the queue and buffers, and
// its body's members read.
func (s *Server) computed(f func(context.Context, *buffers, map[string][]byte) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.places <- struct{}{}:
			defer func() { <-s.places }()
		default:
			fail(w, failure{http.StatusServiceUnavailable, "too many requests are waiting"})
			return
		}
		size := r.ContentLength
		if size < 0 {
			size = maxBody
		}
		defer s.held.Add(-size)
		if s.held.Add(size) > mostHeld {
			fail(w, failure{http.StatusServiceUnavailable, "too many bytes are waiting"})
			return
		}
		b, ok := s.pool.Get().(*buffers)
		if !ok {
			b = new(buffers)
		}
		defer s.pool.Put(b)
		members, err := b.read(w, r)
		if err == nil {
			err = f(r.Context(), b, members)
		}
		if err != nil {
			fail(w, failureOf(err))
			return
		}
		answer(w, http.StatusOK, b.answer)
	}
}

// read reads a request's body, one JSON object.
func (b *buffers) read(w http.ResponseWriter, r *http.Request) (map[string][]byte, error) {
	// Over a recorder instead of a connection there are no deadlines.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout))
	body := http.MaxBytesReader(w, r.Body, maxBody)
	var err error
	b.body, err = readAll(body, b.body[:0], r.ContentLength)
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, failure{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes", tooLarge.Limit)}
	} else if err != nil {
		return nil, invalid("reading the body: %v", err)
	}
	// Lifted again, or it would end a long answer as if the client had left.
	_ = control.SetReadDeadline(time.Time{})
	members, err := object.Members(b.body)
	if err != nil {
		return nil, invalid("the body: %v", err)
	}
	return members, nil
}

// readAll appends what is read to into, which gets room for as much as was
// announced at once. Announcements cost nothing, so not all is believed.
func readAll(from io.Reader, into []byte, announced int64) ([]byte, error) {
	const credible = 4 << 20
	if room := min(max(announced, 0), credible) + 512; int64(cap(into)) < room {
		into = make([]byte, 0, room)
	}
	for {
		if len(into) == cap(into) {
			into = append(into, 0)[:len(into)]
		}
		n, err := from.Read(into[len(into):cap(into)])
		into = into[:len(into)+n]
		if errors.Is(err, io.EOF) {
			return into, nil
		}
		if err != nil {
			return into, err
		}
	}
}

// text appends a member that is a string to into, without its quotes.
func text(into []byte, members map[string][]byte, name string) ([]byte, error) {
	quoted, ok := members[name]
	if !ok {
		return nil, invalid("%s is missing", name)
	}
	unquoted, err := object.Unquote(into, quoted)
	if err != nil {
		return nil, invalid("%s: %v", name, err)
	}
	return unquoted, nil
}

// encode answers POST /api/v1/encode.
func (s *Server) encode(ctx context.Context, b *buffers, members map[string][]byte) error {
	var err error
	if b.text, err = text(b.text[:0], members, "text"); err != nil {
		return err
	}
	if b.frame, err = s.config.Codec.Encode(ctx, b.frame[:0], b.text); err != nil {
		return err
	}
	b.answer = append(b.answer[:0], `{"success":true,"encoding":"hex","original_size":`...)
	b.answer = strconv.AppendInt(b.answer, int64(len(b.text)), 10)
	b.answer = append(b.answer, `,"compressed_size":`...)
	b.answer = strconv.AppendInt(b.answer, int64(len(b.frame)), 10)
	b.answer = append(b.answer, `,"compression_ratio":`...)
	b.answer = strconv.AppendFloat(b.answer, float64(len(b.text))/float64(len(b.frame)), 'g', -1, 64)
	b.answer = append(b.answer, `,"encoded":"`...)
	b.answer = append(hex.AppendEncode(b.answer, b.frame), `"}`...)
	return nil
}

// decode answers POST /api/v1/decode.
func (s *Server) decode(ctx context.Context, b *buffers, members map[string][]byte) error {
	var err error
	if b.frame, err = text(b.frame[:0], members, "encoded"); err != nil {
		return err
	}
	n, err := hex.Decode(b.frame, b.frame)
	if err != nil {
		return invalid("encoded: %v", err)
	}
	if b.text, err = s.config.Codec.Decode(ctx, b.text[:0], b.frame[:n]); err != nil {
		return err
	}
	if !utf8.Valid(b.text) {
		return invalid("encoded: what it holds is not UTF-8")
	}
	b.answer = append(b.answer[:0], `{"success":true,"text":`...)
	b.answer = append(object.AppendQuoted(b.answer, b.text), '}')
	return nil
}
