package waits

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

const (
	maxChains = 20
	maxHops   = 16
	// smallShare of a chain's first wait is not followed any further.
	smallShare = 0.05
	// leastStart is the part of the largest wait that the first wait of a chain is at least.
	leastStart = 0.01
)

// arc is a wait of one role: for a lock, or for another role.
type arc struct {
	waiter Role
	state  string
	lock   string
	holder Role // zero if nobody is known
}

// graph is who waits for whom, by role, idle waits left out.
type graph struct {
	tally *Tally
	arcs  map[arc]float64 // ns
	of    map[Role][]arc  // by waiter
	locks map[string][]arc
}

// chains follows the largest waits to their ends.
func (t *Tally) chains() []Chain {
	g := t.graph()
	list := []Chain{}
	starts := g.starts()
	for _, s := range starts {
		if len(list) == maxChains || s.ns < leastStart*starts[0].ns {
			break
		}
		c := g.follow(s.arc, s.ns)
		if !slices.ContainsFunc(list, func(longer Chain) bool { return contained(c, longer) }) {
			list = append(list, c)
		}
	}
	for _, c := range list {
		for i := range c.Hops {
			t.countProcesses(&c.Hops[i])
		}
	}
	return list
}

// countProcesses says how many processes there are on either side of a step.
func (t *Tally) countProcesses(h *Hop) {
	way := arc{waiter: h.Waiter}
	if h.Lock != nil {
		way.lock = *h.Lock
	}
	if h.Holder != nil {
		way.holder = *h.Holder
		counted := way.holder // the graph has the other
		counted.Processes = len(t.processes[sidesOf(way, false)])
		h.Holder = &counted
	}
	h.Waiter.Processes = len(t.processes[sidesOf(way, true)])
}

// contained tells whether a chain is what a longer one goes on with.
func contained(c, longer Chain) bool {
	first := c.Hops[0]
	return slices.ContainsFunc(longer.Hops[1:], func(h Hop) bool {
		return h.Waiter == first.Waiter && h.State == first.State && same(h.Lock, first.Lock)
	})
}

func same(a, b *string) bool { return a == b || a != nil && b != nil && *a == *b }

func (t *Tally) graph() *graph {
	t.processes = map[sides]map[uint32]struct{}{}
	g := &graph{tally: t, arcs: map[arc]float64{}, of: map[Role][]arc{}, locks: map[string][]arc{}}
	for k, a := range t.edges.of {
		if t.isIdle(k) || k.Waiter == (Thread{}) {
			continue
		}
		way := arc{waiter: t.roleOf(k.Waiter), state: k.State, lock: k.Lock}
		if k.Holder != (Thread{}) {
			way.holder = t.roleOf(k.Holder)
			t.see(sidesOf(way, false), k.Holder.PID)
		}
		t.see(sidesOf(way, true), k.Waiter.PID)
		g.arcs[way] += a.ns
	}
	g.dropTwice()
	for way := range g.arcs {
		g.of[way.waiter] = append(g.of[way.waiter], way)
		if way.lock != "" {
			g.locks[way.lock] = append(g.locks[way.lock], way)
		}
	}
	return g
}

// dropTwice drops what is known of kernel locks by wake-ups alone where the locks are known
// too: these are the same seconds.
func (g *graph) dropTwice() {
	const state = "lock"
	known := map[Role]bool{}
	for way := range g.arcs {
		if way.state == state && way.lock != "" {
			known[way.waiter] = true
		}
	}
	maps.DeleteFunc(g.arcs, func(way arc, _ float64) bool { return way.state == state && way.lock == "" && known[way.waiter] })
}

type start struct {
	arc
	ns float64
}

// starts are the waits that chains begin with, the largest first: of each role and lock
// together, or of each pair of roles.
func (g *graph) starts() []start {
	sums := map[arc]float64{}
	for way, ns := range g.arcs {
		if way.lock != "" {
			way.holder = Role{}
		}
		sums[way] += ns
	}
	list := make([]start, 0, len(sums))
	for way, ns := range sums {
		if way.lock != "" || way.holder != (Role{}) {
			list = append(list, start{way, ns})
		}
	}
	slices.SortFunc(list, func(a, b start) int { return cmp.Or(cmp.Compare(b.ns, a.ns), compareArcs(a.arc, b.arc)) })
	return list
}

// walk is a chain as it grows.
type walk struct {
	graph *graph
	chain Chain
	seen  map[any]bool // roles and locks that it has been at
	share float64
}

func (g *graph) follow(first arc, ns float64) Chain {
	w := &walk{graph: g, chain: Chain{NS: whole(ns), Hops: []Hop{}}, seen: map[any]bool{first.waiter: true}, share: 1}
	for next, more := first, true; more; {
		next, more = w.step(next)
	}
	return w.chain
}

// end says why the chain goes on no further; without a state nothing is known of what the
// last one did.
func (w *walk) end(why Ending, last step) {
	w.chain.End = End{Reason: why, Share: w.share, Did: []Doing{}}
	if last.state == "" {
		return
	}
	w.chain.End.State, w.chain.End.Function, w.chain.End.Caller = text(last.state), text(last.function), orNull(last.caller)
	for _, c := range last.parts[:min(listedPlaces, len(last.parts))] {
		part := w.share * share(c.ns, last.ns)
		w.chain.End.Did = append(w.chain.End.Did, Doing{
			State: c.state, Function: c.function, Caller: orNull(c.caller), Lock: orNull(c.lock), NS: whole(part * float64(w.chain.NS)), Share: part,
		})
	}
}

