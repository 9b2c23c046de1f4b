package report

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/narrows-profiler/narrows/analysis/waits"
)

// How much of a document of waits is printed; the file has the rest.
const (
	shownLocks  = 10
	toldLocks   = 3
	shownChains = 4
	shownPlace  = 2
	// leastTold is by how much less than for the first lock may have been waited for one
	// of which more is told.
	leastTold = 100
)

// Waits prints a document of waits as plain text of at most 100 columns: deadlocks first,
// then the locks that were waited for longest and what their holders did meanwhile, what
// the longest waits lead to, and where threads waited at all. With colour, what is wrong
// is coloured by ANSI escapes.
func Waits(w io.Writer, d *waits.Document, colour bool) error {
	t := &terminal{w: w, colour: colour}
	for i := range d.Deadlocks {
		t.deadlock(&d.Deadlocks[i])
	}
	t.locks(d)
	t.chains(d)
	t.states(d)
	return t.err
}

// emphasis colours what is wrong.
func (t *terminal) emphasis(text string) string {
	if !t.colour {
		return text
	}
	return "\x1b[1;31m" + text + "\x1b[0m"
}

// deadlock prints a circle of threads.
func (t *terminal) deadlock(d *waits.Deadlock) {
	state := "it was there when the recording ended"
	if d.Ended {
		state = "it ended while recording"
	}
	t.line("%s of %s, seen for %s: %s", t.emphasis("DEADLOCK"), plural(int64(len(d.Members)), "thread"), cpuTime(d.ForNS), state)
	for i, m := range d.Members {
		next := d.Members[(i+1)%len(d.Members)].Thread
		text := fmt.Sprintf("%s waits for %s, which %s holds", threadName(m.Thread), m.Lock, threadName(next))
		if m.Function != "" {
			text = fmt.Sprintf("%s waits in %s for %s, which %s holds", threadName(m.Thread), brief(m.Function), m.Lock, threadName(next))
		}
		t.wrapped("  ", text)
	}
	t.line("")
}

func threadName(t waits.Thread) string {
	return fmt.Sprintf("%s/%s (thread %d)", known(t.Process), known(t.Name), t.TID)
}

// locks prints the table of locks, and more of the first ones.
func (t *terminal) locks(d *waits.Document) {
	var busy []*waits.Lock
	for i := range d.Locks {
		if l := &d.Locks[i]; l.TotalNS > l.IdleNS {
			busy = append(busy, l)
		}
	}
	if len(busy) == 0 {
		t.wrapped("", "Locks: "+noLocks(d))
		t.line("")
		return
	}
	t.line("Locks by how long threads waited for them, in %.1f s", d.Seconds)
	t.line("     %s %s %s %s %s %s %s %s", pad("lock", 20), pad("kind", 16), padLeft("taken/waits", 12), padLeft("waited", 8), padLeft("median", 8), padLeft("99 %", 8), padLeft("longest", 8), padLeft("held", 8))
	for i, l := range busy[:min(shownLocks, len(busy))] {
		t.line("  %2d %s %s %s %s %s %s %s %s", i+1, pad(lockName(l), 20), pad(kindWithin(l, 16), 16), padLeft(takenAndWaits(l), 12),
			padLeft(cpuTime(l.TotalNS-l.IdleNS), 8), padLeft(timeOrUnknown(l.P50NS), 8), padLeft(timeOrUnknown(l.P99NS), 8), padLeft(timeOrUnknown(l.MaxNS), 8), padLeft(timeOrUnknown(l.HeldNS), 8))
	}
	if more := int64(len(busy)-shownLocks) + d.LocksOmitted.Count; more > 0 {
		t.line("     %s more in %s", count(more), waits.FileName)
	}
	for i, l := range busy[:min(toldLocks, len(busy))] {
		if (l.TotalNS-l.IdleNS)*leastTold >= busy[0].TotalNS-busy[0].IdleNS {
			t.lock(i+1, l, d)
		}
	}
	t.line("")
}

