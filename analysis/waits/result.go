package waits

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
)

// How much the document lists.
const (
	listedLocks  = 1_000
	listedEdges  = 10_000
	listedPlaces = 5
)

// Document is what the windows so far say.
func (t *Tally) Document() *Document {
	d := &Document{
		SchemaVersion: SchemaVersion, Seconds: t.duration.Seconds(),
		States: t.stateList(), Locks: []Lock{}, Edges: []Edge{}, Convoys: []Convoy{}, Deadlocks: t.deadlocks(),
		LocksOmitted: t.dropped, Unavailable: map[string]string{},
	}
	for i, l := range t.sortedLocks() {
		if i >= listedLocks {
			d.LocksOmitted.Count++
			d.LocksOmitted.Waits += l.Waits
			d.LocksOmitted.NS += whole(l.TotalNS)
			continue
		}
		d.Locks = append(d.Locks, t.lock(l))
		if c, ok := convoy(l); ok {
			d.Convoys = append(d.Convoys, c)
		}
	}
	t.countOwn()
	t.listEdges(d)
	d.Chains = t.chains()
	if !t.offCPU {
		const why = "no hook on switches works on the recorded host, or waits were not asked for"
		for _, field := range []string{"states", "edges", "chains"} {
			d.Unavailable[field] = why
		}
	}
	if len(t.locks) == 0 {
		d.Unavailable["locks"] = "no thread was seen to wait for a lock"
	}
	return d
}

func (t *Tally) stateList() []State {
	list := []State{}
	for _, name := range slices.Sorted(maps.Keys(t.states)) {
		places := t.states[name]
		s := State{State: name, Waits: whole(places.total.count), NS: whole(places.total.ns), Places: []Place{}}
		for _, k := range places.ordered(comparePlaces)[:min(listedPlaces, len(places.of))] {
			s.Places = append(s.Places, Place{Process: k.process, Function: k.function, NS: whole(places.of[k].ns)})
		}
		list = append(list, s)
	}
	slices.SortStableFunc(list, func(a, b State) int { return cmp.Compare(b.NS, a.NS) })
	return list
}

func comparePlaces(a, b placeKey) int {
	return cmp.Or(strings.Compare(a.process, b.process), strings.Compare(a.function, b.function))
}

// lock describes one lock.
func (t *Tally) lock(l *lockSum) Lock {
	d := Lock{
		ID: l.ID, Kind: l.Kind, Service: l.Service, Process: l.Process, PID: l.PID,
		Acquisitions: l.Acquisitions, Waits: l.Waits, TotalNS: whole(l.TotalNS), IdleNS: whole(l.idleNS),
		Holds: l.Holds, Outcomes: l.Outcomes, Waiters: len(l.Waiters),
		TopWaiters: topWaiters(l), TopHolders: t.topHolders(l), WhileHolding: whileHolding(l), Unavailable: map[string]string{},
	}
	if l.Name != "" {
		d.Name = &l.Name
	} else {
		d.Unavailable["name"] = "only locks of the kernel, and of programs whose locks are known, have names"
	}
	d.kind(l)
	if len(l.Lengths) > 0 {
		p50, p99, longest := quantile(l, 0.5), quantile(l, 0.99), int64(l.LongestNS)
		d.P50NS, d.P99NS, d.MaxNS = &p50, &p99, &longest
	} else {
		for _, field := range []string{"p50_ns", "p99_ns", "max_ns"} {
			d.Unavailable[field] = "no wait was measured"
		}
	}
	if l.Holds > 0 {
		held := whole(l.HeldNS)
		d.HeldNS = &held
	} else {
		d.Unavailable["held_ns"] = "no thread that had waited for it was seen to hold it"
	}
	if len(d.TopHolders) == 0 {
		d.Unavailable["top_holders"] = "nobody was seen to hold it or to let it go"
	}
	if len(d.WhileHolding) == 0 {
		d.Unavailable["while_holding"] = "no sample was taken of a holder that others waited for"
	}
	return d
}

// quantile is the length that a share q of a lock's waits does not exceed, as exactly as
// its classes of lengths are.
func quantile(l *lockSum, q float64) int64 {
	lengths := slices.Sorted(maps.Keys(l.Lengths))
	var all, sum float64
	for _, n := range l.Lengths {
		all += n
	}
	for _, length := range lengths {
		if sum += l.Lengths[length]; sum >= q*all {
			return int64(min(length, l.LongestNS))
		}
	}
	return int64(l.LongestNS)
}

// kind says what a lock is by its waiting stacks, else by what its recorder knew.
func (d *Lock) kind(l *lockSum) {
	if l.Implementation != "" {
		d.Implementation = &l.Implementation
		return
	}
	if strings.HasPrefix(l.ID, "kernel:") { // whatever called the kernel
		d.Implementation = text("kernel")
		return
	}
	if kinds := l.kinds.ordered(func(a, b what) int {
		return cmp.Or(strings.Compare(a.kind, b.kind), strings.Compare(a.implementation, b.implementation))
	}); len(kinds) > 0 {
		d.Kind, d.Implementation = kinds[0].kind, &kinds[0].implementation
		return
	}
	switch {
	case strings.Contains(l.ID, ":go:"):
		d.Implementation = text("Go")
	default:
		d.Unavailable["implementation"] = "no function that waited for it tells what it is"
	}
	if d.Kind == "" {
		d.Kind = "futex"
	}
}

