package server

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/narrows-profiler/narrows/workloads/sigmavault/vault"
)

// recorded is a record as it is answered.
type recorded struct {
	Success bool `json:"success"`
	vault.Record
}

// store puts the body of a request into the vault.
func (s *Server) store(w http.ResponseWriter, r *http.Request) {
	u, err := describe(r.PathValue("id"), r.URL.Query())
	if err == nil {
		u.Content, err = s.body(w, r)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	record, err := s.vault.Put(r.Context(), u)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	answer(w, http.StatusOK, recorded{true, record})
}

// describe reads a unit's description from a query. Without an ID it gets one.
func describe(id string, query url.Values) (*vault.Unit, error) {
	if id == "" {
		id = "rsu-" + rand.Text()
	}
	u := &vault.Unit{ID: id}
	for name, values := range query {
		if len(values) != 1 {
			return nil, invalid("%.50q is given %d times", name, len(values))
		}
		number := map[string]*int{
			"original_token_count":   &u.OriginalTokenCount,
			"compressed_glyph_count": &u.CompressedGlyphCount,
			"kv_cache_bytes":         &u.KVCacheBytes,
		}[name]
		switch {
		case name == "semantic_hash":
			u.SemanticHash = values[0]
		case number == nil:
			return nil, invalid("%.50q is no field of a unit", name)
		default:
			value, err := strconv.ParseUint(values[0], 10, 31)
			if err != nil {
				return nil, invalid("%s is %.50q, must be a number from 0 to 2147483647", name, values[0])
			}
			*number = int(value)
		}
	}
	return u, nil
}

// body reads a request's whole body into memory of its size.
func (s *Server) body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	// Over a recorder instead of a connection there are no deadlines.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout))
	limited := http.MaxBytesReader(w, r.Body, s.config.MaxBody)
	var content []byte
	var err error
	if n := r.ContentLength; n >= 0 && n <= s.config.MaxBody {
		content = make([]byte, n)
		_, err = io.ReadFull(limited, content)
	} else {
		content, err = io.ReadAll(limited)
	}
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, failure{http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("the body has more than %d bytes", tooLarge.Limit)}
	} else if err != nil {
		return nil, invalid("reading the body: %v", err)
	}
	// Lifted again, or it would end a long wait for the disk as if the client had left.
	_ = control.SetReadDeadline(time.Time{})
	return content, nil
}

// remove deletes a unit.
func (s *Server) remove(w http.ResponseWriter, r *http.Request) {
	if err := s.vault.Delete(r.Context(), r.PathValue("id")); err != nil {
		s.fail(w, r, err)
		return
	}
	answer(w, http.StatusOK, map[string]any{"success": true, "rsu_id": r.PathValue("id")})
}
