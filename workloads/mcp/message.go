package mcp

import (
	"bytes"
	"encoding/json"
)

// Version is the protocol's.
const Version = "2024-11-05"

// jsonrpc is the version of JSON-RPC in each message.
const jsonrpc = "2.0"

// The errors of JSON-RPC 2.0, section 5.1.
const (
	codeParse          = -32700
	codeInvalidRequest = -32600
	codeNoMethod       = -32601
	codeInvalidParams  = -32602
)

// request is a request, or a notification where it has no ID.
type request struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id,omitempty"`
	Method  string          `json:"method"`
	Params  any             `json:"params,omitempty"`
}

// message is any message as it is read.
type message struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
	Result  json.RawMessage `json:"result"`
	Error   *failure        `json:"error"`
}

// failure is an error object.
type failure struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// response is an answer as it is written.
type response struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"` // null where the request's is unknown
	Result  any             `json:"result,omitempty"`
	Error   *failure        `json:"error,omitempty"`
}

// call is the parameters of tools/call.
type call struct {
	Name      string `json:"name"`
	Arguments any    `json:"arguments"`
}

// result is what a tool answers.
type result struct {
	Content []content `json:"content"`
	IsError bool      `json:"isError"`
}

// content is a part of it; other types than text have other fields.
type content struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

// encode writes a message as one line.
func encode(m any) ([]byte, error) {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line) // ends it with a newline, and has none within
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(m)
	return line.Bytes(), err
}
