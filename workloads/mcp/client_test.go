package mcp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// peer is the service's side of two pipes.
type peer struct {
	t   *testing.T
	in  *bufio.Scanner
	out io.Writer
	// One of them is what in reads from.
	raw  *os.File
	conn net.Conn
}

// connect starts a client and its service, which is joined at the end of the test.
func connect(t *testing.T, limit int, script func(peer)) *Client {
	t.Helper()
	theirIn, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(theirIn)
	scanner.Buffer(nil, 1<<20)
	var served sync.WaitGroup
	served.Go(func() {
		defer theirOut.Close()
		script(peer{t: t, in: scanner, out: theirOut, raw: theirIn})
	})
	c := newClient(in, out, limit)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		_ = theirIn.Close()
		served.Wait()
		_ = out.Close()
	})
	return c
}

// next reads a request.
func (p peer) next() (m message, ok bool) {
	if !p.in.Scan() {
		return message{}, false
	}
	if err := json.Unmarshal(p.in.Bytes(), &m); err != nil || m.Version != "2.0" {
		p.t.Errorf("%s: %v", p.in.Text(), err)
	}
	return m, true
}

func (p peer) say(format string, arguments ...any) {
	_, _ = fmt.Fprintf(p.out, format+"\n", arguments...)
}

const text = `{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":%q}]}}`

func TestInitialize(t *testing.T) {
	seen := make(chan message, 2)
	c := connect(t, MaxLine, func(p peer) {
		m, _ := p.next()
		seen <- m
		p.say(`{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2024-11-05","capabilities":{},"serverInfo":{"name":"x","version":"1"}}}`, m.ID)
		m, _ = p.next()
		seen <- m
	})
	if a := c.Initialize(t.Context(), "narrows", "test"); a.Outcome != metrics.OK || a.FirstByte.IsZero() || a.End.Before(a.FirstByte) {
		t.Errorf("%+v", a)
	}
	if m := <-seen; m.Method != "initialize" || string(m.Params) != `{"capabilities":{},"clientInfo":{"name":"narrows","version":"test"},"protocolVersion":"2024-11-05"}` {
		t.Errorf("%s %s", m.Method, m.Params)
	}
	if m := <-seen; m.Method != "notifications/initialized" || m.ID != nil {
		t.Errorf("%s with id %s", m.Method, m.ID)
	}
}

// Answers come in another order than questions, between what nobody asked for.
func TestAnswersFindTheirQuestions(t *testing.T) {
	const calls = 20
	c := connect(t, MaxLine, func(p peer) {
		var asked []message
		for range calls {
			m, _ := p.next()
			asked = append(asked, m)
		}
		for i := len(asked) - 1; i >= 0; i-- {
			p.say("loading the model ...")
			p.say(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info"}}`)
			p.say(`{"jsonrpc":"2.0","id":%s,"method":"ping"}`, asked[i].ID)
			p.say(`{"jsonrpc":"2.0","id":999999,"result":{}}`)
			p.say(`{"jsonrpc":"2.0","id":"none","result":{}}`)
			p.say(``)
			var given struct{ Arguments struct{ N string } }
			if err := json.Unmarshal(asked[i].Params, &given); err != nil {
				p.t.Error(err)
			}
			p.say(text, asked[i].ID, given.Arguments.N)
			p.say(text, asked[i].ID, "a second time")
		}
		p.next()
	})
	var calling sync.WaitGroup
	for i := range calls {
		calling.Go(func() {
			want := fmt.Sprint("number ", i)
			if a := c.CallTool(t.Context(), "echo", map[string]string{"n": want}); a.Outcome != metrics.OK || string(a.Body) != want {
				t.Errorf("%d: %s %v %q", i, a.Outcome, a.Err, a.Body)
			}
		})
	}
	calling.Wait()
}

func TestFailuresHaveTheirKinds(t *testing.T) {
	for name, test := range map[string]struct {
		answer string // %s is the request's number
		want   metrics.Outcome
		says   string
	}{
		"error":               {`{"jsonrpc":"2.0","id":%s,"error":{"code":-32602,"message":"no tool"}}` + "\n", metrics.ServiceError, "-32602"},
		"error of no request": {`{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"what?"}}` + "\n%.0s", metrics.ServiceError, "what?"},
		"failed tool":         {`{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"out of glyphs"}],"isError":true}}` + "\n", metrics.ServiceError, "out of glyphs"},
		"no text":             {`{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"image","data":""}]}}` + "\n", metrics.Empty, "without text"},
		"no result":           {`{"jsonrpc":"2.0","id":%s}` + "\n", metrics.Malformed, "neither"},
		"another result":      {`{"jsonrpc":"2.0","id":%s,"result":[1]}` + "\n", metrics.Malformed, "result of tool"},
		"another version":     {`{"jsonrpc":"1.0","id":%s,"result":{}}` + "\n", metrics.Malformed, "1.0"},
		"half":                {`{"jsonrpc":"2.0","id":%s,"res`, metrics.Truncated, "in the middle"},
		"end":                 {"%.0s", metrics.Reset, "closed its output"},
		"garbage, then end":   {"%.0sSegmentation fault\n", metrics.Reset, "closed its output"},
		"endless":             {"%.0s" + strings.Repeat("x", 5000), metrics.TooLarge, "more than 4096"},
	} {
		t.Run(name, func(t *testing.T) {
			c := connect(t, 4096, func(p peer) {
				m, _ := p.next()
				_, _ = fmt.Fprintf(p.out, test.answer, m.ID)
			})
			a := c.CallTool(t.Context(), "tool", nil)
			if a.Outcome != test.want || a.Err == nil || !strings.Contains(a.Err.Error(), test.says) || a.End.IsZero() {
				t.Errorf("%s: %v", a.Outcome, a.Err)
			}
		})
	}
}

// A service that is gone is not waited for.
func TestAfterTheEndNothingWaits(t *testing.T) {
	c := connect(t, MaxLine, func(p peer) { p.next(); _ = p.raw.Close() })
	for range 3 {
		if a := c.CallTool(t.Context(), "tool", nil); a.Outcome != metrics.Reset {
			t.Errorf("%s: %v", a.Outcome, a.Err)
		}
	}
}

// pipes connects a client to a service in memory, in a bubble.
func pipes(t *testing.T, script func(peer)) (c *Client, stop func()) {
	in, theirIn := net.Pipe()
	theirOut, out := net.Pipe()
	scanner := bufio.NewScanner(theirIn)
	scanner.Buffer(nil, 2<<20)
	var served sync.WaitGroup
	served.Go(func() { script(peer{t: t, in: scanner, out: theirOut, conn: theirIn}) })
	c = newClient(in, out, MaxLine)
	return c, func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		_, _ = theirIn.Close(), theirOut.Close()
		served.Wait()
	}
}

func TestSilenceIsATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, stop := pipes(t, func(p peer) {
			slow, _ := p.next()
			time.Sleep(2 * time.Second)
			p.say(text, slow.ID, "too late")
			quick, _ := p.next()
			p.say(text, quick.ID, "in time")
		})
		defer stop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		if a := c.CallTool(ctx, "tool", nil); a.Outcome != metrics.TimedOut || a.End.Sub(begin) != time.Second {
			t.Errorf("%s after %v: %v", a.Outcome, a.End.Sub(begin), a.Err)
		}
		if a := c.CallTool(t.Context(), "tool", nil); a.Outcome != metrics.OK || string(a.Body) != "in time" {
			t.Errorf("%s: %v %q", a.Outcome, a.Err, a.Body)
		}
	})
}

// A service that reads nothing must not hold its caller. What is not begun can be
// followed by something else; half a message cannot.
func TestDeafServiceIsATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hear := make(chan struct{})
		c, stop := pipes(t, func(p peer) {
			<-hear
			m, _ := p.next()
			p.say(text, m.ID, "heard")
		})
		defer stop()
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if a := c.CallTool(ctx, "tool", nil); a.Outcome != metrics.TimedOut {
				t.Errorf("%s: %v", a.Outcome, a.Err)
			}
			cancel()
		}
		close(hear)
		if a := c.CallTool(t.Context(), "tool", nil); a.Outcome != metrics.OK || string(a.Body) != "heard" {
			t.Errorf("%s: %v %q", a.Outcome, a.Err, a.Body)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c, stop := pipes(t, func(p peer) {
			_, _ = p.conn.Read(make([]byte, 10))
		})
		defer stop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if a := c.CallTool(ctx, "tool", nil); a.Outcome != metrics.TimedOut {
			t.Errorf("%s: %v", a.Outcome, a.Err)
		}
		if a := c.CallTool(t.Context(), "tool", nil); a.Outcome != metrics.Reset || !strings.Contains(a.Err.Error(), "earlier message") {
			t.Errorf("%s: %v", a.Outcome, a.Err)
		}
	})
}

func TestCancelingIsNoTimeout(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	c := connect(t, MaxLine, func(p peer) { p.next(); cancel(errors.New("the run was stopped")); p.next() })
	if a := c.CallTool(ctx, "tool", nil); a.Outcome != metrics.Canceled || !strings.Contains(a.Err.Error(), "the run was stopped") {
		t.Errorf("%s: %v", a.Outcome, a.Err)
	}
}

func TestCloseEndsThoseWhoWait(t *testing.T) {
	asked, over := make(chan struct{}), make(chan struct{})
	c := connect(t, MaxLine, func(p peer) {
		p.next()
		close(asked)
		<-over
	})
	defer close(over)
	go func() { <-asked; _ = c.Close() }()
	if a := c.CallTool(t.Context(), "tool", nil); a.Outcome != metrics.Canceled {
		t.Errorf("%s: %v", a.Outcome, a.Err)
	}
}

// FuzzRead gives the client anything at all.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"x"}]}}` + "\n"))
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"error":{}}` + "\nx\n\n{}"))
	f.Add([]byte("{\"id\":null,\"error\":{\"code\":1}}\n"))
	f.Fuzz(func(t *testing.T, said []byte) {
		c := newClient(discard{}, strings.NewReader(string(said)), 1024)
		a := c.CallTool(t.Context(), "tool", nil)
		if a.Outcome == "" || (a.Outcome == metrics.OK) != (a.Err == nil) {
			t.Errorf("%+v", transport.Answer(a))
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return io.Discard.Write(p) }
func (discard) Close() error                { return nil }
