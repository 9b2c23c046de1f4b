package server

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/narrows-profiler/narrows/workloads/serving"
	"github.com/narrows-profiler/narrows/workloads/sigmalang/glyph"
)

const (
	defaultWaiting = 256
	// maxBody bounds a request: a text of which each other byte is escaped, or the
	// digits of a frame that could not be compressed.
	maxBody = 2*glyph.MaxText + 64<<10
	// mostHeld bounds the bodies of all requests together.
	mostHeld = 8 * maxBody

	// bodyTimeout bounds how slowly a request may arrive, writeTimeout how long a
	// client may leave an answer unread.
	bodyTimeout  = 30 * time.Second
	writeTimeout = 30 * time.Second
)

// Config is what a server is made of.
type Config struct {
	Codec *glyph.Codec
	// Waiting is how many requests may be in the server beyond those that compute;
	// 0 or less for none. Others are answered 503.
	Waiting int
	// Grace is how long running requests may go on after Serve's context ends, 0
	// for serving.DefaultGrace, negative for not at all.
	Grace time.Duration
	Log   *slog.Logger // what goes wrong outside of an answer; nil discards it
}

// Server answers requests with one codec.
type Server struct {
	config  Config
	places  chan struct{} // one for each request that computes or waits
	held    atomic.Int64  // bytes of their bodies, as announced
	pool    sync.Pool     // of *buffers
	handler http.Handler
}

// buffers are what a request is read into and answered from.
type buffers struct{ body, text, frame, answer []byte }

// New returns a server.
func New(c Config) *Server {
	s := &Server{config: c, places: make(chan struct{}, c.Codec.Cores()+max(0, c.Waiting))}
	s.handler = s.routes()
	return s
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
			fail(w, failure{http.StatusServiceUnavailable, serving.ErrStopping.Error()})
		},
	}
}

// routes maps paths to handlers. Methods are checked here and not by the mux's
// patterns because every error is to be an error object.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	handle := func(path, method string, f http.HandlerFunc) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != method && (method != http.MethodGet || r.Method != http.MethodHead) {
				w.Header().Set("Allow", method)
				fail(w, failure{http.StatusMethodNotAllowed, fmt.Sprintf("%s needs %s", r.URL.Path, method)})
				return
			}
			f(w, r)
		})
	}
	handle("/api/v1/encode", http.MethodPost, s.computed(s.encode))
	handle("/api/v1/decode", http.MethodPost, s.computed(s.decode))
	handle("/health", http.MethodGet, s.health)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, failure{http.StatusNotFound, "no such path: " + r.URL.Path})
	})
	return mux
}

// health answers GET /health with how busy the server is.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	computing := s.config.Codec.Busy()
	answer(w, http.StatusOK, fmt.Appendf(nil, `{"status":"ok","service":"sigmalang","computing":%d,"waiting":%d}`,
		computing, max(0, len(s.places)-computing)))
}
