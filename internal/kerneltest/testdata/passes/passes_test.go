// Package passes has one test of each kind that leaves a package passed.
package passes

import (
	"os"
	"testing"
)

func TestPasses(t *testing.T) {
	t.Log("said while passing")
	t.Run("below", func(t *testing.T) {})
}

func TestSkips(t *testing.T) { t.Skip("skipped for a reason") }

func TestTestdata(t *testing.T) {
	text, err := os.ReadFile("testdata/word")
	if err != nil || string(text) != "narrows\n" {
		t.Errorf("testdata/word holds %q (%v)", text, err)
	}
}
