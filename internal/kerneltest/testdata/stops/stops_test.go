// Package stops has a test that stops its whole process, so that -test.timeout cannot end it.
package stops

import (
	"os"
	"syscall"
	"testing"
	"time"
)

func TestStops(t *testing.T) {
	if err := syscall.Kill(os.Getpid(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Hour)
}