func topWaiters(l *lockSum) []Waiter {
	list := []Waiter{}
	for _, f := range l.waiters.ordered(strings.Compare)[:min(listedPlaces, len(l.waiters.of))] {
		ns := l.waiters.of[f].ns
		list = append(list, Waiter{Function: f, Stack: orNone(l.stacks[f]), NS: whole(ns), Share: share(ns, l.waiters.total.ns)})
	}
	return list
}

// topHolders folds the threads of one name into one, which is shown with the thread and
// the function that others waited for longest.
func (t *Tally) topHolders(l *lockSum) []Holder {
	sums, processes := map[Role]*Holder{}, map[Role]map[uint32]bool{}
	list := []*Holder{}
	for _, k := range l.blamed.ordered(func(a, b blamed) int {
		return cmp.Or(cmp.Compare(a.thread.TID, b.thread.TID), strings.Compare(a.function, b.function))
	}) {
		role := t.roleOf(k.thread)
		h := sums[role]
		if h == nil {
			h = &Holder{Role: role, TID: k.thread.TID}
			if k.function != "" {
				h.Function = text(k.function)
			}
			sums[role], processes[role] = h, map[uint32]bool{}
			list = append(list, h)
		}
		h.NS += whole(l.blamed.of[k].ns)
		processes[role][k.thread.PID] = true
	}
	slices.SortStableFunc(list, func(a, b *Holder) int { return cmp.Compare(b.NS, a.NS) })
	holders := []Holder{}
	for _, h := range list[:min(listedPlaces, len(list))] {
		h.Processes = len(processes[h.Role])
		h.Share = share(float64(h.NS), l.blamed.total.ns)
		holders = append(holders, *h)
	}
	return holders
}

func whileHolding(l *lockSum) []Doing {
	sums := newBounded[doing](maxSites)
	for k, a := range l.held.of {
		sums.add(k.doing, a)
	}
	list := []Doing{}
	for _, k := range sums.ordered(compareDoings)[:min(listedPlaces, len(sums.of))] {
		ns := sums.of[k].ns
		list = append(list, Doing{State: k.state, Function: k.function, Caller: orNull(k.caller), Lock: orNull(k.lock), NS: whole(ns), Share: share(ns, l.held.total.ns)})
	}
	return list
}

func compareDoings(a, b doing) int {
	return cmp.Or(strings.Compare(a.state, b.state), strings.Compare(a.function, b.function), strings.Compare(a.caller, b.caller), strings.Compare(a.lock, b.lock))
}

// listEdges lists the largest edges and sums the others up.
func (t *Tally) listEdges(d *Document) {
	d.EdgesOmitted = Omitted{Count: t.edges.drops, Waits: t.edges.dropped.count, NS: whole(t.edges.dropped.ns)}
	for i, k := range t.edges.ordered(compareEdges) {
		a := t.edges.of[k]
		if i >= listedEdges {
			d.EdgesOmitted.Count++
			d.EdgesOmitted.Waits += a.count
			d.EdgesOmitted.NS += whole(a.ns)
			continue
		}
		e := Edge{
			Waiter: k.Waiter, Reason: k.State, Benchmark: k.Benchmark, Phase: k.Phase,
			Waits: a.count, NS: whole(a.ns), LongestNS: int64(t.longest[k]), Idle: t.isIdle(k),
		}
		if k.Holder != (Thread{}) {
			e.Holder = &k.Holder
		}
		if k.Lock != "" {
			e.Lock = &k.Lock
		}
		d.Edges = append(d.Edges, e)
	}
}

func compareEdges(a, b EdgeKey) int {
	return cmp.Or(
		cmp.Compare(a.Waiter.TID, b.Waiter.TID), cmp.Compare(a.Holder.TID, b.Holder.TID), strings.Compare(a.State, b.State),
		strings.Compare(a.Lock, b.Lock), strings.Compare(a.Benchmark, b.Benchmark), strings.Compare(a.Phase, b.Phase))
}

// isIdle tells whether an edge is of waits with nothing to do.
func (t *Tally) isIdle(k EdgeKey) bool {
	if t.ofItsOwn(k.Lock) {
		return false // who waits for a lock has something to do, whatever else it waits for
	}
	return k.State == IdleState || t.idle.mostlyBut(t.inLocks[idleKey{k.Waiter.PID, k.Waiter.TID, k.State}], k.Waiter, k.State)
}

// ofItsOwn tells that a lock is one of a program's own.
func (t *Tally) ofItsOwn(lock string) bool {
	l := t.locks[lock]
	return l != nil && l.Implementation != ""
}

// countOwn adds up how long threads waited for locks of their programs' own.
func (t *Tally) countOwn() {
	t.inLocks = map[idleKey]float64{}
	for k, a := range t.edges.of {
		if t.ofItsOwn(k.Lock) {
			t.inLocks[idleKey{k.Waiter.PID, k.Waiter.TID, k.State}] += a.ns
		}
	}
}

func whole(x float64) int64 { return int64(math.Round(x)) }

func share(part, all float64) float64 {
	if all <= 0 {
		return 0
	}
	return min(part/all, 1)
}

func text(s string) *string { return &s }

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func orNone(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
