package load

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// timerSlack is by how much Go's timers may be late on an idle machine: the
// runtime waits for them in epoll_wait, which counts milliseconds.
const timerSlack = 1500 * time.Microsecond

// sleepUntil returns true at the given time, or false when ctx ends before it.
// The last stretch is left to an alarm, if there is one, which wakes some tens of
// microseconds late where a Go timer is up to a millisecond.
func sleepUntil(ctx context.Context, alarm *alarm, at time.Time) (bool, error) {
	if alarm != nil {
		if wait := time.Until(at) - timerSlack; wait > 0 && !sleep(ctx, wait) {
			return false, nil
		}
		if wait := time.Until(at); wait > 0 {
			if err := alarm.nap(wait); err != nil {
				return false, err
			}
		}
	}
	for wait := time.Until(at); wait > 0; wait = time.Until(at) {
		if !sleep(ctx, wait) {
			return false, nil
		}
	}
	return ctx.Err() == nil, nil
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

// alarm is a timer of the kernel's that is a file (timerfd_create(2)): it wakes the
// runtime's epoll_wait itself, and no thread is blocked until then.
type alarm struct {
	fd   int
	file *os.File // of fd
}

func newAlarm() (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("creating the timer of the schedule: %w", err)
	}
	return &alarm{fd, os.NewFile(uintptr(fd), "timerfd")}, nil
}

// nap sleeps for a time that has to be positive.
func (a *alarm) nap(wait time.Duration) error {
	setting := unix.ItimerSpec{Value: unix.NsecToTimespec(wait.Nanoseconds())}
	if err := unix.TimerfdSettime(a.fd, 0, &setting, nil); err != nil {
		return fmt.Errorf("setting the timer of the schedule: %w", err)
	}
	var expirations [8]byte
	if _, err := a.file.Read(expirations[:]); err != nil {
		return fmt.Errorf("waiting for the timer of the schedule: %w", err)
	}
	return nil
}

// close ends the alarm; a nil one has nothing to end.
func (a *alarm) close() error {
	if a == nil {
		return nil
	}
	return a.file.Close()
}
