package waits

import (
	"slices"
	"strings"
)

// ownLock is a kind of lock that a program made for itself, where who waits sleeps at a place
// of its own until it is woken. It is known by its functions.
type ownLock struct {
	// functions are those of the lock: the outermost of them on a stack names it.
	functions []pattern
	kind      string
	program   string
	// within tells that many locks are of this kind, so that the function that wanted one
	// belongs to the name.
	within bool
}

// ownLocks are looked through in their order, for the innermost of the program's functions.
var ownLocks = []ownLock{
	{[]pattern{"LWLockAcquire*", "LWLockWaitForVar", "LWLockQueueSelf", "LWLockDequeueSelf", "LWLockRelease*", "LWLockWakeup"}, "LWLock", "PostgreSQL", true},
	{[]pattern{"ProcSleep", "WaitOnLock", "LockAcquire", "LockAcquireExtended", "XactLockTableWait", "XactLockForVirtualXact", "VirtualXactLock", "SpeculativeInsertionWait", "LockTuple", "heap_acquire_tuplock", "LockRelation*", "LockPage", "LockDatabaseFrozenIds", "LockDatabaseObject", "LockSharedObject*"}, "lock", "PostgreSQL", false},
	{[]pattern{"ProcArrayGroupClearXid", "ProcArrayEndTransaction", "TransactionGroupUpdateXidStatus", "TransactionIdSetPageStatus", "TransactionIdCommitTree"}, "group update", "PostgreSQL", false},
	{[]pattern{"ConditionVariableSleep", "ConditionVariableTimedSleep"}, "condition variable", "PostgreSQL", true},
}

// kinds of PostgreSQL's locks between transactions, by the function that names one.
var transactionLocks = map[string]string{
	"XactLockTableWait": "transaction lock", "XactLockForVirtualXact": "transaction lock", "VirtualXactLock": "transaction lock",
	"LockTuple": "tuple lock", "heap_acquire_tuplock": "tuple lock", "SpeculativeInsertionWait": "speculative lock", "LockPage": "page lock",
}

// nameless is how many functions of stripped code may lie between those that names tell.
const nameless = 2

// place is where a lock of a program's own is waited for.
type place struct {
	name string // such as "LWLockAcquire in XLogInsertRecord"
	what
}

// placeOf names the lock of the program's own that a stack waits for, if it does.
func placeOf(stack []call) (place, bool) {
	calls := ownCalls(user(stack))
	first := slices.IndexFunc(calls, func(c call) bool { return !c.nameless })
	if first < 0 || first > nameless || calls[first].ownLock == nil {
		return place{}, false
	}
	kind := calls[first].ownLock
	name, by := calls[first].name, ""
	skipped := 0
	for _, c := range calls[first+1:] {
		if c.nameless {
			skipped++
		}
		if skipped > nameless {
			break
		}
		if c.ownLock == kind {
			name, skipped = c.name, 0
		} else if !c.nameless {
			by = c.name
			break
		}
	}
	found := place{name, what{kind.kind, kind.program}}
	if special := transactionLocks[name]; special != "" {
		found.kind = special
	}
	if kind.within && by != "" {
		found.name += " in " + by
	}
	return found, true
}

// ownCalls are the program's own functions of a stack's inner part.
func ownCalls(stack []call) []call {
	const most = 12
	calls := make([]call, 0, most)
	for _, c := range stack {
		if c.own() && len(calls) < most {
			calls = append(calls, c)
		}
	}
	return calls
}

// isNameless tells of a function's name that it is none: "[program+0x123]".
func isNameless(name string) bool {
	return strings.HasPrefix(name, "[") && strings.Contains(name, "+0x")
}

// namedSite is site, by the innermost function that has a name: of stripped code who called it.
func namedSite(stack []call) string {
	for _, c := range user(stack) {
		if c.own() && !c.nameless {
			return c.name
		}
	}
	return site(stack)
}

// caller is the program's function, by name, that had something to do with a lock or with
// what it called: the innermost that is neither of a lock, nor lets one go, nor asks the
// system for something. It is empty if there is none.
func caller(stack []call) string {
	var lock *ownLock
	for _, c := range user(stack) {
		switch {
		case !c.own() || c.nameless || c.asks || strings.HasPrefix(c.name, "["):
		case c.ownLock != nil && (lock == nil || c.ownLock == lock):
			lock = c.ownLock
		case !c.releases:
			return c.name
		}
	}
	return ""
}

// releaser is who let a lock go.
func releaser(stack []call) string {
	if by := caller(stack); by != "" {
		return by
	}
	return namedSite(stack)
}
