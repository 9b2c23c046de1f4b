package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// The reference service says when it is ready, answers, and ends when asked to.
func TestServe(t *testing.T) {
	cmd := narrows(t, "serve", "ryot", "--listen", "127.0.0.1:0")
	p := launch(t, cmd)
	var ready struct {
		Service, URL, Model string
		PID                 int
	}
	decode(t, p.line(t), &ready)
	if ready.Service != "ryot" || ready.PID != cmd.Process.Pid || !strings.HasPrefix(ready.URL, "http://127.0.0.1:") {
		t.Errorf("the ready line says %+v", ready)
	}
	body := fmt.Sprintf(`{"model":%q,"prompt":"Once upon a time","max_tokens":4,"seed":1}`, ready.Model)
	answer, err := http.Post(ready.URL+"/v1/completions", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(text), `"completion_tokens":4`) {
		t.Errorf("%v, HTTP %d: %s", err, answer.StatusCode, text)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := p.wait(); status != 0 {
		t.Errorf("exit status %d after SIGTERM", status)
	}
}

// The agents are a service of the same kind.
func TestServeAgents(t *testing.T) {
	cmd := narrows(t, "serve", "agents", "--listen", "127.0.0.1:0")
	p := launch(t, cmd)
	var ready struct {
		Service, URL string
		PID          int
	}
	decode(t, p.line(t), &ready)
	if ready.Service != "agents" || ready.PID != cmd.Process.Pid {
		t.Errorf("the ready line says %+v", ready)
	}
	body := `{"messages":[{"role":"user","content":"@LENS who waits?"}],"model":"gpt-4","stream":true}`
	answer, err := http.Post(ready.URL+"/copilot", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(text), `"content":"LENS on task `) || !strings.HasSuffix(string(text), "data: [DONE]\n\n") {
		t.Errorf("%v, HTTP %d: %s", err, answer.StatusCode, text)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := p.wait(); status != 0 {
		t.Errorf("exit status %d after SIGTERM", status)
	}
}

// The compressor is a service of the same kind, and a tool over its standard input and
// output that ends with them.
func TestServeSigmalang(t *testing.T) {
	cmd := narrows(t, "serve", "sigmalang", "--listen", "127.0.0.1:0", "--plant", "linear-codebook")
	p := launch(t, cmd)
	var ready struct {
		Service, URL string
		PID          int
	}
	decode(t, p.line(t), &ready)
	if ready.Service != "sigmalang" || ready.PID != cmd.Process.Pid {
		t.Errorf("the ready line says %+v", ready)
	}
	answer, err := http.Post(ready.URL+"/api/v1/encode", "application/json", strings.NewReader(`{"text":"the end of the file"}`))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(text), `"success":true,"encoding":"hex","original_size":19`) {
		t.Errorf("%v, HTTP %d: %s", err, answer.StatusCode, text)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := p.wait(); status != 0 {
		t.Errorf("exit status %d after SIGTERM", status)
	}
	tool := narrows(t, "serve", "sigmalang", "--stdio")
	tool.Stdin = strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2024-11-05"}}
{"jsonrpc":"2.0","method":"notifications/initialized"}
{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"sigma_encode","arguments":{"text":"the end"}}}
`)
	r := finish(t, tool)
	if lines := strings.Split(r.stdout, "\n"); r.status != 0 || len(lines) != 3 || !strings.Contains(lines[0], `"protocolVersion":"2024-11-05"`) || !strings.Contains(lines[1], `\"original_size\":7`) {
		t.Errorf("exit status %d: %s%s", r.status, r.stdout, r.stderr)
	}
}
