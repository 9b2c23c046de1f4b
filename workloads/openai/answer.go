package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/transport"
)

// maxText bounds the answer text that is kept, in bytes.
const maxText = 1 << 20

// Answer is what came of one request. A zero time is one that never came.
type Answer struct {
	// Outcome is metrics.OK when the answer was whole: some content and an end
	// mark. Err explains any other.
	Outcome metrics.Outcome
	Err     error
	Header  http.Header
	// FirstByte is the arrival of the answer's first byte, FirstToken that of
	// the first content that is not empty, Chunks those of the contents after
	// it. End is the arrival of the end mark, or when the request was given up.
	FirstByte  time.Time
	FirstToken time.Time
	Chunks     []time.Time
	End        time.Time
	Text       string
	// FinishReason is as the service gave it, empty when it gave none.
	FinishReason string
	// Tokens is the number of tokens generated: by the service's own count when
	// TokensFrom is "usage", by the content chunks when it is "chunks".
	Tokens       int
	TokensFrom   string
	PromptTokens int // 0 when the service gave none
	Bytes        int64
	LocalPort    int
}

func (a *Answer) fail(outcome metrics.Outcome, err error) {
	a.Outcome, a.Err = outcome, err
}

// read takes the whole stream of events into the answer. It returns an error
// when the source failed; every fault of the content is already in the answer.
func (a *Answer) read(events *Reader, firstToken func()) error {
	var text strings.Builder
	defer func() { a.Text, a.Bytes = text.String(), events.Bytes() }()
	var last time.Time
	for {
		event, err := events.Next()
		switch {
		case errors.Is(err, io.EOF):
			// A finish reason ends an answer as well as the mark does.
			if a.FinishReason == "" {
				a.fail(metrics.Truncated, errors.New("the stream ended without [DONE] and without a finish reason"))
				return nil
			}
			a.finish(last)
			return nil
		case errors.Is(err, ErrTooLarge):
			a.fail(metrics.TooLarge, err)
			return nil
		case err != nil:
			return err
		}
		last = event.At
		if bytes.Equal(bytes.TrimSpace(event.Data), []byte("[DONE]")) {
			a.finish(last)
			return nil
		}
		content, fault := a.take(event)
		if fault != nil {
			return nil
		}
		if content == "" {
			continue
		}
		if text.Len()+len(content) > maxText {
			a.fail(metrics.TooLarge, fmt.Errorf("a text of more than %d bytes: %w", maxText, ErrTooLarge))
			return nil
		}
		text.WriteString(content)
		if !a.FirstToken.IsZero() {
			a.Chunks = append(a.Chunks, event.At)
			continue
		}
		a.FirstToken = event.At
		if firstToken != nil {
			firstToken()
		}
	}
}

// take reads one event's JSON and returns the content in it. A fault is also
// recorded in the answer.
func (a *Answer) take(event Event) (content string, fault error) {
	var piece chunk
	if err := json.Unmarshal(event.Data, &piece); err != nil {
		fault = fmt.Errorf("an event is not a chunk of an answer: %w: %s", err, transport.Excerpt(event.Data))
		a.fail(metrics.Malformed, fault)
		return "", fault
	}
	if piece.Error != nil || event.Type == "error" {
		fault = fmt.Errorf("the service reported an error within its answer: %s", transport.Excerpt(event.Data))
		a.fail(metrics.ServiceError, fault)
		return "", fault
	}
	if piece.Usage != nil {
		if piece.Usage.CompletionTokens < 0 || piece.Usage.PromptTokens < 0 {
			fault = fmt.Errorf("a negative token count: %s", transport.Excerpt(event.Data))
			a.fail(metrics.Malformed, fault)
			return "", fault
		}
		a.PromptTokens = piece.Usage.PromptTokens
		if piece.Usage.CompletionTokens > 0 {
			a.Tokens, a.TokensFrom = piece.Usage.CompletionTokens, "usage"
		}
	}
	for _, choice := range piece.Choices {
		if choice.Index != 0 {
			continue
		}
		if choice.Delta.Content != nil {
			content += *choice.Delta.Content
		}
		if choice.Text != nil {
			content += *choice.Text
		}
		if choice.FinishReason != nil && *choice.FinishReason != "" {
			a.FinishReason = *choice.FinishReason
		}
	}
	return content, nil
}

// finish judges an answer whose end mark came at the given time.
func (a *Answer) finish(at time.Time) {
	a.End = at
	if a.FirstToken.IsZero() {
		a.fail(metrics.Empty, errors.New("the answer has no content"))
		return
	}
	a.Outcome = metrics.OK
	if a.TokensFrom == "" {
		a.Tokens, a.TokensFrom = 1+len(a.Chunks), "chunks"
	}
}
