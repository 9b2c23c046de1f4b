package waits

// SchemaVersion is the version of waits.json's layout.
const SchemaVersion = 1

// Document is the content of waits.json; its layout is described by
// docs/schema/waits.schema.json. Fields ending in "_ns" are nanoseconds of threads' time:
// two threads that wait for one second wait two. Numbers that were not measured are null,
// and "unavailable" of the same object says why.
type Document struct {
	SchemaVersion int     `json:"schema_version"`
	Seconds       float64 `json:"seconds"` // that were recorded
	// States is how threads that did not run waited, idle apart.
	States    []State    `json:"states"`
	Locks     []Lock     `json:"locks"` // by time waited, those of nothing but idle waits last
	Edges     []Edge     `json:"edges"` // by time
	Chains    []Chain    `json:"chains"`
	Convoys   []Convoy   `json:"convoys"`
	Deadlocks []Deadlock `json:"deadlocks"`
	// LocksOmitted and EdgesOmitted are what found no room in the lists.
	LocksOmitted Omitted           `json:"locks_omitted"`
	EdgesOmitted Omitted           `json:"edges_omitted"`
	Unavailable  map[string]string `json:"unavailable"`
}

// State is the waiting in one state, over all threads.
type State struct {
	State string `json:"state"`
	Waits int64  `json:"waits"`
	NS    int64  `json:"ns"`
	// Places are the functions that waited longest.
	Places []Place `json:"places"`
}

// Place is a function that waited.
type Place struct {
	Process  string `json:"process"`
	Function string `json:"function"`
	NS       int64  `json:"ns"`
}

// Role is one thread, or several of one name.
type Role struct {
	Service string `json:"service"`
	Process string `json:"process"`
	Thread  string `json:"thread"` // "worker-*" for worker-1, worker-2 ...
	// PID is 0 for a service, which may have several processes; of processes that were forked
	// without an exec it is the first one of their program.
	PID uint32 `json:"pid"`
	// Processes is how many were seen to wait, or to be waited for; 0 if that was not counted.
	Processes int `json:"processes"`
}

// Lock is one lock.
type Lock struct {
	ID string `json:"id"`
	// Kind is mutex, condition variable, rwlock, semaphore, barrier, join and so on; futex
	// if no function tells. Implementation is whose: glibc, musl, Rust, abseil, kernel ...
	Kind           string  `json:"kind"`
	Implementation *string `json:"implementation"`
	Name           *string `json:"name"`
	Service        string  `json:"service"`
	Process        string  `json:"process"` // empty for a lock of the kernel
	PID            uint32  `json:"pid"`
	// Acquisitions is how often it was waited for, Waits how many waits that took.
	Acquisitions float64 `json:"acquisitions"`
	Waits        float64 `json:"waits"`
	TotalNS      int64   `json:"total_ns"`
	IdleNS       int64   `json:"idle_ns"` // the part of TotalNS of threads with nothing to do
	P50NS        *int64  `json:"p50_ns"`
	P99NS        *int64  `json:"p99_ns"`
	MaxNS        *int64  `json:"max_ns"`
	// HeldNS is for how long threads that had waited held it then, Holds how often.
	HeldNS   *int64             `json:"held_ns"`
	Holds    float64            `json:"holds"`
	Outcomes map[string]float64 `json:"outcomes"`
	Waiters  int                `json:"waiters"` // threads
	// TopWaiters are the functions that waited longest, TopHolders the threads that others
	// waited for, and WhileHolding what those did meanwhile.
	TopWaiters   []Waiter          `json:"top_waiters"`
	TopHolders   []Holder          `json:"top_holders"`
	WhileHolding []Doing           `json:"while_holding"`
	Unavailable  map[string]string `json:"unavailable"`
}

// Waiter is a function that waited for a lock.
type Waiter struct {
	Function string `json:"function"`
	// Stack is where it waited, the innermost function first.
	Stack []string `json:"stack"`
	NS    int64    `json:"ns"`
	Share float64  `json:"share"` // of all waiting for the lock
}

