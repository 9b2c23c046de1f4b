package waits

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

const (
	walWrite  = "7:LWLockAcquireOrWait in XLogFlush"
	onLog     = "k:futex_do_wait __new_sem_wait_slow64 PGSemaphoreLock LWLockAcquireOrWait XLogFlush PostgresMain main _start"
	onRow     = "k:ep_poll epoll_wait WaitEventSetWait WaitLatch ProcSleep LockAcquireExtended XactLockTableWait heap_update PostgresMain main _start"
	onNothing = "k:ep_poll epoll_wait WaitEventSetWait WalWriterMain main _start"
	onOther   = "k:futex_do_wait sem_wait accept_one main _start"
)

func backend(n uint32) Thread { return Thread{Process: "postgres", Name: "postgres", PID: n, TID: n} }

// server is a window of a database whose sessions 11, 12 and 13 wait for each other, each at a
// semaphore of its own, and of another server whose processes share a semaphore.
func server() Window {
	w := Window{Start: begin, End: begin.Add(10 * time.Second), Idle: Idle{}, Programs: map[uint32]uint32{11: 7, 12: 7, 13: 7, 21: 8}}
	wait, blame, hold := contention(), contention(), held()
	add := func(n uint32, id, of, stack, state string, ns int64) {
		holder := 11 + (n-10)%3
		w.Locks = append(w.Locks, LockSeen{
			ID: id, Of: of, OnlyIfNamed: state == "poll", Kind: "futex", PID: map[bool]uint32{true: 7, false: 8}[n < 20], Process: "postgres", Acquisitions: 1, Waits: 2, TotalNS: float64(ns), LongestNS: uint64(ns),
			Lengths: map[uint64]float64{uint64(ns): 2}, Outcomes: map[string]float64{"woken": 2}, Waiters: map[uint32]struct{}{n: {}},
		})
		wait.add(stack, fmt.Sprintf("lock=%s lock_kind=futex process=postgres pid#%d tid#%d state=%s", id, n, n, state), 1, ns)
		labels := fmt.Sprintf("lock=%s process=postgres thread=postgres pid#%d tid#%d ", id, holder, holder)
		blame.add("__new_sem_post PGSemaphoreUnlock LWLockRelease XLogFlush PostgresMain main _start", labels, 1, ns)
		hold.add("k:io_schedule __GI_fdatasync [postgres+0x1] XLogFlush PostgresMain main _start", labels+"state=io", ns/2)
		hold.add("k:futex_wake __new_sem_post PGSemaphoreUnlock LWLockRelease XLogFlush PostgresMain main _start", labels+"state=runnable", ns/4)
		hold.add("[holder-ran] main _start", labels+"state=running", ns/4)
		w.Edges = append(w.Edges, EdgeSeen{EdgeKey{Waiter: backend(n), Holder: backend(holder), State: state, Lock: id}, 2, float64(ns), uint64(ns)})
	}
	for n := uint32(11); n <= 13; n++ {
		add(n, fmt.Sprintf("7:0x%d@a", n), fmt.Sprintf("7:0x%d", n), onLog, "futex", 3e9)
		add(n, "7:poll@b", "7:poll", onRow, "poll", 1e9)
		add(n, "7:poll@c", "7:poll", onNothing, "poll", 9e9)
	}
	add(11, "7:0x11", "7:0x11", "[no-stack]", "futex", 1e8)
	add(20, "8:0x99@a", "8:0x99", onOther, "futex", 1e9)
	add(21, "8:0x99@b", "8:0x99", onOther, "futex", 1e9)
	for _, f := range hold.p.Function {
		if f.Name == "[holder-ran]" {
			f.Name = "[holder ran, not sampled]"
		}
	}
	w.LockWait, w.LockBlame, w.LockHeld = wait.p, blame.p, hold.p
	return w
}

