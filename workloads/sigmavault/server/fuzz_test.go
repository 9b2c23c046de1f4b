package server

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/narrows-profiler/narrows/workloads/sigmavault/vault"
)

// FuzzRequest sends any method, path, query and body: the answer is JSON or content,
// and never the server's own fault.
func FuzzRequest(f *testing.F) {
	for _, c := range [][3]string{
		{"PUT", "/rsus/a?semantic_hash=ab&original_token_count=3&kv_cache_bytes=1", "abc"},
		{"PUT", "/rsus/..%2f?kv_cache_bytes=99999999999", "x"}, {"POST", "/rsus", ""},
		{"GET", "/rsus/a", ""}, {"HEAD", "/rsus/a", ""}, {"GET", "/rsus/a/chunks/0", ""}, {"GET", "/rsus/a/chunks/184467", ""},
		{"DELETE", "/rsus/a", ""}, {"GET", "/rsus?after=\x00&limit=9", ""}, {"POST", "/cache/drop?rsu_id=a", ""},
		{"GET", "/stats", ""}, {"PATCH", "/health;", ""}, {"GET", "//rsus//", ""},
	} {
		f.Add(c[0], c[1], c[2])
	}
	v, err := vault.Open(vault.Config{Folder: f.TempDir()})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { v.Close() })
	s, err := New(Config{Vault: v, MaxBody: 1 << 10})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method, path, body string) {
		target, err := url.ParseRequestURI(path)
		if err != nil || method == "" {
			return
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, &http.Request{
			Method: method, URL: target, Host: "x", RequestURI: path, Header: http.Header{},
			Body: http.NoBody, ContentLength: 0, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		})
		w2 := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPut, "/rsus/x", strings.NewReader(body))
		r.URL.RawQuery = target.RawQuery
		s.ServeHTTP(w2, r)
		for _, w := range []*httptest.ResponseRecorder{w, w2} {
			if w.Code >= 500 {
				t.Fatalf("%q %q: status %d: %s", method, path, w.Code, w.Body)
			}
			if w.Header().Get("Content-Type") == "application/json" && !json.Valid(w.Body.Bytes()) {
				t.Fatalf("%q %q: not JSON: %s", method, path, w.Body)
			}
		}
		if len(s.gate.places)+len(s.gate.working) != 0 {
			t.Fatalf("%q %q: places are taken after the answer", method, path)
		}
	})
}
