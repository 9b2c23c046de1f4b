package vault

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
)

// index is the fault RewrittenIndex: a JSON document of all units' records beside the
// engine, which the list of units is read from and which every flush writes anew.
type index struct {
	mutex   sync.Mutex
	entries map[string]Record
	file    *os.File
}

const indexName = "index.json"

// openIndex makes the index of what is in the vault.
func openIndex(folder string, v *Vault) (*index, error) {
	all, err := v.List("", int(^uint(0)>>1))
	if err != nil {
		return nil, fmt.Errorf("making the index: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(folder, indexName), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("making the index: %w", err)
	}
	x := &index{entries: make(map[string]Record), file: file}
	for _, r := range all {
		x.entries[r.ID] = r
	}
	if err := x.writeIndex(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return x, nil
}

// update takes a group of writes into the index.
func (x *index) update(group []*write) error {
	x.mutex.Lock()
	defer x.mutex.Unlock()
	for _, w := range group {
		switch {
		case w.err != nil:
		case w.record == nil:
			delete(x.entries, w.id)
		default:
			x.entries[w.id] = w.entry
		}
	}
	return x.writeIndex()
}

// writeIndex writes the whole index: one JSON object a unit, its texts escaped.
func (x *index) writeIndex() error {
	text := []byte(`{"rsus":[`)
	for _, r := range x.entries {
		text = append(text, `{"rsu_id":"`...)
		for _, c := range []byte(r.ID) {
			if c == '"' || c == '\\' {
				text = append(text, '\\')
			}
			text = append(text, c)
		}
		text = append(text, `","semantic_hash":"`...)
		for _, c := range []byte(r.SemanticHash) {
			if c == '"' || c == '\\' {
				text = append(text, '\\')
			}
			text = append(text, c)
		}
		text = append(text, `","original_token_count":`...)
		text = strconv.AppendInt(text, int64(r.OriginalTokenCount), 10)
		text = append(text, `,"compressed_glyph_count":`...)
		text = strconv.AppendInt(text, int64(r.CompressedGlyphCount), 10)
		text = append(text, `,"chunk_ids":[`...)
		for i, id := range r.ChunkIDs {
			if i > 0 {
				text = append(text, ',')
			}
			text = append(text, '"')
			for shift := 60; shift >= 0; shift -= 4 {
				text = append(text, "0123456789abcdef"[id>>shift&15])
			}
			text = append(text, '"')
		}
		text = append(text, `],"bytes":`...)
		text = strconv.AppendInt(text, int64(r.Bytes), 10)
		text = append(text, `,"kv_cache_bytes":`...)
		text = strconv.AppendInt(text, int64(r.KVCacheBytes), 10)
		text = append(text, "},"...)
	}
	if len(x.entries) > 0 {
		text = text[:len(text)-1]
	}
	text = append(text, "]}\n"...)
	_, err := x.file.WriteAt(text, 0)
	if err == nil {
		err = x.file.Truncate(int64(len(text)))
	}
	if err == nil {
		err = x.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("writing the index: %w", err)
	}
	return nil
}

// list is List from the index.
func (x *index) list(after string, limit int) []Record {
	x.mutex.Lock()
	defer x.mutex.Unlock()
	var list []Record
	for _, id := range slices.Sorted(maps.Keys(x.entries)) {
		if id > after && len(list) < limit {
			list = append(list, x.entries[id])
		}
	}
	return list
}

func (x *index) close() error {
	if err := x.file.Close(); err != nil {
		return fmt.Errorf("closing the index: %w", err)
	}
	return nil
}
