package transport

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/narrows-profiler/narrows/workloads/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hijack takes a connection away from net/http and writes raw bytes.
func hijack(w http.ResponseWriter, raw string, end func(net.Conn)) {
	connection, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	fmt.Fprint(connection, raw)
	end(connection)
}

func TestCallNamesWhatHappened(t *testing.T) {
	closing := func(c net.Conn) { c.Close() }
	resetting := func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); c.Close() }
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		outcome metrics.Outcome
		said    string
	}{
		"whole": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			fmt.Fprint(w, `{"a":1}`)
		}, metrics.OK, ""},
		"no type": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			fmt.Fprint(w, `{"a":1}`)
		}, metrics.OK, ""},
		"other type": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<p>")
		}, metrics.Malformed, "text/html"},
		"503": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "not loaded", http.StatusServiceUnavailable)
		}, "http_503", "not loaded"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, "http_302", "302"},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			hijack(w, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", closing)
		}, metrics.Truncated, "unexpected EOF"},
		"garbage":     {func(w http.ResponseWriter, _ *http.Request) { hijack(w, "no protocol at all\r\n\r\n", closing) }, metrics.Malformed, "malformed"},
		"closed":      {func(w http.ResponseWriter, _ *http.Request) { hijack(w, "", closing) }, metrics.Reset, "EOF"},
		"reset":       {func(w http.ResponseWriter, _ *http.Request) { hijack(w, "", resetting) }, metrics.Reset, ""},
		"never comes": {func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, metrics.TimedOut, ""},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(test.handler)
			defer server.Close()
			client := NewClient(nil)
			defer client.CloseIdleConnections()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			if test.outcome == metrics.TimedOut {
				ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
			}
			defer cancel()
			request, err := http.NewRequest(http.MethodGet, server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			answer := Call(ctx, client, request, 100, "a JSON document", "application/json")
			if answer.Outcome != test.outcome || answer.End.IsZero() || (answer.Err == nil) != (test.outcome == metrics.OK) {
				t.Fatalf("%s: %v", answer.Outcome, answer.Err)
			}
			if answer.Err != nil && !strings.Contains(answer.Err.Error(), test.said) {
				t.Errorf("error %q does not say %q", answer.Err, test.said)
			}
			if test.outcome == metrics.OK && (string(answer.Body) != `{"a":1}` || answer.FirstByte.IsZero() || answer.LocalPort == 0 || answer.Exchange().Bytes != 7) {
				t.Errorf("%+v", answer)
			}
		})
	}
}

// A connection that was good for one request and is closed at the next is a failure of
// the service, although net/http tries again by itself.
func TestCallShowsHiddenResets(t *testing.T) {
	var mutex sync.Mutex
	number := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mutex.Lock()
		number++
		second := number == 2
		mutex.Unlock()
		if second {
			hijack(w, "", func(c net.Conn) { c.Close() })
		}
	}))
	defer server.Close()
	client := NewClient(nil)
	defer client.CloseIdleConnections()
	for i, want := range []metrics.Outcome{metrics.OK, metrics.Reset, metrics.OK} {
		request, err := http.NewRequest(http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if answer := Call(t.Context(), client, request, 1, "anything"); answer.Outcome != want || (answer.Err == nil) != (want == metrics.OK) {
			t.Errorf("request %d: %s, %v", i, answer.Outcome, answer.Err)
		}
	}
}

func TestCallBoundsTheAnswer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, strings.Repeat(" ", 101))
	}))
	defer server.Close()
	client := NewClient(nil)
	defer client.CloseIdleConnections()
	for limit, want := range map[int64]metrics.Outcome{100: metrics.TooLarge, 101: metrics.OK} {
		request, err := http.NewRequest(http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if answer := Call(t.Context(), client, request, limit, "a JSON document", "application/json"); answer.Outcome != want {
			t.Errorf("a limit of %d: %s, %v", limit, answer.Outcome, answer.Err)
		}
	}
}

func TestCallRefused(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	request, err := http.NewRequest(http.MethodGet, "http://"+listener.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	client := NewClient(nil)
	defer client.CloseIdleConnections()
	if answer := Call(t.Context(), client, request, 1, "anything"); answer.Outcome != metrics.Refused || !answer.FirstByte.IsZero() {
		t.Errorf("%s: %v", answer.Outcome, answer.Err)
	}
}

func TestBase(t *testing.T) {
	if base, err := Base("http://user:secret@host:8000/path"); err != nil || base.Path != "/path" {
		t.Errorf("%v, %v", base, err)
	}
	for _, address := range []string{"", "host:80", "ftp://host", "http://"} {
		if _, err := Base(address); err == nil {
			t.Errorf("%q was taken for an address", address)
		}
	}
}
