package goheap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/collector/accounting"
	"github.com/narrows-profiler/narrows/collector/inbox"
	"github.com/narrows-profiler/narrows/collector/living"
	"github.com/narrows-profiler/narrows/collector/process"
)

// Target is a Go program whose heap was read, or could not be.
type Target struct {
	PID     uint32
	Name    string // of the process
	Rate    int64  // MemProfileRate, at the last reading
	Records int    // at the last reading
	Skipped int    // of those, with numbers that could not be
	// Readings counts them, and Spent is how long they took: the program runs on meanwhile.
	Readings int
	Spent    time.Duration
	// Err is why there is nothing, or nothing more; nil if there was no reason.
	Err error
}

// Growth is what a reading of a program's heap told.
type Growth struct {
	PID  uint32
	Name string
	Rate int64
	// Samples are what was allocated since the reading before, and, once, after the last
	// reading, what is in use then.
	Samples []Sample
	// Past is how much of each sample was in use at the readings between Began and Ended, in ns
	// of CLOCK_MONOTONIC; nil but with what is in use at the last. Gone tells that the program
	// had ended then.
	Past         [][]living.Reading
	Began, Ended uint64
	Gone         bool
}

// watched is a program under way.
type watched struct {
	Target
	heap   *Heap
	growth growth
	past   *living.History[uint64] // by bucket
	began  uint64                  // of the readings, and when the last was, in ns of CLOCK_MONOTONIC
	ended  uint64
	next   time.Time // when it is read again
}

const (
	tick = 1e9 / 100 // USER_HZ, in which /proc gives times, is 100 by the kernel's ABI

	readInterval = time.Second
	// A heap is read for at most one part in so many of the time.
	readShare   = 100
	maxTargets  = 4096
	maxRequests = 4096
)

// Watcher reads the heaps of Go programs while they are recorded.
type Watcher struct {
	scan     func(pid uint32) (process.Scanned, bool)
	emit     func(Growth)
	began    uint64 // in ticks since boot
	requests *inbox.Inbox[request]
	stop     context.CancelFunc
	done     sync.WaitGroup

	heaps    map[uint32]*watched // of the goroutine
	replaced map[uint32]bool     // processes whose program began while it was recorded; the same

	mu    sync.Mutex
	ended []Target
}

// request is a process to look at, or one that has ended.
type request struct {
	pid             uint32
	ended, replaced bool
}

// Watch begins without a program. scan reads the mappings of a process, emit takes what was
// read; both are called by one goroutine, and by Stop.
func Watch(scan func(pid uint32) (process.Scanned, bool), emit func(Growth)) (*Watcher, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return nil, fmt.Errorf("reading Go heaps: asking for the time: %w", err)
	}
	began := uint64(now.Nano()) / tick
	ctx, cancel := context.WithCancel(context.Background())
	w := &Watcher{scan: scan, emit: emit, began: began, requests: inbox.New[request](maxRequests), stop: cancel, heaps: map[uint32]*watched{}, replaced: map[uint32]bool{}}
	w.done.Go(func() { w.run(ctx) })
	return w, nil
}

// Attach looks at a process soon. It never waits.
func (w *Watcher) Attach(pid uint32) { w.requests.Put(request{pid: pid}) }

// Replace is told that another program begins in a process.
func (w *Watcher) Replace(pid uint32) { w.requests.Put(request{pid: pid, ended: true, replaced: true}) }

// Detach is told that a process has ended.
func (w *Watcher) Detach(pid uint32) { w.requests.Put(request{pid: pid, ended: true}) }

func (w *Watcher) run(ctx context.Context) {
	ticks := time.NewTicker(readInterval)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-w.requests.Requests():
			w.handle(ctx, r)
		case <-ticks.C:
			for _, t := range w.heaps {
				if !time.Now().Before(t.next) {
					w.read(ctx, t)
				}
			}
		}
	}
}

func (w *Watcher) handle(ctx context.Context, r request) {
	switch {
	case r.replaced && w.heaps[r.pid].there():
		// It was seen to run the program before word came that it began to.
	case r.ended:
		w.end(w.heaps[r.pid])
		delete(w.replaced, r.pid)
		if r.replaced && len(w.replaced) < maxTargets {
			w.replaced[r.pid] = true
		}
	case w.heaps[r.pid] == nil:
		w.open(ctx, r.pid)
	}
}

