package waits

import "strings"

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
	calls := user(stack)
	own := func(i int) bool { return i < len(calls) && calls[i].own() }
	i := 0
	for skipped := 0; i < len(calls) && (!own(i) || calls[i].nameless && skipped < nameless); i++ {
		if own(i) {
			skipped++
		}
	}
	if !own(i) || calls[i].ownLock == nil {
		return place{}, false
	}
	kind, outermost := calls[i].ownLock, i
	skipped := 0
	for i++; i < len(calls) && skipped <= nameless; i++ {
		switch {
		case calls[i].ownLock == kind:
			outermost, skipped = i, 0
		case calls[i].nameless:
			skipped++
		default:
			skipped = nameless + 1
			i-- // this one called
		}
	}
	found := place{calls[outermost].name, what{kind.kind, kind.program}}
	if special := transactionLocks[found.name]; special != "" {
		found.kind = special
	}
	if kind.within && i < len(calls) && own(i) && !calls[i].nameless {
		found.name += " in " + calls[i].name
	}
	return found, true
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
