package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"testing"

	"go.uber.org/goleak"

	"github.com/narrows-profiler/narrows/workloads/sigmavault/vault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The structs below are a client's view of the documents, written down apart from the
// server's own and decoded strictly.

type clientRecord struct {
	Success    bool     `json:"success"`
	ID         string   `json:"rsu_id"`
	Hash       string   `json:"semantic_hash"`
	Tokens     int      `json:"original_token_count"`
	Glyphs     int      `json:"compressed_glyph_count"`
	Chunks     []string `json:"chunk_ids"`
	Bytes      int      `json:"bytes"`
	CacheBytes int      `json:"kv_cache_bytes"`
}

type clientError struct {
	Success bool `json:"success"`
	Error   struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// strict decodes one JSON document and refuses fields that T does not have.
func strict[T any](t *testing.T, data []byte) T {
	t.Helper()
	var v T
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("decoding %s: %v", data, err)
	}
	return v
}

func content(seed uint64, bytes int) []byte {
	var key [32]byte
	copy(key[:], fmt.Sprint(seed))
	c := make([]byte, bytes)
	_, _ = rand.NewChaCha8(key).Read(c) // never fails
	return c
}

// service is a server on a port of its own.
type service struct {
	t      *testing.T
	url    string
	server *Server
	stop   context.CancelFunc // ends Serve's context
	done   chan error         // Serve's result
}

// start serves a new vault until the test ends and then checks that nothing is left
// over.
func start(t *testing.T, c Config) *service {
	t.Helper()
	before := goleak.IgnoreCurrent()
	if c.Vault == nil {
		var err error
		if c.Vault, err = vault.Open(vault.Config{Folder: t.TempDir()}); err != nil {
			t.Fatal(err)
		}
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	v := &service{t, "http://" + listener.Addr().String(), s, stop, make(chan error, 1)}
	go func() { v.done <- s.Serve(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		if err := <-v.done; err != nil {
			t.Errorf("Serve returned %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
		if err := c.Vault.Close(); err != nil {
			t.Error(err)
		}
		goleak.VerifyNone(t, before)
	})
	return v
}

// ask sends a request and returns the whole answer.
func (s *service) ask(method, path string, body io.Reader) (*http.Response, []byte) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer, data
}

// ok is ask for a JSON document with status 200.
func (s *service) ok(method, path string, body io.Reader) []byte {
	s.t.Helper()
	answer, data := s.ask(method, path, body)
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "application/json" {
		s.t.Fatalf("%s %s: status %d: %s", method, path, answer.StatusCode, data)
	}
	return data
}
