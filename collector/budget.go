package collector

import "sync/atomic"

// maxHeldMemory bounds the copies of stacks that wait to be unwound, in bytes: two
// seconds of a CPU that does nothing but start processes, at 999 Hz.
const maxHeldMemory = 32 << 20

// maxHeldForWaits is the part of it that stacks of waits may take: CPU samples come first.
const maxHeldForWaits = maxHeldMemory / 2

// memoryBudget counts the copies of stacks that are held. It may be used by several
// goroutines.
type memoryBudget struct {
	held    atomic.Int64
	dropped atomic.Uint64 // copies for which there was no room
}

// take counts one in, unless there is no room for it below a limit.
func (b *memoryBudget) take(n, limit int) bool {
	if b.held.Add(int64(n)) > int64(limit) {
		b.held.Add(int64(-n))
		b.dropped.Add(1)
		return false
	}
	return true
}

func (b *memoryBudget) give(n int) { b.held.Add(int64(-n)) }
