package mcp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Tool is something that a service does when asked to.
type Tool struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	// InputSchema is the JSON Schema of its arguments.
	InputSchema json.RawMessage `json:"inputSchema"`
	// Call performs it. What it returns is given to the client as the JSON text of
	// the result's content, and an error as a result that is one.
	Call func(ctx context.Context, arguments json.RawMessage) (any, error) `json:"-"`
}

// Server is a service of some tools.
type Server struct {
	Name, Version string
	Tools         []Tool
}

// Serve answers the messages that come in, one after another, until they end or
// ctx does. The goroutine that reads ends with the input, which may be later than
// Serve: a read of a terminal or a pipe cannot be broken off. Messages over MaxLine
// are an error, as the next one could not be found.
func (s *Server) Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	type line struct {
		text []byte
		err  error
	}
	arriving := make(chan line)
	reading, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		from := newLines(in, MaxLine)
		for {
			text, _, err := from.next()
			select {
			case arriving <- line{text, err}:
			case <-reading.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case l := <-arriving:
			switch {
			case errors.Is(l.err, io.EOF):
				return nil
			case l.err != nil:
				return fmt.Errorf("reading messages: %w", l.err)
			}
			if err := s.answer(ctx, l.text, out); err != nil {
				return fmt.Errorf("answering a message: %w", err)
			}
		}
	}
}

// answer writes the answer to a message, if it is one that has an answer.
func (s *Server) answer(ctx context.Context, text []byte, out io.Writer) error {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil
	}
	answer := response{Version: jsonrpc}
	var m message
	if !json.Valid(text) {
		answer.Error = &failure{codeParse, "the message is not JSON"}
	} else if err := json.Unmarshal(text, &m); err != nil || m.Version != jsonrpc || m.Method == "" {
		answer.ID = m.ID
		answer.Error = &failure{codeInvalidRequest, "the message is no request of JSON-RPC 2.0"}
	} else if m.ID == nil {
		return nil // a notification: there is none that anything follows from
	} else {
		answer.ID = m.ID
		answer.Result, answer.Error = s.perform(ctx, m)
	}
	line, err := encode(answer)
	if err != nil {
		return err
	}
	_, err = out.Write(line)
	return err
}

// perform does what a request asks for.
func (s *Server) perform(ctx context.Context, m message) (any, *failure) {
	switch m.Method {
	case "initialize":
		return map[string]any{
			"protocolVersion": Version,
			"capabilities":    map[string]any{"tools": struct{}{}},
			"serverInfo":      map[string]string{"name": s.Name, "version": s.Version},
		}, nil
	case "ping":
		return struct{}{}, nil
	case "tools/list":
		return map[string]any{"tools": s.Tools}, nil
	case "tools/call":
		return s.call(ctx, m.Params)
	}
	return nil, &failure{codeNoMethod, fmt.Sprintf("there is no method %.50q", m.Method)}
}

func (s *Server) call(ctx context.Context, params json.RawMessage) (any, *failure) {
	var asked struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
	}
	if err := json.Unmarshal(params, &asked); err != nil {
		return nil, &failure{codeInvalidParams, "the parameters are not the name of a tool and its arguments"}
	}
	for _, tool := range s.Tools {
		if tool.Name != asked.Name {
			continue
		}
		given, err := tool.Call(ctx, asked.Arguments)
		if err != nil {
			return result{[]content{{"text", err.Error()}}, true}, nil
		}
		text, err := json.Marshal(given)
		if err != nil {
			return result{[]content{{"text", err.Error()}}, true}, nil
		}
		return result{Content: []content{{"text", string(text)}}}, nil
	}
	return nil, &failure{codeInvalidParams, fmt.Sprintf("there is no tool %.50q", asked.Name)}
}
