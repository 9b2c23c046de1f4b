package waits

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// tell prints a chain in one line.
func tell(c Chain) string {
	var b strings.Builder
	for _, h := range c.Hops {
		fmt.Fprintf(&b, "%s -%s", h.Waiter.Thread, h.State)
		if h.Lock != nil {
			fmt.Fprintf(&b, " %s", *h.Lock)
		}
		fmt.Fprintf(&b, "(%.2f)-> ", h.Share)
		if h.Holder == nil {
			b.WriteString("? ")
		} else if h == c.Hops[len(c.Hops)-1] {
			fmt.Fprintf(&b, "%s ", h.Holder.Thread)
		}
	}
	fmt.Fprintf(&b, "%s", c.End.Reason)
	if c.End.State != nil {
		fmt.Fprintf(&b, " %s in %s (%.3f)", *c.End.State, *c.End.Function, c.End.Share)
	}
	return b.String()
}

// A client waits for a worker, which waits for a lock most of its time (7.5 of 10 s), whose
// holders wait for the disk for 70 %.
func TestChainFromClientToDisk(t *testing.T) {
	d := document(t, contended())
	var got []string
	for _, c := range d.Chains {
		got = append(got, tell(c))
	}
	want := "client -socket(1.00)-> worker-* -futex " + theLock + "(0.75)-> worker-* no wait for a thread io in fsync (0.525)"
	found := false
	for _, text := range got {
		found = found || text == want
	}
	if !found {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}

// edge is a wait between threads of processes of their own.
func edge(waiter, holder, state, lock string, ns float64) EdgeSeen {
	thread := func(name string) Thread {
		if name == "" {
			return Thread{}
		}
		return Thread{Process: name, Name: name, PID: uint32(name[0]), TID: uint32(name[0])}
	}
	return EdgeSeen{EdgeKey{Waiter: thread(waiter), Holder: thread(holder), State: state, Lock: lock}, 1, ns, uint64(ns)}
}

func TestEndsOfChains(t *testing.T) {
	spread := []EdgeSeen{edge("a", "b", "pipe", "", 50e9)}
	for i := range 30 {
		spread = append(spread, edge("b", string(rune('c'+i)), "pipe", "", 1e9))
	}
	for name, test := range map[string]struct {
		edges []EdgeSeen
		want  string
	}{
		"nobody known":        {[]EdgeSeen{edge("a", "", "futex", "1:0x1", 1e9)}, "a -futex 1:0x1(1.00)-> ? nobody known"},
		"nothing of the last": {[]EdgeSeen{edge("a", "b", "pipe", "", 1e9)}, "a -pipe(1.00)-> b nobody known"},
		"cycle":               {[]EdgeSeen{edge("a", "b", "pipe", "", 2e9), edge("b", "a", "pipe", "", 1e9)}, "a -pipe(1.00)-> b -pipe(1.00)-> a cycle"},
		"small":               {spread, "a -pipe(1.00)-> b below 5 % pipe in  (0.033)"},
	} {
		d := document(t, Window{Start: begin, End: begin.Add(10 * time.Second), Edges: test.edges})
		if len(d.Chains) == 0 || tell(d.Chains[0]) != test.want {
			t.Errorf("%s: %+v", name, d.Chains)
			if len(d.Chains) > 0 {
				t.Error(tell(d.Chains[0]))
			}
		}
	}
}

// Threads of one name that wait for each other lead to what else they do.
func TestChainAmongThreadsOfOneName(t *testing.T) {
	w := contended()
	w.Edges = nil
	for n := uint32(1); n <= 4; n++ {
		w.Edges = append(w.Edges, EdgeSeen{EdgeKey{Waiter: vaultThread(n), Holder: vaultThread(n%4 + 1), State: "futex"}, 7, 7500e6, 500e6})
	}
	d := document(t, w)
	if want := "worker-* -futex(1.00)-> worker-* no wait for a thread io in fsync (0.600)"; len(d.Chains) != 1 || tell(d.Chains[0]) != want {
		t.Errorf("%v, want %s", tell(d.Chains[0]), want)
	}
}

// Two threads of one name that wait for each other's locks.
func TestChainOfADeadlock(t *testing.T) {
	w := Window{Start: begin, End: begin.Add(10 * time.Second), Locks: []LockSeen{{ID: "10:0x1"}, {ID: "10:0x2"}}}
	hold, blame := held(), contention()
	for n, lock := range map[uint32]string{1: "10:0x1", 2: "10:0x2"} {
		labels := fmt.Sprintf("process=vault thread=worker-%d pid#10 tid#%d state=futex lock=10:0x%d", n, 10+n, 3-n)
		hold.add("k:futex_do_wait ___pthread_mutex_lock transfer worker start_thread", labels, 10e9)
		blame.add("[no-stack]", labels, 1, 10e9)
		w.Edges = append(w.Edges, EdgeSeen{EdgeKey{Waiter: vaultThread(n), Holder: vaultThread(3 - n), State: "futex", Lock: lock}, 1, 10e9, 10e9})
	}
	for _, f := range blame.p.Function {
		f.Name = "[no stack: not taken]"
	}
	w.LockHeld, w.LockBlame = hold.p, blame.p
	d := document(t, w)
	if want := "worker-* -futex 10:0x1(1.00)-> worker-* -futex 10:0x2(1.00)-> worker-* -futex 10:0x1(1.00)-> worker-* cycle"; len(d.Chains) != 1 || tell(d.Chains[0]) != want {
		t.Errorf("%s, want %s", tell(d.Chains[0]), want)
	}
	if h := d.Locks[0].TopHolders[0]; h.Function != nil {
		t.Errorf("a stack that was not taken lets the lock go in %s", *h.Function)
	}
}

// Without lock-held, a lock leads to who ended the waits for it.
func TestChainWithoutWhatHoldersDid(t *testing.T) {
	w := contended()
	w.LockHeld = nil
	for _, c := range document(t, w).Chains {
		if c.Hops[0].Lock != nil && (c.Hops[0].Exact || c.End.State == nil) {
			t.Errorf("%s", tell(c))
		}
	}
}

// A wait for a lock of the kernel is known by the lock and by the wake-up: once in a chain.
func TestKernelLocksCountOnce(t *testing.T) {
	w := Window{Start: begin, End: begin.Add(10 * time.Second), Edges: []EdgeSeen{edge("a", "b", "lock", "kernel:inode.i_rwsem", 2e9), edge("a", "b", "lock", "", 2e9), edge("a", "b", "pipe", "", 1e9)}}
	d := document(t, w)
	if len(d.Chains) != 2 || d.Chains[0].Hops[0].Lock == nil || d.Chains[1].Hops[0].State != "pipe" || len(d.Edges) != 3 {
		t.Errorf("%+v", d.Chains)
	}
}

// Waits with nothing to do lead nowhere.
func TestIdleWaitsBeginNoChain(t *testing.T) {
	b := offCPU().add("k:ep_poll epoll_wait loop main _start", "state=poll process=a thread=a pid#97 tid#97", 1, 9e9)
	idle := MarkIdle(b.p)
	d := document(t, Window{Start: begin, End: begin.Add(10 * time.Second), OffCPU: b.p, Idle: idle, Edges: []EdgeSeen{edge("a", "b", "poll", "", 9e9)}})
	if len(d.Chains) != 0 || !d.Edges[0].Idle {
		t.Errorf("chains %+v, edge %+v", d.Chains, d.Edges[0])
	}
}

// Four threads queue for a lock: 30 s waited while it was held for 9 s.
func TestConvoy(t *testing.T) {
	d := document(t, contended())
	if len(d.Convoys) != 1 {
		t.Fatalf("%+v", d.Convoys)
	}
	if c := d.Convoys[0]; c.Lock != theLock || c.Queue < 3.3 || c.Queue > 3.4 || c.Waiters != 4 || c.Holders != 4 {
		t.Errorf("%+v", c)
	}
	for name, change := range map[string]func(*Window){
		"one thread is waited for": func(w *Window) {
			for _, s := range w.LockBlame.Sample[1:] {
				s.Value[1] = 1
			}
		},
		"no queue":     func(w *Window) { w.Locks[0].HeldNS = 20e9 },
		"two threads":  func(w *Window) { delete(w.Locks[0].Waiters, 11); delete(w.Locks[0].Waiters, 12) },
		"holds unseen": func(w *Window) { w.Locks[0].HeldNS = 0 },
	} {
		w := contended()
		change(&w)
		if d := document(t, w); len(d.Convoys) != 0 {
			t.Errorf("%s: %+v", name, d.Convoys)
		}
	}
}

// A deadlock lasts over windows until one ends without it.
func TestDeadlock(t *testing.T) {
	ab := []Member{{Thread: vaultThread(2), Lock: "10:0x2"}, {Thread: vaultThread(1), Lock: "10:0x1"}}
	ba := []Member{ab[1], ab[0]}
	window := func(n int, members ...Member) Window {
		start := begin.Add(time.Duration(n) * 10 * time.Second)
		wait := contention().add("k:futex_do_wait ___pthread_mutex_lock transfer worker start_thread", "lock=10:0x1 tid#11 state=futex", 1, 5)
		w := Window{Start: start, End: start.Add(10 * time.Second), LockWait: wait.p, Locks: []LockSeen{{ID: "10:0x1"}}}
		if members != nil {
			w.Deadlocks = []DeadlockSeen{{Members: members, Since: begin.Add(4 * time.Second)}}
		}
		return w
	}
	d := document(t, window(0, ab...), window(1, ba...))
	if len(d.Deadlocks) != 1 {
		t.Fatalf("%+v", d.Deadlocks)
	}
	if got := d.Deadlocks[0]; got.Ended || got.ForNS != 16*second || len(got.Members) != 2 || got.Members[0].Thread.TID != 11 || got.Members[0].Function != "transfer" {
		t.Errorf("%+v", got)
	}
	if d := document(t, window(0, ab...), window(1)); !d.Deadlocks[0].Ended || d.Deadlocks[0].ForNS != 6*second {
		t.Errorf("%+v", d.Deadlocks)
	}
}
