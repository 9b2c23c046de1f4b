package agents

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/narrows-profiler/narrows/workloads/load"
	"github.com/narrows-profiler/narrows/workloads/metrics"
	"github.com/narrows-profiler/narrows/workloads/openai"
	"github.com/narrows-profiler/narrows/workloads/transport"
)

// maxAnswer bounds an answer, in bytes.
const maxAnswer = 1 << 20

// client sends tasks to one service.
type client struct {
	base    *url.URL
	http    *http.Client
	streams *openai.Client
}

// newClient returns a client of the service at base. A nil dial stands for TCP.
func newClient(base string, dial transport.Dial) (*client, error) {
	target, err := transport.Base(base)
	if err != nil {
		return nil, err
	}
	streams, err := openai.NewClient(base, dial)
	if err != nil {
		return nil, err
	}
	return &client{target, transport.NewClient(dial), streams}, nil
}

func (c *client) close() {
	c.http.CloseIdleConnections()
	c.streams.Close()
}

// body is what a task is sent as.
type body struct {
	Messages []openai.Message `json:"messages"`
	Model    string           `json:"model"`
	Stream   bool             `json:"stream"`
}

// reply is what came of a task. Text and Header are of a whole answer.
type reply struct {
	load.Exchange
	text   string
	header http.Header
}

func (r *reply) fail(outcome metrics.Outcome, err error) { r.Outcome, r.Err = outcome, err }

// send performs a task.
func (c *client) send(ctx context.Context, t task) reply {
	document := body{Messages: []openai.Message{{Role: "user", Content: t.text}}, Model: "gpt-4", Stream: t.way == stream}
	if document.Stream {
		return c.stream(ctx, t.path(), document)
	}
	return c.whole(ctx, t.path(), document)
}

// stream performs a task whose answer is a stream of events.
func (c *client) stream(ctx context.Context, path string, document body) reply {
	answer := c.streams.StreamFrom(ctx, path, document, nil)
	r := reply{load.Exchange{
		Outcome: answer.Outcome, Err: answer.Err, FirstByte: answer.FirstByte, FirstToken: answer.FirstToken,
		End: answer.End, LocalPort: answer.LocalPort, Bytes: answer.Bytes,
	}, answer.Text, answer.Header}
	// A service of this kind may leave the reason out of a stream, not give another.
	if reason := answer.FinishReason; r.Outcome == metrics.OK && reason != "" && reason != "stop" {
		r.fail(metrics.InvalidAnswer, fmt.Errorf("the answer ended for the reason %.40q, want stop", reason))
	}
	return r
}

// whole performs a task whose answer is one document.
func (c *client) whole(ctx context.Context, path string, document body) reply {
	encoded, err := json.Marshal(document)
	if err != nil {
		return broken(fmt.Errorf("encoding a task: %w", err))
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.JoinPath(path).String(), bytes.NewReader(encoded))
	if err != nil {
		return broken(fmt.Errorf("building a request: %w", err))
	}
	post.Header.Set("Content-Type", "application/json")
	answer := transport.Call(ctx, c.http, post, maxAnswer, "a JSON document", "application/json")
	r := reply{answer.Exchange(), "", answer.Header}
	if r.Outcome != metrics.OK {
		return r
	}
	text, fault := parseAnswer(answer.Body)
	if fault != nil {
		r.fail(fault.outcome, fault)
		return r
	}
	r.text = text
	return r
}

// broken is a task that could not be sent.
func broken(err error) reply {
	return reply{Exchange: load.Exchange{Outcome: metrics.Malformed, Err: err, End: time.Now()}}
}

// answerFault is an answer that is not one.
type answerFault struct {
	outcome metrics.Outcome
	text    string
}

func (f *answerFault) Error() string { return f.text }

// parseAnswer returns the text of a whole answer.
func parseAnswer(document []byte) (string, *answerFault) {
	var answer struct {
		Choices []struct {
			Message struct {
				Role    string `json:"role"`
				Content string `json:"content"`
			} `json:"message"`
			FinishReason string `json:"finish_reason"`
		} `json:"choices"`
		Error   any   `json:"error"`
		Success *bool `json:"success"`
	}
	if err := json.Unmarshal(document, &answer); err != nil {
		return "", &answerFault{metrics.Malformed, fmt.Sprintf("the answer is not the document of one: %v: %s", err, transport.Excerpt(document))}
	}
	switch {
	case answer.Error != nil || answer.Success != nil && !*answer.Success:
		return "", &answerFault{metrics.ServiceError, "the service reported an error within its answer: " + transport.Excerpt(document)}
	case len(answer.Choices) == 0 || answer.Choices[0].Message.Content == "":
		return "", &answerFault{metrics.Empty, "the answer has no content: " + transport.Excerpt(document)}
	}
	first := answer.Choices[0]
	if first.Message.Role != "assistant" || first.FinishReason != "stop" {
		return "", &answerFault{metrics.InvalidAnswer, fmt.Sprintf("the answer is by %.40q and ended for the reason %.40q, want assistant and stop", first.Message.Role, first.FinishReason)}
	}
	return first.Message.Content, nil
}

// agents asks the service for the names of its agents, sorted.
func (c *client) agents(ctx context.Context) ([]string, error) {
	get, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base.JoinPath("agents").String(), nil)
	if err != nil {
		return nil, fmt.Errorf("building a request: %w", err)
	}
	answer := transport.Call(ctx, c.http, get, maxAnswer, "a JSON document", "application/json")
	if answer.Outcome != metrics.OK {
		return nil, fmt.Errorf("listing the agents: %w", answer.Err)
	}
	return parseAgents(answer.Body)
}

// parseAgents reads a list of agents: an array, or an object with one named agents, of
// names or of objects with a codename.
func parseAgents(document []byte) ([]string, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(document, &list); err != nil {
		var wrapped struct {
			Agents []json.RawMessage `json:"agents"`
		}
		if err := json.Unmarshal(document, &wrapped); err != nil {
			return nil, fmt.Errorf("reading the list of agents: %w", err)
		}
		list = wrapped.Agents
	}
	names := make(map[string]bool)
	for _, element := range list {
		var agent struct {
			Codename string `json:"codename"`
		}
		if json.Unmarshal(element, &agent.Codename) != nil {
			_ = json.Unmarshal(element, &agent) // without a name it is none
		}
		if plainName.MatchString(agent.Codename) {
			names[agent.Codename] = true
		}
	}
	if len(names) == 0 {
		return nil, errors.New("the list of agents has no codename in it")
	}
	return slices.Sorted(maps.Keys(names)), nil
}
