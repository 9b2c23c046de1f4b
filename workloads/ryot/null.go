package ryot

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Null answers the requests of this package's benchmarks at once: a stream of as many
// tokens as were asked for, all in one piece.
func Null() http.Handler {
	const (
		maxRequest = 1 << 20
		maxTokens  = 4096
		event      = `data: {"id":"null","object":"chat.completion.chunk","created":0,"model":"null","choices":[{"index":0,"delta":{%s},"finish_reason":%s}]}` + "\n\n"
		counts     = `data: {"id":"null","object":"chat.completion.chunk","created":0,"model":"null","choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":%d}}` + "\n\n"
	)
	role := fmt.Sprintf(event, `"role":"assistant","content":""`, "null")
	token := fmt.Sprintf(event, `"content":" word"`, "null")
	end := fmt.Sprintf(event, "", `"length"`)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked struct {
			MaxTokens int `json:"max_tokens"`
		}
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&asked); err != nil {
			http.Error(w, "this is no request for a completion", http.StatusBadRequest)
			return
		}
		tokens := min(max(asked.MaxTokens, 1), maxTokens)
		w.Header().Set("Content-Type", "text/event-stream")
		// What cannot be written is the client's loss.
		_, _ = io.WriteString(w, role+strings.Repeat(token, tokens)+end+fmt.Sprintf(counts, promptTokens, tokens)+"data: [DONE]\n\n")
	})
}
