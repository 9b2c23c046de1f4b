package server

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestRefusals(t *testing.T) {
	c := seeded(t)
	c.MaxBody = 4096
	s := start(t, c)
	message := `"messages":[{"role":"user","content":"x"}]`
	for _, c := range []struct {
		path, body  string
		status      int
		code, param string
	}{
		{"/v1/chat/completions", ``, 400, "invalid_value", ""},
		{"/v1/chat/completions", `[]`, 400, "invalid_value", ""},
		{"/v1/chat/completions", `null`, 400, "invalid_value", ""},
		{"/v1/chat/completions", `{` + message, 400, "invalid_value", ""},
		{"/v1/chat/completions", `{` + message + `} {}`, 400, "invalid_value", ""},
		{"/v1/chat/completions", `{"model":"m"}`, 400, "invalid_value", "messages"},
		{"/v1/chat/completions", `{"messages":[]}`, 400, "invalid_value", "messages"},
		{"/v1/chat/completions", `{"messages":[null]}`, 400, "invalid_value", "messages"},
		{"/v1/chat/completions", `{"messages":[{"role":"king","content":"x"}]}`, 400, "invalid_value", "messages"},
		{"/v1/chat/completions", `{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}`, 400, "invalid_value", "messages"},
		{"/v1/chat/completions", `{"messages":[{"role":"user","content":{}}]}`, 400, "invalid_value", "messages.content"},
		{"/v1/chat/completions", `{"model":7,` + message + `}`, 400, "invalid_value", "model"},
		{"/v1/chat/completions", `{"model":"other",` + message + `}`, 404, "model_not_found", "model"},
		{"/v1/chat/completions", `{` + message + `,"max_tokens":0}`, 400, "invalid_value", "max_tokens"},
		{"/v1/chat/completions", `{` + message + `,"max_tokens":-1}`, 400, "invalid_value", "max_tokens"},
		{"/v1/chat/completions", `{` + message + `,"max_tokens":1.5}`, 400, "invalid_value", "max_tokens"},
		{"/v1/chat/completions", `{` + message + `,"max_tokens":128}`, 400, "context_length_exceeded", "max_tokens"},
		{"/v1/chat/completions", `{` + message + `,"temperature":-0.1}`, 400, "invalid_value", "temperature"},
		{"/v1/chat/completions", `{` + message + `,"temperature":2.1}`, 400, "invalid_value", "temperature"},
		{"/v1/chat/completions", `{` + message + `,"top_p":0}`, 400, "invalid_value", ""},
		{"/v1/chat/completions", `{` + message + `,"top_p":1.01}`, 400, "invalid_value", ""},
		{"/v1/chat/completions", `{` + message + `,"top_k":-1}`, 400, "invalid_value", ""},
		{"/v1/chat/completions", `{` + message + `,"n":2}`, 400, "invalid_value", "n"},
		{"/v1/chat/completions", `{` + message + `,"logprobs":true}`, 400, "invalid_value", "logprobs"},
		{"/v1/chat/completions", `{` + message + `,"presence_penalty":1}`, 400, "invalid_value", "presence_penalty"},
		{"/v1/chat/completions", `{` + message + `,"frequency_penalty":1}`, 400, "invalid_value", "frequency_penalty"},
		{"/v1/chat/completions", `{` + message + `,"stop":["a","b","c","d","e"]}`, 400, "invalid_value", "stop"},
		{"/v1/chat/completions", `{` + message + `,"stop":""}`, 400, "invalid_value", "stop"},
		{"/v1/chat/completions", `{` + message + `,"stop":7}`, 400, "invalid_value", "stop"},
		{"/v1/chat/completions", `{` + message + `,"stream_options":{"include_usage":true}}`, 400, "invalid_value", "stream_options"},
		{"/v1/chat/completions", `{"messages":[{"role":"user","content":"` + strings.Repeat("!", 200) + `"}]}`, 400, "context_length_exceeded", ""},
		{"/v1/chat/completions", `{"messages":[{"role":"user","content":"` + strings.Repeat("!", 2000) + `"}]}`, 400, "context_length_exceeded", ""},
		{"/v1/chat/completions", `{"messages":[{"role":"user","content":"` + strings.Repeat("!", 5000) + `"}]}`, 413, "request_too_large", ""},
		{"/v1/completions", `{"prompt":["a","b"]}`, 400, "invalid_value", "prompt"},
		{"/v1/completions", `{"prompt":[]}`, 200, "", ""},
		{"/v1/completions", `{"prompt":[[5,6]]}`, 200, "", ""},
		{"/v1/completions", `{"prompt":["a"],"stop":null,"seed":null,"n":1,"user":"u"}`, 200, "", ""},
		{"/v1/completions", `{"prompt":[1,-1]}`, 400, "invalid_value", "prompt"},
		{"/v1/completions", `{"prompt":[1000]}`, 400, "invalid_value", "prompt"},
		{"/v1/completions", `{"prompt":7}`, 400, "invalid_value", "prompt"},
		{"/v1/completions", `{"prompt":"a","echo":true}`, 400, "invalid_value", "echo"},
		{"/v1/completions", `{"prompt":"a","suffix":"b"}`, 400, "invalid_value", "suffix"},
		{"/v1/completions", `{"prompt":"a","best_of":3}`, 400, "invalid_value", "best_of"},
		{"/v1/completions", `{"prompt":"a","logprobs":3}`, 400, "invalid_value", "logprobs"},
		{"/v1/nothing", `{}`, 404, "not_found", ""},
		{"/v1/models", `{}`, 405, "method_not_allowed", ""},
	} {
		name := c.path + " " + c.body[:min(len(c.body), 90)]
		status, body := s.post(c.path, c.body)
		if status != c.status {
			t.Errorf("%s: status %d, want %d: %s", name, status, c.status, body)
			continue
		}
		if status == 200 {
			continue
		}
		got := strict[clientError](t, body).Error
		if got.Message == "" || got.Type != "invalid_request_error" || got.Code == nil || *got.Code != c.code {
			t.Errorf("%s: %s, want code %s", name, body, c.code)
		}
		if param := deref(got.Param); param != c.param {
			t.Errorf("%s: parameter %q, want %q", name, param, c.param)
		}
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func TestMethodIsNamed(t *testing.T) {
	s := start(t, seeded(t))
	answer := s.request(t.Context(), http.MethodGet, "/v1/chat/completions", "")
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusMethodNotAllowed || answer.Header.Get("Allow") != "POST" {
		t.Errorf("status %d, Allow %q", answer.StatusCode, answer.Header.Get("Allow"))
	}
}

func TestModels(t *testing.T) {
	s := start(t, seeded(t))
	type model struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Created int64  `json:"created"`
		OwnedBy string `json:"owned_by"`
	}
	get := func(path string, status int) []byte {
		t.Helper()
		answer := s.request(t.Context(), http.MethodGet, path, "")
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != status || answer.Header.Get("Content-Type") != "application/json" {
			t.Fatalf("%s: status %d, %v: %s", path, answer.StatusCode, err, body)
		}
		return body
	}
	list := strict[struct {
		Object string  `json:"object"`
		Data   []model `json:"data"`
	}](t, get("/v1/models", 200))
	if list.Object != "list" || len(list.Data) != 1 || list.Data[0].ID != "m" || list.Data[0].Object != "model" {
		t.Errorf("models %+v", list)
	}
	if one := strict[model](t, get("/v1/models/m", 200)); one != list.Data[0] {
		t.Errorf("model %+v, in the list %+v", one, list.Data[0])
	}
	get("/v1/models/other", 404)
	if health := string(get("/health", 200)); !strings.Contains(health, `"status":"ok"`) {
		t.Errorf("health %s", health)
	}
}
