package waits

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

const second = int64(time.Second)

var begin = time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)

func vaultThread(n uint32) Thread {
	return Thread{Process: "vault", Name: fmt.Sprintf("worker-%d", n), PID: 10, TID: 10 + n}
}

var client = Thread{Process: "client", Name: "client", PID: 90, TID: 90}

const theLock = "10:0x4a10"

// contended is a window of ten seconds: a client waits for the vault's workers, which queue
// for a lock whose holders wait for the disk.
func contended() Window {
	lock := LockSeen{
		ID: theLock, Kind: "futex", PID: 10, Process: "vault", Acquisitions: 80, Waits: 100, TotalNS: 30e9, LongestNS: 500e6,
		Lengths: map[uint64]float64{300e6: 98, 500e6: 2}, Outcomes: map[string]float64{"woken": 99, "open": 1},
		Holds: 80, HeldNS: 9e9, Waiters: map[uint32]struct{}{},
	}
	w := Window{Start: begin, End: begin.Add(10 * time.Second), Idle: Idle{}}
	wait, blame, hold, off, on := contention(), contention(), held(), offCPU(), onCPU()
	for n := uint32(1); n <= 4; n++ {
		lock.Waiters[10+n] = struct{}{}
		labels := fmt.Sprintf("process=vault thread=worker-%d pid#10 tid#%d", n, 10+n)
		wait.add("k:futex_do_wait __lll_lock_wait ___pthread_mutex_lock cache_evict worker start_thread", labels+" state=futex lock="+theLock, 20, 7500e6)
		blame.add("___pthread_mutex_unlock cache_evict worker start_thread", labels+" lock="+theLock, 20, 7500e6)
		hold.add("k:io_schedule fsync flush_log cache_evict worker start_thread", labels+" state=io lock="+theLock, 5250e6)
		hold.add("json_encode cache_evict worker start_thread", labels+" state=running lock="+theLock, 2250e6)
		off.add("k:futex_do_wait ___pthread_mutex_lock cache_evict worker start_thread", labels+" state=futex", 20, 7500e6)
		off.add("k:io_schedule fsync flush_log cache_evict worker start_thread", labels+" state=io", 20, 1500e6)
		on.add("json_encode cache_evict worker start_thread", labels+" state=running", 99, second)
		for m := uint32(1); m <= 4; m++ {
			if m != n {
				w.Edges = append(w.Edges, EdgeSeen{EdgeKey{Waiter: vaultThread(n), Holder: vaultThread(m), State: "futex", Lock: theLock, Benchmark: "B"}, 7, 2500e6, 500e6})
			}
		}
	}
	off.add("k:sk_wait_data recv fetch main _start", "process=client thread=client pid#90 tid#90 state=socket", 10, 9*second)
	w.Edges = append(w.Edges, EdgeSeen{EdgeKey{Waiter: client, Holder: vaultThread(1), State: "socket"}, 10, 9e9, 2e9})
	w.Locks = []LockSeen{lock}
	w.LockWait, w.LockBlame, w.LockHeld, w.OffCPU, w.CPU = wait.p, blame.p, hold.p, off.p, on.p
	return w
}

func document(t *testing.T, windows ...Window) *Document {
	t.Helper()
	tally := NewTally()
	for _, w := range windows {
		tally.Add(w)
	}
	d := tally.Document()
	validate(t, d)
	return d
}

// validate checks a document against its schema, and that it comes back as it was.
func validate(t *testing.T, d *Document) {
	t.Helper()
	data, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join("..", "..", "docs", "schema", "waits.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(instance); err != nil {
		t.Errorf("the schema: %v", err)
	}
	back, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d, back); diff != "" {
		t.Errorf("what was written and read (-want +got):\n%s", diff)
	}
}

func TestALockOverTwoWindows(t *testing.T) {
	second := contended()
	second.Start, second.End = second.End, second.End.Add(10*time.Second)
	d := document(t, contended(), second)
	if len(d.Locks) != 1 || d.Seconds != 20 {
		t.Fatalf("%d locks in %v s", len(d.Locks), d.Seconds)
	}
	l := d.Locks[0]
	if l.Kind != "mutex" || *l.Implementation != "glibc" || l.Acquisitions != 160 || l.Waits != 200 || l.TotalNS != 60e9 || l.Waiters != 4 {
		t.Errorf("%+v", l)
	}
	if *l.P50NS != 300e6 || *l.P99NS != 500e6 || *l.MaxNS != 500e6 || *l.HeldNS != 18e9 || l.Outcomes["woken"] != 198 {
		t.Errorf("lengths %d %d %d, held %d, %v", *l.P50NS, *l.P99NS, *l.MaxNS, *l.HeldNS, l.Outcomes)
	}
	if len(l.TopWaiters) != 1 || l.TopWaiters[0].Function != "cache_evict" || l.TopWaiters[0].Share != 1 || len(l.TopWaiters[0].Stack) != 5 {
		t.Errorf("waiters %+v", l.TopWaiters)
	}
	if h := l.TopHolders; len(h) != 1 || h[0].Thread != "worker-*" || *h[0].Function != "cache_evict" || h[0].Share != 1 || h[0].NS != 60e9 {
		t.Errorf("holders %+v", h)
	}
	want := []Doing{{State: "io", Function: "fsync", Caller: text("flush_log"), NS: 42e9, Share: 0.7}, {State: "running", Function: "json_encode", NS: 18e9, Share: 0.3}}
	if diff := cmp.Diff(want, l.WhileHolding); diff != "" {
		t.Errorf("while holding (-want +got):\n%s", diff)
	}
	if len(d.Edges) != 13 || d.Edges[0].NS != 18e9 || d.Edges[0].Reason != "socket" || d.Edges[1].Benchmark != "B" {
		t.Errorf("%d edges, the first %+v", len(d.Edges), d.Edges[0])
	}
	if s := d.States[0]; s.State != "futex" || s.NS != 60e9 || s.Waits != 160 || s.Places[0].Function != "cache_evict" {
		t.Errorf("states %+v", d.States)
	}
}

