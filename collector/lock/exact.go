package lock

import "github.com/narrows-profiler/narrows/collector/window"

// Sums are what was counted of a lock, each wait of it.
type Sums struct {
	Acquisitions, Waits, Waited    float64 // Waited in ns
	TimedOut, Interrupted, Changed float64 // Waits that ended so
	Holds, HeldFor                 float64
}

func (s *Sums) add(other Sums) {
	s.Acquisitions += other.Acquisitions
	s.Waits += other.Waits
	s.Waited += other.Waited
	s.TimedOut += other.TimedOut
	s.Interrupted += other.Interrupted
	s.Changed += other.Changed
	s.Holds += other.Holds
	s.HeldFor += other.HeldFor
}

// counted is what was counted of a lock in a window.
type counted struct {
	of      Identity
	process Thread
	sums    Sums
}

// factors bring what was sampled of a lock to what was counted.
type factors struct{ acquisitions, waits, waited float64 }

// unseen is the place of waits that were counted, and of which none was sampled.
var unseen = pseudo("[no stack: only counted]")

// Exact adds what was counted of a lock in this window. What was added of it as sampled is
// brought to that in the end: the profiles, the edges and the lock's own numbers then add up
// to the sums. process is whose lock it is, in case that none of its waits was added.
func (w *Window) Exact(id Identity, process Thread, s Sums) {
	c := w.counted[id.ID]
	if c == nil {
		c = &counted{of: id, process: process}
		w.counted[id.ID] = c
	}
	c.sums.add(s)
}

// scale brings everything to what was counted.
func (w *Window) scale() {
	of := make(map[string]factors, len(w.counted))
	places := w.places()
	for id, c := range w.counted {
		if parts := places[id]; parts != nil {
			f := correctPlaces(parts, c.sums)
			for _, l := range parts {
				of[l.ID] = f
			}
		} else if f, ok := w.correct(c); ok {
			of[id] = f
		}
	}
	at := func(id string) factors {
		if f, ok := of[id]; ok {
			return f
		}
		return factors{1, 1, 1}
	}
	each := func(l window.Labels) []float64 { f := at(l.Lock); return []float64{f.acquisitions, f.waited} }
	w.wait.Scale(each)
	w.blame.Scale(each)
	w.held.Scale(func(l window.Labels) []float64 { return []float64{at(l.Lock).waited} })
	for key, e := range w.Edges {
		f := at(key.Lock)
		e.Waits *= f.waits
		e.Total *= f.waited
	}
}

// correct makes a lock's numbers exact, and says by how much they change.
func (w *Window) correct(c *counted) (factors, bool) {
	s := c.sums
	if l := w.Locks[c.of.ID]; l == nil || l.Total == 0 {
		w.Add(Contention{
			Lock: c.of, Waiter: c.process, Stack: unseen, Unwind: "no stack", Length: uint64(s.Waited), Weight: 1, First: s.Acquisitions > 0, State: "futex",
		})
	}
	l := w.Locks[c.of.ID]
	if l == nil { // it is one of many that found no room
		others := w.Locks[Others]
		others.Waits += s.Waits - 1
		others.Outcomes[Woken] += s.Waits - 1
		others.Acquisitions += max(s.Acquisitions-1, 0)
		return factors{}, false
	}
	delete(l.Waiters, 0)
	open := l.Outcomes[Open]
	f := factors{acquisitions: ratio(s.Acquisitions, l.Acquisitions), waits: ratio(s.Waits+open, l.Waits), waited: ratio(s.Waited, l.Total)}
	l.Lengths.scale(f.waits)
	l.Acquisitions, l.Waits, l.Total = s.Acquisitions, s.Waits+open, s.Waited
	l.Outcomes = [outcomes]float64{
		Woken: max(s.Waits-s.TimedOut-s.Interrupted-s.Changed, 0), TimedOut: s.TimedOut, Interrupted: s.Interrupted, Changed: s.Changed, Open: open,
	}
	l.Holds, l.HeldFor = s.Holds, s.HeldFor
	return f, true
}

// places are the parts of locks that are told apart by where they are waited for.
func (w *Window) places() map[string][]*Lock {
	of := map[string][]*Lock{}
	for _, l := range w.Locks {
		if l.Of != "" && l.Total > 0 {
			of[l.Of] = append(of[l.Of], l)
		}
	}
	return of
}

// correctPlaces makes the numbers of all places of a lock add up to what was counted of it.
func correctPlaces(places []*Lock, s Sums) factors {
	var seen Sums
	for _, l := range places {
		seen.Acquisitions += l.Acquisitions
		seen.Waits += l.Waits - l.Outcomes[Open]
		seen.Waited += l.Total
	}
	f := factors{acquisitions: ratio(s.Acquisitions, seen.Acquisitions), waits: ratio(s.Waits, seen.Waits), waited: ratio(s.Waited, seen.Waited)}
	for _, l := range places {
		delete(l.Waiters, 0)
		l.Lengths.scale(f.waits)
		l.Acquisitions *= f.acquisitions
		l.Total *= f.waited
		l.Waits = 0
		for outcome := range l.Outcomes {
			if Outcome(outcome) != Open {
				l.Outcomes[outcome] *= f.waits
			}
			l.Waits += l.Outcomes[outcome]
		}
	}
	return f
}

// ratio is 1 where there is nothing to be scaled.
func ratio(exact, seen float64) float64 {
	if seen == 0 {
		return 1
	}
	return exact / seen
}

// scale multiplies all counts.
func (h *Histogram) scale(factor float64) {
	for c := range h.counts {
		h.counts[c] *= factor
	}
	h.total *= factor
}
