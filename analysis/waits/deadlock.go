package waits

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// maxCircles bounds the deadlocks that are remembered.
const maxCircles = 100

// addDeadlocks adds the circles that a window ended with; one of an earlier window that is
// not among them has ended.
func (t *Tally) addDeadlocks(w Window) {
	present := map[string]bool{}
	for _, seen := range w.Deadlocks {
		if len(seen.Members) == 0 {
			continue
		}
		members := turned(seen.Members)
		key := ""
		for _, m := range members {
			key += fmt.Sprint(m.Thread.PID, " ", m.Thread.TID, " ", m.Lock, ";")
		}
		present[key] = true
		known := t.circles[key]
		if known == nil {
			if len(t.circles) >= maxCircles {
				continue
			}
			known = &Deadlock{Members: members}
			t.circles[key] = known
		}
		since := seen.Since
		if since.Before(w.Start) { // the time before is counted by its window
			since = w.Start
		}
		known.ForNS += max(w.End.Sub(since).Nanoseconds(), 0)
	}
	for key, d := range t.circles {
		d.Ended = !present[key]
	}
}

// turned begins a circle with its lowest thread, so that equal ones look the same.
func turned(members []Member) []Member {
	first := 0
	for i := range members {
		if members[i].Thread.TID < members[first].Thread.TID {
			first = i
		}
	}
	return slices.Concat(members[first:], members[:first])
}

// deadlocks lists the circles, those that have not ended first.
func (t *Tally) deadlocks() []Deadlock {
	list := []Deadlock{}
	for _, key := range slices.Sorted(maps.Keys(t.circles)) {
		d := *t.circles[key]
		d.Members = slices.Clone(d.Members)
		for i := range d.Members {
			m := &d.Members[i]
			m.Function = t.waitsIn[waitKey{m.Thread.TID, m.Lock}]
		}
		list = append(list, d)
	}
	slices.SortStableFunc(list, func(a, b Deadlock) int {
		return cmp.Or(strings.Compare(fmt.Sprint(a.Ended), fmt.Sprint(b.Ended)), cmp.Compare(b.ForNS, a.ForNS))
	})
	return list
}

// waitKey is a thread that waits for a lock.
type waitKey struct {
	tid  uint32
	lock string
}

// noteWhere remembers in which function threads waited that are in a deadlock.
func (t *Tally) noteWhere(w Window) {
	if w.LockWait == nil {
		return
	}
	wanted := map[waitKey]bool{}
	for _, d := range w.Deadlocks {
		for _, m := range d.Members {
			wanted[waitKey{m.Thread.TID, m.Lock}] = true
		}
	}
	if len(wanted) == 0 {
		return
	}
	longest := map[waitKey]float64{}
	for _, s := range w.LockWait.Sample {
		key := waitKey{number(s, "tid"), label(s, "lock")}
		if ns := amountOf(s).ns; wanted[key] && ns >= longest[key] {
			longest[key] = ns
			t.waitsIn[key] = site(t.known.stack(s))
		}
	}
}
