package rank

// A queue moves on when somebody has done the work before, and a lock is free when its holder has.
// What that somebody did is told by the functions that are on all stacks that let the
// waiters go: below one of them the work was done.
const (
	// nearlyAll of the stacks that let go share the functions that are looked at.
	nearlyAll = 0.9
	// mostOfIt is the part that makes up most of something.
	mostOfIt = 0.5
)

// isBehind tells whether a queue waits for those who themselves wait at another place. Two
// queues that are behind each other are both worth looking at.
func (t *Tally) isBehind(key groupKey, queue waitKey) bool {
	at, ok := t.heldUpBy(key, queue)
	if !ok {
		return false
	}
	back, ok := t.heldUpBy(key, at)
	return !ok || back != queue
}

// heldUpBy is the place at which those who serve a queue wait most, if they spend most of
// their time waiting at places that are ranked themselves.
func (t *Tally) heldUpBy(key groupKey, queue waitKey) (at waitKey, ok bool) {
	g := t.waiting.groups[key]
	served := t.servedBelow(key, queue)
	if served == "" {
		return waitKey{}, false
	}
	var most, waited int64
	for k, ns := range g.under[served] {
		if k == queue {
			continue
		}
		waited += ns
		if ns > most || ns == most && compareWaitKeys(k, at) < 0 {
			at, most = k, ns
		}
	}
	return at, waited > 0 && float64(waited) >= mostOfIt*float64(t.spentBelow(key, served, queue))
}

// servedBelow is the innermost function that those who let waiters go have in common
// and below which they spend most of their time; empty if nobody is known to let go.
func (t *Tally) servedBelow(key groupKey, queue waitKey) string {
	g := t.waiting.groups[key]
	var all int64
	common := map[string]int64{}
	for id := range g.places[queue].locks {
		for function, ns := range t.waiting.blame[lockKey{key.benchmark, id}] {
			all += ns
			common[function] += ns
		}
		add(common, t.waiting.above[lockKey{key.benchmark, id}])
	}
	spent, longest := map[string]int64{}, int64(0)
	for function, ns := range common {
		if float64(ns) >= nearlyAll*float64(all) {
			spent[function] = t.spentBelow(key, function, queue)
			longest = max(longest, spent[function])
		}
	}
	served := ""
	for function, ns := range spent {
		if float64(ns) < mostOfIt*float64(longest) || ns == 0 {
			continue
		}
		if served == "" || ns < spent[served] || ns == spent[served] && function < served {
			served = function
		}
	}
	return served
}

// spentBelow is the time that was computed and waited for below a function, but for waits in a
// queue.
func (t *Tally) spentBelow(key groupKey, function string, queue waitKey) int64 {
	g := t.waiting.groups[key]
	ns := t.cpuBelow(key)[function]
	for k, waited := range g.under[function] {
		if k != queue {
			ns += waited
		}
	}
	return ns + g.within[function][runnable]
}

// cpuBelow is the CPU time of a service below each function, by name.
func (t *Tally) cpuBelow(key groupKey) map[string]int64 {
	g := t.groups[key]
	if g == nil {
		return nil
	}
	if g.below == nil {
		g.below = make(map[string]int64, len(g.inclusive))
		for id, ns := range g.inclusive {
			g.below[t.frames[id].function] += ns
		}
	}
	return g.below
}
