package vault

import (
	"context"
	"sync/atomic"
)

// write is one change that waits to be made durable.
type write struct {
	id     string
	record []byte // sealed; nil to delete the unit
	chunks []sealedChunk
	entry  Record

	// What came of it, once done has given nil: the chunks of the unit that was
	// there before, and why this write alone was not made.
	replaced []ChunkID
	err      error
	done     chan error
}

// Bounds of what is flushed together.
const (
	maxGroupWrites = 256
	maxGroupBytes  = 16 << 20
)

// committer makes writes durable, in groups: while one group is being flushed the
// next one gathers, so that concurrent writers share a flush and a lone one waits
// for nobody.
type committer struct {
	queue   chan *write
	flush   func([]*write) error
	stop    chan struct{}
	stopped chan struct{}

	groups, writes atomic.Int64
}

func newCommitter(flush func([]*write) error) *committer {
	c := &committer{
		queue: make(chan *write), flush: flush,
		stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	go c.run()
	return c
}

func (c *committer) run() {
	defer close(c.stopped)
	for {
		select {
		case first := <-c.queue:
			c.commit(c.group(first))
		case <-c.stop:
			return
		}
	}
}

// group takes all writes that wait already.
func (c *committer) group(first *write) []*write {
	group, bytes := []*write{first}, first.bytes()
	for len(group) < maxGroupWrites && bytes < maxGroupBytes {
		select {
		case next := <-c.queue:
			group, bytes = append(group, next), bytes+next.bytes()
		default:
			return group
		}
	}
	return group
}

func (w *write) bytes() int {
	sum := len(w.record)
	for _, chunk := range w.chunks {
		sum += len(chunk.bytes)
	}
	return sum
}

// commit flushes a group and tells each writer.
func (c *committer) commit(group []*write) {
	err := c.flush(group)
	c.groups.Add(1)
	c.writes.Add(int64(len(group)))
	for _, w := range group {
		w.done <- err
	}
}

// submit returns when the write is durable. Where ctx ends first, whether it will be
// is open.
func (c *committer) submit(ctx context.Context, w *write) error {
	w.done = make(chan error, 1)
	select {
	case c.queue <- w:
	case <-c.stopped:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-w.done:
		if err == nil {
			err = w.err
		}
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// close ends the committer after the group that it flushes.
func (c *committer) close() {
	close(c.stop)
	<-c.stopped
}
