package load

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// timerSlack is by how much Go's timers may be late on an idle machine: the
// runtime waits for them in epoll_wait, which counts milliseconds.
const timerSlack = 1500 * time.Microsecond

// sleepUntil returns true at the given time, or false when ctx ends before it.
// The last stretch is slept in the kernel, which is some fifty microseconds
// late where a Go timer is up to a millisecond.
func (g *generator) sleepUntil(ctx context.Context, at time.Time) bool {
	if wait := time.Until(at) - timerSlack; wait > 0 && !g.config.coarse && !sleep(ctx, wait) {
		return false
	}
	if wait := time.Until(at); wait > 0 && !g.config.coarse {
		pause := unix.NsecToTimespec(wait.Nanoseconds())
		// A signal may end it early; the loop below sleeps what is left.
		_ = unix.Nanosleep(&pause, nil)
	}
	for wait := time.Until(at); wait > 0; wait = time.Until(at) {
		if !sleep(ctx, wait) {
			return false
		}
	}
	return ctx.Err() == nil
}

// sleep waits on a Go timer and reports whether ctx lasted as long.
func sleep(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
