package replay

import (
	"slices"
	"sync"
)

// Timeline says which benchmark and phase the machine was in at a time. It may be
// used by several goroutines.
type Timeline struct {
	mu    sync.Mutex
	marks []mark
}

type mark struct {
	time             uint64
	benchmark, phase string
}

// Mark says that from the given time on this is the benchmark and phase; empty
// strings end them.
func (t *Timeline) Mark(time uint64, benchmark, phase string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i, _ := slices.BinarySearchFunc(t.marks, time, func(m mark, time uint64) int {
		if m.time <= time {
			return -1
		}
		return 1
	})
	t.marks = slices.Insert(t.marks, i, mark{time, benchmark, phase})
}

// At is the benchmark and phase at the given time.
func (t *Timeline) At(time uint64) (benchmark, phase string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range slices.Backward(t.marks) { // what is asked for is nearly always recent
		if m.time <= time {
			return m.benchmark, m.phase
		}
	}
	return "", ""
}

// Split gives the parts of the time between from and to in which the benchmark and phase
// stayed the same, oldest first. One that has no length is one part.
func (t *Timeline) Split(from, to uint64, part func(benchmark, phase string, length uint64)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next, _ := slices.BinarySearchFunc(t.marks, from, func(m mark, time uint64) int {
		if m.time <= time {
			return -1
		}
		return 1
	})
	for {
		var now mark
		if next > 0 {
			now = t.marks[next-1]
		}
		if next == len(t.marks) || t.marks[next].time >= to {
			part(now.benchmark, now.phase, to-from)
			return
		}
		if length := t.marks[next].time - from; length > 0 {
			part(now.benchmark, now.phase, length)
		}
		from = t.marks[next].time
		next++
	}
}

// Forget drops what no time from the given one on needs.
func (t *Timeline) Forget(before uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	keep := 0
	for i, m := range t.marks {
		if m.time <= before {
			keep = i
		}
	}
	t.marks = slices.Delete(t.marks, 0, keep)
}
