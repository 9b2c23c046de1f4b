// Package transport is the HTTP client under every driver: it times an exchange,
// bounds what it reads, and names what went wrong by the outcomes of package
// metrics. It knows nothing of what is said over it.
//
// [Call] performs a request whose answer is one document. A protocol that streams
// uses the parts: [NewClient], [Trace], [Refusal], [Classify].
package transport

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Dial opens a connection; it is the type of net.Dialer's DialContext.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// NewClient returns a client that follows no redirects, uses no proxy and asks for
// no compression: each would time something else than the service. A nil dial
// stands for TCP as usual.
func NewClient(dial Dial) *http.Client {
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            dial,
			DisableCompression:     true,
			MaxIdleConnsPerHost:    256,
			MaxResponseHeaderBytes: 256 << 10,
			IdleConnTimeout:        time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Base reads a service's address, such as "http://127.0.0.1:8000".
func Base(address string) (*url.URL, error) {
	target, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("reading the service's address: %w", err)
	}
	if target.Scheme != "http" && target.Scheme != "https" || target.Host == "" {
		return nil, fmt.Errorf("the service's address %q is not http://HOST:PORT or https://HOST:PORT", target.Redacted())
	}
	return target, nil
}
