// Package serving is the process side of a reference service: it listens, tells the
// one who started it where, serves until it is asked to end, and gives running
// requests a time of grace. What is served is an http.Handler.
package serving

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// ErrStopping is why a request that outlives the grace period ends: the cause of its
// context.
var ErrStopping = errors.New("the server is shutting down")

const (
	// headerTimeout bounds how slowly a request's header may arrive.
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	// endTimeout is for the last words of requests that outlived the grace.
	endTimeout = time.Second
	maxHeader  = 64 << 10
)

// DefaultGrace is how long running requests may go on unless told otherwise.
const DefaultGrace = 5 * time.Second

// Config is what a server needs beside its handler.
type Config struct {
	// Refuse answers what comes when the server is stopping; it sends status 503.
	Refuse http.HandlerFunc
	// Grace is how long running requests may go on after Serve's context ends, 0
	// for DefaultGrace, negative for not at all.
	Grace time.Duration
	Log   *slog.Logger // what goes wrong outside of an answer; nil discards it
}

// Ready is the line of JSON that a started service prints, as package service reads
// it.
type Ready struct {
	Service string `json:"service"`
	URL     string `json:"url"` // without a path
	PID     int    `json:"pid"`
	Model   string `json:"model,omitempty"`
}

// Run listens at an address, prints a line with a [Ready] of this process to out,
// and serves until ctx ends. The handler is made after the address is taken, so
// that an address in use is found out before work is done.
func Run(ctx context.Context, address string, out io.Writer, ready Ready, handler func() (http.Handler, Config, error)) error {
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listening for requests: %w", err)
	}
	defer listener.Close()
	h, config, err := handler()
	if err != nil {
		return err
	}
	ready.URL, ready.PID = "http://"+reachable(listener.Addr()), os.Getpid()
	line, err := json.Marshal(ready)
	if err != nil {
		return fmt.Errorf("writing the line that says it is ready: %w", err)
	}
	if _, err := fmt.Fprintf(out, "%s\n", line); err != nil {
		return fmt.Errorf("writing the line that says it is ready: %w", err)
	}
	return Serve(ctx, listener, h, config)
}

// reachable is where a local client finds the listener.
func reachable(a net.Addr) string {
	if t, ok := a.(*net.TCPAddr); ok && t.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", fmt.Sprint(t.Port))
	}
	return a.String()
}

// Serve answers connections to the listener until ctx ends; then it closes the
// listener, gives running requests their time of grace, ends those that need
// longer, and returns nil once all have returned. It returns early with an error
// when accepting fails.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler, config Config) error {
	if config.Grace == 0 {
		config.Grace = DefaultGrace
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	requests, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(ErrStopping)
	var running handlers
	h := &http.Server{
		Handler:           running.count(handler, config.Refuse),
		BaseContext:       func(net.Listener) context.Context { return requests },
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(config.Log.Handler(), slog.LevelWarn),
	}
	accepting := make(chan struct{})
	var failed error
	go func() {
		defer close(accepting)
		failed = h.Serve(listener)
	}()
	select {
	case <-accepting:
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(requests, max(0, config.Grace))
	defer cancel()
	_ = h.Shutdown(grace) // fails where requests outlive the grace
	end(ErrStopping)
	// Those still tell their clients why, and net/http ends their answers after
	// they have returned.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	_ = h.Shutdown(last)
	running.wait()
	_ = h.Close()
	<-accepting
	if !errors.Is(failed, http.ErrServerClosed) {
		return fmt.Errorf("accepting connections: %w", failed)
	}
	return nil
}

// handlers joins the goroutines that net/http starts for requests.
type handlers struct {
	mutex   sync.Mutex
	closed  bool
	running sync.WaitGroup
}

// count wraps a handler so that wait knows of its calls.
func (l *handlers) count(next http.Handler, refuse http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mutex.Lock()
		if l.closed {
			l.mutex.Unlock()
			refuse(w, r)
			return
		}
		l.running.Add(1)
		l.mutex.Unlock()
		defer l.running.Done()
		next.ServeHTTP(w, r)
	})
}

// wait returns when no call is left and lets no more begin.
func (l *handlers) wait() {
	l.mutex.Lock()
	l.closed = true
	l.mutex.Unlock()
	l.running.Wait()
}
