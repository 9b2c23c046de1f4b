// Package inbox hands requests to a goroutine that may be busy: who asks never waits. What finds
// no room is counted, not kept.
package inbox

import "sync/atomic"

// Inbox holds requests until they are taken.
type Inbox[T any] struct {
	requests chan T
	dropped  atomic.Uint64
}

// New makes an inbox with room for so many requests.
func New[T any](room int) *Inbox[T] { return &Inbox[T]{requests: make(chan T, room)} }

// Put adds a request, unless there is no room for it.
func (i *Inbox[T]) Put(request T) {
	select {
	case i.requests <- request:
	default:
		i.dropped.Add(1)
	}
}

// Requests is where they are taken from, in their order.
func (i *Inbox[T]) Requests() <-chan T { return i.requests }

// Dropped is how many found no room.
func (i *Inbox[T]) Dropped() uint64 { return i.dropped.Load() }
