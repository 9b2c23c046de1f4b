// Package heldlock holds a lock of the kernel for known times while others wait for it: the
// truth that what watches such locks is compared with.
//
// A thread that writes takes the lock of the file (the inode's rwsem, the pipe's mutex) and
// then reads the caller's memory. [Hold] gives it memory that is missing, and which
// userfaultfd(2) supplies when the time is over. So it sleeps in the kernel with the lock,
// and who writes to the same file meanwhile waits, and can say for how long.
package heldlock

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Lock is which lock is held.
type Lock int

// The locks.
const (
	File Lock = iota // inode.i_rwsem
	Pipe             // pipe_inode_info.mutex
)

// Plan is what Hold does.
type Plan struct {
	Lock    Lock
	Dir     string // where a file may be made
	Waiters int    // threads
	Rounds  int
	Hold    time.Duration // in each round
}

// Truth is what was measured by the threads that waited.
type Truth struct {
	Waited  time.Duration // all of them together
	Waits   int
	Holder  int // TID
	Waiters []int
}

// Hold holds the lock as often as planned. Its threads end with it.
func Hold(p Plan) (t Truth, err error) {
	// A thread that returns from a system call must not wait for Go's scheduler: that would
	// be taken for a wait for the lock.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(p.Waiters + 8))
	write, drain, closeFiles, err := p.open()
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, closeFiles()) }()
	page, err := newMissing()
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, page.close()) }()
	w := startWriters(p.Waiters, write)
	defer w.end()
	holder := startWriters(1, write)
	defer holder.end()
	t.Holder, t.Waiters = holder.tids()[0], w.tids()
	for range p.Rounds {
		if err := page.renew(); err != nil {
			return t, err
		}
		holder.begin(page.memory)
		if err := page.awaitFault(); err != nil {
			return t, err
		}
		w.begin([]byte{1})
		time.Sleep(p.Hold)
		if err := page.supply(); err != nil {
			return t, err
		}
		waited, err := w.finish()
		if err != nil {
			return t, err
		}
		if _, err := holder.finish(); err != nil {
			return t, err
		}
		t.Waited += waited
		t.Waits += p.Waiters
		if err := drain(); err != nil {
			return t, err
		}
	}
	return t, nil
}

// open makes the file that all write to; drain makes room in it.
func (p Plan) open() (write func([]byte) (int, error), drain, closeFiles func() error, err error) {
	if p.Lock == Pipe {
		var ends [2]int
		if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
			return nil, nil, nil, fmt.Errorf("making a pipe: %w", err)
		}
		drain = func() error {
			_, err := unix.Read(ends[0], make([]byte, 64<<10))
			return err
		}
		write = func(data []byte) (int, error) { return unix.Write(ends[1], data) }
		return write, drain, func() error { return errors.Join(unix.Close(ends[0]), unix.Close(ends[1])) }, nil
	}
	file, err := os.CreateTemp(p.Dir, "held")
	if err != nil {
		return nil, nil, nil, fmt.Errorf("making a file: %w", err)
	}
	name := file.Name()
	if err := file.Close(); err != nil {
		return nil, nil, nil, err
	}
	fd, err := unix.Open(name, unix.O_WRONLY|unix.O_APPEND|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, nil, errors.Join(fmt.Errorf("opening a file: %w", err), os.Remove(name))
	}
	// write(2) would take the lock of the open file's position as well.
	write = func(data []byte) (int, error) { return unix.Pwrite(fd, data, 0) }
	return write, func() error { return nil }, func() error { return errors.Join(unix.Close(fd), os.Remove(name)) }, nil
}

// writers are threads that write when they are told to.
type writers struct {
	threads []writer
	ended   sync.WaitGroup
}

type writer struct {
	tid    int
	orders chan []byte
	took   chan result
}

type result struct {
	time time.Duration
	err  error
}

func startWriters(n int, write func([]byte) (int, error)) *writers {
	w := &writers{}
	for range n {
		t := writer{orders: make(chan []byte), took: make(chan result, 1)}
		started := make(chan int)
		w.ended.Go(func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with it
			started <- unix.Gettid()
			for data := range t.orders {
				begun := time.Now()
				_, err := write(data)
				t.took <- result{time.Since(begun), err}
			}
		})
		t.tid = <-started
		w.threads = append(w.threads, t)
	}
	return w
}

func (w *writers) tids() []int {
	var tids []int
	for _, t := range w.threads {
		tids = append(tids, t.tid)
	}
	return tids
}

func (w *writers) begin(data []byte) {
	for _, t := range w.threads {
		t.orders <- data
	}
}

// finish is how long all of them took together.
func (w *writers) finish() (sum time.Duration, err error) {
	for _, t := range w.threads {
		r := <-t.took
		sum += r.time
		err = errors.Join(err, r.err)
	}
	return sum, err
}

func (w *writers) end() {
	for _, t := range w.threads {
		close(t.orders)
	}
	w.ended.Wait()
}
