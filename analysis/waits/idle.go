package waits

import (
	"maps"
	"reflect"
	"slices"

	"github.com/google/pprof/profile"
)

// IdleState is the value of the label "state" of waits of threads with nothing to do.
const IdleState = "idle"

// Idle says how much of each thread's waiting in each state was idle.
type Idle map[idleKey]idleShare

type idleKey struct {
	pid, tid uint32
	state    string
}

type idleShare struct{ all, idle int64 } // ns

// mostly tells whether nearly all waits of a thread in a state are idle.
func (i Idle) mostly(t Thread, state string) bool { return i.mostlyBut(0, t, state) }

// mostlyBut is mostly of all waits but some ns that are known to be for something.
func (i Idle) mostlyBut(known float64, t Thread, state string) bool {
	const nearly = 0.9
	s := i[idleKey{t.PID, t.TID, state}]
	return s.all > 0 && float64(s.idle) >= nearly*(float64(s.all)-known)
}

// add adds what another window said.
func (i Idle) add(other Idle) {
	for k, o := range other {
		s := i[k]
		i[k] = idleShare{s.all + o.all, s.idle + o.idle}
	}
}

// MarkIdle gives the samples of waits with nothing to do the state "idle", by the rules of
// idleRules, and says of whom they were. It changes the label alone, and removes nothing.
// The functions must be named.
func MarkIdle(p *profile.Profile) Idle {
	marked, known, idle := Idle{}, lexicon{}, idleLabels{}
	for _, s := range p.Sample {
		state := label(s, "state")
		if state == "" || state == "runnable" || state == "running" {
			continue
		}
		key := idleKey{number(s, "pid"), number(s, "tid"), state}
		share := marked[key]
		weight := s.Value[len(s.Value)-1]
		share.all += weight
		if state == IdleState || idleBy(state, known.stack(s)) != nil {
			share.idle += weight
			s.Label = idle.labels(s.Label) // others may share these
		}
		marked[key] = share
	}
	return marked
}

// idleLabels holds, for the labels of samples, the same with the state "idle". Samples with
// the same labels may share them, and go on to.
type idleLabels map[uintptr]idlePair

type idlePair struct {
	before, after map[string][]string // before is kept, so that its place is not used again
}

func (l idleLabels) labels(of map[string][]string) map[string][]string {
	place := reflect.ValueOf(of).Pointer()
	pair, ok := l[place]
	if !ok {
		pair = idlePair{of, maps.Clone(of)}
		pair.after["state"] = []string{IdleState}
		l[place] = pair
	}
	return pair.after
}

// idleBy is the rule by which a wait is idle, nil if it is not.
func idleBy(state string, stack []call) *idleRule {
	if len(stack) == 0 {
		return nil
	}
	var any, unless uint32
	own, errand := 0, false
	for _, c := range stack {
		any |= c.any
		unless |= c.unless
		if c.own() {
			own++
			errand = errand || c.errand
		}
	}
	for i := range idleRules {
		r, bit := &idleRules[i], uint32(1)<<i
		switch {
		case !slices.Contains(r.states, state), unless&bit != 0, errand && r.noErrand:
		case len(r.any) > 0 && any&bit == 0:
		case len(r.root) > 0 && stack[len(stack)-1].root&bit == 0:
		case r.within > 0 && own > r.within:
		default:
			return r
		}
	}
	return nil
}