// step adds a hop and finds what its holder waited for in turn.
func (w *walk) step(way arc) (next arc, more bool) {
	hop := Hop{Waiter: way.waiter, State: way.state, Share: w.share}
	var choices []choice
	if way.lock != "" {
		hop.Lock = text(way.lock)
		choices, hop.Exact = w.graph.holders(way.lock)
	} else {
		choices = w.graph.choices(way.holder)
	}
	among := way.lock == "" && way.holder == way.waiter // threads of one name wait for each other
	if among {
		choices = slices.DeleteFunc(choices, func(c choice) bool { return c.way != nil && c.way.holder == way.waiter })
	}
	c, part := largest(choices)
	if way.lock == "" && way.holder != (Role{}) {
		hop.Holder = &way.holder
	} else if c.role != (Role{}) {
		hop.Holder = &c.role
	}
	w.chain.Hops = append(w.chain.Hops, hop)
	if hop.Holder == nil {
		w.end(NobodySeen, step{})
		return arc{}, false
	}
	var place any = *hop.Holder
	if way.lock != "" {
		place = way.lock // threads of one name may hold what others of them wait for
	}
	if w.seen[place] && !among {
		w.end(Cycle, step{})
		return arc{}, false
	}
	w.seen[place] = true
	if len(choices) == 0 {
		w.end(NobodySeen, step{})
		return arc{}, false
	}
	w.share *= part
	switch {
	case c.way == nil && waitsForThreads[c.state]:
		w.end(NobodySeen, c)
	case c.way == nil:
		w.end(NoWait, c)
	case w.share < smallShare, len(w.chain.Hops) == maxHops:
		w.end(SmallShare, c)
	default:
		return *c.way, true
	}
	return arc{}, false
}

// waitsForThreads are the states whose end is another thread's doing.
var waitsForThreads = map[string]bool{"futex": true, "socket": true, "pipe": true, "poll": true, "lock": true}

// holders is what holders of a lock did, exactly if lock-held tells; else what those who
// ended the waits did over the whole recording.
func (g *graph) holders(lock string) (choices []choice, exact bool) {
	if l := g.tally.locks[lock]; l != nil && len(l.held.of) > 0 {
		for k, a := range l.held.of {
			if k.lock == lock {
				continue // it waited for it as well, before it held it
			}
			c := choice{role: k.role, doing: k.doing, ns: a.ns}
			if waitsForThreads[k.state] {
				c.way = g.widest(k, lock)
			}
			choices = append(choices, c)
		}
		return choices, true
	}
	sums := map[Role]float64{}
	for _, way := range g.locks[lock] {
		if way.holder != (Role{}) {
			sums[way.holder] += g.arcs[way]
		}
	}
	var most Role
	for role, ns := range sums {
		if ns > sums[most] || ns == sums[most] && compareRoles(role, most) < 0 {
			most = role
		}
	}
	if most == (Role{}) {
		return nil, false
	}
	choices = g.choices(most)
	// Its waits for this very lock are what the chain is about already.
	choices = slices.DeleteFunc(choices, func(c choice) bool { return c.way != nil && c.way.lock == lock })
	if len(choices) == 0 {
		choices = []choice{{role: most, ns: 1, doing: doing{state: "futex"}}}
	}
	return choices, false
}

// widest is a role's largest wait in a state: for the lock that its stack tells, else for
// any but the one it held.
func (g *graph) widest(did holding, held string) *arc {
	var most *arc
	for _, way := range g.of[did.role] {
		if did.lock != "" && way.lock != did.lock || did.lock == "" && g.tally.ofItsOwn(way.lock) {
			continue // its stack says what it waited for, or that it was no such lock
		}
		if way.state != did.state || way.lock == held || way.lock == "" && way.holder == (Role{}) {
			continue
		}
		if most == nil || g.arcs[way] > g.arcs[*most] || g.arcs[way] == g.arcs[*most] && compareArcs(way, *most) < 0 {
			most = &way
		}
	}
	return most
}

// choices is what a role did, idle waits apart. What it waited for others is known by
// edges, the rest by its profiles.
func (g *graph) choices(role Role) []choice {
	if role == (Role{}) {
		return nil
	}
	var choices []choice
	inEdges := map[string]float64{}
	for _, way := range g.of[role] {
		inEdges[way.state] += g.arcs[way]
		if way.lock != "" || way.holder != (Role{}) {
			choices = append(choices, choice{role: role, doing: doing{state: way.state}, ns: g.arcs[way], way: &way})
		}
	}
	if did := g.tally.roles[role]; did != nil {
		for _, k := range did.ordered(compareDoings) {
			ns := did.of[k].ns
			if k.state == IdleState {
				continue
			}
			known := min(inEdges[k.state], ns)
			inEdges[k.state] -= known
			if ns > known {
				choices = append(choices, choice{role: role, doing: k, ns: ns - known})
			}
		}
	}
	return choices
}

func compareRoles(a, b Role) int {
	return cmp.Or(strings.Compare(a.Service, b.Service), strings.Compare(a.Process, b.Process), strings.Compare(a.Thread, b.Thread), cmp.Compare(a.PID, b.PID))
}

func compareArcs(a, b arc) int {
	return cmp.Or(compareRoles(a.waiter, b.waiter), strings.Compare(a.state, b.state), strings.Compare(a.lock, b.lock), compareRoles(a.holder, b.holder))
}
