package openai

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/narrows-profiler/narrows/workloads/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"

func piece(content string) string {
	return fmt.Sprintf("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":%q}}]}\n\n", content)
}

const (
	role   = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n"
	finish = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"length\"}]}\n\n"
	counts = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":5}}\n\n"
	done   = "data: [DONE]\n\n"
)

// rawServer accepts connections on loopback, reads one request from each and
// gives it to behave; it is joined at the test's end.
func rawServer(t *testing.T, behave func(*net.TCPConn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			request, err := http.ReadRequest(bufio.NewReader(connection))
			if err == nil {
				_, _ = io.Copy(io.Discard, request.Body)
				behave(connection.(*net.TCPConn))
			}
			connection.Close()
		}
	}()
	t.Cleanup(func() { listener.Close(); <-over })
	return "http://" + listener.Addr().String()
}

// says is a server that sends a text and closes.
func says(text string) func(*net.TCPConn) {
	return func(c *net.TCPConn) { _, _ = io.WriteString(c, text) }
}

// hangs is a server that sends a text and then nothing until the client leaves.
func hangs(text string) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		_, _ = io.WriteString(c, text)
		_, _ = io.Copy(io.Discard, c)
	}
}

func resets(text string) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		_, _ = io.WriteString(c, text)
		// Linger 0 makes Close send a reset; what was sent before must arrive first.
		time.Sleep(20 * time.Millisecond)
		_ = c.SetLinger(0)
	}
}

func repeats(text string) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		_, _ = io.WriteString(c, head)
		for {
			if _, err := io.WriteString(c, strings.Repeat(text, 100)); err != nil {
				return
			}
		}
	}
}

func stream(t *testing.T, url string, timeout time.Duration) Answer {
	t.Helper()
	client, err := NewClient(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	return client.Stream(ctx, Request{Model: "m", Messages: []Message{{"user", "hi"}}, MaxTokens: 8}, nil)
}

func TestMisbehavingServers(t *testing.T) {
	const short, long = 200 * time.Millisecond, 20 * time.Second
	html := "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 15\r\n\r\n<html>hi</html>"
	status := func(code int) string {
		return fmt.Sprintf("HTTP/1.1 %d Oops\r\nContent-Length: 4\r\n\r\nnope", code)
	}
	chunked := "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	for name, test := range map[string]struct {
		behave  func(*net.TCPConn)
		timeout time.Duration
		want    metrics.Outcome
	}{
		"no first byte":          {hangs(""), short, metrics.TimedOut},
		"no first token":         {hangs(head + role), short, metrics.TimedOut},
		"stops in the middle":    {hangs(head + piece("a")), short, metrics.TimedOut},
		"comments for ever":      {hangs(head + ": wait\n\n: wait\n\n"), short, metrics.TimedOut},
		"half an event":          {says(head + piece("a") + `data: {"choices":[{"ind`), long, metrics.Truncated},
		"no end mark":            {says(head + piece("a") + piece("b")), long, metrics.Truncated},
		"chunk cut off":          {says(chunked + "400\r\n" + piece("a")), long, metrics.Truncated},
		"chunked without end":    {says(chunked + "7\r\n: hi\n\n\n\r\n"), long, metrics.Truncated},
		"bad chunk length":       {says(chunked + "zz\r\nhello\r\n"), long, metrics.Malformed},
		"503":                    {says(status(503)), long, "http_503"},
		"501":                    {says(status(501)), long, "http_501"},
		"404":                    {says(status(404)), long, "http_404"},
		"500":                    {says(status(500)), long, "http_500"},
		"redirect":               {says("HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"), long, "http_302"},
		"endless error page":     {hangs("HTTP/1.1 503 Oops\r\n\r\nwait"), short, "http_503"},
		"reset before an answer": {resets(""), long, metrics.Reset},
		"reset in the answer":    {resets(head + piece("a")), long, metrics.Reset},
		"close without answer":   {says(""), long, metrics.Reset},
		"garbage":                {says("\x00\x01\x02 this is not HTTP\r\n\r\n"), long, metrics.Malformed},
		"garbage in the stream":  {says(head + "data: }{\n\n" + done), long, metrics.Malformed},
		"wrong JSON types":       {says(head + "data: {\"choices\":7}\n\n" + done), long, metrics.Malformed},
		"negative counts":        {says(head + piece("a") + "data: {\"usage\":{\"completion_tokens\":-1}}\n\n" + done), long, metrics.Malformed},
		"HTML":                   {says(html), long, metrics.Malformed},
		"whole JSON answer":      {says("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"), long, metrics.Malformed},
		"error event":            {says(head + "data: {\"error\":{\"message\":\"out of memory\"}}\n\n" + done), long, metrics.ServiceError},
		"no content":             {says(head + role + finish + done), long, metrics.Empty},
		"nothing but the mark":   {says(head + done), long, metrics.Empty},
		"endless event":          {repeats("data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n"), long, metrics.TooLarge},
		"endless answer":         {repeats(piece(strings.Repeat("word ", 1000))), long, metrics.TooLarge},
		"endless header":         {func(c *net.TCPConn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 1<<20)) }, long, metrics.TooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := stream(t, rawServer(t, test.behave), test.timeout)
			if answer.Outcome != test.want || answer.Err == nil {
				t.Errorf("outcome %q (%v), want %q", answer.Outcome, answer.Err, test.want)
			}
			if answer.LocalPort == 0 || answer.End.IsZero() || answer.Tokens != 0 {
				t.Errorf("port %d, end %v, tokens %d", answer.LocalPort, answer.End, answer.Tokens)
			}
		})
	}
}

