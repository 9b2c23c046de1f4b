package collector

import "sync/atomic"

// maxHeldMemory bounds the copies of stacks that wait to be unwound, in bytes: two
// seconds of a CPU that does nothing but start processes, at 999 Hz.
const maxHeldMemory = 32 << 20

// memoryBudget counts the copies of stacks that are held. It may be used by several
// goroutines.
type memoryBudget struct {
	held    atomic.Int64
	dropped atomic.Uint64 // copies for which there was no room
}

// take counts one in, unless there is no room for it.
func (b *memoryBudget) take(n int) bool {
	if b.held.Add(int64(n)) > maxHeldMemory {
		b.held.Add(int64(-n))
		b.dropped.Add(1)
		return false
	}
	return true
}

func (b *memoryBudget) give(n int) { b.held.Add(int64(-n)) }
