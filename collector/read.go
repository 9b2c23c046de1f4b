package collector

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf/ringbuf"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/accounting"
	"github.com/narrows-profiler/narrows/collector/cpu"
	"github.com/narrows-profiler/narrows/collector/lifecycle"
	"github.com/narrows-profiler/narrows/collector/process"
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
	var record ringbuf.Record
	c.events.SetDeadline(time.Now().Add(sampleInterval))
	for {
		switch err := c.events.ReadInto(&record); {
		case err == nil:
			c.event(record.RawSample)
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

// event queues one record of the ring buffer.
func (c *Collector) event(record []byte) {
	const kindOffset = 8 // of struct event_header
	if len(record) >= kindOffset+4 && bpf.CoreEventKind(binary.NativeEndian.Uint32(record[kindOffset:])) == bpf.CoreEventKindEVENT_CPU_SAMPLE {
		if sample, err := cpu.Decode(record); err == nil {
			c.queue.Push(sample.Time, sample)
			return
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.malformed++
}

// readLifecycle moves process records to the queue, and opens what they mention
// while it can be reached.
func (c *Collector) readLifecycle(ctx context.Context) {
	each := func(event lifecycle.Event) {
		e := lifecycleEvent{event: event}
		switch event.Kind {
		case lifecycle.Map:
			e.binary = c.binaries.Get(event.PID, event.Mapping)
		case lifecycle.Exec:
			e.container = process.Container(event.PID)
		}
		c.jit.Apply(event)
		c.queue.Push(event.Time, e)
	}
	for ctx.Err() == nil {
		if err := c.stream.Read(lifecycleInterval, each); err != nil {
			c.fail(err)
			return
		}
	}
	if err := c.stream.Read(0, each); err != nil {
		c.fail(err)
	}
}

// replay applies what is old enough, and ends a window when its time is over.
func (c *Collector) replay(ctx context.Context) {
	ticks := time.NewTicker(replayInterval)
	defer ticks.Stop()
	windows := time.NewTicker(c.config.Window)
	defer windows.Stop()
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
		case <-possibilities.C:
			if err := c.mark(possible); err != nil {
				c.fail(err)
			}
		case <-ticks.C:
			c.replayer.release(accounting.Monotonic() - uint64(hold))
		}
	}
}
