package rank

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/google/pprof/profile"

	"github.com/narrows-profiler/narrows/analysis/waits"
)

// Limits on what is kept of the waits of a service in a benchmark.
const (
	maxWaitPlaces = 20_000
	maxWaitStacks = 64 // distinct ones of a place, of which maxStacks are shown
	maxLocksOf    = 1_000
	maxLocks      = 100_000 // of which is known who let them go
	maxUnder      = 200_000 // pairs of a function and a place of which waits are below it
)

// others stands for the places that found no room.
const others = "[others]"

// States of waits, as the label "state" has them. A goroutine's wait has goState.
const (
	goState  = "go"
	runnable = "runnable"
)

// Why waits are in no place.
const (
	noWork    = "idle: threads and goroutines with nothing to do"
	forks     = "waits for threads or goroutines that were started for it: what those do is ranked"
	awaited   = "waits for other work while no CPU is idle: more workers would not help, and that work is ranked"
	behind    = "waits for work that is itself held up by locks or another queue: those are ranked"
	runtimes  = "waits of a language runtime's own threads, of which no function of the program is on the stack"
	unknowing = "waits for another process, a time or something unknown"
	spins     = "waits for spinlocks, which are CPU time"
	tiny      = "places below 0.1 % of the time"
)

// waiting adds up the profiles of waits.
type waiting struct {
	namer  *waits.Namer
	groups map[groupKey]*waitGroup
	// blame and held are by benchmark and lock: who let it go, and what holders did, may
	// be another service's.
	blame map[lockKey]map[string]int64
	held  map[lockKey]map[string]int64
	// above is, of queues and of Go's locks, which functions are on the stacks that let go,
	// without those of blame.
	above map[lockKey]map[string]int64
	all   weight
}

type lockKey struct{ benchmark, lock string }

// waitGroup is how one service waited during one benchmark.
type waitGroup struct {
	places   map[waitKey]*waitPlace
	unranked map[string]int64
	// locked is the time in states of which it is known for what locks.
	locked map[string]int64
	// within is the time of all waits below a function that no other thread ends, by state.
	within map[string]map[string]int64
	// under is the time of waits that are places, below a function.
	under map[string]map[waitKey]int64
	pairs int // in under
}

// waitKey tells places apart: the id is a lock, a function, or both of Go's kind of
// wait and its function.
type waitKey struct {
	signal Signal
	id     string
}

// waitPlace is one place as it grows.
type waitPlace struct {
	state  string
	kinds  map[string]int64
	sites  map[string]int64
	locks  map[string]struct{}
	stacks map[string]*weight
	weight
}

// AddOffCPU counts one window's profile of where threads waited.
func (t *Tally) AddOffCPU(p *profile.Profile) error {
	return t.waiting.each(p, "waits", "offcpu", t.waiting.offCPU)
}

// AddLockWait counts one window's profile of the stacks that waited for locks.
func (t *Tally) AddLockWait(p *profile.Profile) error {
	return t.waiting.each(p, "contentions", "delay", t.waiting.lockWait)
}

// AddLockBlame counts one window's profile of the stacks that let locks go.
func (t *Tally) AddLockBlame(p *profile.Profile) error {
	return t.waiting.each(p, "contentions", "delay", func(s *profile.Sample, stack waits.Stack, w weight) {
		if !stack.Known() {
			return
		}
		addBounded(&t.waiting.blame, s, plainName(stack.Site()), w.ns)
		if kind := label(s, "lock_kind"); queueKinds[kind] || goLocks[kind] {
			for _, function := range stack.Above() {
				addBounded(&t.waiting.above, s, function, w.ns)
			}
		}
	})
}

// AddLockHeld counts one window's profile of what holders did.
func (t *Tally) AddLockHeld(p *profile.Profile) error {
	return t.waiting.each(p, "", "blame", func(s *profile.Sample, _ waits.Stack, w weight) {
		addBounded(&t.waiting.held, s, label(s, "state"), w.ns)
	})
}

func addBounded(m *map[lockKey]map[string]int64, s *profile.Sample, what string, ns int64) {
	key := lockKey{label(s, "benchmark"), label(s, "lock")}
	if *m == nil {
		*m = map[lockKey]map[string]int64{}
	}
	of := (*m)[key]
	if of == nil {
		if len(*m) >= maxLocks {
			return
		}
		of = map[string]int64{}
		(*m)[key] = of
	}
	if _, known := of[what]; known || len(of) < maxLocksOf {
		of[what] += ns
	}
}