// noLocks says why there is no lock to show.
func noLocks(d *waits.Document) string {
	if why := d.Unavailable["locks"]; why != "" {
		return why
	}
	return "nobody waited for one but threads with nothing to do"
}

// lock says more of a lock: who holds it and does what, who waits, and whether they queue.
func (t *terminal) lock(n int, l *waits.Lock, d *waits.Document) {
	holder := "an unknown thread"
	if len(l.TopHolders) > 0 {
		h := &l.TopHolders[0]
		holder = roleName(h.Role)
		if h.Function != nil {
			holder = fmt.Sprintf("%s of %s", brief(*h.Function), roleName(h.Role))
		}
	}
	where := ""
	if l.Process != "" {
		where = " in " + l.Process
	}
	text := fmt.Sprintf("%d  %s holds %s (%s%s): %s of waiting in %.1f s by %s", n, holder, l.ID, lockKind(l), where, cpuTime(l.TotalNS-l.IdleNS), d.Seconds, plural(int64(l.Waiters), "thread"))
	t.wrapped("  ", text)
	if doing := whileHolding(l); doing != "" {
		t.wrapped("     ", "while holding: "+doing)
	} else {
		t.wrapped("     ", "what holders did meanwhile is unknown: "+known(l.Unavailable["while_holding"]))
	}
	if len(l.TopWaiters) > 0 {
		var list []string
		for _, w := range l.TopWaiters[:min(shownPlace, len(l.TopWaiters))] {
			list = append(list, fmt.Sprintf("%s in %s", percent(w.Share), brief(w.Function)))
		}
		t.wrapped("     ", "waited: "+strings.Join(list, ", "))
	}
	for _, c := range d.Convoys {
		if c.Lock == l.ID {
			t.line("     %s: on average %.1f threads queue while it is held, and they take turns", t.emphasis("convoy"), c.Queue)
		}
	}
}

func whileHolding(l *waits.Lock) string {
	const shown, least = 3, 0.02
	var list []string
	for _, w := range l.WhileHolding[:min(shown, len(l.WhileHolding))] {
		if w.Share >= least {
			list = append(list, fmt.Sprintf("%s %s", percent(w.Share), whatHolderDid(l.ID, &w)))
		}
	}
	return strings.Join(list, ", ")
}

// isRemark tells that something is said in the place of a function.
func isRemark(function string) bool {
	return strings.HasPrefix(function, "[") && strings.HasSuffix(function, "]") && strings.Contains(function, " ")
}

// whatHolderDid says what a holder of a lock did while others waited for it.
func whatHolderDid(lock string, w *waits.Doing) string {
	if w.Lock != nil && *w.Lock == lock {
		return "waiting for it as well"
	}
	if w.Lock != nil {
		return "waiting in " + brief(w.Function)
	}
	return doing(w.State, w.Function, value(w.Caller))
}

// doing says what a thread did, and which of its program's functions wanted that.
func doing(state, function, caller string) string {
	verbs := map[string]string{
		"running": "on CPU in", "runnable": "waiting for a CPU in", "io": "asleep for a device in", "sleep": "asleep in", "fault": "asleep in a page fault in",
		"futex": "waiting for a lock in", "lock": "waiting for a lock of the kernel in", "socket": "waiting for a connection's other end in", "pipe": "waiting for a pipe in", "poll": "polling in", "idle": "idle in",
	}
	verb := verbs[state]
	if verb == "" {
		verb = "asleep in"
	}
	switch {
	case function == "":
		return strings.TrimSuffix(verb, " in")
	case isRemark(function):
		return strings.Trim(function, "[]") // a remark, not a function
	}
	if caller != "" {
		caller = " of " + brief(caller)
	}
	return verb + " " + brief(function) + caller
}

// lockName is a short name: a lock's own, or where it lies and in which process.
func lockName(l *waits.Lock) string {
	if l.Name != nil {
		return *l.Name
	}
	_, address, found := strings.Cut(l.ID, ":")
	if !found {
		return l.ID
	}
	return address
}

