package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/narrows-profiler/narrows/workloads/agents/collective"
)

const question = "Our queue grows under load and the workers wait for one lock."

func TestAgentsAreInvoked(t *testing.T) {
	s := start(t, Config{})
	for path, want := range map[string]string{
		"/agents/APEX/invoke": "APEX",
		"/agents/lens/invoke": "LENS",
	} {
		text := s.text(path, question)
		if !strings.HasPrefix(text, want+" on task "+collective.Digest(question)+", as ") {
			t.Errorf("%s: %q", path, text)
		}
		if again := s.text(path, question); again != text {
			t.Errorf("%s: two answers to one task:\n%s\n%s", path, text, again)
		}
	}
}

func TestMentionsAreRouted(t *testing.T) {
	s := start(t, Config{})
	mentioned := "@SEISMO @silo @nobody " + question
	for path, want := range map[string][]string{
		"/copilot": {"SEISMO", "SILO"},
		"/agent":   {"SEISMO"},
	} {
		text := s.text(path, mentioned)
		if got := strings.Count(text, " on task "+collective.Digest(mentioned)); got != len(want) {
			t.Errorf("%s: %d answers, want those of %v:\n%s", path, got, want, text)
		}
		for _, name := range want {
			if !strings.Contains(text, name+" on task ") {
				t.Errorf("%s: no answer by %s", path, name)
			}
		}
	}
	if text := s.text("/copilot", question); !strings.HasPrefix(text, "CONVOY on task ") {
		t.Errorf("a task without a mention was answered %.60q", text)
	}
}

func TestStreamHasOneChunk(t *testing.T) {
	s := start(t, Config{})
	want := s.text("/agents/APEX/invoke", question)
	body := `{"messages":[{"role":"system","content":"be brief"},{"role":"user","content":"` + question + `"},{"role":"assistant","content":"?"}],"stream":true}`
	status, header, stream := s.get(http.MethodPost, "/agents/APEX/invoke", body)
	if status != http.StatusOK || header.Get("Content-Type") != "text/event-stream" || header.Get(QueueDepth) != "0" {
		t.Errorf("status %d, header %v", status, header)
	}
	events := strings.Split(string(stream), "\n\n")
	if len(events) != 3 || events[1] != "data: [DONE]" || events[2] != "" {
		t.Fatalf("%q", events)
	}
	chunk := strict[struct {
		Choices []struct {
			Index        int               `json:"index"`
			Delta        map[string]string `json:"delta"`
			FinishReason string            `json:"finish_reason"`
		} `json:"choices"`
	}](t, []byte(strings.TrimPrefix(events[0], "data: ")))
	if c := chunk.Choices; len(c) != 1 || c[0].Delta["role"] != "assistant" || c[0].Delta["content"] != want || c[0].FinishReason != "stop" {
		t.Errorf("%+v", chunk)
	}
}

func TestAgentsAreListed(t *testing.T) {
	s := start(t, Config{})
	_, _, body := s.get(http.MethodGet, "/agents", "")
	type agent struct {
		Codename, Role, Domain, Focus string
		Steps                         int
	}
	list := strict[[]agent](t, body)
	if len(list) != 36 || list[0].Codename != "APEX" {
		t.Errorf("%d agents", len(list))
	}
	_, _, body = s.get(http.MethodGet, "/agents/apex", "")
	if one := strict[agent](t, body); one != list[0] {
		t.Errorf("%+v, in the list %+v", one, list[0])
	}
	_, _, body = s.get(http.MethodGet, "/health", "")
	if !strings.Contains(string(body), `"status":"healthy"`) || !strings.Contains(string(body), `"connected":[]`) {
		t.Errorf("%s", body)
	}
}

func TestRefusals(t *testing.T) {
	s := start(t, Config{MaxBody: 4096})
	for _, c := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"POST", "/agents/APEX/invoke", ``, 400, "invalid_request"},
		{"POST", "/agents/APEX/invoke", `[]`, 400, "invalid_request"},
		{"POST", "/agents/APEX/invoke", `null`, 400, "invalid_request"},
		{"POST", "/agents/APEX/invoke", `{"messages":[`, 400, "invalid_request"},
		{"POST", "/agents/APEX/invoke", ask + "{}", 400, "invalid_request"},
		{"POST", "/agents/APEX/invoke", `{"messages":[]}`, 400, "invalid_request"},
		{"POST", "/agents/APEX/invoke", `{"messages":[null]}`, 400, "invalid_request"},
		{"POST", "/agents/APEX/invoke", `{"messages":[{"role":"system","content":"x"}]}`, 400, "invalid_request"},
		{"POST", "/agents/APEX/invoke", `{"messages":[{"role":"user","content":" "}]}`, 400, "invalid_request"},
		{"POST", "/agents/APEX/invoke", `{"messages":[{"role":"user","content":7}]}`, 400, "invalid_request"},
		{"POST", "/copilot", `{"messages":[{"role":"user","content":"x"}],"stream":"yes"}`, 400, "invalid_request"},
		{"POST", "/copilot", `{"messages":[{"role":"user","content":"` + strings.Repeat("x", 5000) + `"}]}`, 413, "request_too_large"},
		{"POST", "/agents/RIOT/invoke", ask, 404, "agent_not_found"},
		{"GET", "/agents/RIOT", "", 404, "agent_not_found"},
		{"GET", "/agents/APEX/invoke", "", 405, "method_not_allowed"},
		{"PUT", "/copilot", ask, 405, "method_not_allowed"},
		{"POST", "/health", "", 405, "method_not_allowed"},
		{"GET", "/", "", 404, "not_found"},
		{"GET", "/agents/", "", 404, "not_found"},
	} {
		status, header, body := s.get(c.method, c.path, c.body)
		if status != c.status || header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s %.60s: status %d, want %d: %s", c.method, c.path, c.body, status, c.status, body)
			continue
		}
		if got := strict[problem](t, body).Error; got.Code != c.code || got.Message == "" {
			t.Errorf("%s %s %.60s: %s, want code %s", c.method, c.path, c.body, body, c.code)
		}
		if c.status == 405 && header.Get("Allow") == "" {
			t.Errorf("%s %s: no Allow", c.method, c.path)
		}
	}
}

// The planted faults change what a task costs and nothing else.
func TestFaultsDoNotChangeAnswers(t *testing.T) {
	decent := start(t, Config{}).text("/copilot", question)
	for _, f := range Faults() {
		for _, text := range []string{f.Name, f.Name + "=fixed"} {
			o := DefaultOptions()
			o.Plant, o.Candidates = text, 20
			c, end, err := o.config()
			if err != nil {
				t.Fatal(err)
			}
			if got := start(t, c).text("/copilot", question); got != decent {
				t.Errorf("%s: %q, without it %q", text, got, decent)
			}
			if err := end(); err != nil {
				t.Error(err)
			}
		}
	}
}
