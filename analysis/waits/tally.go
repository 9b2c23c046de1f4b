package waits

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/pprof/profile"
)

// Bounds of what is kept over windows. What finds no room is summed.
const (
	maxLocks = 2_000
	maxEdges = 10_000
	maxRoles = 2_000
	maxSites = 32 // functions of a lock, or of a role
)

// Tally adds windows up. Its size is bounded, whatever the length of the recording.
type Tally struct {
	known    lexicon
	duration time.Duration
	locks    map[string]*lockSum
	dropped  Omitted // locks
	edges    *bounded[EdgeKey]
	longest  map[EdgeKey]uint64
	idle     Idle
	states   map[string]*bounded[placeKey]
	roles    map[Role]*bounded[doing] // what threads did
	// processes are those of each side of waits, programs the first process of each one's
	// program.
	processes map[sides]map[uint32]struct{}
	programs  map[uint32]uint32
	inLocks   map[idleKey]float64 // ns that threads waited for locks of their programs' own
	circles   map[string]*Deadlock
	waitsIn   map[waitKey]string // the functions of those in deadlocks
	offCPU    bool
}

type placeKey struct{ process, function string }

// doing is what a thread did.
type doing struct {
	state, function string
	// caller is the program's own function that called that one, where it has a name; lock
	// is what was waited for, if that is a lock of the program's own.
	caller, lock string
}

// lockSum is a lock over windows.
type lockSum struct {
	LockSeen
	idleNS  float64
	kinds   *bounded[what]
	waiters *bounded[string] // functions
	stacks  map[string][]string
	blamed  *bounded[blamed]
	held    *bounded[holding]
}

// blamed is a thread that let a lock go, and where.
type blamed struct {
	thread   Thread
	function string
}

// holding is what a holder did while others waited.
type holding struct {
	role Role
	doing
}

// NewTally begins without a window.
func NewTally() *Tally {
	return &Tally{
		known: lexicon{}, locks: map[string]*lockSum{}, edges: newBounded[EdgeKey](maxEdges), longest: map[EdgeKey]uint64{},
		idle: Idle{}, states: map[string]*bounded[placeKey]{}, roles: map[Role]*bounded[doing]{}, programs: map[uint32]uint32{}, circles: map[string]*Deadlock{}, waitsIn: map[waitKey]string{},
	}
}

// Add adds a window. It keeps nothing of it.
func (t *Tally) Add(w Window) {
	t.duration += w.End.Sub(w.Start)
	t.addPrograms(w.Programs)
	for i := range w.Locks {
		t.addLock(&w.Locks[i])
	}
	t.addWaiters(w.LockWait)
	t.addHolders(w.LockBlame)
	t.addHeld(w.LockHeld)
	t.boundLocks()
	t.addThreads(w.OffCPU)
	t.addThreads(w.CPU)
	t.offCPU = t.offCPU || w.OffCPU != nil
	t.addEdges(w.Edges)
	t.boundIdle(w.Idle)
	t.noteWhere(w)
	t.addDeadlocks(w)
}

func (t *Tally) addLock(seen *LockSeen) {
	l := t.locks[seen.ID]
	if l == nil {
		l = &lockSum{
			LockSeen: LockSeen{ID: seen.ID, Kind: seen.Kind, Name: seen.Name, Implementation: seen.Implementation, PID: seen.PID, Lengths: map[uint64]float64{}, Outcomes: map[string]float64{}, Waiters: map[uint32]struct{}{}},
			kinds:    newBounded[what](maxSites), waiters: newBounded[string](maxSites), stacks: map[string][]string{},
			blamed: newBounded[blamed](maxSites), held: newBounded[holding](maxSites),
		}
		t.locks[seen.ID] = l
	}
	l.Process, l.Service = seen.Process, seen.Service
	l.addSums(seen)
}

// boundLocks drops the locks that were waited for least when there are too many.
func (t *Tally) boundLocks() {
	if len(t.locks) <= 2*maxLocks {
		return
	}
	all := t.sortedLocks()
	for _, l := range all[maxLocks:] {
		t.dropped.Count++
		t.dropped.Waits += l.Waits
		t.dropped.NS += int64(l.TotalNS)
		delete(t.locks, l.ID)
	}
}

// sortedLocks are all locks by the time that was waited for them, idle waits apart.
func (t *Tally) sortedLocks() []*lockSum {
	return slices.SortedFunc(maps.Values(t.locks), func(a, b *lockSum) int {
		return cmp.Or(cmp.Compare(b.TotalNS-b.idleNS, a.TotalNS-a.idleNS), cmp.Compare(b.TotalNS, a.TotalNS), strings.Compare(a.ID, b.ID))
	})
}

// addWaiters adds the stacks that waited for locks. Nearly all that is known of what a
// lock is comes from there.
func (t *Tally) addWaiters(p *profile.Profile) {
	t.eachOfLock(p, func(l *lockSum, s *profile.Sample, a amount) {
		stack := t.known.stack(s)
		if label(s, "state") == IdleState {
			l.idleNS += a.ns
		}
		if kind, ok := kindOf(stack); ok {
			l.kinds.add(kind, a)
		}
		place := namedSite(stack)
		l.waiters.add(place, a)
		if _, known := l.stacks[place]; !known && len(l.stacks) < 4*maxSites {
			const shown = 32
			l.stacks[place] = names(stack, shown)
		}
	})
}

