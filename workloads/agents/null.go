package agents

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Null answers the requests of this package's benchmark at once: every task gets the same
// advice, signed as the reference service signs it, so that checking an answer costs the
// driver what it does in a run.
func Null() http.Handler {
	const (
		most   = 1 << 20
		whole  = `{"choices":[{"index":0,"message":{"role":"assistant","content":%q},"finish_reason":"stop"}]}`
		stream = `data: {"choices":[{"index":0,"delta":{"role":"assistant","content":%q},"finish_reason":"stop"}]}` + "\n\ndata: [DONE]\n\n"
	)
	advice := strings.Repeat(" Measure first, then change one thing at a time.", 16)
	answer := func(w http.ResponseWriter, r *http.Request, agent func(text string) string) {
		var asked body
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, most)).Decode(&asked); err != nil || len(asked.Messages) == 0 {
			http.Error(w, "this is no task", http.StatusBadRequest)
			return
		}
		text := asked.Messages[len(asked.Messages)-1].Content
		format, kind := whole, "application/json"
		if asked.Stream {
			format, kind = stream, "text/event-stream"
		}
		w.Header().Set("Content-Type", kind)
		w.Header().Set(queueDepth, "0")
		// What cannot be written is the client's loss.
		_, _ = fmt.Fprintf(w, format, fmt.Sprintf("%s on task %s,%s", agent(text), task{text: text}.digest(), advice))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /agents", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `["`+fallback+`","CIPHER","VELOCITY"]`)
	})
	mux.HandleFunc("POST /agents/{agent}/invoke", func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("agent")
		if !plainName.MatchString(name) {
			http.Error(w, "this is no agent", http.StatusNotFound)
			return
		}
		answer(w, r, func(string) string { return name })
	})
	mux.HandleFunc("POST /copilot", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, func(text string) string {
			name, _, _ := strings.Cut(strings.TrimPrefix(text, "@"), " ")
			if !plainName.MatchString(name) {
				return fallback
			}
			return name
		})
	})
	return mux
}
