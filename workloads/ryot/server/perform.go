package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/narrows-profiler/narrows/workloads/ryot/llama"
	"github.com/narrows-profiler/narrows/workloads/serving"
)

// refuse answers a request that is not performed.
func (s *Server) refuse(w http.ResponseWriter, err error) {
	var f failure
	switch {
	case errors.As(err, &f):
	case errors.Is(err, errQueueFull):
		w.Header().Set("Retry-After", "1")
		f = failure{http.StatusServiceUnavailable, err.Error() + "; try again later", "", "overloaded"}
	case errors.Is(err, serving.ErrStopping):
		f = failure{http.StatusServiceUnavailable, err.Error(), "", "shutting_down"}
	default:
		s.config.Log.Error("request failed", "error", err)
		f = failure{http.StatusInternalServerError, err.Error(), "", "internal_error"}
	}
	fail(w, f)
}

// perform waits for the request's turn, computes and answers.
func (s *Server) perform(w http.ResponseWriter, r *http.Request, j *job, f form) {
	ctx := r.Context()
	sequence, err := s.queue.acquire(ctx)
	if err != nil {
		s.refuseUnlessGone(ctx, w, err)
		return
	}
	defer s.queue.release(sequence)
	d := document{
		ID:      fmt.Sprintf("%s%016x%016x", f.prefix(), rand.Uint64(), rand.Uint64()),
		Object:  f.object(j.stream),
		Created: time.Now().Unix(),
		Model:   s.config.Name,
	}
	if j.stream {
		s.stream(ctx, w, sequence, j, f, d)
		return
	}
	var text strings.Builder
	result, err := s.generate(ctx, sequence, j, func(part string) error {
		text.WriteString(part)
		return nil
	})
	if err != nil {
		s.refuseUnlessGone(ctx, w, err)
		return
	}
	d.Choices = f.whole(text.String(), result.reason)
	if d.Usage, err = json.Marshal(result.usage); err != nil {
		s.refuse(w, fmt.Errorf("writing the usage: %w", err))
		return
	}
	answer(w, http.StatusOK, d)
}

// refuseUnlessGone refuses, but says nothing to a client that has gone away.
func (s *Server) refuseUnlessGone(ctx context.Context, w http.ResponseWriter, err error) {
	if ctx.Err() != nil {
		if !errors.Is(context.Cause(ctx), serving.ErrStopping) {
			return
		}
		err = serving.ErrStopping
	}
	s.refuse(w, err)
}

// result is how a generation ended.
type result struct {
	reason string // OpenAI's finish_reason
	usage  usage
}

// generate computes the job and hands over its text as it comes: whole
// characters, nothing of a stop sequence, never empty. An error of emit ends it.
func (s *Server) generate(ctx context.Context, sequence *llama.Sequence, j *job, emit func(string) error) (result, error) {
	sampler, err := llama.NewSampler(j.sampling)
	if err != nil {
		return result{}, err
	}
	tok, n := s.config.Tokenizer, 0
	decoder := tok.NewDecoder(j.prompt[len(j.prompt)-1])
	scan := stopScanner{stops: j.stops}
	end := func(reason string) (result, error) {
		return result{reason, usage{len(j.prompt), n, len(j.prompt) + n}}, nil
	}
	for token, err := range sequence.Generate(ctx, j.prompt, sampler, j.limit, tok.Ends) {
		if err != nil {
			return result{}, err
		}
		n++
		text, stopped := scan.next(decoder.Next(token))
		if text != "" {
			if err := emit(text); err != nil {
				return result{}, err
			}
		}
		if stopped {
			return end("stop")
		}
	}
	text, stopped := scan.next(decoder.Flush())
	if !stopped {
		text += scan.rest()
	}
	if text != "" {
		if err := emit(text); err != nil {
			return result{}, err
		}
	}
	if n == j.limit && !stopped {
		return end("length")
	}
	return end("stop")
}
