package server

import (
	"context"
	"errors"

	"github.com/narrows-profiler/narrows/workloads/ryot/llama"
)

// errQueueFull says that as many requests wait as may.
var errQueueFull = errors.New("too many requests are waiting")

// queue hands out the sequences that requests compute with, first come first
// served, and bounds how many wait for one.
type queue struct {
	places chan struct{}        // one for each request that computes or waits
	free   chan *llama.Sequence // those that no request computes with
}

// newQueue makes the sequences.
func newQueue(m *llama.Model, computing, waiting int) *queue {
	q := &queue{make(chan struct{}, computing+waiting), make(chan *llama.Sequence, computing)}
	for range computing {
		q.free <- m.NewSequence()
	}
	return q
}

// acquire waits for a sequence until ctx ends; errQueueFull comes at once.
func (q *queue) acquire(ctx context.Context) (*llama.Sequence, error) {
	select {
	case q.places <- struct{}{}:
	default:
		return nil, errQueueFull
	}
	select {
	case s := <-q.free:
		return s, nil
	case <-ctx.Done():
		<-q.places
		return nil, context.Cause(ctx)
	}
}

// release gives a sequence back, emptied.
func (q *queue) release(s *llama.Sequence) {
	s.Reset()
	q.free <- s
	<-q.places
}

// load counts the requests that compute and those that wait, a moment apart.
func (q *queue) load() (computing, waiting int) {
	computing = cap(q.free) - len(q.free)
	return computing, max(0, len(q.places)-computing)
}
