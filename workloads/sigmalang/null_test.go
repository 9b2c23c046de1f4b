package sigmalang

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// The null server's memory is bounded, and a text comes back once, however many came since.
func TestKeptTextsAreBounded(t *testing.T) {
	k := &keptTexts{most: 100, texts: make(map[uint64][]byte)}
	first, _ := k.put([]byte("first"))
	for range 1000 {
		number, ok := k.put(make([]byte, 95))
		if _, more := k.put([]byte("more")); !ok || more || k.bytes != 100 {
			t.Fatalf("room for the second: %v, for the third: %v, with %d bytes", ok, more, k.bytes)
		}
		k.take(number)
	}
	if text, again := k.take(first), k.take(first); string(text) != "first" || again != nil || k.bytes != 0 || len(k.texts) != 0 {
		t.Errorf("%q, and then %q, of %d bytes", text, again, k.bytes)
	}
}

func TestNullRefusesWhatItCannotAnswer(t *testing.T) {
	handler := Null()
	for _, test := range []struct {
		path, body string
		status     int
	}{
		{"encode", `{"text":"abc"}`, http.StatusOK},
		{"encode", `{"text":`, http.StatusBadRequest},
		{"encode", `{"other":"abc"}`, http.StatusBadRequest},
		{"encode", ``, http.StatusBadRequest},
		{"decode", `{"encoded":"01"}`, http.StatusBadRequest},
		{"decode", `{"encoded":"not sixteen digits"}`, http.StatusBadRequest},
		{"decode", `{"encoded":"00000000000000ff"}`, http.StatusGone},
		{"decode", `{"encoded":"0000000000000001"}`, http.StatusOK},
	} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/v1/"+test.path, strings.NewReader(test.body)))
		if w.Code != test.status {
			t.Errorf("%s %s: %d, want %d: %s", test.path, test.body, w.Code, test.status, w.Body)
		}
	}
	request := httptest.NewRequest(http.MethodPost, "/api/v1/encode", strings.NewReader("{}"))
	request.ContentLength = nullMost + 1
	w := httptest.NewRecorder()
	if handler.ServeHTTP(w, request); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d for too long a text", w.Code)
	}
}
