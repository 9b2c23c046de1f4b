package server

import (
	"encoding/json"
	"net/http"
)

// completionRequest is the body of POST /v1/completions.
type completionRequest struct {
	settings
	Prompt   prompt `json:"prompt"`
	Echo     bool   `json:"echo"`
	Suffix   string `json:"suffix"`
	BestOf   *int   `json:"best_of"`
	Logprobs *int   `json:"logprobs"`
}

// prompt is a text or the tokens of one.
type prompt struct {
	text   string
	tokens []int
}

// UnmarshalJSON accepts a string, an array with one string, an array of tokens
// or an array with one such array.
func (p *prompt) UnmarshalJSON(data []byte) error {
	var list []json.RawMessage
	switch {
	case data[0] != '[':
		return json.Unmarshal(data, &p.text)
	case json.Unmarshal(data, &p.tokens) == nil:
		return nil
	}
	p.tokens = nil
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	if len(list) != 1 {
		return invalid("prompt", "%d prompts; this server takes one in a request", len(list))
	}
	if list[0][0] == '[' {
		return json.Unmarshal(list[0], &p.tokens)
	}
	return json.Unmarshal(list[0], &p.text)
}

// complete answers POST /v1/completions.
func (s *Server) complete(w http.ResponseWriter, r *http.Request) {
	var request completionRequest
	j, err := s.completionJob(w, r, &request)
	if err != nil {
		s.refuse(w, err)
		return
	}
	s.perform(w, r, j, textForm{})
}

// completionJob reads and checks a plain completion's request. A missing prompt
// is a text's beginning, as in OpenAI's API.
func (s *Server) completionJob(w http.ResponseWriter, r *http.Request, request *completionRequest) (*job, error) {
	if err := s.decode(w, r, request); err != nil {
		return nil, err
	}
	if err := s.checkModel(request.Model); err != nil {
		return nil, err
	}
	switch {
	case request.Echo:
		return nil, invalid("echo", "echo is not supported")
	case request.Suffix != "":
		return nil, invalid("suffix", "suffix is not supported")
	case request.BestOf != nil && *request.BestOf != 1:
		return nil, invalid("best_of", "best_of is not supported")
	case request.Logprobs != nil && *request.Logprobs > 0:
		return nil, invalid("logprobs", "log-probabilities are not supported")
	}
	tokens := request.Prompt.tokens
	if tokens == nil {
		var err error
		if tokens, err = s.encode(request.Prompt.text); err != nil {
			return nil, err
		}
	}
	if len(tokens) == 0 {
		tokens = []int{s.config.Tokenizer.Begin()}
	}
	for _, t := range tokens {
		if t < 0 || t >= s.config.Tokenizer.Size() {
			return nil, invalid("prompt", "token %d is not in the vocabulary of %d", t, s.config.Tokenizer.Size())
		}
	}
	return s.job(request.settings, tokens, defaultCompletion)
}