// each visits the samples of a profile that has the two sample types; without a count
// there is only the time.
func (a *waiting) each(p *profile.Profile, count, ns string, visit func(*profile.Sample, waits.Stack, weight)) error {
	counts, times := -1, -1
	for i, t := range p.SampleType {
		switch {
		case t.Type == count && t.Unit == "count":
			counts = i
		case t.Type == ns && t.Unit == "nanoseconds":
			times = i
		}
	}
	if times < 0 || counts < 0 && count != "" {
		return fmt.Errorf("a profile of waits has not the sample types %s/count and %s/nanoseconds", count, ns)
	}
	if a.namer == nil {
		a.namer, a.groups = waits.NewNamer(), map[groupKey]*waitGroup{}
	}
	for _, s := range p.Sample {
		w := weight{ns: s.Value[times]}
		if counts >= 0 {
			w.samples = s.Value[counts]
		}
		if err := a.all.grow(w); err != nil {
			return err
		}
		if _, lost := lostReason(s); !lost && w != (weight{}) {
			visit(s, a.namer.Read(s), w)
		}
	}
	return nil
}

func (a *waiting) group(s *profile.Sample) *waitGroup {
	key := groupKey{label(s, "benchmark"), label(s, "service")}
	g := a.groups[key]
	if g == nil {
		g = &waitGroup{places: map[waitKey]*waitPlace{}, unranked: map[string]int64{}, locked: map[string]int64{}, within: map[string]map[string]int64{}, under: map[string]map[waitKey]int64{}}
		a.groups[key] = g
	}
	return g
}

// offCPU adds a wait of a thread. Those for locks count here only where nothing else tells
// of them; see [waitGroup.drop].
func (a *waiting) offCPU(s *profile.Sample, stack waits.Stack, w weight) {
	g, state := a.group(s), label(s, "state")
	switch state {
	case waits.IdleState:
		g.unranked[noWork] += w.ns
	case runnable:
		if stack.Has("runtime.sysmon") { // Go's watch over itself, which nobody waits for
			g.unranked[noWork] += w.ns
			return
		}
		if stack.Known() && !stack.Own() {
			g.unranked[runtimes] += w.ns
			return
		}
		g.below(stack, state, w.ns)
		g.place(waitKey{Runnable, ""}, state).add(state, stack, "", w)
	case "io", "fault":
		g.below(stack, state, w.ns)
		g.add(waitKey{OffCPU, state + " " + stack.Site()}, state, state, stack, "", w)
	case "futex", "lock":
		kind, _ := stack.Kind()
		reason := unrankedKinds[kind]
		if stack.Known() && !stack.Own() {
			reason = runtimes
		}
		if reason != "" {
			g.unranked[reason] += w.ns
			return
		}
		g.add(waitKey{OffCPU, state + " " + stack.Site()}, state, state, stack, "", w)
	case "sleep", "pipe":
		g.below(stack, state, w.ns)
		if stack.Loop() {
			g.unranked[noWork] += w.ns
			return
		}
		g.add(waitKey{OffCPU, state + " " + stack.Site()}, state, state, stack, "", w)
	default:
		g.unranked[unknowing] += w.ns
	}
}

// unrankedKinds are the kinds of waits for what is ranked itself.
var unrankedKinds = map[string]string{
	"sync.WaitGroup": forks, "join": forks, "barrier": forks, "once": forks,
	"spinlock": spins,
}

// queueKinds are the kinds of waits that end when somebody has done something, and not when
// a holder lets go. Nobody is to blame for those of a service that has enough to do.
var queueKinds = map[string]bool{
	"chan receive": true, "chan send": true, "select": true, "sync.Cond": true, "semaphore": true, "condition variable": true, "channel": true, "park": true,
}

// goLocks are the kinds of Go's locks, of which nobody records what holders do.
var goLocks = map[string]bool{"sync.Mutex": true, "sync.RWMutex": true}

