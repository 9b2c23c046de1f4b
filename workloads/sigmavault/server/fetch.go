package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/narrows-profiler/narrows/workloads/sigmavault/vault"
)

// recordHeader is the header with the record of the unit whose content is answered.
const recordHeader = "Rsu-Record"

// fetch answers with a unit's content. All of it was decrypted before the first byte
// is sent, so that a damaged unit is an error and not half an answer.
func (s *Server) fetch(w http.ResponseWriter, r *http.Request) {
	record, parts, err := s.vault.Get(r.PathValue("id"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	text, err := json.Marshal(record)
	if err != nil {
		s.fail(w, r, fmt.Errorf("writing the record: %w", err))
		return
	}
	w.Header().Set(recordHeader, string(text))
	s.send(w, record.Bytes, parts...)
}

// chunk answers with one chunk.
func (s *Server) chunk(w http.ResponseWriter, r *http.Request) {
	number, err := strconv.ParseUint(r.PathValue("n"), 10, 31)
	if err != nil {
		s.fail(w, r, invalid("the chunk %.50q is no number from 0", r.PathValue("n")))
		return
	}
	part, err := s.vault.Chunk(r.PathValue("id"), int(number))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.send(w, len(part), part)
}

// send answers with bytes.
func (s *Server) send(w http.ResponseWriter, length int, parts ...[]byte) {
	limitWriting(w)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(length))
	for _, part := range parts {
		if _, err := w.Write(part); err != nil {
			return // the client has gone away
		}
	}
}

// record answers with a unit's record.
func (s *Server) record(w http.ResponseWriter, r *http.Request) {
	record, err := s.vault.Record(r.PathValue("id"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	answer(w, http.StatusOK, recorded{true, record})
}

// maxListed bounds the records of one answer.
const maxListed = 1000

// listed is a page of records; Next is where the one after it begins.
type listed struct {
	Success bool           `json:"success"`
	RSUs    []vault.Record `json:"rsus"`
	Next    string         `json:"next,omitempty"`
}

// list answers with the records behind an ID.
func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	limit := maxListed
	if text := query.Get("limit"); text != "" {
		value, err := strconv.ParseUint(text, 10, 31)
		if err != nil || value == 0 {
			s.fail(w, r, invalid("limit is %.50q, must be a number from 1", text))
			return
		}
		limit = min(limit, int(value))
	}
	records, err := s.vault.List(query.Get("after"), limit)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	page := listed{Success: true, RSUs: records}
	if len(records) == 0 {
		page.RSUs = []vault.Record{}
	} else if len(records) == limit {
		page.Next = records[len(records)-1].ID
	}
	answer(w, http.StatusOK, page)
}

// drop makes the next read a cold one.
func (s *Server) drop(w http.ResponseWriter, r *http.Request) {
	chunks, err := s.vault.Drop(r.URL.Query().Get("rsu_id"))
	if errors.Is(err, vault.ErrNotFound) || errors.Is(err, vault.ErrDamaged) {
		s.fail(w, r, err)
		return
	}
	dropped := map[string]any{"success": true, "cached_chunks_dropped": chunks, "page_cache": "dropped"}
	if err != nil {
		dropped["page_cache"] = err.Error()
	}
	answer(w, http.StatusOK, dropped)
}

// counted is what the vault and its file system tell.
type counted struct {
	Success    bool   `json:"success"`
	FileSystem string `json:"file_system"`
	vault.Stats
}

// stats answers with the vault's numbers.
func (s *Server) stats(w http.ResponseWriter, r *http.Request) {
	numbers, err := s.vault.Stats()
	if err != nil {
		s.fail(w, r, err)
		return
	}
	answer(w, http.StatusOK, counted{true, s.vault.FileSystem(), numbers})
}