// Holder is a thread that let a lock go, and the function in which it did.
type Holder struct {
	Role
	TID      uint32  `json:"tid"` // of the one thread that others waited for longest
	Function *string `json:"function"`
	NS       int64   `json:"ns"`
	Share    float64 `json:"share"`
}

// Doing is what holders of a lock did while others waited.
type Doing struct {
	State    string  `json:"state"`
	Function string  `json:"function"`
	Caller   *string `json:"caller"` // the program's own function that called that one
	Lock     *string `json:"lock"`   // that it waited for, if that is one of the program's own
	NS       int64   `json:"ns"`
	Share    float64 `json:"share"`
}

// Edge is how long one thread waited for another. A wait for a lock of the kernel may be in
// two: one by the lock, one by the wake-up.
type Edge struct {
	Waiter Thread `json:"waiter"`
	// Holder is who ended the waits, or held the lock; null if nobody is known.
	Holder    *Thread `json:"holder"`
	Reason    string  `json:"reason"` // the waiter's state: futex, socket ...
	Lock      *string `json:"lock"`
	Benchmark string  `json:"benchmark"`
	Phase     string  `json:"phase"`
	Waits     float64 `json:"waits"`
	NS        int64   `json:"ns"`
	LongestNS int64   `json:"longest_ns"`
	// Idle tells that nearly all waits of the waiter in this state were idle.
	Idle bool `json:"idle"`
}

// Omitted is the sum of what a list has no room for.
type Omitted struct {
	Count int64   `json:"count"`
	Waits float64 `json:"waits"`
	NS    int64   `json:"ns"`
}

// Chain is what a wait leads to.
type Chain struct {
	NS   int64 `json:"ns"` // of its first wait
	Hops []Hop `json:"hops"`
	End  End   `json:"end"`
}

// Hop is a wait of one role for another.
type Hop struct {
	Waiter Role    `json:"waiter"`
	State  string  `json:"state"`
	Lock   *string `json:"lock"`
	Holder *Role   `json:"holder"`
	// Share is the part of the chain's first wait that leads to this one.
	Share float64 `json:"share"`
	// Exact tells that what the holder did is known from when it held the lock, and not
	// from what it did over the whole recording.
	Exact bool `json:"exact"`
}

// End is where a chain ends.
type End struct {
	Reason Ending `json:"reason"`
	// State and Function are what the last holder did; null if that is not known.
	State    *string `json:"state"`
	Function *string `json:"function"`
	Caller   *string `json:"caller"` // the program's own function that called that one
	Share    float64 `json:"share"`  // of the chain's first wait
	// Did is all that the last holder did in the function of the program that this is about,
	// the largest part first; shares are of the chain's first wait as well.
	Did []Doing `json:"did"`
}

// Ending is why a chain is not followed further.
type Ending string

// The endings.
const (
	NoWait     Ending = "no wait for a thread" // it ran, or waited for a device or a time
	Cycle      Ending = "cycle"
	SmallShare Ending = "below 5 %"
	NobodySeen Ending = "nobody known"
)

// Convoy is a lock before which threads queue.
type Convoy struct {
	Lock string `json:"lock"`
	// Queue is how many threads waited on average while it was held by one that had waited.
	Queue   float64 `json:"queue"`
	Waiters int     `json:"waiters"`
	Holders int     `json:"holders"` // that took turns
	TotalNS int64   `json:"total_ns"`
	HeldNS  int64   `json:"held_ns"`
}

// Deadlock is a circle of threads, each of which waits for a lock that the next one holds.
type Deadlock struct {
	Members []Member `json:"members"`
	ForNS   int64    `json:"for_ns"` // how long it was seen
	// Ended tells that it was not there any more when the recording ended.
	Ended bool `json:"ended"`
}

// Member is one thread of a deadlock and the lock it waits for.
type Member struct {
	Thread   Thread `json:"thread"`
	Lock     string `json:"lock"`
	Function string `json:"function"` // where it waits; empty if not known
}
