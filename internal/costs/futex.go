package costs

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/collector/core"
	"github.com/narrows-profiler/narrows/collector/futex"
)

// How many futex calls are timed at once, and how often.
const (
	futexCalls  = 200_000
	futexRounds = 12
)

// linux/futex.h
const (
	futexWait = 0 | 128 // private
	futexWake = 1 | 128
)

// futexKinds are calls that return at once: what they take beside the programs is as little
// as it can be.
var futexKinds = []struct {
	name      string
	operation uintptr
	value     uintptr
}{
	{"a futex call that wakes nobody", futexWake, 1},
	{"a futex call that would wait, had the word not changed", futexWait, 1},
}

// futexes measures what the programs on futex calls add to a call. Calls with and without
// them alternate.
func (b *bench) futexes(ctx context.Context) error {
	shared, err := core.Load(0)
	if err != nil {
		return err
	}
	with, without := make([][]float64, len(futexKinds)), make([][]float64, len(futexKinds))
	for round := 0; round < futexRounds && err == nil; round++ {
		if err = ctx.Err(); err == nil {
			err = futexRound(shared, with, without)
		}
	}
	if err = errors.Join(err, shared.Close()); err != nil {
		return err
	}
	for i, kind := range futexKinds {
		b.table.add(kind.name+", bare", "ns", Median(without[i]))
		b.table.add(kind.name+", added by the programs", "ns", Median(differences(with[i], without[i])))
	}
	return nil
}

// futexRound times each kind of call once without the programs and once with them.
func futexRound(shared *core.Core, with, without [][]float64) error {
	for i, kind := range futexKinds {
		without[i] = append(without[i], timeFutex(kind.operation, kind.value))
	}
	watcher, err := futex.Open(shared)
	if err != nil {
		return fmt.Errorf("watching futex calls: %w", err)
	}
	for i, kind := range futexKinds {
		with[i] = append(with[i], timeFutex(kind.operation, kind.value))
	}
	return watcher.Close()
}

func differences(a, b []float64) []float64 {
	d := make([]float64, len(a))
	for i := range a {
		d[i] = a[i] - b[i]
	}
	return d
}

// timeFutex is the CPU time of one call in ns, on a word that is 0.
func timeFutex(operation, value uintptr) float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	word := new(uint32)
	from := threadTime()
	for range futexCalls {
		syscall.RawSyscall6(syscall.SYS_FUTEX, uintptr(unsafe.Pointer(word)), operation, value, 0, 0, 0)
	}
	return float64(threadTime()-from) / futexCalls
}

// threadTime is the CPU time of this thread so far.
func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err) // it is always there (clock_gettime(2))
	}
	return time.Duration(t.Nano())
}
