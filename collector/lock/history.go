package lock

import (
	"slices"

	"github.com/narrows-profiler/narrows/collector/window"
)

// How much is kept of what threads did: for each of them, and together.
const (
	maxPast  = 1024
	maxPasts = 256 << 10
)

// Activity is what a thread did for some time: it waited, or a sample says that it ran.
type Activity struct {
	From, To uint64 // of a sample From and To are its time
	// Length is how many ns a sample stands for; 0 for a wait, which is as long as it is.
	Length uint64
	Weight float64
	State  string
	// Stack is where: of a sample one that History keeps, of a wait the one of its event.
	Stack    window.StackID
	HasStack bool
}

// History keeps what threads did of late, so that it can be told once it is known that one
// of them held a lock. It is used by one goroutine.
type History struct {
	threads map[uint32]*past
	entries int
	// Dropped is how often all was forgotten for want of room.
	Dropped uint64
}

// past is what one thread did, in the order of the ends.
type past struct{ waits, samples []Activity }

// NewHistory knows nothing yet.
func NewHistory() *History { return &History{threads: map[uint32]*past{}} }

// Add adds what a thread did; it ended no earlier than what was added before.
func (h *History) Add(tid uint32, a Activity) {
	if h.entries >= maxPasts {
		clear(h.threads)
		h.entries = 0
		h.Dropped++
	}
	p := h.threads[tid]
	if p == nil {
		p = &past{}
		h.threads[tid] = p
	}
	list := &p.waits
	if a.Length > 0 {
		list = &p.samples
	}
	if len(*list) >= maxPast {
		*list = slices.Delete(*list, 0, maxPast/2)
		h.entries -= maxPast / 2
	}
	*list = append(*list, a)
	h.entries++
}

// Between gives what a thread did between two times, and for how many ns.
func (h *History) Between(tid uint32, from, to uint64, each func(a Activity, ns float64)) {
	p := h.threads[tid]
	if p == nil {
		return
	}
	for _, list := range [][]Activity{p.waits, p.samples} {
		first, _ := slices.BinarySearchFunc(list, from, func(a Activity, from uint64) int {
			if a.To < from {
				return -1
			}
			return 1
		})
		for _, a := range list[first:] {
			if a.Length > 0 {
				if a.From >= to {
					break
				}
				each(a, float64(a.Length)*a.Weight)
			} else if start, end := max(a.From, from), min(a.To, to); start < end {
				each(a, float64(end-start)*a.Weight)
			}
		}
	}
}

// Forget drops what ended before the time.
func (h *History) Forget(before uint64) {
	old := func(a Activity) bool { return a.To < before }
	h.entries = 0
	for tid, p := range h.threads {
		p.waits, p.samples = slices.DeleteFunc(p.waits, old), slices.DeleteFunc(p.samples, old)
		if len(p.waits)+len(p.samples) == 0 {
			delete(h.threads, tid)
		}
		h.entries += len(p.waits) + len(p.samples)
	}
}
