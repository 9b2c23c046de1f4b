package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/narrows-profiler/narrows/workloads/serving"
	"github.com/narrows-profiler/narrows/workloads/sigmavault/vault"
)

// Config is what a server is made of. Zero stands for the default.
type Config struct {
	// Vault is what it serves. It stays open: closing it is the caller's.
	Vault   *vault.Vault
	MaxBody int64 // bytes of a unit's content; 4 MiB
	// Working is how many requests may hold content in memory at once, 128, and
	// Waiting how many more may wait to, 1024; negative for none. Others are
	// answered 503.
	Working, Waiting int
	// Grace is how long running requests may go on after Serve's context ends,
	// serving.DefaultGrace; negative for not at all.
	Grace time.Duration
	Log   *slog.Logger // what goes wrong outside of an answer; discarded
}

const (
	defaultMaxBody = 4 << 20
	defaultWorking = 128
	defaultWaiting = 1024

	// bodyTimeout bounds how slowly a request may arrive, writeTimeout how long a
	// client may leave an answer unread.
	bodyTimeout  = 30 * time.Second
	writeTimeout = 30 * time.Second
)

// Server answers requests from one vault.
type Server struct {
	config  Config
	vault   *vault.Vault
	gate    *gate
	started time.Time
	handler http.Handler
}

// New checks the configuration.
func New(c Config) (*Server, error) {
	if c.Vault == nil {
		return nil, errors.New("a server needs a vault")
	}
	if c.MaxBody <= 0 {
		c.MaxBody = defaultMaxBody
	}
	if c.MaxBody > vault.MaxBytes {
		return nil, fmt.Errorf("bodies of up to %d bytes are more than a unit may have, %d", c.MaxBody, vault.MaxBytes)
	}
	if c.Working <= 0 {
		c.Working = defaultWorking
	}
	if c.Waiting == 0 {
		c.Waiting = defaultWaiting
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{config: c, vault: c.Vault, gate: newGate(c.Working, max(0, c.Waiting)), started: time.Now()}
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
		Refuse: func(w http.ResponseWriter, r *http.Request) { s.fail(w, r, stopping) },
	}
}

// routes maps paths and methods to handlers. The mux's own refusals are no JSON, so
// methods are looked up here.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for path, methods := range map[string]map[string]http.HandlerFunc{
		"/rsus":                 {http.MethodPost: s.gated(s.store), http.MethodGet: s.list},
		"/rsus/{id}":            {http.MethodPut: s.gated(s.store), http.MethodGet: s.gated(s.fetch), http.MethodDelete: s.remove},
		"/rsus/{id}/record":     {http.MethodGet: s.record},
		"/rsus/{id}/chunks/{n}": {http.MethodGet: s.gated(s.chunk)},
		"/cache/drop":           {http.MethodPost: s.drop},
		"/stats":                {http.MethodGet: s.stats},
		"/health":               {http.MethodGet: s.health},
	} {
		mux.HandleFunc(path, s.byMethod(methods))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, failure{http.StatusNotFound, "not_found", fmt.Sprintf("no such path: %.200q", r.URL.Path)})
	})
	return mux
}

// byMethod picks a handler; GET also answers HEAD.
func (s *Server) byMethod(methods map[string]http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		handler, known := methods[method]
		if !known {
			for name := range methods {
				w.Header().Add("Allow", name)
			}
			s.fail(w, r, failure{http.StatusMethodNotAllowed, "method_not_allowed", fmt.Sprintf("%.50q is no method of %.200q", r.Method, r.URL.Path)})
			return
		}
		handler(w, r)
	}
}

// gated lets a handler that holds content in memory run when it is its turn.
func (s *Server) gated(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := s.gate.enter(r.Context()); err != nil {
			s.fail(w, r, err)
			return
		}
		defer s.gate.leave()
		next(w, r)
	}
}

// health answers that the server is there.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{
		"success": true, "status": "ok", "uptime_seconds": int(time.Since(s.started).Seconds()),
		"working": len(s.gate.working), "waiting": max(0, len(s.gate.places)-len(s.gate.working)),
	})
}
