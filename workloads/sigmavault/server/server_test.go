package server

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/narrows-profiler/narrows/workloads/sigmavault/vault"
)

func TestUnitsOverHTTP(t *testing.T) {
	s := start(t, Config{})
	whole := content(1, 150_000)
	const query = "?semantic_hash=abcd&original_token_count=512&compressed_glyph_count=64&kv_cache_bytes=149000"
	want := clientRecord{true, "ctx-1", "abcd", 512, 64, nil, 150_000, 149_000}
	check := func(data []byte) {
		t.Helper()
		got := strict[clientRecord](t, data)
		if len(got.Chunks) != 3 {
			t.Errorf("chunks %v", got.Chunks)
		}
		got.Chunks = nil
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the record differs (-want +got):\n%s", diff)
		}
	}
	check(s.ok(http.MethodPut, "/rsus/ctx-1"+query, bytes.NewReader(whole)))
	check(s.ok(http.MethodGet, "/rsus/ctx-1/record", nil))

	answer, data := s.ask(http.MethodGet, "/rsus/ctx-1", nil)
	if answer.StatusCode != http.StatusOK || !bytes.Equal(data, whole) || answer.Header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("status %d, %d bytes", answer.StatusCode, len(data))
	}
	check([]byte(`{"success":true,` + strings.TrimPrefix(answer.Header.Get("Rsu-Record"), "{")))
	if answer, data := s.ask(http.MethodHead, "/rsus/ctx-1", nil); answer.ContentLength != 150_000 || len(data) != 0 {
		t.Errorf("HEAD: length %d, %d bytes", answer.ContentLength, len(data))
	}
	for n, want := range map[int][]byte{0: whole[:65536], 2: whole[131072:]} {
		if answer, data := s.ask(http.MethodGet, fmt.Sprintf("/rsus/ctx-1/chunks/%d", n), nil); answer.StatusCode != http.StatusOK || !bytes.Equal(data, want) {
			t.Errorf("chunk %d: status %d, %d bytes", n, answer.StatusCode, len(data))
		}
	}
	// A body of unknown length, and an ID of the server's choice.
	posted := strict[clientRecord](t, s.ok(http.MethodPost, "/rsus", io.MultiReader(bytes.NewReader(whole))))
	if _, data := s.ask(http.MethodGet, "/rsus/"+posted.ID, nil); !bytes.Equal(data, whole) || posted.ID == "ctx-1" {
		t.Errorf("%+v: %d bytes", posted, len(data))
	}
	s.ok(http.MethodPut, "/rsus/empty", nil)
	if _, data := s.ask(http.MethodGet, "/rsus/empty", nil); len(data) != 0 {
		t.Errorf("%d bytes of an empty unit", len(data))
	}
	s.ok(http.MethodDelete, "/rsus/ctx-1", nil)
	for _, path := range []string{"/rsus/ctx-1", "/rsus/ctx-1/record", "/rsus/ctx-1/chunks/0"} {
		if answer, data := s.ask(http.MethodGet, path, nil); answer.StatusCode != http.StatusNotFound || strict[clientError](t, data).Error.Code != "not_found" {
			t.Errorf("%s: status %d: %s", path, answer.StatusCode, data)
		}
	}
}

