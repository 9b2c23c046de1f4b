package service

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestParseTarget(t *testing.T) {
	for _, test := range []struct {
		text     string
		accepted []Interface
		want     Target
		printed  string
	}{
		{"http://u:secret@h:1", []Interface{HTTP}, Target{"s", HTTP, "http://u:secret@h:1"}, "http://u:xxxxx@h:1"},
		{"stdio: tool --flag", []Interface{HTTP, Stdio}, Target{"s", Stdio, "tool --flag"}, "stdio:tool --flag"},
		{"dir:/mnt/a", []Interface{HTTP, Directory}, Target{"s", Directory, "/mnt/a"}, "dir:/mnt/a"},
	} {
		got, err := ParseTarget("s", test.text, test.accepted)
		if err != nil || got != test.want || got.String() != test.printed {
			t.Errorf("%q: %+v %q, %v", test.text, got, got, err)
		}
	}
	for text, want := range map[string]string{
		"dir:/mnt": "--target s=URL or stdio:COMMAND", "stdio:": "names nothing", "": "names nothing",
	} {
		if _, err := ParseTarget("s", text, []Interface{HTTP, Stdio}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A tool is spoken to, is the process itself and not a shell, and ends with its input.
func TestToolSpeaks(t *testing.T) {
	endpoint, stop, err := Target{"sigmalang", Stdio, "cat"}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(endpoint.Input, "hello\n"); err != nil {
		t.Error(err)
	}
	if line, err := bufio.NewReader(endpoint.Output).ReadString('\n'); err != nil || line != "hello\n" {
		t.Errorf("%q, %v", line, err)
	}
	if name, err := os.ReadFile("/proc/" + strconv.Itoa(endpoint.PID) + "/comm"); err != nil || string(name) != "cat\n" {
		t.Errorf("process %q, %v", name, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(endpoint.PID, 0); err != syscall.ESRCH {
		t.Errorf("the tool is still there: %v", err)
	}
}

// A tool that ends by itself is told, with its last words.
func TestToolThatEnds(t *testing.T) {
	tool, err := StartTool("sigmalang", "sh -c 'echo out of glyphs >&2; exit 3'")
	if err != nil {
		t.Fatal(err)
	}
	<-tool.Exited()
	if err := tool.Stop(); err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "out of glyphs") {
		t.Errorf("%v", err)
	}
}

func TestDirectoryTarget(t *testing.T) {
	dir := t.TempDir()
	endpoint, stop, err := Target{"sigmavault", Directory, dir}.Open(t.Context())
	if err != nil || endpoint.Directory != dir || endpoint.PID != 0 || endpoint.PIDUnknown == "" || endpoint.Redacted() != "dir:"+dir {
		t.Errorf("%+v, %v", endpoint, err)
	} else if err := stop(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "absent"), file} {
		if err := (Target{"sigmavault", Directory, path}).Check(t.Context()); err == nil || !strings.Contains(err.Error(), "--target sigmavault=dir:PATH") {
			t.Errorf("%s: %v", path, err)
		}
	}
}
