package collector

import (
	"github.com/narrows-profiler/narrows/collector/accounting"
	"github.com/narrows-profiler/narrows/collector/goheap"
	"github.com/narrows-profiler/narrows/collector/window"
)

// watchGoHeaps makes ready to read the heap profiles that Go programs keep of themselves.
func (c *Collector) watchGoHeaps() (*goheap.Watcher, error) {
	return goheap.Watch(c.rescan, func(g goheap.Growth) { c.queue.Push(accounting.Monotonic(), g) })
}

// goHeap adds to the window what the reading of a Go program's heap told. It was sampled by
// the program, at its own rate.
func (r *replayer) goHeap(g goheap.Growth) {
	if r.opened == nil {
		return
	}
	labels := window.Labels{Process: g.Name, PID: g.PID, TID: g.PID}
	if p := r.table.Known(g.PID); p != nil {
		labels.Service, labels.Container = p.Service, p.Container
	}
	if g.Rate != int64(r.heap.mean) {
		labels.Rate = g.Rate
	}
	for i, s := range g.Samples {
		labels.Bytes, labels.Unwind = s.Size, s.Unwind
		stack := s.Stack
		if len(stack) == 0 {
			stack = []window.Frame{{Function: r.heap.lost}}
		}
		r.heap.builder.Add(labels, stack, s.Values[:]...)
		if g.Past != nil {
			block := LiveBlock{Objects: float64(s.Values[2]), Size: s.Size}
			r.heap.sites.add(LiveSite{
				Go: true, Mean: g.Rate, Began: g.Began, Ended: g.Ended, Gone: g.Gone, Blocks: []LiveBlock{block}, Past: g.Past[i],
			}, labels, stack)
		}
	}
}
