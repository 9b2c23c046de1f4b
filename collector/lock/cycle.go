package lock

import (
	"cmp"
	"maps"
	"slices"
)

// Waiting is a wait under way for a lock whose holder is known.
type Waiting struct {
	Waiter, Holder Thread
	Lock           Identity
	Since          uint64 // ns of CLOCK_MONOTONIC; the wait, or the part of it that one window has
}

// Cycle is a deadlock: each thread waits for a lock that the next one holds, the last one for
// one of the first. Where they wait is in the profile lock-wait, by the labels tid and lock.
type Cycle []Waiting

// Cycles finds the deadlocks among waits under way. A thread waits for one lock at a time, so
// each is in one cycle at most.
func Cycles(waits []Waiting) []Cycle {
	byWaiter := make(map[uint32]Waiting, len(waits))
	for _, w := range waits {
		byWaiter[w.Waiter.TID] = w
	}
	var cycles []Cycle
	done := map[uint32]bool{}
	for _, tid := range slices.Sorted(maps.Keys(byWaiter)) {
		at := map[uint32]int{}
		var path Cycle
		for w, ok := byWaiter[tid]; ok && !done[w.Waiter.TID]; w, ok = byWaiter[w.Holder.TID] {
			done[w.Waiter.TID] = true
			at[w.Waiter.TID] = len(path)
			path = append(path, w)
			if first, ok := at[w.Holder.TID]; ok {
				cycles = append(cycles, rotate(path[first:]))
			}
		}
	}
	return cycles
}

// rotate begins a cycle with its lowest TID, so that one found twice looks the same.
func rotate(c Cycle) Cycle {
	lowest := 0
	for i := range c {
		if cmp.Less(c[i].Waiter.TID, c[lowest].Waiter.TID) {
			lowest = i
		}
	}
	return slices.Concat(c[lowest:], c[:lowest])
}
