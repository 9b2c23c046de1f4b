package server

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"time"

	"github.com/narrows-profiler/narrows/workloads/agents/collective"
	"github.com/narrows-profiler/narrows/workloads/agents/knowledge"
	"github.com/narrows-profiler/narrows/workloads/serving"
)

// Config is what a server is made of; zero stands for the default.
type Config struct {
	// Workers is how many tasks are computed at once; the number of cores.
	Workers int
	// Waiting is how many more tasks may be in the house, 64; negative for none.
	// Others are answered 503.
	Waiting int
	// Timeout bounds a task, its waiting included, 30 s.
	Timeout time.Duration
	// Search is how the workers search; 256 candidates.
	Search  knowledge.Options
	MaxBody int64 // bytes of a request's body; 256 KiB
	// Grace is how long running tasks may go on after Serve's context ends, 5 s;
	// negative for not at all.
	Grace time.Duration
	// Partners are the services that tasks may be handed to; none.
	Partners Partners
	// Log gets a line for each task; discarded.
	Log *slog.Logger

	transcripts *transcripts // kept only with a planted fault
}

const (
	defaultWaiting    = 64
	defaultTimeout    = 30 * time.Second
	defaultCandidates = 256
	defaultMaxBody    = 256 << 10
	defaultGrace      = 5 * time.Second

	// bodyTimeout bounds how slowly a request may arrive, writeTimeout how long a
	// client may leave an answer unread.
	bodyTimeout  = 30 * time.Second
	writeTimeout = 30 * time.Second
)

// Server answers requests with one collective.
type Server struct {
	config     Config
	collective *collective.Collective
	queue      *queue
	handler    http.Handler
}

// New loads the collective and makes its workers.
func New(c Config) (*Server, error) {
	agents, err := collective.New()
	if err != nil {
		return nil, err
	}
	if c.Workers <= 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	if c.Waiting == 0 {
		c.Waiting = defaultWaiting
	}
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	if c.Search.Candidates <= 0 {
		c.Search.Candidates = defaultCandidates
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
	s := &Server{config: c, collective: agents}
	s.queue = newQueue(c.Workers, max(0, c.Waiting), func() *knowledge.Ranker { return agents.NewRanker(c.Search) })
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
			fail(w, failure{http.StatusServiceUnavailable, serving.ErrStopping.Error(), "shutting_down"})
		},
	}
}

// routes maps paths to handlers. Methods are checked here and not by the mux's patterns
// because every error is to be an error object.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	handle := func(path, method string, f http.HandlerFunc) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != method && (method != http.MethodGet || r.Method != http.MethodHead) {
				w.Header().Set("Allow", method)
				fail(w, failure{http.StatusMethodNotAllowed, fmt.Sprintf("%s needs %s", r.URL.Path, method), "method_not_allowed"})
				return
			}
			f(w, r)
		})
	}
	handle("/health", http.MethodGet, s.health)
	handle("/agents", http.MethodGet, s.listAgents)
	handle("/agents/{codename}", http.MethodGet, s.oneAgent)
	handle("/agents/{codename}/invoke", http.MethodPost, s.invoke)
	handle("/copilot", http.MethodPost, s.copilot)
	handle("/agent", http.MethodPost, s.agent)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, failure{http.StatusNotFound, "no such path: " + r.URL.Path, "not_found"})
	})
	return mux
}

// health answers GET /health with how busy the service is and what it is connected to.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	working, waiting := s.queue.load()
	answer(w, http.StatusOK, struct {
		Status    string   `json:"status"`
		Service   string   `json:"service"`
		Workers   int      `json:"workers"`
		Working   int      `json:"working"`
		Waiting   int      `json:"waiting"`
		Connected []string `json:"connected"`
	}{"healthy", "agents", s.config.Workers, working, waiting, s.config.Partners.connected()})
}

// listAgents answers GET /agents with an array of all.
func (s *Server) listAgents(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, s.collective.Agents())
}

// oneAgent answers GET /agents/{codename}.
func (s *Server) oneAgent(w http.ResponseWriter, r *http.Request) {
	if agent := s.named(w, r); agent != nil {
		answer(w, http.StatusOK, agent)
	}
}

// named returns the agent that a path names, or answers that there is none.
func (s *Server) named(w http.ResponseWriter, r *http.Request) *collective.Agent {
	agent, known := s.collective.Agent(r.PathValue("codename"))
	if !known {
		fail(w, failure{http.StatusNotFound, fmt.Sprintf("there is no agent %q; GET /agents lists them", r.PathValue("codename")), "agent_not_found"})
		return nil
	}
	return agent
}
