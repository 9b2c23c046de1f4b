package sigmavault

import (
	"bytes"
	"sync"
)

// buffers are memory for units that are read. Any number may be in use.
type buffers struct {
	mutex sync.Mutex
	spare [][]byte
}

// mostSpare is how many are kept while nobody uses them.
const mostSpare = 64

// take returns a buffer for units of at most so many bytes.
func (b *buffers) take(largest int) []byte {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	// A byte more shows that there is one, and bytes.Buffer wants room to read into.
	room := largest + 1 + bytes.MinRead
	if last := len(b.spare) - 1; last >= 0 && cap(b.spare[last]) >= room {
		buffer := b.spare[last]
		b.spare = b.spare[:last]
		return buffer
	}
	return make([]byte, room)
}

// give gives a buffer back that nobody uses any more.
func (b *buffers) give(buffer []byte) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if len(b.spare) < mostSpare {
		b.spare = append(b.spare, buffer)
	}
}
