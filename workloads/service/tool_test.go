package service

import (
	"strings"
	"testing"
)

// A tool that ends when its input does has not failed, whoever comes first: it or the one
// who looks.
func TestAToolThatEndsAsAsked(t *testing.T) {
	for command, says := range map[string]string{"cat": "", "true": "", "sh -c 'echo broken >&2; exit 3'": "exit status 3"} {
		tool, err := StartTool("sigmalang", command)
		if err != nil {
			t.Fatal(err)
		}
		if err := tool.Input.Close(); err != nil {
			t.Fatal(err)
		}
		<-tool.Exited()
		err = tool.Stop()
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", command, err, says)
		}
	}
}
