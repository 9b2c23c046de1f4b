package waits

import (
	"slices"
	"strings"
	"unicode"

	"github.com/google/pprof/profile"
)

// call is one function of a stack.
type call struct {
	*function
	kernel bool
}

// function is what its name says of a function.
type function struct {
	name string
	// Wrappers stand between a program and what it waits for, starts are what threads
	// begin in, gates do the system call for others. None is the program's own.
	wrapper, start, gate bool
	// errand tells of a name that its caller wants something of others: room, an answer.
	errand bool
	kind   what // what is waited for in it
	// ownLock is the kind of a program's own lock that it is a function of; nil if of none.
	ownLock *ownLock
	// releases tells that it lets a lock of a program's own go; asks that it asks the system
	// for a file's contents and the like.
	releases, asks bool
	// nameless tells that its name is not known.
	nameless bool
	// Of each idle rule by number: whether this is one of its functions.
	any, unless, root uint32
}

// own tells whether it is one of the program's functions.
func (c call) own() bool { return !c.kernel && !c.wrapper && !c.start && !c.gate }

// lexicon knows functions by name; looking through all patterns takes long.
type lexicon map[string]*function

// maxNames bounds how many functions are remembered.
const maxNames = 200_000

func (l lexicon) function(name string) *function {
	f := l[name]
	if f != nil {
		return f
	}
	f = &function{name: plain(name)}
	f.wrapper, f.start, f.gate = matchesAny(wrappers, f.name), matchesAny(threadStarts, f.name), matchesAny(gates, f.name)
	f.errand = isErrand(f.name)
	f.kind = ruleOf(f.name)
	f.nameless, f.releases, f.asks = isNameless(f.name), matchesAny(releasing, f.name), matchesAny(asking, unversioned(f.name))
	for i := range ownLocks {
		if f.ownLock == nil && matchesAny(ownLocks[i].functions, f.name) {
			f.ownLock = &ownLocks[i]
		}
	}
	for i := range idleRules {
		r, bit := &idleRules[i], uint32(1)<<i
		if matchesAny(r.any, f.name) {
			f.any |= bit
		}
		if matchesAny(r.unless, f.name) {
			f.unless |= bit
		}
		if matchesAny(r.root, f.name) {
			f.root |= bit
		}
	}
	if len(l) >= maxNames {
		clear(l)
	}
	l[strings.Clone(name)] = f
	return f
}

// stack lists a sample's functions, the innermost first.
func (l lexicon) stack(s *profile.Sample) []call {
	calls := make([]call, 0, len(s.Location)+4)
	for _, at := range s.Location {
		kernel := at.Mapping != nil && strings.HasPrefix(at.Mapping.File, "[kernel")
		for _, line := range at.Line {
			if line.Function != nil {
				calls = append(calls, call{l.function(line.Function.Name), kernel})
			}
		}
	}
	return calls
}

// plain drops what linkers and compilers add to a name: the version of a symbol, and what
// tells clones apart.
func plain(name string) string {
	if at := strings.IndexByte(name, '@'); at > 0 {
		name = name[:at]
	}
	for _, clone := range []string{".constprop.", ".isra.", ".part.", ".cold", ".llvm."} {
		if at := strings.Index(name, clone); at > 0 {
			name = name[:at]
		}
	}
	return name
}

// user is the part of a stack that is not the kernel's.
func user(stack []call) []call {
	i := slices.IndexFunc(stack, func(c call) bool { return !c.kernel })
	if i < 0 {
		return nil
	}
	return stack[i:]
}

// site is the program's function that waited: the innermost one of its own; of a thread
// of the kernel the outermost.
func site(stack []call) string {
	above := user(stack)
	if i := slices.IndexFunc(above, call.own); i >= 0 {
		return above[i].name
	}
	switch {
	case len(above) > 0:
		return above[0].name
	case len(stack) > 0:
		return stack[len(stack)-1].name
	}
	return "[unknown]"
}

// unversioned drops what C libraries put before the names of their functions.
func unversioned(name string) string {
	name = strings.TrimPrefix(strings.TrimPrefix(name, "__GI_"), "__libc_")
	return strings.TrimPrefix(strings.TrimPrefix(name, "__"), "libc_")
}

// callee is what a program called when it blocked, such as fsync.
func callee(stack []call) string {
	for _, c := range user(stack) {
		if !c.gate {
			return unversioned(c.name)
		}
	}
	return site(stack)
}

// leaf is the function that ran.
func leaf(stack []call) string {
	if len(stack) == 0 {
		return "[unknown]"
	}
	return stack[0].name
}

// did names what a thread did: where it ran, what it asked the system for, or which of its
// functions waits for others.
func (t *Tally) did(s *profile.Sample) doing {
	stack, state := t.known.stack(s), label(s, "state")
	did := doing{state: state}
	switch state {
	case "running":
		did.function = leaf(stack)
	case "runnable":
		did.function = namedSite(stack)
		if i := slices.IndexFunc(user(stack), func(c call) bool { return !c.gate }); i >= 0 && user(stack)[i].asks {
			did.function = callee(stack)
		}
	case "futex", "poll":
		if at, ok := placeOf(stack); ok {
			did.function, did.lock = at.name, placeID(t.program(number(s, "pid")), at.name)
			return did
		}
		did.function = namedSite(stack)
	case IdleState:
		did.function = namedSite(stack)
		return did
	default:
		did.function = callee(stack)
	}
	if by := caller(stack); by != did.function {
		did.caller = by
	}
	return did
}

// names lists functions of user space, wrappers too, for people to read.
func names(stack []call, most int) []string {
	list := []string{}
	for _, c := range user(stack) {
		if len(list) == most {
			break
		}
		list = append(list, c.name)
	}
	return list
}

// label returns the first value of a sample's string label.
func label(s *profile.Sample, key string) string {
	if values := s.Label[key]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// number returns the first value of a sample's numeric label.
func number(s *profile.Sample, key string) uint32 {
	if values := s.NumLabel[key]; len(values) > 0 {
		return uint32(values[0])
	}
	return 0
}

// isErrand tells whether one of the words of a function's last name is one of errands.
func isErrand(name string) bool {
	if at := strings.LastIndex(name, ")."); at >= 0 { // Go's methods of pointers
		name = name[at+1:]
	}
	name, _, _ = strings.Cut(name, "(")
	name, _, _ = strings.Cut(name, "<")
	name = name[strings.LastIndexAny(name, ":.")+1:]
	word := strings.Builder{}
	said := func() bool {
		defer word.Reset()
		return errands[word.String()]
	}
	for _, r := range name {
		if !unicode.IsLower(r) && said() {
			return true
		}
		if unicode.IsLetter(r) {
			word.WriteRune(unicode.ToLower(r))
		}
	}
	return said()
}