func TestNobodyListens(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	answer := stream(t, "http://"+listener.Addr().String(), time.Second)
	if answer.Outcome != metrics.Refused || answer.LocalPort != 0 {
		t.Errorf("%+v", answer)
	}
}

func TestCanceled(t *testing.T) {
	url := rawServer(t, hangs(head+piece("a")))
	client, err := NewClient(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithCancel(t.Context())
	answer := client.Stream(ctx, Request{}, cancel)
	if answer.Outcome != metrics.Canceled || answer.FirstToken.IsZero() {
		t.Errorf("%+v", answer)
	}
}

func TestGoodAnswers(t *testing.T) {
	plain := strings.Replace(head, "text/event-stream", "text/plain; charset=utf-8", 1)
	untyped := strings.Replace(head, "Content-Type: text/event-stream\r\n", "", 1)
	body := role + piece("Hel") + piece("") + piece("lo") + piece(" you")
	for name, test := range map[string]struct {
		answer string
		finish string
		tokens int
		from   string
	}{
		"with usage":             {head + body + finish + counts + done, "length", 5, "usage"},
		"without usage":          {head + body + finish + done, "length", 3, "chunks"},
		"as plain text":          {plain + body + finish + done, "length", 3, "chunks"},
		"without a type":         {untyped + body + finish + done, "length", 3, "chunks"},
		"CRLF":                   {head + strings.ReplaceAll(body+finish+done, "\n", "\r\n"), "length", 3, "chunks"},
		"no mark, but finish":    {head + body + finish, "length", 3, "chunks"},
		"no finish, but mark":    {head + body + done, "", 3, "chunks"},
		"text in place of delta": {head + "data: {\"choices\":[{\"index\":0,\"text\":\"Hello you\",\"finish_reason\":null}]}\n\n" + done, "", 1, "chunks"},
		"second choice ignored":  {head + body + "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"!\"}}]}\n\n" + finish + done, "length", 3, "chunks"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := stream(t, rawServer(t, says(test.answer)), 20*time.Second)
			if answer.Outcome != metrics.OK || answer.Err != nil {
				t.Fatalf("outcome %q: %v", answer.Outcome, answer.Err)
			}
			if answer.Text != "Hello you" || answer.FinishReason != test.finish || answer.Tokens != test.tokens || answer.TokensFrom != test.from {
				t.Errorf("%q, finish %q, %d tokens from %q", answer.Text, answer.FinishReason, answer.Tokens, answer.TokensFrom)
			}
			if want := int64(len(test.answer) - strings.Index(test.answer, "\r\n\r\n") - 4); answer.Bytes > want || answer.Bytes < want-int64(len(done)) {
				t.Errorf("%d bytes of %d", answer.Bytes, want)
			}
		})
	}
}

func TestNewClientRefuses(t *testing.T) {
	for _, base := range []string{"", "127.0.0.1:8000", "ftp://host", "http://", "http://[::1", "/v1"} {
		if _, err := NewClient(base, nil); err == nil {
			t.Errorf("%q accepted", base)
		}
	}
}

// A service of another kind answers at its own path, to its own request.
func TestStreamFromAnotherPath(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.URL.Path != "/base/agents/APEX/invoke" || string(body) != `{"task":7}` {
			t.Errorf("%s %s: %s, %v", r.Method, r.URL, body, err)
		}
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("X-Queue-Depth", "4")
		fmt.Fprint(w, piece("all of it")+done)
	}))
	defer server.Close()
	client, err := NewClient(server.URL+"/base", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	answer := client.StreamFrom(t.Context(), "agents/APEX/invoke", map[string]int{"task": 7}, nil)
	if answer.Outcome != metrics.OK || answer.Text != "all of it" || answer.Header.Get("X-Queue-Depth") != "4" || answer.FinishReason != "" {
		t.Errorf("%+v", answer)
	}
	if refused := client.StreamFrom(t.Context(), "agents/APEX/invoke", make(chan int), nil); refused.Outcome == metrics.OK || refused.Err == nil {
		t.Errorf("what is no JSON was sent: %+v", refused)
	}
}
