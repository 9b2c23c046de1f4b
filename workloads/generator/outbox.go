package generator

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	// batchTime is how long a message waits for others. It is far less than what a
	// recording waits for late marks.
	batchTime = 50 * time.Millisecond
	// mostWaiting bounds what waits for a slow reader, in bytes: hundreds of
	// thousands of requests. Beyond it the load waits for the reader, which its
	// lateness then shows.
	mostWaiting = 64 << 20
)

// outbox sends messages to a reader, in order, without keeping who has them to send.
type outbox struct {
	out  io.Writer
	most int

	mutex   sync.Mutex
	waiting bytes.Buffer
	encoder *gob.Encoder // to waiting
	room    *sync.Cond   // less is waiting than was, or nothing can be sent any more
	failure error

	filled  chan struct{} // something is waiting
	closing chan struct{}
	sending sync.WaitGroup
}

func newOutbox(out io.Writer, most int) *outbox {
	b := &outbox{out: out, most: most, filled: make(chan struct{}, 1), closing: make(chan struct{})}
	b.encoder, b.room = gob.NewEncoder(&b.waiting), sync.NewCond(&b.mutex)
	b.sending.Go(b.send)
	return b
}

// put takes a message. The error is that of an earlier one which could not be sent.
func (b *outbox) put(r report) error {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	for b.waiting.Len() > b.most && b.failure == nil {
		b.room.Wait()
	}
	if b.failure != nil {
		return b.failure
	}
	if err := b.encoder.Encode(r); err != nil {
		return fmt.Errorf("encoding what the load generator reports: %w", err)
	}
	select {
	case b.filled <- struct{}{}:
	default:
	}
	return nil
}

// send writes what is waiting, some time after the first of it came.
func (b *outbox) send() {
	var batch bytes.Buffer
	for last := false; !last; {
		select {
		case <-b.filled:
			last = b.pause()
		case <-b.closing:
			last = true
		}
		b.mutex.Lock()
		b.waiting, batch = batch, b.waiting
		b.room.Broadcast()
		b.mutex.Unlock()
		if _, err := b.out.Write(batch.Bytes()); err != nil {
			b.fail(err)
			return
		}
		batch.Reset()
	}
}

// pause waits for more to send and reports whether nothing more comes.
func (b *outbox) pause() (last bool) {
	timer := time.NewTimer(batchTime)
	defer timer.Stop()
	select {
	case <-timer.C:
		return false
	case <-b.closing:
		return true
	}
}

// fail lets go of all who wait for room.
func (b *outbox) fail(err error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.failure = fmt.Errorf("writing what the load generator reports: %w", err)
	b.room.Broadcast()
}

// close sends the rest and returns when it is read, or why it is not.
func (b *outbox) close() error {
	close(b.closing)
	b.sending.Wait()
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.failure
}
