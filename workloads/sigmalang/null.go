package sigmalang

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// The null server's texts, in bytes: how long one may be in a request, and how much it
// keeps until it is decoded. That is as many texts of a megabyte as there are requests in
// flight at most.
const (
	nullMost = 8 << 20
	nullKept = 300 << 20
)

// Null answers the requests of this package's benchmarks at once. It compresses nothing:
// an encoded form is the number of a text that it keeps, and zeros to a quarter of the
// text's length. A text is kept until it was decoded, however many others come meanwhile.
func Null() http.Handler {
	kept := &keptTexts{most: nullKept, texts: make(map[uint64][]byte)}
	zeros := strings.Repeat("0", nullMost/2)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/encode", func(w http.ResponseWriter, r *http.Request) {
		quoted, ok := onlyMember(w, r, "text")
		if !ok {
			return
		}
		last, ok := kept.put(quoted)
		if !ok {
			http.Error(w, "too many texts were not decoded yet", http.StatusServiceUnavailable)
			return
		}
		var number [8]byte
		binary.BigEndian.PutUint64(number[:], last)
		write(w, `{"success":true,"encoded":"`, hex.EncodeToString(number[:]), zeros[:len(quoted)/8*4], `","encoding":"hex"}`)
	})
	mux.HandleFunc("POST /api/v1/decode", func(w http.ResponseWriter, r *http.Request) {
		quoted, ok := onlyMember(w, r, "encoded")
		if !ok {
			return
		}
		var number [8]byte
		if len(quoted) < 18 {
			http.Error(w, "this is no encoded form of this server", http.StatusBadRequest)
		} else if _, err := hex.Decode(number[:], quoted[1:17]); err != nil {
			http.Error(w, "this is no encoded form of this server", http.StatusBadRequest)
		} else if text := kept.take(binary.BigEndian.Uint64(number[:])); text == nil {
			http.Error(w, "this text is not kept any more", http.StatusGone)
		} else {
			write(w, `{"success":true,"text":`, string(text), `}`)
		}
	})
	return mux
}

// onlyMember reads a request that is an object of one member, as this package's driver
// writes it, and returns the value as it is written.
func onlyMember(w http.ResponseWriter, r *http.Request, name string) ([]byte, bool) {
	if r.ContentLength < 0 || r.ContentLength > nullMost {
		http.Error(w, "the request does not tell its length, or is too long", http.StatusRequestEntityTooLarge)
		return nil, false
	}
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, body); err != nil {
		http.Error(w, "the request is cut off", http.StatusBadRequest)
		return nil, false
	}
	value, begins := bytes.CutPrefix(body, []byte(`{"`+name+`":`))
	value, ends := bytes.CutSuffix(value, []byte("}"))
	if !begins || !ends || len(value) < 2 {
		http.Error(w, "this is no object whose only member is "+name, http.StatusBadRequest)
		return nil, false
	}
	return value, true
}

// write answers with the parts of a document. What cannot be written is the client's loss.
func write(w http.ResponseWriter, parts ...string) {
	length := 0
	for _, part := range parts {
		length += len(part)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(length))
	for _, part := range parts {
		_, _ = io.WriteString(w, part)
	}
}

// keptTexts are the texts that were encoded and not decoded yet, by number.
type keptTexts struct {
	most int // bytes

	mutex sync.Mutex
	last  uint64
	texts map[uint64][]byte
	bytes int
}

// put returns a text's number, or false if there is no room for it.
func (k *keptTexts) put(text []byte) (uint64, bool) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if k.bytes+len(text) > k.most {
		return 0, false
	}
	k.last++
	k.bytes += len(text)
	k.texts[k.last] = text
	return k.last, true
}

// take returns a text once, nil from then on.
func (k *keptTexts) take(number uint64) []byte {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	text := k.texts[number]
	k.bytes -= len(text)
	delete(k.texts, number)
	return text
}
