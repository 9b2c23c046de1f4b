package lock

import (
	"github.com/narrows-profiler/narrows/collector/jit"
	"github.com/narrows-profiler/narrows/collector/window"
)

// holding tells apart for whom others waited, and in which phase.
type holding struct {
	lock             string
	pid, tid         uint32
	benchmark, phase string
}

// spent is how long others waited for one holder, and how much of that it is told what the
// holder did.
type spent struct {
	of   Identity
	by   Thread
	all  float64
	told float64
}

func holdingOf(l window.Labels) holding {
	return holding{l.Lock, l.PID, l.TID, l.Benchmark, l.Phase}
}

// notSampled stands for what a holder did when it neither waited nor was sampled.
var notSampled = pseudo("[holder ran, not sampled]")

// pseudo is a stack that says why there is none.
func pseudo(name string) []window.Frame {
	return []window.Frame{{Function: &jit.Function{Name: name, SystemName: name}}}
}

// Holding adds that others waited for a lock while the thread held it: ns is that time as
// often as threads waited. Held then says what it did. A sample stands for a whole period,
// in which the thread may have held a lock for a part only; so what Held adds of a holder is
// brought to this sum in the end, and what is missing goes to one frame.
func (w *Window) Holding(id Identity, holder Thread, benchmark, phase string, ns float64) {
	key := holding{w.Lock(id).ID, holder.PID, holder.TID, benchmark, phase}
	h := w.holdings[key]
	if h == nil {
		h = &spent{of: id, by: holder}
		w.holdings[key] = h
	}
	h.all += ns
}

// balance makes what is told of holders add up to how long others waited for them.
func (w *Window) balance() {
	w.held.Scale(func(l window.Labels) []float64 {
		h := w.holdings[holdingOf(l)]
		if h == nil || h.told <= h.all {
			return []float64{1}
		}
		return []float64{h.all / h.told}
	})
	for key, h := range w.holdings {
		if rest := h.all - h.told; rest >= 1 {
			labels := h.by.labels()
			labels.Benchmark, labels.Phase, labels.State = key.benchmark, key.phase, "running"
			w.Held(h.of, labels, notSampled, rest)
		}
	}
}
