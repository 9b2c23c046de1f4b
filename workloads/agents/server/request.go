package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// request is the body of what asks for work. The model is accepted and not looked at:
// who asks for "gpt-4" gets the collective.
type request struct {
	Messages []struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	} `json:"messages"`
	Model  string `json:"model"`
	Stream bool   `json:"stream"`
}

// decode reads a request and the task in it: its last user message.
func (s *Server) decode(w http.ResponseWriter, r *http.Request) (task string, stream bool, err error) {
	// Over a recorder instead of a connection there are no deadlines.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.config.MaxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return "", false, failure{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes", tooLarge.Limit), "request_too_large"}
	} else if err != nil {
		return "", false, invalid("reading the body: %v", err)
	}
	// Lifted again, or it would end a long task as if the client had left.
	_ = control.SetReadDeadline(time.Time{})
	var asked request
	if err := json.Unmarshal(body, &asked); err != nil {
		return "", false, invalid("parsing the body: %v", err)
	}
	for i := len(asked.Messages) - 1; i >= 0; i-- {
		if m := asked.Messages[i]; m.Role == "user" && strings.TrimSpace(m.Content) != "" {
			return m.Content, asked.Stream, nil
		}
	}
	return "", false, invalid("there is no user message with content in messages")
}
