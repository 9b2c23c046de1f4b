package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/narrows-profiler/narrows/workloads/ryot/llama"
)

// settings are the request fields that chat and plain completions share.
// Pointers tell an absent or null field from zero.
type settings struct {
	Model               string         `json:"model"`
	Temperature         *float64       `json:"temperature"`
	TopP                *float64       `json:"top_p"`
	TopK                *int           `json:"top_k"` // not OpenAI's, but vLLM's and llama.cpp's
	MaxTokens           *int           `json:"max_tokens"`
	MaxCompletionTokens *int           `json:"max_completion_tokens"`
	Seed                *int64         `json:"seed"`
	Stop                texts          `json:"stop"`
	Stream              bool           `json:"stream"`
	StreamOptions       *streamOptions `json:"stream_options"`
	N                   *int           `json:"n"`
	PresencePenalty     *float64       `json:"presence_penalty"`
	FrequencyPenalty    *float64       `json:"frequency_penalty"`
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

// texts is a string or an array of strings.
type texts []string

// UnmarshalJSON accepts both forms and null.
func (t *texts) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		*t = make(texts, 1)
		return json.Unmarshal(data, &(*t)[0])
	}
	return json.Unmarshal(data, (*[]string)(t))
}

// job is a request that was found possible.
type job struct {
	prompt       []int // begins with the token that begins a sequence
	sampling     llama.Sampling
	limit        int // tokens to write
	stops        []string
	stream       bool
	includeUsage bool
}

const (
	maxStops     = 4 // OpenAI's limit
	maxStopBytes = 1 << 10
	// maxTemperature is OpenAI's limit.
	maxTemperature = 2
	// defaultCompletion is how many tokens a plain completion has unless it
	// says otherwise, as in OpenAI's API; a chat goes on while there is room.
	defaultCompletion = 16
)

// decode reads a request's body, one JSON object, into target.
func (s *Server) decode(w http.ResponseWriter, r *http.Request, target any) error {
	// Over a recorder instead of a connection there are no deadlines.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.config.MaxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return failure{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes", tooLarge.Limit), "", "request_too_large"}
	} else if err != nil {
		return invalid("", "reading the body: %v", err)
	}
	// Lifted again, or it would end a long answer as if the client had left.
	_ = control.SetReadDeadline(time.Time{})
	if !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) {
		return invalid("", "the body is not a JSON object")
	}
	if err := json.Unmarshal(body, target); err != nil {
		if f := (failure{}); errors.As(err, &f) {
			return f
		}
		if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
			// The embedded struct's name is no part of the request.
			field := strings.TrimPrefix(wrong.Field, "settings.")
			return invalid(field, "%s is a JSON %s, which does not fit", field, wrong.Value)
		}
		return invalid("", "parsing the body: %v", err)
	}
	return nil
}

// job checks the settings and completes them with the prompt; usual is the
// number of tokens to write where the request has none.
func (s *Server) job(r settings, prompt []int, usual int) (*job, error) {
	if err := r.unsupported(); err != nil {
		return nil, err
	}
	j := &job{prompt: prompt, stops: r.Stop, stream: r.Stream, includeUsage: r.StreamOptions != nil && r.StreamOptions.IncludeUsage}
	if r.StreamOptions != nil && !r.Stream {
		return nil, invalid("stream_options", "stream_options needs stream")
	}
	if len(j.stops) > maxStops {
		return nil, invalid("stop", "%d stop sequences, at most %d are allowed", len(j.stops), maxStops)
	}
	for _, stop := range j.stops {
		if stop == "" || len(stop) > maxStopBytes {
			return nil, invalid("stop", "a stop sequence has %d bytes, must have 1 to %d", len(stop), maxStopBytes)
		}
	}
	if err := r.sampling(&j.sampling); err != nil {
		return nil, err
	}
	return j, s.limit(j, r, usual)
}

// checkModel refuses a request for a model that is not this one. A request may
// leave the name out, since there is only one.
func (s *Server) checkModel(name string) error {
	if name == "" || name == s.config.Name {
		return nil
	}
	return failure{http.StatusNotFound, fmt.Sprintf("the model %q does not exist; this server has %q", name, s.config.Name), "model", "model_not_found"}
}

// unsupported refuses what would change the answer and is not computed here.
// Fields that do not are ignored, as other servers do.
func (r *settings) unsupported() error {
	if r.N != nil && *r.N != 1 {
		return invalid("n", "n is %d; this server gives one answer to a request", *r.N)
	}
	if r.PresencePenalty != nil && *r.PresencePenalty != 0 {
		return invalid("presence_penalty", "penalties are not supported")
	}
	if r.FrequencyPenalty != nil && *r.FrequencyPenalty != 0 {
		return invalid("frequency_penalty", "penalties are not supported")
	}
	return nil
}

// sampling fills in OpenAI's defaults; without a seed each answer differs.
func (r *settings) sampling(to *llama.Sampling) error {
	*to = llama.Sampling{Temperature: 1, TopP: 1, Seed: rand.Uint64()}
	if r.Temperature != nil {
		to.Temperature = *r.Temperature
	}
	if r.TopP != nil {
		to.TopP = *r.TopP
	}
	if r.TopK != nil {
		to.TopK = *r.TopK
	}
	if r.Seed != nil {
		to.Seed = uint64(*r.Seed)
	}
	if to.Temperature < 0 || to.Temperature > maxTemperature {
		return invalid("temperature", "temperature is %v, must be 0 to %d", to.Temperature, maxTemperature)
	}
	if err := to.Validate(); err != nil {
		return invalid("", "%v", err)
	}
	return nil
}

// limit sets how many tokens to write and checks that they fit.
func (s *Server) limit(j *job, r settings, usual int) error {
	context := s.config.Model.Config().Context
	room := context - len(j.prompt)
	tooLong := failure{http.StatusBadRequest, "", "max_tokens", "context_length_exceeded"}
	if room < 1 {
		tooLong.param = ""
		tooLong.message = fmt.Sprintf("the prompt has %d tokens, the context %d", len(j.prompt), context)
		return tooLong
	}
	j.limit = min(usual, room)
	asked := r.MaxTokens
	if r.MaxCompletionTokens != nil {
		asked = r.MaxCompletionTokens
	}
	if asked == nil {
		return nil
	}
	if *asked < 1 {
		return invalid("max_tokens", "max_tokens is %d, must be at least 1", *asked)
	}
	if *asked > room {
		tooLong.message = fmt.Sprintf("%d tokens of prompt and max_tokens %d are more than the context of %d", len(j.prompt), *asked, context)
		return tooLong
	}
	j.limit = *asked
	return nil
}

// encode turns a prompt's text into tokens.
func (s *Server) encode(text string) ([]int, error) {
	tok, context := s.config.Tokenizer, s.config.Model.Config().Context
	// Encoding is not part of what waits for its turn, so text that cannot
	// fit is refused before it is looked at.
	if most := context * tok.LongestPiece(); len(text) > most {
		return nil, failure{http.StatusBadRequest, fmt.Sprintf("the prompt has %d bytes, the context of %d tokens holds at most %d", len(text), context, most), "", "context_length_exceeded"}
	}
	return append([]int{tok.Begin()}, tok.Encode(text)...), nil
}
