package kernellock_test

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/ringbuf"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/accounting"
	"github.com/narrows-profiler/narrows/collector/core"
	"github.com/narrows-profiler/narrows/collector/kernellock"
	"github.com/narrows-profiler/narrows/internal/heldlock"
)

// watched is what a watcher saw while work was done.
type watched struct {
	events []kernellock.Event
	totals map[kernellock.Flags]kernellock.Total
	losses map[string]uint64
	queues []kernellock.Queue
}

// watch runs the programs while work is done. cut, if not 0, is how often waits under way
// are cut.
func watch(t *testing.T, cut time.Duration, work func()) watched {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("loading programs needs root")
	}
	c, err := core.Load(0)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	events, err := ringbuf.NewReader(c.Events())
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	w, err := kernellock.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	var seen watched
	keep := func(record []byte) {
		if bpf.CoreEventKind(binary.NativeEndian.Uint32(record[8:])) != bpf.CoreEventKindEVENT_CONTENTION {
			return
		}
		e, err := kernellock.Decode(record)
		if err != nil {
			t.Error(err)
		}
		seen.events = append(seen.events, e)
	}
	if seen.queues, err = w.Queues(); err != nil {
		t.Error(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		work()
	}()
	if cut == 0 {
		cut = time.Hour
	}
	cuts := time.NewTicker(cut)
	defer cuts.Stop()
	for working := true; working; {
		select {
		case <-cuts.C:
			if err := w.Cut(accounting.Monotonic(), keep); err != nil {
				t.Error(err)
			}
		case <-done:
			working = false
			if err := w.Stop(); err != nil {
				t.Error(err)
			}
			if err := events.Flush(); err != nil {
				t.Error(err)
			}
		default:
			events.SetDeadline(time.Now().Add(10 * time.Millisecond))
		}
		for {
			record, err := events.Read()
			if errors.Is(err, ringbuf.ErrFlushed) || errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			keep(record.RawSample)
		}
	}
	if seen.totals, err = w.Totals(); err != nil {
		t.Error(err)
	}
	counters, err := c.Counters()
	if err != nil {
		t.Error(err)
	}
	seen.losses = counters.Losses()
	return seen
}

// of are the events of some threads that waited for locks of a kind.
func (w watched) of(kind string, tids []int) (events []kernellock.Event) {
	for _, e := range w.events {
		if e.Kind.Kind() == kind && !e.Interrupt && slices.Contains(tids, int(e.Thread.TID)) {
			events = append(events, e)
		}
	}
	return events
}

// waited adds up the events with their weights.
func waited(events []kernellock.Event) (waits float64, time float64) {
	for _, e := range events {
		if !e.Continued {
			waits += e.Weight
		}
		time += e.Weight * float64(e.Length()+e.Nested)
	}
	return waits, time
}

// TestTimesAreTrue compares what was seen with what the threads that waited measured.
func TestTimesAreTrue(t *testing.T) {
	for name, test := range map[string]struct {
		lock heldlock.Lock
		kind string
		cut  time.Duration
	}{
		"file":     {heldlock.File, "rwsem", 0},
		"pipe":     {heldlock.Pipe, "mutex", 0},
		"file cut": {heldlock.File, "rwsem", 7 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			var truth heldlock.Truth
			seen := watch(t, test.cut, func() {
				var err error
				truth, err = heldlock.Hold(heldlock.Plan{Lock: test.lock, Dir: t.TempDir(), Waiters: 4, Rounds: 20, Hold: 20 * time.Millisecond})
				if err != nil {
					t.Error(err)
				}
			})
			events := seen.of(test.kind, truth.Waiters)
			waits, time := waited(events)
			t.Logf("%.0f waits of %.3f s in %d events; the threads measured %d of %.3f s; lost: %v", waits, time/1e9, len(events), truth.Waits, truth.Waited.Seconds(), seen.losses)
			bound := 0.03
			if emulated() {
				bound = 0.1 // a system call alone takes a millisecond now and then
			}
			if off := math.Abs(time/float64(truth.Waited) - 1); off > bound {
				t.Errorf("%.3f s seen, where the threads waited %.3f s: %.1f %% off", time/1e9, truth.Waited.Seconds(), 100*off)
			}
			checkOwners(t, ofOneLock(events), truth)
			checkNames(t, test.lock, events)
			if test.cut != 0 && !slices.ContainsFunc(events, func(e kernellock.Event) bool { return e.Open }) {
				t.Error("no wait was told of before its end")
			}
		})
	}
}

// emulated tells whether the processor is one of software.
func emulated() bool {
	cpu, err := os.ReadFile("/proc/cpuinfo")
	return err == nil && strings.Contains(string(cpu), "QEMU")
}

// ofOneLock are the events of the lock that was waited for longest: the runtime maps memory now
// and then, of which another thread of this process may have the lock.
func ofOneLock(events []kernellock.Event) []kernellock.Event {
	waited := map[uint64]uint64{}
	var longest uint64
	for _, e := range events {
		if waited[e.Lock] += e.Length(); waited[e.Lock] > waited[longest] {
			longest = e.Lock
		}
	}
	return slices.DeleteFunc(slices.Clone(events), func(e kernellock.Event) bool { return e.Lock != longest })
}

// checkOwners checks that most waits are known to be for the thread that held the lock:
// those behind other waiters are for them.
func checkOwners(t *testing.T, events []kernellock.Event, truth heldlock.Truth) {
	t.Helper()
	var holder, other, woken, sum float64
	for _, e := range events {
		length := float64(e.Length())
		sum += length
		switch {
		case int(e.Owner.TID) == truth.Holder:
			holder += length
		case e.Owner.TID != 0 && !slices.Contains(truth.Waiters, int(e.Owner.TID)):
			other += length
		}
		if e.Slept {
			woken += length
		}
	}
	if holder < 0.9*sum || other > 0 {
		t.Errorf("of %.3f s the holder is blamed for %.3f s, and threads that never held the lock for %.3f s", sum/1e9, holder/1e9, other/1e9)
	}
	if woken < 0.9*sum {
		t.Errorf("of %.3f s only %.3f s count as slept", sum/1e9, woken/1e9)
	}
}

func checkNames(t *testing.T, lock heldlock.Lock, events []kernellock.Event) {
	t.Helper()
	types, err := btf.LoadKernelSpec()
	if err != nil {
		t.Fatal(err)
	}
	namer := kernellock.NewNamer(kernellock.Sources{Types: types})
	var kfunc *btf.Func
	named := types.TypeByName("bpf_get_kmem_cache", &kfunc) == nil
	names := map[string]int{}
	for _, e := range events {
		names[namer.Name(e, "caller").Name]++
	}
	t.Log(names)
	for name, n := range names {
		if name == "mm_struct.mmap_lock" && n <= len(events)/20 {
			continue // the runtime maps memory now and then
		}
		var ok bool
		switch {
		case !named:
			ok = strings.HasSuffix(name, " in caller")
		case lock == heldlock.File:
			ok = name == "inode.i_rwsem"
		default:
			ok = strings.HasPrefix(name, "mutex in caller (kmalloc-")
		}
		if !ok {
			t.Errorf("a lock is called %q", name)
		}
	}
}
