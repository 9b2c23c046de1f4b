package sigmavault

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
)

// What the null server takes and keeps, in bytes. The library of units to be read is less
// than a fifth of that.
const (
	nullUnit = 1 << 20
	nullKept = 64 << 20
)

// Null answers the requests of this package's benchmarks at once: units are kept as they
// came, in memory, the latest ones only, and dropping from a cache does nothing.
func Null() http.Handler {
	kept := &keptUnits{most: nullKept, units: make(map[string][]byte)}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /rsus/{id}", func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength < 0 || r.ContentLength > nullUnit {
			http.Error(w, "the unit does not tell its length, or is too long", http.StatusRequestEntityTooLarge)
			return
		}
		content := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, content); err != nil {
			http.Error(w, "the unit is cut off", http.StatusBadRequest)
			return
		}
		id := r.PathValue("id")
		kept.put(id, content)
		tell(w, fmt.Sprintf(`{"success":true,"rsu_id":%q,"bytes":%d}`, id, len(content)))
	})
	mux.HandleFunc("GET /rsus/{id}", func(w http.ResponseWriter, r *http.Request) {
		content, ok := kept.get(r.PathValue("id"))
		if !ok {
			http.Error(w, "there is no such unit", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		// What cannot be written is the client's loss.
		_, _ = w.Write(content)
	})
	mux.HandleFunc("POST /cache/drop", func(w http.ResponseWriter, _ *http.Request) {
		tell(w, `{"success":true,"page_cache":"dropped"}`)
	})
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) { tell(w, `{"success":true}`) })
	return mux
}

func tell(w http.ResponseWriter, document string) {
	w.Header().Set("Content-Type", jsonType)
	_, _ = io.WriteString(w, document)
}

// keptUnits are the units that were put last, at most so many bytes of them.
type keptUnits struct {
	most int

	mutex sync.RWMutex
	units map[string][]byte
	bytes int
	// order are the IDs by when they came first.
	order []string
}

func (k *keptUnits) put(id string, content []byte) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	old, known := k.units[id]
	if !known {
		k.order = append(k.order, id)
	}
	k.units[id] = content
	for k.bytes += len(content) - len(old); k.bytes > k.most; k.order = k.order[1:] {
		k.bytes -= len(k.units[k.order[0]])
		delete(k.units, k.order[0])
	}
}

func (k *keptUnits) get(id string) ([]byte, bool) {
	k.mutex.RLock()
	defer k.mutex.RUnlock()
	content, ok := k.units[id]
	return content, ok
}
