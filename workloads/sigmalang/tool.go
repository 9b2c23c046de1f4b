package sigmalang

import (
	"bytes"
	"context"
	"io"
	"sync"
	"time"

	"github.com/narrows-profiler/narrows/workloads/mcp"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/transport"
)

// tool is a service that is a child process.
type tool struct {
	client  *mcp.Client
	version string

	mutex sync.Mutex
	ready bool // it has been initialized
}

func newTool(input io.WriteCloser, output io.Reader, version string) *tool {
	return &tool{client: mcp.NewClient(input, output), version: version}
}

func (t *tool) close() error { return t.client.Close() }

// initialize agrees on the protocol before the first call. The warm-up's calls come
// one after another, so none waits here for another.
func (t *tool) initialize(ctx context.Context) transport.Answer {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.ready {
		return transport.Answer{Outcome: metrics.OK}
	}
	a := t.client.Initialize(ctx, "narrows", t.version)
	t.ready = a.Outcome == metrics.OK
	return a
}

// call calls a tool and times it.
func (t *tool) call(ctx context.Context, name, argument string, value []byte) (transport.Answer, time.Duration) {
	if a := t.initialize(ctx); a.Outcome != metrics.OK {
		return a, 0
	}
	arguments := map[string]string{argument: string(value)}
	begin := time.Now()
	a := t.client.CallTool(ctx, name, arguments)
	return a, a.End.Sub(begin)
}

func (t *tool) encode(ctx context.Context, text []byte) encoded {
	var e encoded
	e.Answer, e.took = t.call(ctx, "sigma_encode", "text", text)
	if e.Outcome != metrics.OK {
		return e
	}
	if members := payload(&e.Answer); members != nil {
		e.read(members, text)
	}
	return e
}

func (t *tool) decode(ctx context.Context, digits string) decoded {
	var d decoded
	d.Answer, d.took = t.call(ctx, "sigma_decode", "encoded_hex", []byte(digits))
	if d.Outcome != metrics.OK {
		return d
	}
	if !bytes.HasPrefix(bytes.TrimSpace(d.Body), []byte("{")) {
		d.text = d.Body // the text alone, and no object around it
		return d
	}
	if members := payload(&d.Answer); members != nil {
		d.read(members)
	}
	return d
}