// Semaphores at which one process each waits are locks by the functions that wait; what
// waits in poll is one only where functions say so; and what two processes share stays one.
func TestLocksByTheirPlaces(t *testing.T) {
	w := server()
	NewPlaces().Name(&w)
	got := map[string]string{}
	for _, l := range w.Locks {
		got[l.ID] = fmt.Sprintf("%s %s: %v waits, %.1f s, %d waiters", l.Implementation, l.Kind, l.Waits, l.TotalNS/1e9, len(l.Waiters))
	}
	want := map[string]string{
		walWrite:              "PostgreSQL LWLock: 6 waits, 9.0 s, 3 waiters",
		"7:XactLockTableWait": "PostgreSQL transaction lock: 6 waits, 3.0 s, 3 waiters",
		placeID(7, noPlace):   "PostgreSQL lock: 2 waits, 0.1 s, 1 waiters",
		"8:0x99":              " futex: 4 waits, 2.0 s, 2 waiters",
	}
	for id, text := range want {
		if got[id] != text {
			t.Errorf("%s: %q, want %q", id, got[id], text)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%v", got)
	}
	sums := map[string]int64{}
	for _, s := range w.LockWait.Sample {
		sums[label(s, "lock")+" "+label(s, "lock_kind")] += s.Value[1]
	}
	if sums[walWrite+" LWLock"] != 9e9 || sums["7:XactLockTableWait transaction lock"] != 3e9 || sums["8:0x99 futex"] != 2e9 || len(sums) != 4 {
		t.Errorf("samples of %v", sums)
	}
	if len(w.LockBlame.Sample) != len(w.LockWait.Sample) || len(w.LockHeld.Sample) != 3*len(w.LockWait.Sample) {
		t.Errorf("%d, %d and %d samples are left", len(w.LockWait.Sample), len(w.LockBlame.Sample), len(w.LockHeld.Sample))
	}
	plain := 0.0
	for _, e := range w.Edges {
		if e.Lock == "" && e.State == "poll" {
			plain += e.NS
		}
	}
	if plain != 27e9 {
		t.Errorf("%.1f s of waiting for no lock are kept, want 27", plain/1e9)
	}
}

// The processes of a program are one, and a chain ends in the function in which the holder
// of the lock spent its time, whatever it did there.
func TestChainAmongProcessesOfOneProgram(t *testing.T) {
	w := server()
	NewPlaces().Name(&w)
	d := document(t, w)
	var first *Chain
	for i := range d.Chains {
		if l := d.Chains[i].Hops[0].Lock; l != nil && *l == walWrite {
			first = &d.Chains[i]
		}
	}
	if first == nil {
		t.Fatalf("%+v", d.Chains)
	}
	hop, end := first.Hops[0], first.End
	if hop.Waiter.PID != 7 || hop.Waiter.Processes != 3 || hop.Holder.Processes != 3 || first.NS != 9e9 {
		t.Errorf("%d ns of %+v for %+v", first.NS, hop.Waiter, hop.Holder)
	}
	if end.Reason != NoWait || end.Share != 0.75 || *end.State != "io" || *end.Function != "fdatasync" || *end.Caller != "XLogFlush" {
		t.Errorf("it ends with %+v", end)
	}
	if len(end.Did) != 2 || end.Did[0].Share != 0.5 || end.Did[1].Share != 0.25 || end.Did[1].Function != "LWLockRelease" || end.Did[1].State != "runnable" {
		t.Errorf("it did %+v", end.Did)
	}
	for _, l := range d.Locks {
		if l.ID == walWrite && (l.TopHolders[0].Processes != 3 || *l.TopHolders[0].Function != "XLogFlush" || *l.Name != "LWLockAcquireOrWait in XLogFlush") {
			t.Errorf("%+v, held by %+v", l, l.TopHolders[0])
		}
	}
}

// What a holder waited for itself is the next step, where its stack tells the lock.
func TestChainThroughTwoLocksOfAProgram(t *testing.T) {
	w := server()
	hold := held()
	for n := uint32(11); n <= 13; n++ {
		labels := fmt.Sprintf("process=postgres thread=postgres pid#%d tid#%d ", n, n)
		hold.add(onLog, labels+"state=futex lock=7:poll@b", 6e8)
		hold.add(onRow, labels+"state=poll lock=7:poll@b", 4e8) // in the same queue, before
		hold.add("k:io_schedule __GI_fdatasync XLogFlush", labels+"state=io lock=7:0x"+fmt.Sprint(n)+"@a", 3e9)
	}
	w.LockHeld = hold.p
	NewPlaces().Name(&w)
	for _, c := range document(t, w).Chains {
		if l := c.Hops[0].Lock; l == nil || *l != "7:XactLockTableWait" {
			continue
		}
		if len(c.Hops) != 2 || *c.Hops[1].Lock != walWrite || c.Hops[1].Share != 1 || *c.End.Function != "fdatasync" {
			t.Errorf("%s", tell(c))
		}
		return
	}
	t.Error("no chain begins at the row")
}

// What no place is known of comes last, unless it is more than the rest together.
func TestRemarksInChains(t *testing.T) {
	own := func(function string, ns float64) choice {
		return choice{doing: doing{state: "running", function: function}, ns: ns}
	}
	for want, choices := range map[string][]choice{
		"a":                         {own("a", 3), own("b", 2), own("[holder ran, not sampled]", 4)},
		"[holder ran, not sampled]": {own("a", 2), own("b", 1), own("[holder ran, not sampled]", 4)},
		"b":                         {own("a", 2), own("b", 3)},
		"":                          nil,
	} {
		if got, _ := largest(choices); got.function != want {
			t.Errorf("%s, want %s", got.function, want)
		}
	}
	in := func(state, function string, ns float64) choice {
		return choice{doing: doing{state: state, function: function, caller: "flush"}, ns: ns}
	}
	if got, part := largest([]choice{own("a", 4), in("io", "fsync", 3), in("runnable", "fsync", 3)}); got.caller != "flush" || part != 0.6 || len(got.parts) != 2 {
		t.Errorf("%+v, %v", got, part)
	}
}

// A holder that waits for its client waits for no lock, though others of its name do so in
// the same state.
func TestChainToAHolderWithoutWork(t *testing.T) {
	w := server()
	hold := held()
	hold.add("k:ep_poll epoll_wait WaitEventSetWait secure_read PostgresMain main _start", "process=postgres thread=postgres pid#11 tid#11 state=poll lock=7:0x12@a", 3e9)
	w.LockHeld = hold.p
	NewPlaces().Name(&w)
	w.Edges = slices.DeleteFunc(w.Edges, func(e EdgeSeen) bool { return e.Lock == "" })
	for _, c := range document(t, w).Chains {
		if l := c.Hops[0].Lock; l != nil && *l == walWrite {
			if len(c.Hops) != 1 || c.End.Reason != NobodySeen || *c.End.State != "poll" || *c.End.Function != "secure_read" {
				t.Errorf("%s", tell(c))
			}
			return
		}
	}
	t.Error("no chain begins at the log")
}
