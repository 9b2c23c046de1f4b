package unwind

import "sync"

// inbox holds messages for a goroutine. Putting one in never waits; requests beyond a
// limit are dropped, since samples ask again.
type inbox struct {
	mu       sync.Mutex
	waiting  *sync.Cond
	messages []any
	requests int
	closed   bool
}

const maxRequests = 4096

func (i *inbox) init() { i.waiting = sync.NewCond(&i.mu) }

func (i *inbox) put(message any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if _, ok := message.(request); ok {
		if i.requests >= maxRequests {
			return
		}
		i.requests++
	}
	i.messages = append(i.messages, message)
	i.waiting.Signal()
}

// take waits for a message; false after close, when all are taken.
func (i *inbox) take() (message any, ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for len(i.messages) == 0 && !i.closed {
		i.waiting.Wait()
	}
	if len(i.messages) == 0 {
		return nil, false
	}
	message = i.messages[0]
	i.messages[0] = nil
	i.messages = i.messages[1:]
	if _, ok := message.(request); ok {
		i.requests--
	}
	return message, true
}

// asked tells whether requests are waiting to be taken.
func (i *inbox) asked() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.requests > 0
}

func (i *inbox) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = true
	i.waiting.Broadcast()
}