func lockKind(l *waits.Lock) string {
	if l.Implementation != nil && *l.Implementation != "" {
		return *l.Implementation + " " + l.Kind
	}
	return l.Kind
}

// kindWithin is lockKind, or as much of it as has room.
func kindWithin(l *waits.Lock, room int) string {
	if kind := lockKind(l); utf8.RuneCountInString(kind) <= room {
		return kind
	}
	return l.Kind
}

func takenAndWaits(l *waits.Lock) string {
	const room = 12
	taken, all := math.Round(l.Acquisitions), math.Round(l.Waits)
	text := number(taken) + "/" + number(all)
	if len(text) > room {
		text = thousands(taken) + "/" + thousands(all)
	}
	return text
}

// thousands writes a large number shorter.
func thousands(n float64) string {
	switch {
	case n >= 1e7:
		return number(math.Round(n/1e6)) + "M"
	case n >= 1e4:
		return number(math.Round(n/1e3)) + "k"
	}
	return number(n)
}

func timeOrUnknown(ns *int64) string {
	if ns == nil {
		return "unknown"
	}
	return cpuTime(*ns)
}

// roleName names threads as people do: by the service or the process, and the thread
// where that is called otherwise.
func roleName(r waits.Role) string {
	name := cmp.Or(r.Service, r.Process)
	if name == "" && r.PID != 0 {
		name = fmt.Sprintf("process %d", r.PID)
	}
	name = known(name)
	if r.Thread != "" && r.Thread != r.Process {
		name += "/" + r.Thread
	}
	if r.Processes > 1 {
		name += fmt.Sprintf(" (%d processes)", r.Processes)
	}
	return name
}

// states prints where threads waited, those with nothing to do last.
func (t *terminal) states(d *waits.Document) {
	if len(d.States) == 0 {
		if why := d.Unavailable["states"]; why != "" {
			t.wrapped("", "Where threads waited is unknown: "+why)
		}
		return
	}
	t.line("Where threads waited, in all threads' time")
	var idle *waits.State
	for i := range d.States {
		if s := &d.States[i]; s.State == waits.IdleState {
			idle = s
		} else {
			t.state(s)
		}
	}
	if idle != nil {
		t.state(idle)
	}
}

func (t *terminal) state(s *waits.State) {
	var list []string
	for _, p := range s.Places[:min(shownPlace, len(s.Places))] {
		list = append(list, fmt.Sprintf("%s (%s) %s", shorten(brief(p.Function), 30), p.Process, cpuTime(p.NS)))
	}
	t.line("  %s %s %s  %s", pad(stateName(s.State), 14), padLeft(cpuTime(s.NS), 10), padLeft(count(s.Waits)+" waits", 16), shorten(clean(strings.Join(list, ", ")), 54))
}

// stateName says in words what the less usual states are.
func stateName(state string) string {
	switch state {
	case "runnable":
		return "for a CPU"
	case waits.IdleState:
		return "idle"
	}
	return state
}

// WaitsInBrief says in a few words how threads waited: blocked, for a CPU, and idle.
func WaitsInBrief(d *waits.Document) string {
	var blocked, runnable, idle int64
	var list []string
	for _, s := range d.States {
		switch s.State {
		case "runnable":
			runnable = s.NS
		case waits.IdleState:
			idle = s.NS
		default:
			blocked += s.NS
			if len(list) < shownChains {
				list = append(list, s.State+" "+cpuTime(s.NS))
			}
		}
	}
	if len(d.States) == 0 {
		return ""
	}
	text := cpuTime(blocked) + " blocked"
	if len(list) > 0 {
		text += " (" + strings.Join(list, ", ") + ")"
	}
	return fmt.Sprintf("%s, %s ready without a CPU, %s idle apart", text, cpuTime(runnable), cpuTime(idle))
}
