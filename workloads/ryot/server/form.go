package server

import "encoding/json"

// form gives the two kinds of completion their shapes in JSON.
type form interface {
	prefix() string // of an answer's id
	object(stream bool) string
	// opening is the choices of a stream's first chunk, nil for none.
	opening() any
	// part is the choices of a chunk with text, closing those of the last one.
	part(text string) any
	closing(reason string) any
	// whole is the choices of an answer in one piece.
	whole(text, reason string) any
}

// document is an answer or one chunk of a stream.
type document struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"` // Unix time in seconds
	Model   string `json:"model"`
	Choices any    `json:"choices"`
	// Usage is absent in a stream that did not ask for it, and null in all
	// chunks but the last of one that did.
	Usage json.RawMessage `json:"usage,omitempty"`
}

// usage counts the tokens of a request.
type usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
}

// chatForm is that of chat completions.
type chatForm struct{}

type chatDelta struct {
	Role    string  `json:"role,omitempty"`
	Content *string `json:"content,omitempty"`
}

type chatPart struct {
	Index        int       `json:"index"`
	Delta        chatDelta `json:"delta"`
	Logprobs     *struct{} `json:"logprobs"` // always null
	FinishReason *string   `json:"finish_reason"`
}

type chatWhole struct {
	Index        int         `json:"index"`
	Message      chatMessage `json:"message"`
	Logprobs     *struct{}   `json:"logprobs"` // always null
	FinishReason string      `json:"finish_reason"`
}

type chatMessage struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

func (chatForm) prefix() string { return "chatcmpl-" }

func (chatForm) object(stream bool) string {
	if stream {
		return "chat.completion.chunk"
	}
	return "chat.completion"
}

func (chatForm) opening() any {
	return []chatPart{{Delta: chatDelta{Role: "assistant", Content: new(string)}}}
}

func (chatForm) part(text string) any {
	return []chatPart{{Delta: chatDelta{Content: &text}}}
}

func (chatForm) closing(reason string) any { return []chatPart{{FinishReason: &reason}} }

func (chatForm) whole(text, reason string) any {
	return []chatWhole{{Message: chatMessage{"assistant", text}, FinishReason: reason}}
}

// textForm is that of plain completions, the same in a stream and whole.
type textForm struct{}

type textPart struct {
	Text         string    `json:"text"`
	Index        int       `json:"index"`
	Logprobs     *struct{} `json:"logprobs"` // always null
	FinishReason *string   `json:"finish_reason"`
}

func (textForm) prefix() string { return "cmpl-" }

func (textForm) object(bool) string { return "text_completion" }

func (textForm) opening() any { return nil }

func (textForm) part(text string) any { return []textPart{{Text: text}} }

func (textForm) closing(reason string) any { return []textPart{{FinishReason: &reason}} }

func (textForm) whole(text, reason string) any {
	return []textPart{{Text: text, FinishReason: &reason}}
}