// addHolders adds the stacks that let locks go.
func (t *Tally) addHolders(p *profile.Profile) {
	t.eachOfLock(p, func(l *lockSum, s *profile.Sample, a amount) {
		function := ""
		if stack := t.known.stack(s); len(stack) > 0 && !strings.HasPrefix(stack[0].name, "[no stack") {
			function = releaser(stack)
		}
		l.blamed.add(blamed{threadOf(s), function}, a)
	})
}

// addHeld adds what holders did.
func (t *Tally) addHeld(p *profile.Profile) {
	t.eachOfLock(p, func(l *lockSum, s *profile.Sample, a amount) {
		l.held.add(holding{t.roleOf(threadOf(s)), t.did(s)}, a)
	})
}

// eachOfLock visits the samples of locks in the table.
func (t *Tally) eachOfLock(p *profile.Profile, visit func(*lockSum, *profile.Sample, amount)) {
	if p == nil {
		return
	}
	for _, s := range p.Sample {
		if l := t.locks[label(s, "lock")]; l != nil {
			visit(l, s, amountOf(s))
		}
	}
}

// addThreads adds what threads did, by a CPU profile or one of waits.
func (t *Tally) addThreads(p *profile.Profile) {
	if p == nil {
		return
	}
	for _, s := range p.Sample {
		if len(s.NumLabel) == 0 {
			continue // lost, of no thread
		}
		what, a := t.did(s), amountOf(s)
		t.role(t.roleOf(threadOf(s))).add(what, a)
		if what.state == "running" {
			continue
		}
		places := t.states[what.state]
		if places == nil {
			places = newBounded[placeKey](maxSites)
			t.states[what.state] = places
		}
		places.add(placeKey{label(s, "process"), what.function}, a)
	}
}

// role is what is known of a role; of too many, one for all the rest.
func (t *Tally) role(r Role) *bounded[doing] {
	sum := t.roles[r]
	if sum == nil {
		if len(t.roles) >= maxRoles {
			r = Role{Process: "[others]"}
		}
		if sum = t.roles[r]; sum == nil {
			sum = newBounded[doing](maxSites)
			t.roles[r] = sum
		}
	}
	return sum
}

func (t *Tally) addEdges(edges []EdgeSeen) {
	for _, e := range edges {
		t.edges.add(e.EdgeKey, amount{e.Waits, e.NS})
		t.longest[e.EdgeKey] = max(t.longest[e.EdgeKey], e.LongestNS)
	}
	if len(t.longest) > 3*maxEdges { // of edges that are not kept
		maps.DeleteFunc(t.longest, func(k EdgeKey, _ uint64) bool { _, kept := t.edges.of[k]; return !kept })
	}
}

// boundIdle adds what is idle; of too many threads only those that edges are of.
func (t *Tally) boundIdle(i Idle) {
	t.idle.add(i)
	if len(t.idle) <= 4*maxEdges {
		return
	}
	kept := map[idleKey]bool{}
	for k := range t.edges.of {
		kept[idleKey{k.Waiter.PID, k.Waiter.TID, k.State}] = true
	}
	maps.DeleteFunc(t.idle, func(k idleKey, _ idleShare) bool { return !kept[k] })
}

// amountOf is a sample's number of waits, if its profile has one, and time.
func amountOf(s *profile.Sample) amount {
	a := amount{ns: float64(s.Value[len(s.Value)-1])}
	if len(s.Value) > 1 {
		a.count = float64(s.Value[0])
	}
	return a
}

func threadOf(s *profile.Sample) Thread {
	return Thread{
		Service: label(s, "service"), Process: label(s, "process"), Name: label(s, "thread"), Container: label(s, "container"),
		PID: number(s, "pid"), TID: number(s, "tid"),
	}
}

// maxPrograms bounds of how many processes it is known whose program they run.
const maxPrograms = 100_000

// addPrograms adds which processes run one program.
func (t *Tally) addPrograms(programs map[uint32]uint32) {
	if len(t.programs) > maxPrograms {
		clear(t.programs)
	}
	maps.Copy(t.programs, programs)
}

// program is the first process that runs a process's program.
func (t *Tally) program(pid uint32) uint32 {
	if first, ok := t.programs[pid]; ok {
		return first
	}
	return pid
}

// roleOf is a thread together with those of the same name, in all processes that run one
// program.
func (t *Tally) roleOf(of Thread) Role {
	r := roleOf(of)
	if r.PID != 0 {
		r.PID = t.program(r.PID)
	}
	return r
}

// sides is one side of waits: of all for a lock, or of those between two roles.
type sides struct {
	role, other Role // the other one is zero if it is by the lock
	lock        string
	waits       bool
}

func sidesOf(way arc, waits bool) sides {
	s := sides{role: way.waiter, other: way.holder, lock: way.lock, waits: waits}
	if !waits {
		s.role, s.other = s.other, s.role
	}
	if s.lock != "" {
		s.other = Role{}
	}
	return s
}

// see counts the processes of a side.
func (t *Tally) see(s sides, pid uint32) {
	const most = 10_000
	of := t.processes[s]
	if of == nil {
		of = map[uint32]struct{}{}
		t.processes[s] = of
	}
	if len(of) < most {
		of[pid] = struct{}{}
	}
}

// roleOf is a thread together with those of the same name.
func roleOf(t Thread) Role {
	r := Role{Service: t.Service, Process: t.Process, Thread: t.Name, PID: t.PID}
	if stem := strings.TrimRight(t.Name, "0123456789"); stem != t.Name && stem != "" {
		r.Thread = stem + "*"
	}
	if t.Service != "" {
		r.PID = 0
	}
	return r
}
