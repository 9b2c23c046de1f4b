package futex

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// undisturbed keeps the calling goroutine on one thread, and the runtime's signals away from
// that, which would end its futex calls.
func undisturbed(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	var all, before unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^uint64(0)
	}
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &all, &before); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil); err != nil {
			t.Error(err)
		}
		runtime.UnlockOSThread()
	})
}
