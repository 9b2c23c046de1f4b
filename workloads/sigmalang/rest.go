package sigmalang

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/sigmalang/object"
	"github.com/narrows-profiler/narrows/workloads/transport"
)

// rest is a service behind HTTP.
type rest struct {
	client *http.Client
	base   *url.URL
}

func newREST(address string, dial transport.Dial) (*rest, error) {
	base, err := transport.Base(address)
	if err != nil {
		return nil, err
	}
	return &rest{transport.NewClient(dial), base}, nil
}

func (r *rest) close() error {
	r.client.CloseIdleConnections()
	return nil
}

// post sends an object with one member; the answer and the time it took begin when
// the request is made.
func (r *rest) post(ctx context.Context, path, name string, text []byte) (transport.Answer, time.Duration) {
	body := make([]byte, 0, len(text)+len(text)/8+64)
	body = append(object.AppendQuoted(fmt.Appendf(body, `{%q:`, name), text), '}')
	request, err := http.NewRequest(http.MethodPost, r.base.JoinPath(path).String(), bytes.NewReader(body))
	if err != nil {
		a := transport.Answer{End: time.Now()}
		a.Fail(metrics.Unreachable, fmt.Errorf("building the request: %w", err))
		return a, 0
	}
	request.Header.Set("Content-Type", "application/json")
	begin := time.Now()
	a := transport.Call(ctx, r.client, request, mostAnswer, "a JSON document", "application/json")
	return a, a.End.Sub(begin)
}

func (r *rest) encode(ctx context.Context, text []byte) encoded {
	var e encoded
	e.Answer, e.took = r.post(ctx, "api/v1/encode", "text", text)
	if e.Outcome != metrics.OK {
		return e
	}
	if members := payload(&e.Answer); members != nil {
		e.read(members, text)
	}
	return e
}

func (r *rest) decode(ctx context.Context, digits string) decoded {
	var d decoded
	d.Answer, d.took = r.post(ctx, "api/v1/decode", "encoded", []byte(digits))
	if d.Outcome != metrics.OK {
		return d
	}
	if members := payload(&d.Answer); members != nil {
		d.read(members)
	}
	return d
}
