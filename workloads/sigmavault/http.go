package sigmavault

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"

	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/transport"
)

const (
	jsonType    = "application/json"
	contentType = "application/octet-stream"
	// mostJSON bounds a JSON answer, in bytes.
	mostJSON = 64 << 10
)

// overHTTP is the interface that the reference service has.
type overHTTP struct {
	base   *url.URL
	client *http.Client
	// pages is what the service said of the page cache when it last dropped a unit.
	pages atomic.Pointer[string]
}

func newOverHTTP(address string, dial transport.Dial) (*overHTTP, error) {
	base, err := transport.Base(address)
	if err != nil {
		return nil, err
	}
	if base.Path == "" {
		base.Path = "/" // below which JoinPath gives absolute paths
	}
	return &overHTTP{base: base, client: transport.NewClient(dial)}, nil
}

func (h *overHTTP) close() error {
	h.client.CloseIdleConnections()
	return nil
}

// request prepares a request for a path below the service's address.
func (h *overHTTP) request(method string, query url.Values, body []byte, path ...string) *http.Request {
	target := h.base.JoinPath(path...)
	target.RawQuery = query.Encode()
	r := &http.Request{Method: method, URL: target, Host: target.Host, Header: http.Header{}}
	if user := target.User; user != nil {
		password, _ := user.Password()
		r.SetBasicAuth(user.Username(), password)
	}
	if body != nil {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		// So that a connection that the service closed between requests is no failure.
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		r.Header.Set("Content-Type", contentType)
	}
	return r
}

// said is what the service tells in JSON.
type said struct {
	Success *bool           `json:"success"`
	ID      string          `json:"rsu_id"`
	Bytes   *int            `json:"bytes"`
	Pages   string          `json:"page_cache"`
	Files   string          `json:"file_system"`
	Error   json.RawMessage `json:"error"`
}

// call sends a request that is answered in JSON. An answer that does not say success is
// turned into a failure.
func (h *overHTTP) call(ctx context.Context, r *http.Request) (said, transport.Answer) {
	answer := transport.Call(ctx, h.client, r, mostJSON, "a JSON document", jsonType)
	var s said
	if answer.Outcome == metrics.OK {
		s = understand(&answer)
	}
	return s, answer
}

// understand reads a JSON answer.
func understand(answer *transport.Answer) (s said) {
	if err := json.Unmarshal(answer.Body, &s); err != nil {
		answer.Fail(metrics.Malformed, fmt.Errorf("the answer is no JSON document: %w: %s", err, transport.Excerpt(answer.Body)))
	} else if s.Success != nil && !*s.Success || s.Error != nil && string(s.Error) != "null" {
		answer.Fail(metrics.ServiceError, fmt.Errorf("the service says: %s", transport.Excerpt(answer.Body)))
	}
	return s
}

func (h *overHTTP) write(ctx context.Context, u *unit, content []byte) transport.Answer {
	query := url.Values{
		"semantic_hash":          {u.hash},
		"original_token_count":   {strconv.Itoa(u.tokens)},
		"compressed_glyph_count": {strconv.Itoa(u.glyphs)},
		"kv_cache_bytes":         {strconv.Itoa(u.kvCacheSize)},
	}
	s, answer := h.call(ctx, h.request(http.MethodPut, query, content, "rsus", u.id))
	if answer.Outcome == metrics.OK && (s.ID != u.id || s.Bytes == nil || *s.Bytes != u.size) {
		answer.Fail(metrics.InvalidAnswer, fmt.Errorf("%d bytes of %s were sent, the service says it stored: %s", u.size, u.id, transport.Excerpt(answer.Body)))
	}
	return answer
}

func (h *overHTTP) read(ctx context.Context, u *unit, buffer []byte) transport.Answer {
	answer := transport.CallInto(ctx, h.client, h.request(http.MethodGet, nil, nil, "rsus", u.id), buffer, max(int64(u.size), mostJSON), "a unit's content", contentType, jsonType)
	if answer.Outcome != metrics.OK {
		return answer
	}
	if answer.Header.Get("Content-Type") != contentType && bytes.HasPrefix(answer.Body, []byte("{")) {
		// JSON in place of content can only be an error that was sent with status 200.
		if understand(&answer); answer.Outcome == metrics.OK {
			answer.Fail(metrics.InvalidAnswer, fmt.Errorf("JSON where content was asked for: %s", transport.Excerpt(answer.Body)))
		}
	}
	return answer
}

func (h *overHTTP) drop(ctx context.Context, u *unit) error {
	s, answer := h.call(ctx, h.request(http.MethodPost, url.Values{"rsu_id": {u.id}}, nil, "cache", "drop"))
	if answer.Outcome != metrics.OK {
		return fmt.Errorf("dropping a unit from the caches: %s: %w", answer.Outcome, answer.Err)
	}
	h.pages.Store(&s.Pages)
	return nil
}

func (h *overHTTP) remove(ctx context.Context, u *unit) error {
	_, answer := h.call(ctx, h.request(http.MethodDelete, nil, nil, "rsus", u.id))
	if answer.Outcome != metrics.OK && answer.Outcome != metrics.HTTPOutcome(http.StatusNotFound) {
		return fmt.Errorf("removing a unit: %s: %w", answer.Outcome, answer.Err)
	}
	return nil
}

func (h *overHTTP) notes(ctx context.Context) []string {
	var notes []string
	if s, answer := h.call(ctx, h.request(http.MethodGet, nil, nil, "stats")); answer.Outcome == metrics.OK && s.Files != "" {
		notes = append(notes, diskNote("the service's data was", s.Files))
	}
	if pages := h.pages.Load(); pages != nil {
		note := "a cold read follows POST /cache/drop: the unit is not in the service's cache, nor its file in the page cache; what the disk itself caches stays"
		if *pages != "dropped" {
			note += fmt.Sprintf("; but of the page cache the service said %q", transport.Excerpt([]byte(*pages)))
		}
		notes = append(notes, note)
	}
	return notes
}

// diskNote says where the data is, and what that is worth.
func diskNote(subject, fileSystem string) string {
	note := fmt.Sprintf("%s on %s", subject, fileSystem)
	if fileSystem == "tmpfs" {
		note += ", which is memory: neither durable writes nor cold reads cost a disk here"
	}
	return note
}
