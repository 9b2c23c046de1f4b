package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"time"

	"github.com/narrows-profiler/narrows/workloads/ryot/llama"
	"github.com/narrows-profiler/narrows/workloads/serving"
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

	// bodyTimeout bounds how slowly a request may arrive, writeTimeout how long a
	// client may leave an answer unread: one that does would hold its turn for
	// ever.
	bodyTimeout  = 30 * time.Second
	writeTimeout = 30 * time.Second
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

// Serve answers connections to the listener until ctx ends, as [serving.Serve] does.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	return serving.Serve(ctx, listener, s, s.serving())
}

func (s *Server) serving() serving.Config {
	return serving.Config{
		Grace: s.config.Grace, Log: s.config.Log,
		Refuse: func(w http.ResponseWriter, _ *http.Request) {
			fail(w, failure{http.StatusServiceUnavailable, serving.ErrStopping.Error(), "", "shutting_down"})
		},
	}
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
