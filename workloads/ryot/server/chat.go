package server

import (
	"encoding/json"
	"net/http"
	"strings"
)

// chatRequest is the body of POST /v1/chat/completions.
type chatRequest struct {
	settings
	Messages    []message `json:"messages"`
	Logprobs    bool      `json:"logprobs"`
	TopLogprobs *int      `json:"top_logprobs"`
}

type message struct {
	Role    string  `json:"role"`
	Content content `json:"content"`
}

// content is a message's text: a string, null, or an array of parts of which
// only text is understood.
type content string

// UnmarshalJSON joins the parts.
func (c *content) UnmarshalJSON(data []byte) error {
	if data[0] != '[' {
		return json.Unmarshal(data, (*string)(c))
	}
	var parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	if err := json.Unmarshal(data, &parts); err != nil {
		return err
	}
	var text strings.Builder
	for _, p := range parts {
		if p.Type != "text" {
			return invalid("messages", "a message's part is of type %q; only text is supported", p.Type)
		}
		text.WriteString(p.Text)
	}
	*c = content(text.String())
	return nil
}

// chat answers POST /v1/chat/completions.
func (s *Server) chat(w http.ResponseWriter, r *http.Request) {
	var request chatRequest
	j, err := s.chatJob(w, r, &request)
	if err != nil {
		s.refuse(w, err)
		return
	}
	s.perform(w, r, j, chatForm{})
}

// chatJob reads and checks a chat request.
func (s *Server) chatJob(w http.ResponseWriter, r *http.Request, request *chatRequest) (*job, error) {
	if err := s.decode(w, r, request); err != nil {
		return nil, err
	}
	if err := s.checkModel(request.Model); err != nil {
		return nil, err
	}
	if request.Logprobs || request.TopLogprobs != nil && *request.TopLogprobs > 0 {
		return nil, invalid("logprobs", "log-probabilities are not supported")
	}
	text, err := transcript(request.Messages)
	if err != nil {
		return nil, err
	}
	prompt, err := s.encode(text)
	if err != nil {
		return nil, err
	}
	return s.job(request.settings, prompt, s.config.Model.Config().Context)
}

// transcript writes a conversation as a text that the model continues: a line
// for each message and the start of the answer's. The models served here were
// trained on no chat format, so it is a plain one.
func transcript(messages []message) (string, error) {
	if len(messages) == 0 {
		return "", invalid("messages", "messages is missing or empty")
	}
	var text strings.Builder
	for i, m := range messages {
		switch m.Role {
		case "system", "developer", "user", "assistant", "tool":
		default:
			return "", invalid("messages", "message %d has the role %q; roles are system, developer, user, assistant and tool", i, m.Role)
		}
		text.WriteString(m.Role + ": " + string(m.Content) + "\n")
	}
	text.WriteString("assistant:")
	return text.String(), nil
}
