// Package silent has a test that stops the process which reports to the host, as a kernel that hangs would.
package silent

import (
	"os"
	"syscall"
	"testing"
	"time"
)

func TestSilences(t *testing.T) {
	if os.Getenv("NARROWS_TEST_KERNEL") == "" {
		t.Skip("stops its parent process: only for test machines")
	}
	if err := syscall.Kill(os.Getppid(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Hour)
}
