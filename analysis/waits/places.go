package waits

import (
	"fmt"
	"maps"
	"reflect"

	"github.com/google/pprof/profile"
)

// Places gives the locks that programs made for themselves their names. A recorder keeps
// apart where such a lock is waited for, as it knows no functions; Places puts together what
// functions say is one lock, and undoes what turns out to be none.
type Places struct {
	known lexicon
	// parking says of the programs that have locks of their own whose those are.
	parking map[uint32]string
}

// NewPlaces knows nothing yet.
func NewPlaces() *Places { return &Places{lexicon{}, map[uint32]string{}} }

// placeID is the ID of a lock of a program's own.
func placeID(program uint32, name string) string { return fmt.Sprintf("%d:%s", program, name) }

// noPlace is the name of what is waited for where no stack tells it.
const noPlace = "[locks that no stack tells]"

// named is what becomes of a lock.
type named struct {
	id    string // empty if it is no lock
	place place  // zero if it stays as it was
}

// Name names the locks of a window, in its lists and in its profiles, whose functions are
// named. It changes labels of samples.
func (p *Places) Name(w *Window) {
	stacks := p.stacks(w)
	ids := map[string]named{}
	for i := range w.Locks {
		if l := &w.Locks[i]; l.Of != "" {
			if at, ok := stacks[l.ID]; ok {
				ids[l.ID] = named{placeID(l.PID, at.name), at}
				p.parking[l.PID] = at.implementation
			}
		}
	}
	for i := range w.Locks {
		l := &w.Locks[i]
		if _, done := ids[l.ID]; l.Of == "" || done {
			continue
		}
		switch {
		case l.OnlyIfNamed:
			ids[l.ID] = named{}
		case p.parking[l.PID] != "":
			ids[l.ID] = named{placeID(l.PID, noPlace), place{noPlace, what{"lock", p.parking[l.PID]}}}
		default:
			ids[l.ID] = named{id: l.Of}
		}
	}
	if len(p.parking) > maxLocks {
		clear(p.parking)
	}
	if len(ids) == 0 {
		return
	}
	w.Locks = renameLocks(w.Locks, ids)
	w.Edges = renameEdges(w.Edges, ids)
	for _, of := range []*profile.Profile{w.LockWait, w.LockBlame, w.LockHeld} {
		relabel(of, ids)
	}
}

// stacks says of each lock that is told apart by its place what that is, where functions
// tell.
func (p *Places) stacks(w *Window) map[string]place {
	at := map[string]place{}
	if w.LockWait == nil {
		return at
	}
	apart := map[string]bool{}
	for i := range w.Locks {
		if l := &w.Locks[i]; l.Of != "" && l.ID != l.Of {
			apart[l.ID] = true
		}
	}
	for _, s := range w.LockWait.Sample {
		id := label(s, "lock")
		if !apart[id] {
			continue
		}
		if found, ok := placeOf(p.known.stack(s)); ok {
			at[id] = found
		}
		delete(apart, id)
	}
	return at
}

// renameLocks puts locks of one new name together, and leaves out what is none.
func renameLocks(locks []LockSeen, ids map[string]named) []LockSeen {
	kept := make([]LockSeen, 0, len(locks))
	at := map[string]int{}
	for _, l := range locks {
		if to, ok := ids[l.ID]; ok {
			if to.id == "" {
				continue
			}
			l.ID, l.Of = to.id, ""
			if to.place.name != "" {
				l.Kind, l.Implementation, l.Name = to.place.kind, to.place.implementation, to.place.name
			}
		}
		if i, ok := at[l.ID]; ok {
			kept[i].merge(&l)
			continue
		}
		at[l.ID] = len(kept)
		kept = append(kept, l)
	}
	return kept
}

// merge adds what was seen of the same lock at another place.
func (l *LockSeen) merge(o *LockSeen) {
	l.Lengths, l.Outcomes, l.Waiters = maps.Clone(l.Lengths), maps.Clone(l.Outcomes), maps.Clone(l.Waiters)
	if l.Lengths == nil {
		l.Lengths = map[uint64]float64{}
	}
	if l.Outcomes == nil {
		l.Outcomes = map[string]float64{}
	}
	if l.Waiters == nil {
		l.Waiters = map[uint32]struct{}{}
	}
	l.addSums(o)
}

// addSums adds what was counted.
func (l *LockSeen) addSums(o *LockSeen) {
	l.Acquisitions += o.Acquisitions
	l.Waits += o.Waits
	l.TotalNS += o.TotalNS
	l.Holds += o.Holds
	l.HeldNS += o.HeldNS
	l.LongestNS = max(l.LongestNS, o.LongestNS)
	for length, n := range o.Lengths {
		l.Lengths[length] += n
	}
	for outcome, n := range o.Outcomes {
		l.Outcomes[outcome] += n
	}
	const maxWaiters = 10_000
	if len(l.Waiters) < maxWaiters {
		maps.Copy(l.Waiters, o.Waiters)
	}
}

func renameEdges(edges []EdgeSeen, ids map[string]named) []EdgeSeen {
	kept := make([]EdgeSeen, 0, len(edges))
	at := map[EdgeKey]int{}
	for _, e := range edges {
		if to, ok := ids[e.Lock]; ok {
			e.Lock = to.id
		}
		if e.Lock == "" && e.Holder == (Thread{}) {
			continue // it waited, and not for a thread
		}
		if i, ok := at[e.EdgeKey]; ok {
			kept[i].Waits += e.Waits
			kept[i].NS += e.NS
			kept[i].LongestNS = max(kept[i].LongestNS, e.LongestNS)
			continue
		}
		at[e.EdgeKey] = len(kept)
		kept = append(kept, e)
	}
	return kept
}

// relabel gives samples their locks' new names, and drops those of none. Samples may share
// their labels with others.
func relabel(p *profile.Profile, ids map[string]named) {
	if p == nil {
		return
	}
	type pair struct{ before, after map[string][]string }
	done := map[uintptr]pair{}
	kept := p.Sample[:0]
	for _, s := range p.Sample {
		to, ok := ids[label(s, "lock")]
		if !ok {
			kept = append(kept, s)
			continue
		}
		if to.id == "" {
			continue
		}
		at := reflect.ValueOf(s.Label).Pointer()
		labels, ok := done[at]
		if !ok {
			labels = pair{s.Label, maps.Clone(s.Label)} // before is kept, so that its place is not used again
			labels.after["lock"] = []string{to.id}
			if to.place.kind != "" {
				labels.after["lock_kind"] = []string{to.place.kind}
			}
			done[at] = labels
		}
		s.Label = labels.after
		kept = append(kept, s)
	}
	clear(p.Sample[len(kept):])
	p.Sample = kept
}