func TestListAndStats(t *testing.T) {
	s := start(t, Config{})
	var want []string
	for i := range 7 {
		id := fmt.Sprintf("unit-%d", i)
		want = append(want, id)
		s.ok(http.MethodPut, "/rsus/"+id, bytes.NewReader(content(uint64(i), 70_000)))
	}
	var got []string
	for next := ""; ; {
		page := strict[struct {
			Success bool             `json:"success"`
			Next    string           `json:"next"`
			RSUs    []map[string]any `json:"rsus"`
		}](t, s.ok(http.MethodGet, "/rsus?limit=3&after="+next, nil))
		for _, r := range page.RSUs {
			got = append(got, r["rsu_id"].(string))
		}
		if next = page.Next; next == "" {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("listed %v", got)
	}
	type dropped struct {
		Success bool   `json:"success"`
		Chunks  int    `json:"cached_chunks_dropped"`
		Pages   string `json:"page_cache"`
	}
	if d := strict[dropped](t, s.ok(http.MethodPost, "/cache/drop?rsu_id=unit-3", nil)); d != (dropped{true, 2, "dropped"}) {
		t.Errorf("%+v", d)
	}
	if d := strict[dropped](t, s.ok(http.MethodPost, "/cache/drop", nil)); d != (dropped{true, 12, "dropped"}) {
		t.Errorf("%+v", d)
	}
	if _, data := s.ask(http.MethodGet, "/rsus/unit-3", nil); !bytes.Equal(data, content(3, 70_000)) {
		t.Errorf("%d other bytes after the drop", len(data))
	}
	stats := strict[struct {
		Success    bool   `json:"success"`
		FileSystem string `json:"file_system"`
		Units      int    `json:"rsus"`
		FileBytes  int64  `json:"file_bytes"`
		Writes     int    `json:"writes"`
		Flushes    int    `json:"flushes"`
		Hits       int    `json:"cache_hits"`
		Misses     int    `json:"cache_misses"`
		Evictions  int    `json:"cache_evictions"`
		CacheBytes int    `json:"cache_bytes"`
	}](t, s.ok(http.MethodGet, "/stats", nil))
	if stats.Units != 7 || stats.Writes != 7 || stats.Flushes != 7 || stats.Misses != 2 || stats.CacheBytes < 70_000 || stats.FileBytes < 7*70_000 || stats.FileSystem == "" {
		t.Errorf("%+v", stats)
	}
	health := strict[struct {
		Success bool   `json:"success"`
		Status  string `json:"status"`
		Uptime  int    `json:"uptime_seconds"`
		Working int    `json:"working"`
		Waiting int    `json:"waiting"`
	}](t, s.ok(http.MethodGet, "/health", nil))
	if health.Status != "ok" || health.Working != 0 || health.Waiting != 0 {
		t.Errorf("%+v", health)
	}
}

func TestRefusals(t *testing.T) {
	s := start(t, Config{MaxBody: 1000})
	for _, c := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"PUT", "/rsus/x", strings.Repeat("x", 1001), 413, "too_large"},
		{"PUT", "/rsus/.x", "", 400, "invalid"},
		{"PUT", "/rsus/x%2Fy", "", 400, "invalid"},
		{"PUT", "/rsus/x%0A", "", 400, "invalid"},
		{"PUT", "/rsus/" + strings.Repeat("x", 129), "", 400, "invalid"},
		{"PUT", "/rsus/x?semantic_hash=%22", "", 400, "invalid"},
		{"PUT", "/rsus/x?kv_cache_bytes=4", "abc", 400, "invalid"},
		{"PUT", "/rsus/x?kv_cache_bytes=-1", "abc", 400, "invalid"},
		{"PUT", "/rsus/x?original_token_count=1e3", "", 400, "invalid"},
		{"PUT", "/rsus/x?original_token_count=2147483648", "", 400, "invalid"},
		{"PUT", "/rsus/x?original_token_count=1&original_token_count=2", "", 400, "invalid"},
		{"PUT", "/rsus/x?tokens=1", "", 400, "invalid"},
		{"GET", "/rsus/x", "", 404, "not_found"},
		{"GET", "/rsus/x/chunks/0", "", 404, "not_found"},
		{"GET", "/rsus/x/chunks/-1", "", 400, "invalid"},
		{"GET", "/rsus/x/chunks/one", "", 400, "invalid"},
		{"DELETE", "/rsus/x", "", 404, "not_found"},
		{"DELETE", "/rsus/..%2F..%2Fkey", "", 404, "not_found"},
		{"POST", "/cache/drop?rsu_id=x", "", 404, "not_found"},
		{"GET", "/rsus?limit=0", "", 400, "invalid"},
		{"GET", "/rsus?limit=all", "", 400, "invalid"},
		{"GET", "/nothing", "", 404, "not_found"},
		{"GET", "/cache/drop", "", 405, "method_not_allowed"},
		{"PATCH", "/rsus/x", "", 405, "method_not_allowed"},
	} {
		answer, data := s.ask(c.method, c.path, strings.NewReader(c.body))
		got := strict[clientError](t, data)
		if answer.StatusCode != c.status || got.Error.Code != c.code || got.Error.Message == "" || got.Success {
			t.Errorf("%s %.60s: status %d, %s", c.method, c.path, answer.StatusCode, data)
		}
		if allow := answer.Header.Values("Allow"); (c.status == 405) != (len(allow) > 0) {
			t.Errorf("%s %s: Allow %q", c.method, c.path, allow)
		}
	}
	// A body of unknown length that is too long, too.
	if answer, data := s.ask("PUT", "/rsus/x", io.MultiReader(strings.NewReader(strings.Repeat("x", 5000)))); answer.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d, %s", answer.StatusCode, data)
	}
	if _, err := s.server.vault.Record("x"); err == nil {
		t.Error("a refused unit was stored")
	}
}

func TestNewRefusesWhatDoesNotFit(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("a server without a vault was made")
	}
	if _, err := New(Config{Vault: new(vault.Vault), MaxBody: vault.MaxBytes + 1}); err == nil {
		t.Error("bodies may be larger than units")
	}
}
