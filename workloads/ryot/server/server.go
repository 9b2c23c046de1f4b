package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/narrows-profiler/narrows/workloads/ryot/llama"
)

// Config is what a server is made of. Model and Tokenizer must be given and
// match; zero stands for the default elsewhere.
type Config struct {
	Model     *llama.Model
	Tokenizer *llama.Tokenizer
	Name      string // the model's name in requests and answers; "llama"
	// Computing is how many requests compute at once, each on one core; the
	// number of cores.
	Computing int
	// Waiting is how many more requests may wait for their turn, 256; negative
	// for none. Others are answered 503.
	Waiting int
	MaxBody int64 // bytes of a request's body; 1 MiB
	// Grace is how long running requests may go on after Serve's context ends,
	// 5 s; negative for not at all.
	Grace time.Duration
	Log   *slog.Logger // what goes wrong outside of an answer; discarded
}

const (
	defaultName    = "llama"
	defaultWaiting = 256
	defaultMaxBody = 1 << 20
	defaultGrace   = 5 * time.Second

	// headerTimeout and bodyTimeout bound how slowly a request may arrive,
	// writeTimeout how long a client may leave an answer unread: one that does
	// would hold its turn for ever.
	headerTimeout = 10 * time.Second
	bodyTimeout   = 30 * time.Second
	writeTimeout  = 30 * time.Second
	idleTimeout   = 2 * time.Minute
	// endTimeout is for the last words of requests that outlived the grace.
	endTimeout = time.Second
	maxHeader  = 64 << 10
)

// Server answers requests with one model.
type Server struct {
	config  Config
	queue   *queue
	started time.Time
	handler http.Handler
}

// New checks the configuration and makes room for the requests that compute at
// once.
func New(c Config) (*Server, error) {
	if c.Model == nil || c.Tokenizer == nil {
		return nil, errors.New("a server needs a model and a tokenizer")
	}
	if v, n := c.Model.Config().Vocab, c.Tokenizer.Size(); v != n {
		return nil, fmt.Errorf("the model has %d tokens and the tokenizer %d: they do not belong together", v, n)
	}
	if c.Name == "" {
		c.Name = defaultName
	}
	if c.Computing <= 0 {
		c.Computing = runtime.GOMAXPROCS(0)
	}
	if c.Waiting == 0 {
		c.Waiting = defaultWaiting
	}
	if c.MaxBody <= 0 {
		c.MaxBody = defaultMaxBody
	}
	if c.Grace == 0 {
		c.Grace = defaultGrace
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{config: c, queue: newQueue(c.Model, c.Computing, max(0, c.Waiting)), started: time.Now()}
	s.handler = s.routes()
	return s, nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// errStopping is why a request that outlives the grace period ends.
var errStopping = errors.New("the server is shutting down")

// Serve answers connections to the listener until ctx ends; then it closes the
// listener, gives running requests their time of grace, ends those that need
// longer, and returns nil once all have returned. It returns early with an error
// when accepting fails.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	requests, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(errStopping)
	var running handlers
	h := &http.Server{
		Handler:           running.count(s),
		BaseContext:       func(net.Listener) context.Context { return requests },
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.config.Log.Handler(), slog.LevelWarn),
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
	grace, cancel := context.WithTimeout(requests, max(0, s.config.Grace))
	defer cancel()
	_ = h.Shutdown(grace) // fails where requests outlive the grace
	end(errStopping)
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
func (l *handlers) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mutex.Lock()
		if l.closed {
			l.mutex.Unlock()
			fail(w, failure{http.StatusServiceUnavailable, errStopping.Error(), "", "shutting_down"})
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

// routes maps paths to handlers. Methods are checked here and not by the
// mux's patterns because every error is to be an error object.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	handle := func(path, method string, f http.HandlerFunc) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != method && (method != http.MethodGet || r.Method != http.MethodHead) {
				w.Header().Set("Allow", method)
				fail(w, failure{status: http.StatusMethodNotAllowed, message: fmt.Sprintf("%s needs %s", r.URL.Path, method), code: "method_not_allowed"})
				return
			}
			f(w, r)
		})
	}
	handle("/v1/chat/completions", http.MethodPost, s.chat)
	handle("/v1/completions", http.MethodPost, s.complete)
	handle("/v1/models", http.MethodGet, s.models)
	handle("/v1/models/{name}", http.MethodGet, s.oneModel)
	handle("/health", http.MethodGet, s.health)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, failure{status: http.StatusNotFound, message: "no such path: " + r.URL.Path, code: "not_found"})
	})
	return mux
}
