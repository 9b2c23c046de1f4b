package vault

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// While one flush of 10 ms runs, all that come share the next one.
func TestWritersShareAFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		c := newCommitter(func(group []*write) error {
			time.Sleep(10 * time.Millisecond)
			sizes = append(sizes, len(group))
			return nil
		})
		began := time.Now()
		var writers sync.WaitGroup
		write1 := func(after, took time.Duration) {
			writers.Go(func() {
				time.Sleep(after)
				sent := time.Now()
				if err := c.submit(t.Context(), new(write)); err != nil || time.Since(sent) != took {
					t.Errorf("%v after %v, want %v", err, time.Since(sent), took)
				}
			})
		}
		write1(0, 10*time.Millisecond)
		for i := range 9 {
			at := time.Duration(i+1) * time.Millisecond
			write1(at, 20*time.Millisecond-at)
		}
		writers.Wait()
		if len(sizes) != 2 || sizes[0] != 1 || sizes[1] != 9 || time.Since(began) != 20*time.Millisecond {
			t.Errorf("groups %v in %v", sizes, time.Since(began))
		}
		if c.groups.Load() != 2 || c.writes.Load() != 10 {
			t.Errorf("%d writes in %d groups", c.writes.Load(), c.groups.Load())
		}
		c.close()
	})
}

// A group is bounded in number and in bytes.
func TestGroupsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		c := newCommitter(func(group []*write) error {
			time.Sleep(time.Millisecond)
			sizes = append(sizes, len(group))
			return nil
		})
		var writers sync.WaitGroup
		for range 2*maxGroupWrites + 1 {
			writers.Go(func() { _ = c.submit(t.Context(), new(write)) })
		}
		writers.Wait()
		large := make([]byte, maxGroupBytes/2)
		for range 5 {
			writers.Go(func() { _ = c.submit(t.Context(), &write{record: large}) })
		}
		writers.Wait()
		c.close()
		sum := 0
		for _, n := range sizes {
			if sum += n; n > maxGroupWrites {
				t.Errorf("a group of %d", n)
			}
		}
		if last := sizes[len(sizes)-1]; sum != 2*maxGroupWrites+6 || last > 2 {
			t.Errorf("groups %v", sizes)
		}
	})
}

func TestFlushErrorsReachEveryWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := errors.New("its own")
		c := newCommitter(func(group []*write) error {
			time.Sleep(time.Millisecond)
			if len(group) > 1 {
				return syscall.ENOSPC
			}
			group[0].err = own
			return nil
		})
		var writers sync.WaitGroup
		for i, want := range []error{own, syscall.ENOSPC, syscall.ENOSPC} {
			writers.Go(func() {
				time.Sleep(time.Duration(min(i, 1)) * time.Microsecond)
				if err := c.submit(t.Context(), new(write)); !errors.Is(err, want) {
					t.Errorf("writer %d: %v, want %v", i, err, want)
				}
			})
		}
		writers.Wait()
		c.close()
		if err := c.submit(t.Context(), new(write)); !errors.Is(err, ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// A writer that leaves neither hangs nor holds the committer up.
func TestLeavingWriters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCommitter(func([]*write) error { time.Sleep(time.Hour); return nil })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var writers sync.WaitGroup
		for i := range 2 { // one is being flushed, the other waits
			writers.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				if err := c.submit(ctx, new(write)); !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
			})
		}
		writers.Wait()
		c.close()
		if n := c.writes.Load(); n != 1 {
			t.Errorf("%d writes were flushed, one had not left the queue's front", n)
		}
	})
}
