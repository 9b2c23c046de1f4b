package heldlock

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Contend has threads take the mutex of one pipe as fast as they can, and so the spinlock of
// its list of waiters while they wait for it. It returns how often they took it, and their
// TIDs.
func Contend(threads int, duration time.Duration) (taken uint64, tids []int, err error) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return 0, nil, fmt.Errorf("making a pipe: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Close(ends[0]), unix.Close(ends[1])) }()
	// So that threads wait for the lock, not for Go's scheduler.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(threads + 2))
	var sum atomic.Uint64
	var mu sync.Mutex
	var all sync.WaitGroup
	until := time.Now().Add(duration)
	for i := range threads {
		all.Go(func() {
			runtime.LockOSThread()
			mu.Lock()
			tids = append(tids, unix.Gettid())
			mu.Unlock()
			buffer := make([]byte, 1024)
			n := uint64(0)
			for ; time.Now().Before(until); n++ {
				// Either may fail for a full or an empty pipe: the lock is taken all the same.
				if i%2 == 0 {
					_, _ = unix.Write(ends[1], buffer)
				} else {
					_, _ = unix.Read(ends[0], buffer)
				}
			}
			sum.Add(n)
		})
	}
	all.Wait()
	return sum.Load(), tids, nil
}