// open finds the heap of a process, and reads it.
func (w *Watcher) open(ctx context.Context, pid uint32) {
	scanned, ok := w.scan(pid)
	if !ok || len(w.heaps) >= maxTargets {
		return
	}
	t := &watched{Target: Target{PID: pid}, past: living.New[uint64](uint64(readInterval / 2))}
	if t.heap, t.Err = Open(pid, scanned.Mappings); errors.Is(t.Err, ErrNotGo) || errors.Is(t.Err, ErrGone) {
		return
	}
	w.heaps[pid] = t
	if proc, err := procfs.NewProc(int(pid)); err == nil {
		if stat, err := proc.Stat(); err == nil {
			t.Name = stat.Comm
			t.growth.fresh = w.replaced[pid] || stat.Starttime > w.began
		}
	}
	w.read(ctx, t)
}

// there tells whether the program that was opened runs still.
func (t *watched) there() bool {
	if t == nil || t.heap == nil {
		return false
	}
	w := windows{memory: t.heap.memory, cycle: t.heap.at.cycle}
	_, err := w.current()
	return err == nil
}

// read reads a heap and gives out what it has more than before.
func (w *Watcher) read(ctx context.Context, t *watched) {
	if t.heap == nil {
		return
	}
	started := time.Now()
	s, err := t.heap.Read(ctx)
	if err == nil {
		var samples []Sample
		samples, err = t.growth.add(t.heap, s)
		w.give(t, Growth{Rate: s.Rate, Samples: samples})
		t.remember(s, accounting.Monotonic())
	}
	took := time.Since(started)
	t.next = started.Add(max(readInterval/2, readShare*took)) // at the next tick, if it is quick
	t.Spent += took
	t.Readings++
	t.Err = err
	if err == nil {
		t.Rate, t.Records, t.Skipped = s.Rate, len(s.Records), s.Skipped
	}
}

// remember keeps how much is in use at a reading.
func (t *watched) remember(s Snapshot, now uint64) {
	if t.began == 0 {
		t.began = now
	}
	t.ended = now
	if !t.past.Due(now) {
		return
	}
	lives := make(map[uint64]living.Amount, len(s.Records))
	for _, r := range s.Records {
		if objects, bytes := Scale(r.InUseObjects(), r.InUseBytes(), s.Rate); objects != 0 {
			lives[r.bucket] = living.Amount{Objects: float64(objects), Bytes: float64(bytes)}
		}
	}
	t.past.Add(now, lives)
}

func (w *Watcher) give(t *watched, g Growth) {
	if len(g.Samples) > 0 {
		g.PID, g.Name = t.PID, t.Name
		w.emit(g)
	}
}

// end gives out what was in use at the last reading of a heap that is gone, or that is not
// read any more.
func (w *Watcher) end(t *watched) {
	if t == nil {
		return
	}
	delete(w.heaps, t.PID)
	if t.heap != nil {
		samples, buckets, err := inUse(t.heap, t.growth.last)
		g := Growth{Rate: t.growth.last.Rate, Samples: samples, Began: t.began, Ended: t.ended, Gone: errors.Is(t.Err, ErrGone)}
		for _, bucket := range buckets {
			g.Past = append(g.Past, t.past.Of(bucket))
		}
		w.give(t, g)
		if errors.Is(t.Err, ErrGone) || errors.Is(t.Err, context.Canceled) {
			t.Err = nil // it was read for as long as it was there
		}
		t.Err = errors.Join(t.Err, err, t.heap.Close())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.ended) < maxTargets {
		w.ended = append(w.ended, t.Target)
	}
}

// Stop reads all heaps once more, and ends.
func (w *Watcher) Stop() {
	w.stop()
	w.done.Wait()
	for more := true; more; {
		select {
		case r := <-w.requests.Requests():
			w.handle(context.Background(), r)
		default:
			more = false
		}
	}
	for _, t := range w.heaps {
		w.read(context.Background(), t)
		w.end(t)
	}
}

// Targets are the Go programs that there were. It is called after Stop.
func (w *Watcher) Targets() []Target {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.ended)
}

// Dropped is how many requests there was no room for.
func (w *Watcher) Dropped() uint64 { return w.requests.Dropped() }
