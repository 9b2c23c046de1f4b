package costs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/core"
	"github.com/narrows-profiler/narrows/collector/kernellock"
	"github.com/narrows-profiler/narrows/collector/wait"
	"github.com/narrows-profiler/narrows/internal/heldlock"
)

// contendFor is how long threads contend for a lock at a time.
const contendFor = time.Second

// contended is what threads got done that do nothing but contend for a lock.
type contended struct {
	perLock float64 // ns of a thread's time for each time that it took the lock
	waits   float64 // how often any lock was waited for, while that was watched
	program float64 // ns of the programs' time for each of them
}

// kernelLocks measures what watching the kernel's locks takes from two threads for each CPU
// that do nothing but contend for one: the dearest there is.
func (b *bench) kernelLocks(ctx context.Context) (err error) {
	stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		return fmt.Errorf("turning on eBPF run-time statistics: %w", err)
	}
	defer func() { err = errors.Join(err, stats.Close()) }()
	threads := 2 * len(b.target.cpus)
	var programs, slowdowns, rates []float64
	for round := range rounds {
		var with, without contended
		steps := []func() error{
			func() (err error) { without, err = contend(threads); return err },
			func() (err error) { with, err = contendWatched(threads); return err },
		}
		for i := range steps {
			if err := errors.Join(ctx.Err(), steps[(i+round)%2]()); err != nil {
				return err
			}
		}
		programs = append(programs, with.program)
		rates = append(rates, with.waits/contendFor.Seconds())
		slowdowns = append(slowdowns, 100*(with.perLock/without.perLock-1))
	}
	what := fmt.Sprintf("watching the kernel's locks, %d threads that only contend for one", threads)
	b.table.add(what+": waits for locks", "1/s", Median(rates))
	b.table.add(what+": eBPF programs, a wait", "ns", Median(programs))
	b.table.add(what+": slowdown", "% of wall time", Median(slowdowns))
	return nil
}

func contend(threads int) (contended, error) {
	taken, _, err := heldlock.Contend(threads, contendFor)
	return contended{perLock: float64(threads) * float64(contendFor) / float64(taken)}, err
}

// contendWatched is contend while the programs run and what they send is read.
func contendWatched(threads int) (c contended, err error) {
	shared, err := core.Load(0)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, shared.Close()) }()
	u, err := openUnwinding(shared)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, u.close()) }()
	events, err := ringbuf.NewReader(shared.Events())
	if err != nil {
		return c, fmt.Errorf("opening the ring buffer: %w", err)
	}
	defer func() { err = errors.Join(err, events.Close()) }()
	watcher, err := kernellock.Open(shared)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, watcher.Close()) }()
	var reader sync.WaitGroup
	var readErr error
	reader.Go(func() { readErr = readStacks(events, u) })
	// Twice: the first time unwind tables are still being loaded.
	for range 2 {
		var waits [2]float64
		var spent [2]time.Duration
		if waits[0], spent[0], err = watchedSoFar(watcher); err == nil {
			if c, err = contend(threads); err == nil {
				waits[1], spent[1], err = watchedSoFar(watcher)
			}
		}
		if err != nil {
			break
		}
		c.waits = waits[1] - waits[0]
		c.program = float64(spent[1]-spent[0]) / c.waits
	}
	err = errors.Join(err, watcher.Stop(), events.Flush())
	reader.Wait()
	return c, errors.Join(err, readErr)
}

func watchedSoFar(w *kernellock.Watcher) (waits float64, spent time.Duration, err error) {
	totals, err := w.Totals()
	if err != nil {
		return 0, 0, err
	}
	for _, t := range totals {
		waits += float64(t.Waits)
	}
	_, spent, err = w.Cost()
	return waits, spent, err
}

// readStacks empties the ring buffer until it is flushed, and has what walks lacked loaded.
func readStacks(events *ringbuf.Reader, u *unwinding) error {
	var record ringbuf.Record
	for {
		events.SetDeadline(time.Now().Add(100 * time.Millisecond))
		switch err := events.ReadInto(&record); {
		case errors.Is(err, os.ErrDeadlineExceeded):
			continue
		case errors.Is(err, ringbuf.ErrFlushed):
			return nil
		case err != nil:
			return fmt.Errorf("reading the ring buffer: %w", err)
		}
		const kind = 8 // of struct event_header
		if bpf.CoreEventKind(binary.NativeEndian.Uint32(record.RawSample[kind:])) != bpf.CoreEventKindEVENT_STACK {
			continue
		}
		if s, err := wait.DecodeStack(record.RawSample); err == nil {
			u.missed(s.Walked)
		}
	}
}
