package collector

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/accounting"
	"github.com/narrows-profiler/narrows/collector/alloc"
	"github.com/narrows-profiler/narrows/collector/cpu"
	"github.com/narrows-profiler/narrows/collector/fault"
	"github.com/narrows-profiler/narrows/collector/golock"
	"github.com/narrows-profiler/narrows/collector/kernelalloc"
	"github.com/narrows-profiler/narrows/collector/kernellock"
	"github.com/narrows-profiler/narrows/collector/lifecycle"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/unwind"
	"github.com/narrows-profiler/narrows/collector/wait"
)

const (
	// sampleInterval is how often the ring buffer is looked at when it is nearly empty.
	sampleInterval = 100 * time.Millisecond
	// lifecycleInterval is how often process records are: sooner, since a process
	// that has ended can no longer lead to its files.
	lifecycleInterval = 20 * time.Millisecond
	replayInterval    = 100 * time.Millisecond
	// possibleInterval is how long a window whose stacks have become too many must
	// still go on, at most.
	possibleInterval = 500 * time.Millisecond
)

// readSamples moves events from the ring buffer to the queue until it is flushed.
func (c *Collector) readSamples() {
	goAhead()
	var record ringbuf.Record
	memories := map[int]*unwind.Memory{} // by CPU, waiting for their samples
	c.events.SetDeadline(time.Now().Add(sampleInterval))
	for {
		switch err := c.events.ReadInto(&record); {
		case err == nil:
			c.event(record.RawSample, memories)
		case errors.Is(err, os.ErrDeadlineExceeded):
			c.events.SetDeadline(time.Now().Add(sampleInterval))
		case errors.Is(err, ringbuf.ErrFlushed):
			return
		default:
			c.fail(fmt.Errorf("reading the ring buffer: %w", err))
			return
		}
	}
}

// goAhead lets the calling goroutine run before others on a busy machine, as far as that is
// allowed: what it comes too late for is lost. Its thread ends with it.
func goAhead() {
	const nice = -10
	runtime.LockOSThread()
	// Refused, it is as it would be without.
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), nice)
}

// event queues one record of the ring buffer. A sample's stack memory comes before
// the sample, from the same CPU and with the same time.
func (c *Collector) event(record []byte, memories map[int]*unwind.Memory) {
	const kindOffset = 8 // of struct event_header
	if len(record) >= kindOffset+4 {
		switch bpf.CoreEventKind(binary.NativeEndian.Uint32(record[kindOffset:])) {
		case bpf.CoreEventKindEVENT_STACK_MEMORY:
			if memory, err := unwind.Decode(record); err == nil {
				memories[memory.CPU] = memory
				return
			}
		case bpf.CoreEventKindEVENT_CPU_SAMPLE:
			if sample, err := cpu.Decode(record); err == nil {
				c.complete(&sample.Stack, sample.CPU, memories, maxHeldMemory)
				c.queue.Push(sample.Time, sample)
				return
			}
		case bpf.CoreEventKindEVENT_STACK:
			if stack, err := wait.DecodeStack(record); err == nil {
				c.complete(&stack.Stack, stack.CPU, memories, maxHeldForWaits)
				c.queue.Push(stack.Time, stack)
				return
			}
		case bpf.CoreEventKindEVENT_WAIT:
			if event, err := wait.Decode(record); err == nil {
				c.pushRelease(event)
				c.queue.Push(event.Time, event)
				return
			}
		case bpf.CoreEventKindEVENT_CONTENTION:
			if event, err := kernellock.Decode(record); err == nil {
				c.queue.Push(event.Time, event)
				return
			}
		case bpf.CoreEventKindEVENT_GO_WAIT:
			if event, err := golock.Decode(record); err == nil {
				c.queue.Push(event.Time, event)
				return
			}
		case bpf.CoreEventKindEVENT_FAULT:
			if event, err := fault.Decode(record); err == nil {
				c.queue.Push(event.Time, event)
				return
			}
		case bpf.CoreEventKindEVENT_KERNEL_ALLOC:
			if event, err := kernelalloc.Decode(record); err == nil {
				c.queue.Push(event.Time, event)
				return
			}
		case bpf.CoreEventKindEVENT_ALLOC:
			if event, err := alloc.Decode(record); err == nil {
				c.queue.Push(event.Time, event)
				return
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.malformed++
}

// complete gives a stack its memory, and has what its walk lacked made ready for the next.
func (c *Collector) complete(s *unwind.Stack, cpu int, memories map[int]*unwind.Memory, limit int) {
	if s.HasMemory {
		memory := memories[cpu]
		delete(memories, cpu)
		if memory != nil && memory.Time == s.Time && c.memory.take(memory.Size(), limit) {
			s.Memory = memory
		}
	}
	if c.tracker.Missing(s.Walked) {
		if err := c.stream.Wake(); err != nil {
			c.fail(err)
		}
	}
}

// readLifecycle moves process records to the queue and to the tracker, and opens what
// they mention while it can be reached.
func (c *Collector) readLifecycle(ctx context.Context) {
	for last := false; !last; {
		if err := c.stream.Wait(lifecycleInterval); err != nil {
			c.fail(err)
			return
		}
		last = ctx.Err() != nil
		if err := c.readBatch(); err != nil {
			c.fail(err)
		}
	}
}

// readBatch reads everything that happened until now. What happens while it reads is
// left for the next batch: of two CPUs' events the later ones may be read first.
func (c *Collector) readBatch() error {
	number, now := c.tracker.Begin(), accounting.Monotonic()
	events := c.later
	c.later = nil
	err := c.stream.Drain(func(event lifecycle.Event) {
		e := unwind.Event{Event: event}
		switch event.Kind {
		case lifecycle.Map:
			e.Binary = c.binaries.Get(event.PID, event.Mapping)
		case lifecycle.Exec:
			e.Container = process.Container(event.PID)
		}
		c.jit.Apply(event)
		if event.Time < now {
			events = append(events, e)
			c.queue.Push(event.Time, lifecycleEvent{e, number})
		} else {
			c.later = append(c.later, e)
			c.queue.Push(event.Time, lifecycleEvent{e, number + 1})
		}
	})
	if len(events) > 0 || c.tracker.Waits() {
		slices.SortStableFunc(events, func(a, b unwind.Event) int { return cmp.Compare(a.Time, b.Time) })
		c.tracker.Apply(number, events)
		if c.goroutines != nil {
			c.goroutines.apply(events)
		}
		c.allocs.apply(events, c.tracker.Prepare)
	}
	return err
}

// replay applies what is old enough, and ends a window when its time is over.
func (c *Collector) replay(ctx context.Context) {
	ticks := time.NewTicker(replayInterval)
	defer ticks.Stop()
	windows := time.NewTicker(c.config.Window)
	defer windows.Stop()
	cuts := time.NewTicker(cutInterval)
	defer cuts.Stop()
	possibilities := time.NewTicker(possibleInterval)
	defer possibilities.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-windows.C:
			if err := c.mark(scheduled); err != nil {
				c.fail(err)
			}
		case <-cuts.C:
			if c.config.Window > cutInterval {
				if err := c.cut(accounting.Monotonic()); err != nil {
					c.fail(err)
				}
			}
		case <-possibilities.C:
			if err := c.mark(possible); err != nil {
				c.fail(err)
			}
		case <-ticks.C:
			c.replayer.release(accounting.Monotonic() - uint64(hold))
		}
	}
}
