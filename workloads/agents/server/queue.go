package server

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/narrows-profiler/narrows/workloads/agents/knowledge"
)

// errQueueFull says that as many tasks wait as may.
var errQueueFull = errors.New("too many tasks are waiting")

// queue hands out workers, first come first served, and bounds how many tasks wait for
// one.
type queue struct {
	places  chan struct{}          // one for each task that was let in
	free    chan *knowledge.Ranker // the workers that have no task
	waiting atomic.Int64
}

// newQueue makes the workers.
func newQueue(workers, waiting int, worker func() *knowledge.Ranker) *queue {
	q := &queue{places: make(chan struct{}, workers+waiting), free: make(chan *knowledge.Ranker, workers)}
	for range workers {
		q.free <- worker()
	}
	return q
}

// enter lets a task in and says how many wait already; errQueueFull comes at once. It
// must leave again.
func (q *queue) enter() (depth int, err error) {
	select {
	case q.places <- struct{}{}:
		return int(q.waiting.Load()), nil
	default:
		return 0, errQueueFull
	}
}

// leave makes room for another task.
func (q *queue) leave() { <-q.places }

// awaitWorker waits for a worker until ctx ends. It must be given back.
func (q *queue) awaitWorker(ctx context.Context) (*knowledge.Ranker, error) {
	q.waiting.Add(1)
	defer q.waiting.Add(-1)
	select {
	case worker := <-q.free:
		return worker, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// giveBack ends a worker's task.
func (q *queue) giveBack(worker *knowledge.Ranker) { q.free <- worker }

// load counts the workers with a task and the tasks without a worker, a moment apart.
func (q *queue) load() (working, waiting int) {
	return cap(q.free) - len(q.free), int(q.waiting.Load())
}