// A recording without waits says so in each place.
func TestNothingRecorded(t *testing.T) {
	d := document(t, Window{Start: begin, End: begin.Add(time.Second)})
	for _, field := range []string{"states", "locks", "edges", "chains"} {
		if d.Unavailable[field] == "" {
			t.Errorf("nothing says why there is no %s", field)
		}
	}
}

// What is unknown of a lock is null, with the reason.
func TestALockOfWhichLittleIsKnown(t *testing.T) {
	d := document(t, Window{Start: begin, End: begin.Add(time.Second), Locks: []LockSeen{{ID: "7:0x10", Kind: "futex", PID: 7}, {ID: "kernel:dentry.lock", Kind: "spinlock", Name: "dentry.lock"}}})
	for _, l := range d.Locks {
		for _, field := range []string{"p50_ns", "p99_ns", "max_ns", "held_ns", "top_holders", "while_holding"} {
			if l.Unavailable[field] == "" {
				t.Errorf("%s: nothing says why there is no %s", l.ID, field)
			}
		}
		if (l.ID == "7:0x10") != (l.Unavailable["implementation"] != "" && l.Unavailable["name"] != "") {
			t.Errorf("%s: %v", l.ID, l.Unavailable)
		}
	}
}

// Idle waits for a lock come after all others.
func TestIdleWaitsForALock(t *testing.T) {
	w := contended()
	w.Locks = append(w.Locks, LockSeen{ID: "20:0x1", PID: 20, TotalNS: 90e9, Waits: 9})
	b := contention().add("k:futex_do_wait ___pthread_cond_wait loop start_thread", "state=idle lock=20:0x1 pid#20 tid#21", 9, 90*second)
	w.LockWait.Sample = append(w.LockWait.Sample, b.p.Sample...)
	d := document(t, w)
	if d.Locks[0].ID != theLock || d.Locks[1].IdleNS != 90e9 || d.Locks[1].Kind != "condition variable" {
		t.Errorf("%+v", d.Locks)
	}
}

// Edges beyond the list are summed, and the memory of a tally is bounded.
func TestManyEdgesAndLocks(t *testing.T) {
	tally := NewTally()
	var total, waited float64
	for window := range 4 {
		w := Window{Start: begin, End: begin.Add(time.Second)}
		for i := range 80_000 {
			ns := float64(1 + i)
			total += ns
			n := uint32(window*80_000 + i)
			w.Edges = append(w.Edges, EdgeSeen{EdgeKey{Waiter: Thread{PID: 1, TID: n}, Holder: Thread{PID: 2, TID: n}, State: "pipe"}, 1, ns, uint64(ns)})
			if i%10 == 0 {
				waited += ns
				w.Locks = append(w.Locks, LockSeen{ID: fmt.Sprint(n), TotalNS: ns, Waits: 1})
			}
		}
		tally.Add(w)
		if len(tally.edges.of) > 2*maxEdges || len(tally.locks) > 2*maxLocks {
			t.Fatalf("%d edges and %d locks are kept", len(tally.edges.of), len(tally.locks))
		}
	}
	d := tally.Document()
	validate(t, d)
	sum, locks := float64(d.EdgesOmitted.NS), float64(d.LocksOmitted.NS)
	for _, e := range d.Edges {
		sum += float64(e.NS)
	}
	for _, l := range d.Locks {
		locks += float64(l.TotalNS)
	}
	if sum != total || locks != waited || len(d.Edges) != listedEdges || len(d.Locks) != listedLocks || d.EdgesOmitted.Count != 4*80_000-listedEdges {
		t.Errorf("edges add up to %v of %v, locks to %v of %v; %d edges listed, %d not", sum, total, locks, waited, len(d.Edges), d.EdgesOmitted.Count)
	}
	if d.Edges[0].NS != 80_000 {
		t.Errorf("the first edge is %+v", d.Edges[0])
	}
}
