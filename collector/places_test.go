package collector

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/futex"
	"github.com/narrows-profiler/narrows/collector/lifecycle"
	"github.com/narrows-profiler/narrows/collector/lock"
	"github.com/narrows-profiler/narrows/collector/process"
	"github.com/narrows-profiler/narrows/collector/unwind"
	"github.com/narrows-profiler/narrows/collector/wait"
	"github.com/narrows-profiler/narrows/collector/window"
)

// worker is a process that was forked from process 10, and its only thread.
func worker(pid uint32) process.Thread {
	return process.Thread{Identity: process.Identity{PID: pid, Start: uint64(pid)}, TID: pid, Name: "server", ProcessName: "server"}
}

// newServer is a replayer of a server of process 10 and its workers 11 to 13, and of 14, a
// program that one of them started.
func newServer(t *testing.T) *replayed {
	r := newWaitReplayed(t)
	r.offCPU.futexes = &futexes{locks: futex.NewLocks(), history: lock.NewHistory(), samples: window.NewStacks(), sums: map[futex.Key]futex.Sums{}, told: map[string]lock.Sums{}}
	r.lifecycle(lifecycle.Event{Time: 2, Kind: lifecycle.Exec, PID: 10})
	r.mmap(3, 10, 0x1000, 0x2000)
	for pid := uint32(11); pid <= 14; pid++ {
		r.fork(4, 10, pid)
	}
	r.lifecycle(lifecycle.Event{Time: 5, Kind: lifecycle.Exec, PID: 14})
	r.boundary(10, 0, 0, scheduled)
	return r
}

// asleep pushes a wait of a worker that another one ended, at a stack of its own.
func (r *replayed) asleep(t process.Thread, waker uint32, id uint64, kernel uint64, call wait.FutexCall, user ...uint64) {
	stack := window.StackID{id, uint64(t.PID)}
	since := 100 + time.Duration(id)
	r.queue.Push(uint64(since), wait.Stack{ID: stack, Thread: t, Stack: unwind.Stack{
		Walked: unwind.Walked{Time: uint64(since), Process: t.Identity}, User: user, Kernel: []uint64{1<<63 + 1, scheduleAt, kernel},
	}})
	e := wait.Event{
		Thread: t, NamespaceTID: t.TID, Since: uint64(since), Woken: uint64(since) + 100, Time: uint64(since) + 150, Weight: 1, HasStack: true, Stack: stack,
		Waker: wait.Waker{PID: waker, TID: waker}, Futex: call,
	}
	if call.Operation != 0 {
		e.Flags |= bpf.CoreWaitFlagWAIT_RELEASED
	}
	r.queue.Push(e.Time, e)
}

// Workers wait at semaphores in shared memory, and in poll: what they wait for is told apart
// by where, and is the program's.
func TestWaitsOfSeveralProcesses(t *testing.T) {
	r := newServer(t)
	shared := func(address uint64) wait.FutexCall { return wait.FutexCall{Address: address, Operation: 1} }
	private := wait.FutexCall{Address: 0x30, Operation: 1, Flags: 128}
	r.asleep(worker(11), 12, 1, futexAt, shared(0x10), 0x1100, 0x1200)
	r.asleep(worker(12), 11, 2, futexAt, shared(0x20), 0x1100, 0x1200)
	r.asleep(worker(12), 13, 3, futexAt, shared(0x10), 0x1100, 0x1200)
	r.asleep(worker(12), 13, 4, futexAt, shared(0x10), 0x1100, 0x1300)
	r.asleep(worker(12), 12, 5, futexAt, private, 0x1100, 0x1200)
	r.asleep(worker(11), 12, 6, pollAt, wait.FutexCall{}, 0x1100, 0x1400)
	r.asleep(worker(13), 12, 7, pollAt, wait.FutexCall{}, 0x1100, 0x1400)
	r.asleep(worker(13), 14, 8, pollAt, wait.FutexCall{}, 0x1100, 0x1500) // another program
	r.boundary(5000, 0, 0, last)
	w := r.all(t)[0]

	kinds := map[string]int{}
	for id, l := range w.Locks {
		of, _, apart := strings.Cut(id, "@")
		kinds[fmt.Sprintf("%s %s of %d by %d: %.0f, apart %v", of, l.Kind, l.PID, len(l.Waiters), l.Total, apart)]++
		if apart != (l.Of == of) {
			t.Errorf("%s is a part of %q", id, l.Of)
		}
	}
	for want, n := range map[string]int{
		"10:0x10 futex of 10 by 2: 300, apart true":   1,
		"10:0x10 futex of 10 by 1: 150, apart true":   1,
		"10:0x20 futex of 10 by 1: 150, apart true":   1,
		"12:0x30 futex of 12 by 1: 150, apart false":  1,
		"10:poll wake-up of 10 by 2: 300, apart true": 1,
	} {
		if kinds[want] != n {
			t.Errorf("%d of %q, want %d, among %v", kinds[want], want, n, kinds)
		}
	}
	for key, e := range w.Edges {
		if other := key.Holder.PID == 14; other != (key.Lock == "") || other && e.Total != 100 {
			t.Errorf("%+v: %+v", key, e)
		}
	}
	if w.Programs[11] != 10 || w.Programs[13] != 10 || len(w.Programs) != 3 {
		t.Errorf("programs %v", w.Programs)
	}
}

// What is counted of a lock in each of the processes that share it adds up, over its places.
func TestSumsOfASharedLock(t *testing.T) {
	r := newServer(t)
	r.asleep(worker(11), 12, 1, futexAt, wait.FutexCall{Address: 0x10, Operation: 1}, 0x1100, 0x1200)
	r.asleep(worker(12), 13, 2, futexAt, wait.FutexCall{Address: 0x10, Operation: 1}, 0x1100, 0x1300)
	var sums lockSums
	for pid := uint32(11); pid <= 12; pid++ {
		sums.sums = append(sums.sums, futex.Sums{Key: futex.Key{PID: pid, Address: 0x10}, Process: worker(pid).Identity, Operation: 1, Acquisitions: 10, Waits: 20, Waited: 3000, Holds: 7, Held: 7})
	}
	r.queue.Push(4900, sums)
	r.boundary(5000, 0, 0, last)
	w := r.all(t)[0]
	var waits, total, holds, sampled float64
	for _, l := range w.Locks {
		waits += l.Waits
		total += l.Total
		holds += l.Holds
	}
	for _, s := range w.Profiles[LockWait].Sample {
		sampled += float64(s.Value[1])
	}
	if len(w.Locks) != 2 || waits != 40 || total != 6000 || sampled != 6000 || holds != 0 {
		t.Errorf("%d places: %v waits of %v ns, %v in the profile, %v holds", len(w.Locks), waits, total, sampled, holds)
	}
}
