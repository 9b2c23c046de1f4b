package main

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// What the storage service has acknowledged is there after it was killed.
func TestServeSigmavaultKilled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "vault")
	content := make([]byte, 200_000)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(content) // never fails
	serve := func() (*exec.Cmd, *process, string) {
		t.Helper()
		cmd := narrows(t, "serve", "sigmavault", "--listen", "127.0.0.1:0", "--data", dir)
		p := launch(t, cmd)
		var ready struct{ Service, URL string }
		decode(t, p.line(t), &ready)
		if ready.Service != "sigmavault" {
			t.Errorf("the ready line says %+v", ready)
		}
		return cmd, p, ready.URL
	}
	cmd, p, url := serve()
	request, err := http.NewRequest(http.MethodPut, url+"/rsus/kept", bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if answer := ask(t, request); answer.StatusCode != http.StatusOK {
		t.Fatalf("HTTP %d", answer.StatusCode)
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.wait()

	cmd, p, url = serve()
	request, err = http.NewRequest(http.MethodGet, url+"/rsus/kept", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("HTTP %d, %d bytes, %v", answer.StatusCode, len(got), err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := p.wait(); status != 0 {
		t.Errorf("exit status %d after SIGTERM", status)
	}
}

// ask sends a request and drops the body of the answer.
func ask(t *testing.T, request *http.Request) *http.Response {
	t.Helper()
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer
}
