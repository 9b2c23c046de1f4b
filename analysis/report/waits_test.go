package report_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/narrows-profiler/narrows/analysis/report"
	"github.com/narrows-profiler/narrows/analysis/waits"
)

func to[T any](v T) *T { return &v }

// waited is a document with something of everything.
func waited() *waits.Document {
	worker := waits.Role{Process: "vault", Thread: "worker-*", PID: 10}
	lock := to("10:0x4a10")
	return &waits.Document{
		Seconds: 10,
		States: []waits.State{
			{State: "idle", Waits: 12, NS: 120e9, Places: []waits.Place{{Process: "vault", Function: "accept_loop", NS: 120e9}}},
			{State: "futex", Waits: 1234, NS: 30e9, Places: []waits.Place{{Process: "vault", Function: "cache_evict", NS: 30e9}}},
			{State: "runnable", Waits: 99, NS: 2e9, Places: []waits.Place{}},
		},
		Locks: []waits.Lock{
			{
				ID: *lock, Kind: "mutex", Implementation: to("glibc"), Process: "vault", PID: 10, Acquisitions: 800, Waits: 1000.4, TotalNS: 30e9,
				P50NS: to(int64(300e6)), P99NS: to(int64(1200e6)), MaxNS: to(int64(2e9)), HeldNS: to(int64(9e9)), Waiters: 4,
				TopWaiters:   []waits.Waiter{{Function: "cache_evict", Share: 0.9}, {Function: "example.org/vault/cache.(*Cache).get", Share: 0.1}},
				TopHolders:   []waits.Holder{{Role: worker, TID: 11, Function: to("cache_evict"), Share: 1}},
				WhileHolding: []waits.Doing{{State: "io", Function: "fsync", Share: 0.71}, {State: "running", Function: "json_encode", Share: 0.22}, {State: "runnable", Function: "[let go, the next had no CPU]", Share: 0.05}, {State: "fault", Function: "copy", Share: 0.01}},
			},
			{ID: "kernel:inode.i_rwsem", Kind: "rwsem", Implementation: to("kernel"), Name: to("inode.i_rwsem"), Acquisitions: 3, Waits: 3, TotalNS: 500e6, Waiters: 2, Unavailable: map[string]string{"while_holding": "no sample was taken of a holder that others waited for"}},
			{ID: "10:0x78", Kind: "join", Acquisitions: 1, Waits: 1, TotalNS: 1e6},
			{ID: "10:0x77", Kind: "condition variable", TotalNS: 9e9, IdleNS: 9e9},
		},
		Chains: []waits.Chain{
			{NS: 9e9, Hops: []waits.Hop{
				{Waiter: waits.Role{Process: "client", Thread: "client"}, State: "socket", Holder: &worker, Share: 1},
				{Waiter: worker, State: "futex", Lock: lock, Holder: &worker, Share: 0.75, Exact: true},
			}, End: waits.End{Reason: waits.NoWait, State: to("io"), Function: to("fsync"), Share: 0.53}},
			{NS: 1e9, Hops: []waits.Hop{{Waiter: worker, State: "futex", Lock: to("10:0x99"), Share: 1}}, End: waits.End{Reason: waits.NobodySeen, Share: 1}},
		},
		Convoys: []waits.Convoy{{Lock: *lock, Queue: 3.33, Waiters: 4, Holders: 4}},
		Deadlocks: []waits.Deadlock{{ForNS: 8e9, Members: []waits.Member{
			{Thread: waits.Thread{Process: "bank", Name: "a\x1b[2J", TID: 7}, Lock: "5:0x1", Function: "transfer"},
			{Thread: waits.Thread{Process: "bank", Name: "b", TID: 8}, Lock: "5:0x2"},
		}}},
	}
}

