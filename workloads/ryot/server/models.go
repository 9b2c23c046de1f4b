package server

import "net/http"

// modelObject describes a model as OpenAI's API does.
type modelObject struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"` // Unix time in seconds
	OwnedBy string `json:"owned_by"`
}

func (s *Server) model() modelObject {
	return modelObject{s.config.Name, "model", s.started.Unix(), "narrows"}
}

// models answers GET /v1/models.
func (s *Server) models(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, struct {
		Object string        `json:"object"`
		Data   []modelObject `json:"data"`
	}{"list", []modelObject{s.model()}})
}

// oneModel answers GET /v1/models/{name}.
func (s *Server) oneModel(w http.ResponseWriter, r *http.Request) {
	if err := s.checkModel(r.PathValue("name")); err != nil {
		s.refuse(w, err)
		return
	}
	answer(w, http.StatusOK, s.model())
}

// health answers GET /health with how busy the server is.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	computing, waiting := s.queue.load()
	answer(w, http.StatusOK, struct {
		Status    string `json:"status"`
		Model     string `json:"model"`
		Computing int    `json:"computing"`
		Waiting   int    `json:"waiting"`
	}{"ok", s.config.Name, computing, waiting})
}
