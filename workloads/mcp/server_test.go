package mcp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/narrows-profiler/narrows/workloads/metrics"
)

func echo() *Server {
	return &Server{Name: "echo", Version: "1", Tools: []Tool{{
		Name: "say", Description: "says it back", InputSchema: json.RawMessage(`{"type":"object"}`),
		Call: func(_ context.Context, arguments json.RawMessage) (any, error) {
			var asked struct{ Text string }
			if err := json.Unmarshal(arguments, &asked); err != nil {
				return nil, err
			}
			if asked.Text == "" {
				return nil, errors.New("nothing to say")
			}
			return map[string]string{"said": asked.Text}, nil
		},
	}}}
}

func TestServerAnswers(t *testing.T) {
	for asked, want := range map[string]string{
		`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2024-11-05"}}`: `{"jsonrpc":"2.0","id":1,"result":{"capabilities":{"tools":{}},"protocolVersion":"2024-11-05","serverInfo":{"name":"echo","version":"1"}}}`,
		`{"jsonrpc":"2.0","method":"notifications/initialized"}`:                                   "",
		``: "",
		`{"jsonrpc":"2.0","id":"a","method":"ping"}`:                                                           `{"jsonrpc":"2.0","id":"a","result":{}}`,
		`{"jsonrpc":"2.0","id":2,"method":"tools/list"}`:                                                       `{"jsonrpc":"2.0","id":2,"result":{"tools":[{"name":"say","description":"says it back","inputSchema":{"type":"object"}}]}}`,
		`{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"say","arguments":{"text":"a\n\"<"}}}`: `{"jsonrpc":"2.0","id":3,"result":{"content":[{"type":"text","text":"{\"said\":\"a\\n\\\"\\u003c\"}"}],"isError":false}}`,
		`{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"say","arguments":{}}}`:                `{"jsonrpc":"2.0","id":4,"result":{"content":[{"type":"text","text":"nothing to say"}],"isError":true}}`,
		`{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"sing"}}`:                              `{"jsonrpc":"2.0","id":5,"error":{"code":-32602,"message":"there is no tool \"sing\""}}`,
		`{"jsonrpc":"2.0","id":6,"method":"tools/call","params":[]}`:                                           `{"jsonrpc":"2.0","id":6,"error":{"code":-32602,"message":"the parameters are not the name of a tool and its arguments"}}`,
		`{"jsonrpc":"2.0","id":7,"method":"sing"}`:                                                             `{"jsonrpc":"2.0","id":7,"error":{"code":-32601,"message":"there is no method \"sing\""}}`,
		`{"jsonrpc":"1.0","id":8,"method":"ping"}`:                                                             `{"jsonrpc":"2.0","id":8,"error":{"code":-32600,"message":"the message is no request of JSON-RPC 2.0"}}`,
		`[1]`:  `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"the message is no request of JSON-RPC 2.0"}}`,
		`{"js`: `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"the message is not JSON"}}`,
	} {
		var out bytes.Buffer
		if err := echo().Serve(t.Context(), strings.NewReader(asked+"\n"), &out); err != nil {
			t.Errorf("%s: %v", asked, err)
		}
		if got := strings.TrimSuffix(out.String(), "\n"); got != want {
			t.Errorf("%s:\n got %s\nwant %s", asked, got, want)
		}
	}
}

// The server and the client understand each other.
func TestServerAndClient(t *testing.T) {
	c := connect(t, MaxLine, func(p peer) {
		if err := echo().Serve(p.t.Context(), p.raw, p.out); err != nil {
			p.t.Error(err)
		}
	})
	if a := c.Initialize(t.Context(), "narrows", "test"); a.Outcome != metrics.OK {
		t.Fatal(a.Err)
	}
	long := strings.Repeat("long\n\u2028", 50_000)
	a := c.CallTool(t.Context(), "say", map[string]string{"text": long})
	var said struct{ Said string }
	if err := json.Unmarshal(a.Body, &said); err != nil || said.Said != long {
		t.Errorf("%s: %v, %v", a.Outcome, a.Err, err)
	}
	if a := c.CallTool(t.Context(), "sing", nil); a.Outcome != metrics.ServiceError {
		t.Errorf("%s: %v", a.Outcome, a.Err)
	}
}

func TestServerEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	in, hold := io.Pipe()
	cancel()
	if err := echo().Serve(ctx, in, io.Discard); err != nil {
		t.Error(err)
	}
	_ = hold.Close()
	if err := echo().Serve(t.Context(), strings.NewReader("{"), io.Discard); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v", err)
	}
	if err := echo().Serve(t.Context(), strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"ping"}`+"\n"), failing{}); err == nil {
		t.Error("no error where nothing can be written")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func FuzzServer(f *testing.F) {
	f.Add([]byte(`{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"say","arguments":{"text":"a"}}}`))
	f.Add([]byte(`{"jsonrpc":"2.0","id":{},"method":"ping"}`))
	f.Fuzz(func(t *testing.T, asked []byte) {
		var out bytes.Buffer
		err := echo().Serve(t.Context(), bytes.NewReader(append(asked, '\n')), &out)
		if err != nil {
			t.Error(err)
		}
		for line := range bytes.Lines(out.Bytes()) {
			if !json.Valid(line) {
				t.Errorf("%q", line)
			}
		}
	})
}
