package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/narrows-profiler/narrows/workloads/serving"
	"github.com/narrows-profiler/narrows/workloads/sigmalang/corpus"
	"github.com/narrows-profiler/narrows/workloads/sigmalang/glyph"
)

// toolVariable makes this test binary the service as a tool.
const toolVariable = "NARROWS_TEST_TOOL"

func TestMain(m *testing.M) {
	if os.Getenv(toolVariable) == "" {
		goleak.VerifyTestMain(m)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := DefaultOptions().RunTool(ctx, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func newServer(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := o.Server()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ask sends a body to a path and reads the object that comes.
func ask(t testing.TB, s http.Handler, method, path, body string) (status int, answer map[string]any) {
	t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatalf("%s %s: HTTP %d: %q: %v", method, path, w.Code, w.Body.Bytes(), err)
	}
	if kind := w.Header().Get("Content-Type"); kind != "application/json" {
		t.Errorf("%s %s: %s", method, path, kind)
	}
	return w.Code, answer
}

func member(t testing.TB, name, text string) string {
	t.Helper()
	body, err := json.Marshal(map[string]string{name: text})
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestTextComesBack(t *testing.T) {
	s := newServer(t, DefaultOptions())
	texts := []string{"", "a", "the end of the file", "\x00\"\\\n\u2028é😀", strings.Repeat("if err != nil {\n\treturn err\n}\n", 40_000)}
	source := corpus.NewSource(1)
	for _, kind := range corpus.Kinds() {
		texts = append(texts, string(source.Text(kind, 0, 100_000)))
	}
	for _, text := range texts {
		status, encoded := ask(t, s, "POST", "/api/v1/encode", member(t, "text", text))
		digits, _ := encoded["encoded"].(string)
		if status != 200 || encoded["success"] != true || encoded["encoding"] != "hex" || encoded["original_size"] != float64(len(text)) ||
			encoded["compressed_size"] != float64(len(digits)/2) || encoded["compression_ratio"] != float64(len(text))/float64(len(digits)/2) {
			delete(encoded, "encoded")
			t.Errorf("%.20q: HTTP %d, %v", text, status, encoded)
		}
		status, decoded := ask(t, s, "POST", "/api/v1/decode", member(t, "encoded", strings.ToUpper(digits)))
		if status != 200 || decoded["success"] != true || decoded["text"] != text {
			t.Errorf("%.20q: HTTP %d, %.40q", text, status, decoded["text"])
		}
	}
}

func TestRefusals(t *testing.T) {
	s := newServer(t, DefaultOptions())
	binary, err := s.config.Codec.Encode(t.Context(), nil, []byte("\xff\xfe"))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"POST", "/api/v1/encode", "", 400, "does not begin with {"},
		{"POST", "/api/v1/encode", "[]", 400, "does not begin with {"},
		{"POST", "/api/v1/encode", "{}", 400, "text is missing"},
		{"POST", "/api/v1/encode", `{"text":7}`, 400, "text: not a string"},
		{"POST", "/api/v1/encode", `{"text":"a"`, 400, "byte 11"},
		{"POST", "/api/v1/encode", `{"text":"a","text":"b"}`, 400, "two members"},
		{"POST", "/api/v1/encode", `{"text":"\ud800"}`, 400, "escape"},
		{"POST", "/api/v1/encode", "{\"text\":\"\xff\"}", 400, "UTF-8"},
		{"POST", "/api/v1/encode", `{"text":"` + strings.Repeat("x", glyph.MaxText+1) + `"}`, 413, "longer than"},
		{"POST", "/api/v1/encode", strings.Repeat(" ", maxBody+1), 413, "more than"},
		{"POST", "/api/v1/decode", `{"text":"a"}`, 400, "encoded is missing"},
		{"POST", "/api/v1/decode", `{"encoded":"5"}`, 400, "encoded: "},
		{"POST", "/api/v1/decode", `{"encoded":"xy"}`, 400, "encoded: "},
		{"POST", "/api/v1/decode", `{"encoded":""}`, 400, "not a frame"},
		{"POST", "/api/v1/decode", fmt.Sprintf(`{"encoded":"%x"}`, binary), 400, "not UTF-8"},
		{"GET", "/api/v1/encode", "", 405, "needs POST"},
		{"DELETE", "/health", "", 405, "needs GET"},
		{"GET", "/api/v2/encode", "", 404, "no such path"},
	} {
		status, answer := ask(t, s, test.method, test.path, test.body)
		if message, _ := answer["error"].(string); status != test.status || answer["success"] != false || !strings.Contains(message, test.says) {
			t.Errorf("%s %s %.30q: HTTP %d, %v", test.method, test.path, test.body, status, answer)
		}
	}
	if busy, held := s.config.Codec.Busy(), s.held.Load(); busy != 0 || held != 0 || len(s.places) != 0 {
		t.Errorf("%d cores, %d bytes and %d places are taken", busy, held, len(s.places))
	}
}

func TestHealth(t *testing.T) {
	s := newServer(t, DefaultOptions())
	if status, answer := ask(t, s, "GET", "/health", ""); status != 200 || answer["status"] != "ok" || answer["computing"] != 0.0 || answer["waiting"] != 0.0 {
		t.Errorf("HTTP %d, %v", status, answer)
	}
}

// More than may wait is told so at once, be it requests or bytes.
func TestFullQueueIsTold(t *testing.T) {
	s := newServer(t, Options{Computing: 1})
	s.places <- struct{}{}
	if status, answer := ask(t, s, "POST", "/api/v1/encode", `{"text":"a"}`); status != 503 || answer["error"] != "too many requests are waiting" {
		t.Errorf("HTTP %d, %v", status, answer)
	}
	<-s.places
	s.held.Store(mostHeld)
	if status, answer := ask(t, s, "POST", "/api/v1/encode", `{"text":"a"}`); status != 503 || answer["error"] != "too many bytes are waiting" {
		t.Errorf("HTTP %d, %v", status, answer)
	}
	s.held.Store(0)
	if status, answer := ask(t, s, "POST", "/api/v1/encode", `{"text":"a"}`); status != 200 {
		t.Errorf("HTTP %d, %v", status, answer)
	}
}

// start serves on a port of its own until stop.
func start(t *testing.T, o Options) (address string, stop func() error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	s := newServer(t, o)
	go func() { over <- s.Serve(ctx, listener) }()
	return "http://" + listener.Addr().String(), func() error { cancel(); return <-over }
}

func TestClientsThatStallOrLeave(t *testing.T) {
	address, stop := start(t, DefaultOptions())
	for _, said := range []string{
		"POST /api/v1/encode HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{\"text\":\"",
		"POST /api/v1/encode HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"GET /health HTTP/1.1\r\n", "\x16\x03\x01", "",
	} {
		connection, err := net.Dial("tcp", strings.TrimPrefix(address, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(connection, said); err != nil {
			t.Error(err)
		}
		if err := connection.Close(); err != nil {
			t.Error(err)
		}
	}
	answer, err := http.Post(address+"/api/v1/encode", "application/json", strings.NewReader(`{"text":"still there"}`))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if answer.StatusCode != 200 {
		t.Errorf("HTTP %d", answer.StatusCode)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// A request that waits when the service is to end is told so.
func TestStoppingTellsThoseWhoWait(t *testing.T) {
	book, err := glyph.DefaultCodebook()
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{Codec: glyph.NewCodec(book, 1, glyph.Faults{}), Waiting: 5})
	stopping, end := context.WithCancelCause(t.Context())
	end(serving.ErrStopping)
	w := httptest.NewRecorder()
	for range 100 { // until it meets a core in use, or is refused one
		w = httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("POST", "/api/v1/encode", strings.NewReader(`{"text":"a"}`)).WithContext(stopping))
		if w.Code != 200 {
			break
		}
	}
	if w.Code != 503 || !bytes.Contains(w.Body.Bytes(), []byte("shutting down")) {
		t.Errorf("HTTP %d: %s", w.Code, w.Body)
	}
}

func TestOptions(t *testing.T) {
	var out bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := (Options{Listen: "127.0.0.1:0", Plant: linearCodebook}).Run(ctx, &out); err != nil {
		t.Fatal(err)
	}
	var ready serving.Ready
	if err := json.Unmarshal(out.Bytes(), &ready); err != nil || ready.Service != "sigmalang" || ready.PID != os.Getpid() || !strings.HasPrefix(ready.URL, "http://127.0.0.1:") {
		t.Errorf("%s: %v", &out, err)
	}
	for _, o := range []Options{{Listen: "127.0.0.1:0", Plant: "riot"}, {Listen: "nowhere:x"}} {
		if err := o.Run(t.Context(), io.Discard); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
	if err := (Options{Plant: "riot"}).RunTool(t.Context(), strings.NewReader(""), io.Discard); err == nil {
		t.Error("a tool with an unknown fault")
	}
}

func TestFaultsDoTheirDamage(t *testing.T) {
	damages := map[string]glyph.Faults{linearCodebook: {Scan: true}, slowChecksum: {Bitwise: true}, freshEncoders: {Fresh: true}, sharedMemo: {Memo: true}}
	for _, f := range Faults() {
		for text, want := range map[string]glyph.Faults{f.Name: damages[f.Name], f.Name + "=fixed": {}} {
			if want == (glyph.Faults{}) && text == f.Name {
				t.Errorf("%s does nothing", text)
			}
			if s := newServer(t, Options{Plant: text}); s.config.Codec.Faults() != want {
				t.Errorf("%s: %+v", text, s.config.Codec.Faults())
			}
		}
	}
}

func FuzzRequest(f *testing.F) {
	s := newServer(f, Options{Computing: 1})
	f.Add("/api/v1/encode", []byte(`{"text":"the \u00e9 end"}`))
	f.Add("/api/v1/decode", []byte(`{"encoded":"5301"}`))
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		if path != "/api/v1/decode" {
			path = "/api/v1/encode"
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("POST", path, bytes.NewReader(body)))
		var answer struct {
			Success bool
			Error   string
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Success != (w.Code == 200) || answer.Success != (answer.Error == "") || w.Code >= 500 {
			t.Errorf("%q: HTTP %d: %s", body, w.Code, w.Body)
		}
	})
}
