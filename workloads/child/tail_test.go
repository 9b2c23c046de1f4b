package child

import (
	"fmt"
	"strings"
	"testing"
)

func TestTail(t *testing.T) {
	var last tail
	if last.text() != "" {
		t.Error("words of a silent process")
	}
	for i := range 10_000 {
		fmt.Fprintf(&last, "line %d\n", i)
	}
	lines := strings.Split(last.text(), "\n")
	if len(lines) != 20 || lines[19] != "    line 9999" || lines[0] != "    line 9980" {
		t.Errorf("%d lines from %q to %q", len(lines), lines[0], lines[len(lines)-1])
	}
}
