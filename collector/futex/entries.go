package futex

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/narrows-profiler/narrows/bpf"
)

// A call is on its CPU for a moment before it sleeps, which is part of the wait, and of which
// its end knows nothing. To watch where each call begins as well would double what the
// programs cost, so that is done for a part of each second only.
const (
	entryInterval = time.Second
	entryTime     = 20 * time.Millisecond
)

// entries watches where calls begin, now and then.
type entries struct {
	program *ebpf.Program
	seen    *ebpf.Map
	stop    context.CancelFunc
	done    sync.WaitGroup
	err     error // why it gave up; to be read when it is done
}

func (e *entries) begin(program *ebpf.Program, seen *ebpf.Map) {
	e.program, e.seen = program, seen
	ctx, stop := context.WithCancel(context.Background())
	e.stop = stop
	e.done.Go(func() { e.err = e.run(ctx) })
}

func (e *entries) run(ctx context.Context) error {
	for wait := entryInterval / 2; pause(ctx, wait); wait = entryInterval - entryTime {
		attached, err := link.Tracepoint("syscalls", "sys_enter_futex", e.program, nil)
		if err != nil {
			return fmt.Errorf("attaching to sys_enter_futex: %w", err)
		}
		pause(ctx, entryTime)
		if err := attached.Close(); err != nil {
			return fmt.Errorf("detaching from sys_enter_futex: %w", err)
		}
	}
	return nil
}

// pause waits; false if there is nothing more to be done.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// beforeSleep is how many ns a call takes before it sleeps, on average; 0 if none was seen to
// begin.
func (e *entries) beforeSleep() (float64, error) {
	var perCPU []bpf.CoreFutexEntry
	if err := e.seen.Lookup(uint32(0), &perCPU); err != nil {
		return 0, fmt.Errorf("reading what futex calls take before they sleep: %w", err)
	}
	var before, sleeps uint64
	for _, cpu := range perCPU {
		before += cpu.Before
		sleeps += cpu.Sleeps
	}
	return float64(before) / float64(max(sleeps, 1)), nil
}

// end stops watching.
func (e *entries) end() error {
	if e.stop == nil {
		return nil
	}
	e.stop()
	e.done.Wait()
	return e.err
}
