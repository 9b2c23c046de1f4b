package transport

import (
	"context"
	"net"
	"net/http/httptrace"
	"sync"
	"time"
)

// Trace collects what net/http tells of one exchange from other goroutines.
type Trace struct {
	mutex     sync.Mutex
	firstByte time.Time
	localPort int
	written   int
}

// Attach returns a context that makes a request report to the trace.
func (t *Trace) Attach(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			t.mutex.Lock()
			defer t.mutex.Unlock()
			if address, ok := info.Conn.LocalAddr().(*net.TCPAddr); ok {
				t.localPort = address.Port
			}
		},
		GotFirstResponseByte: func() {
			t.mutex.Lock()
			defer t.mutex.Unlock()
			t.firstByte = time.Now()
		},
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			t.mutex.Lock()
			defer t.mutex.Unlock()
			if info.Err == nil {
				t.written++
			}
		},
	})
}

// Repeated reports whether net/http sent the request again by itself, as it does for one
// without a body whose connection was closed before an answer.
func (t *Trace) Repeated() bool {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return t.written > 1
}

// Seen returns when the first byte of the answer came, zero if none did, and the
// client's port, 0 without a connection.
func (t *Trace) Seen() (firstByte time.Time, localPort int) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return t.firstByte, t.localPort
}
