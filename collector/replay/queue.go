// Package replay puts events from several streams back into the order in which
// they happened.
//
// Streams are in order by themselves but not with each other, and some facts (the
// phase of a benchmark, what a GPU did) are known late. So a [Queue] holds every
// event for a while and gives it out, oldest first, when nothing older can come. A
// [Timeline] then says what the machine was doing at an event's time.
package replay

import (
	"container/heap"
	"sync"
)

// Queue holds events until they are old enough. It may be used by several
// goroutines.
type Queue[E any] struct {
	mu     sync.Mutex
	held   order[E]
	pushed uint64
	// released is the time up to which events were given out; late counts those
	// that came after that and so were given out of order.
	released uint64
	late     uint64
}

type entry[E any] struct {
	time     uint64
	sequence uint64
	event    E
}

// Push adds an event that happened at the given time. Events of the same time keep
// the order in which they were pushed.
func (q *Queue[E]) Push(time uint64, event E) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if time < q.released {
		q.late++
	}
	q.pushed++
	heap.Push(&q.held, entry[E]{time: time, sequence: q.pushed, event: event})
}

// Release gives out all events that happened before the given time, oldest first.
func (q *Queue[E]) Release(before uint64, each func(time uint64, event E)) {
	for {
		q.mu.Lock()
		q.released = max(q.released, before)
		if len(q.held) == 0 || q.held[0].time >= before {
			q.mu.Unlock()
			return
		}
		e := heap.Pop(&q.held).(entry[E])
		q.mu.Unlock()
		each(e.time, e.event)
	}
}

// Late is the number of events that came too late to be given out in order.
func (q *Queue[E]) Late() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.late
}

// Len is the number of events held now.
func (q *Queue[E]) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.held)
}

type order[E any] []entry[E]

func (o order[E]) Len() int { return len(o) }
func (o order[E]) Less(i, j int) bool {
	if o[i].time != o[j].time {
		return o[i].time < o[j].time
	}
	return o[i].sequence < o[j].sequence
}
func (o order[E]) Swap(i, j int) { o[i], o[j] = o[j], o[i] }
func (o *order[E]) Push(x any)   { *o = append(*o, x.(entry[E])) }
func (o *order[E]) Pop() any {
	last := len(*o) - 1
	e := (*o)[last]
	(*o)[last] = entry[E]{}
	*o = (*o)[:last]
	return e
}