// lockWait adds a wait for a lock.
func (a *waiting) lockWait(s *profile.Sample, stack waits.Stack, w weight) {
	g, state, kind, lock := a.group(s), label(s, "state"), label(s, "lock_kind"), label(s, "lock")
	if told, ok := stack.Kind(); ok && state == "futex" {
		kind = told
	}
	if state == waits.IdleState {
		g.unranked[noWork] += w.ns
		return
	}
	if kind != "spinlock" { // nobody sleeps there
		g.locked[state] += w.ns
	}
	switch reason := unrankedKinds[kind]; {
	case reason != "":
		g.unranked[reason] += w.ns
	case state == "futex" && stack.Known() && !stack.Own():
		g.unranked[runtimes] += w.ns
	case state == goState && queueKinds[kind] && stack.Loop():
		g.unranked[noWork] += w.ns
	case state == goState:
		g.add(waitKey{Lock, kind + " " + stack.Site()}, state, kind, stack, lock, w)
	default:
		g.add(waitKey{Lock, lock}, state, kind, stack, lock, w)
	}
}

// below adds what a wait is below of.
func (g *waitGroup) below(stack waits.Stack, state string, ns int64) {
	addBelow(g.within, stack, state, ns)
}

// add adds a wait to a place, and to what is waited for below the functions of its stack.
func (g *waitGroup) add(key waitKey, state, kind string, stack waits.Stack, lock string, w weight) {
	g.place(key, state).add(kind, stack, lock, w)
	if g.pairs < maxUnder {
		g.pairs += addBelow(g.under, stack, key, w.ns)
	}
}

// addBelow adds time to each function of a stack, once, and returns how many pairs of a function
// and a key are new.
func addBelow[K comparable](m map[string]map[K]int64, stack waits.Stack, key K, ns int64) (pairs int) {
	seen := map[string]bool{}
	for _, function := range stack.All() {
		if seen[function] {
			continue
		}
		seen[function] = true
		if m[function] == nil {
			m[function] = map[K]int64{}
		}
		before := len(m[function])
		m[function][key] += ns
		pairs += len(m[function]) - before
	}
	return pairs
}

func (g *waitGroup) place(key waitKey, state string) *waitPlace {
	p := g.places[key]
	if p == nil && len(g.places) >= maxWaitPlaces {
		key.id = others
		p = g.places[key]
	}
	if p == nil {
		p = &waitPlace{state: state, kinds: map[string]int64{}, sites: map[string]int64{}, locks: map[string]struct{}{}, stacks: map[string]*weight{}}
		g.places[key] = p
	}
	return p
}

func (p *waitPlace) add(kind string, stack waits.Stack, lock string, w weight) {
	p.weight.add(w)
	p.kinds[kind] += w.ns
	if site := plainName(stack.Site()); p.sites[site] > 0 || len(p.sites) < maxLocksOf {
		p.sites[site] += w.ns
	}
	if lock != "" && len(p.locks) < maxLocksOf {
		p.locks[lock] = struct{}{}
	}
	key := strings.Join(stack.Functions(maxStackFunctions), "\x00")
	if key == "" {
		return
	}
	if p.stacks[key] == nil {
		if len(p.stacks) >= maxWaitStacks {
			return
		}
		p.stacks[key] = &weight{}
	}
	p.stacks[key].add(w)
}

// heaviest are the stacks that waited longest.
func (p *waitPlace) heaviest() []Stack {
	list := []Stack{}
	for _, key := range slices.SortedFunc(maps.Keys(p.stacks), func(a, b string) int {
		return orderBy(p.stacks[a].ns, p.stacks[b].ns, a, b)
	}) {
		if len(list) < maxStacks {
			w := p.stacks[key]
			list = append(list, Stack{Functions: strings.Split(key, "\x00"), Share: ratio(w.ns, p.ns), Samples: w.samples})
		}
	}
	return list
}

// plainName is a function's name, or its binary's where it has none.
func plainName(function string) string {
	if !address.MatchString(function) {
		return function
	}
	return unnamed(path.Base(function[1:strings.LastIndex(function, "+0x")]))
}

// most is the key of the largest value; among equal ones the first by name.
func most(m map[string]int64) string {
	if len(m) == 0 {
		return ""
	}
	return slices.MinFunc(slices.Collect(maps.Keys(m)), func(a, b string) int { return orderBy(m[a], m[b], a, b) })
}