func TestWaitsOnATerminal(t *testing.T) {
	var b strings.Builder
	if err := report.Waits(&b, waited(), false); err != nil {
		t.Fatal(err)
	}
	want := `DEADLOCK of 2 threads, seen for 8.0 s: it was there when the recording ended
  bank/a\x1b[2J (thread 7) waits in transfer for 5:0x1, which bank/b (thread 8) holds
  bank/b (thread 8) waits for 5:0x2, which bank/a\x1b[2J (thread 7) holds

Locks by how long threads waited for them, in 10.0 s
     lock                 kind              taken/waits   waited   median     99 %  longest     held
   1 0x4a10               glibc mutex         800/1,000   30.0 s 300.0 ms    1.2 s    2.0 s    9.0 s
   2 inode.i_rwsem        kernel rwsem              3/3 500.0 ms  unknown  unknown  unknown  unknown
   3 0x78                 join                      1/1   1.0 ms  unknown  unknown  unknown  unknown
  1 cache_evict of vault/worker-* holds 10:0x4a10 (glibc mutex in vault): 30.0 s of waiting in 10.0
    s by 4 threads
     while holding: 71.0 % asleep for a device in fsync, 22.0 % on CPU in json_encode, 5.0 % let go,
       the next had no CPU
     waited: 90.0 % in cache_evict, 10.0 % in cache.(*Cache).get
     convoy: on average 3.3 threads queue while it is held, and they take turns
  2 an unknown thread holds kernel:inode.i_rwsem (kernel rwsem): 500.0 ms of waiting in 10.0 s by 2
    threads
     what holders did meanwhile is unknown: no sample was taken of a holder that others waited for

What the longest waits lead to, each step the largest part of the one before
     9.0 s  client waits for vault/worker-* by a socket
    75.0 %  vault/worker-* waits for 10:0x4a10, held by vault/worker-*
    53.0 %  that worker-* is asleep for a device in fsync
     1.0 s  vault/worker-* waits for 10:0x99, held by an unknown thread
   100.0 %  what that waits for is unknown

Where threads waited, in all threads' time
  futex              30.0 s      1,234 waits  cache_evict (vault) 30.0 s
  for a CPU           2.0 s         99 waits
  idle              120.0 s         12 waits  accept_loop (vault) 120.0 s
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for line := range strings.Lines(b.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 100 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	b.Reset()
	if err := report.Waits(&b, waited(), true); err != nil || !strings.HasPrefix(b.String(), "\x1b[1;31mDEADLOCK\x1b[0m of") || !strings.Contains(b.String(), "\x1b[1;31mconvoy\x1b[0m: on") {
		t.Errorf("with colour: %q, %v", b.String(), err)
	}
}

func TestWaitsInBrief(t *testing.T) {
	if got, want := report.WaitsInBrief(waited()), "30.0 s blocked (futex 30.0 s), 2.0 s ready without a CPU, 120.0 s idle apart"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := report.WaitsInBrief(&waits.Document{}); got != "" {
		t.Errorf("of nothing: %q", got)
	}
}

// What was not recorded is said to be so.
func TestWaitsThatWereNotRecorded(t *testing.T) {
	var b strings.Builder
	if err := report.Waits(&b, &waits.Document{Unavailable: map[string]string{"locks": "no lock", "states": "no hook"}}, false); err != nil {
		t.Fatal(err)
	}
	if want := "Locks: no lock\n\nWhere threads waited is unknown: no hook\n"; b.String() != want {
		t.Errorf("%q", b.String())
	}
}

// A server of several processes has locks of its own, and its chain ends in a function in
// which the holder did several things.
func TestWaitsOfAServerOfProcesses(t *testing.T) {
	sessions := waits.Role{Process: "postgres", Thread: "postgres", PID: 7, Processes: 32}
	lock := to("7:LWLockAcquireOrWait in XLogFlush")
	d := &waits.Document{
		Seconds: 8,
		Locks: []waits.Lock{{
			ID: *lock, Kind: "LWLock", Implementation: to("PostgreSQL"), Name: to("LWLockAcquireOrWait in XLogFlush"), Process: "postgres", PID: 7,
			Acquisitions: 167_401, Waits: 269_802, TotalNS: 109e9, P50NS: to(int64(241_700)), Waiters: 32,
			TopHolders:   []waits.Holder{{Role: sessions, Function: to("XLogFlush"), Share: 1}},
			WhileHolding: []waits.Doing{{State: "io", Function: "fdatasync", Caller: to("XLogFlush"), Share: 0.6}, {State: "futex", Function: "LWLockAcquireOrWait in XLogFlush", Lock: lock, Share: 0.2}, {State: "poll", Function: "LockTuple", Lock: to("7:LockTuple"), Share: 0.1}},
			TopWaiters:   []waits.Waiter{{Function: "LWLockAcquireOrWait", Share: 1}},
		}},
		Chains: []waits.Chain{
			{NS: 109e9, Hops: []waits.Hop{{Waiter: sessions, State: "futex", Lock: lock, Holder: &sessions, Share: 1, Exact: true}}, End: waits.End{
				Reason: waits.NoWait, State: to("io"), Function: to("fdatasync"), Caller: to("XLogFlush"), Share: 0.86,
				Did: []waits.Doing{{State: "io", Function: "fdatasync", Caller: to("XLogFlush"), Share: 0.6}, {State: "runnable", Function: "LWLockRelease", Caller: to("XLogFlush"), Share: 0.25}, {State: "running", Function: "copy", Caller: to("XLogFlush"), Share: 0.005}},
			}},
			{NS: 1e9, Hops: []waits.Hop{{Waiter: sessions, State: "futex", Lock: lock, Holder: &sessions, Share: 1}}, End: waits.End{
				Reason: waits.NoWait, State: to("running"), Function: to("[holder ran, not sampled]"), Share: 1,
			}},
		},
	}
	var b strings.Builder
	if err := report.Waits(&b, d, false); err != nil {
		t.Fatal(err)
	}
	want := `Locks by how long threads waited for them, in 8.0 s
     lock                 kind              taken/waits   waited   median     99 %  longest     held
   1 LWLockAcq… XLogFlush LWLock              167k/270k  109.0 s 241.7 us  unknown  unknown  unknown
  1 XLogFlush of postgres (32 processes) holds 7:LWLockAcquireOrWait in XLogFlush (PostgreSQL LWLock
    in postgres): 109.0 s of waiting in 8.0 s by 32 threads
     while holding: 60.0 % asleep for a device in fdatasync of XLogFlush, 20.0 % waiting for it as
       well, 10.0 % waiting in LockTuple
     waited: 100.0 % in LWLockAcquireOrWait

What the longest waits lead to, each step the largest part of the one before
   109.0 s  postgres (32 processes) waits for 7:LWLockAcquireOrWait in XLogFlush, held by postgres
              (32 processes)
    86.0 %  that postgres (32 processes) is in XLogFlush: 60.0 % asleep for a device in fdatasync,
              25.0 % waiting for a CPU in LWLockRelease
     1.0 s  postgres (32 processes) waits for 7:LWLockAcquireOrWait in XLogFlush, held by postgres
              (32 processes)
   100.0 %  that postgres (32 processes) ran, not sampled

`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
