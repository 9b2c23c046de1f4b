// Package panics has a test that crashes the kernel.
package panics

import (
	"os"
	"testing"
	"time"
)

func TestPanics(t *testing.T) {
	if os.Getenv("NARROWS_TEST_KERNEL") == "" {
		t.Skip("crashes the kernel: only for test machines")
	}
	if err := os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Hour)
}
