// Package futex tells which locks of user space threads wait for, and who holds them,
// from what futex calls say: no program is changed, and no library is known but by the
// values it waits with.
//
// [Open] loads the programs (bpf/futex.bpf.c). They complete the events of package wait
// ([wait.FutexCall]), and keep exact [Sums] for each lock, which [Watcher.Read] gives out.
// [Locks] makes of events what package lock takes: which lock it is ([Identify]), and who
// held it when ([Locks.Holders]).
//
// The holder is told by the lock's own memory where that names one: a priority-inheriting
// or robust lock has its TID in the word, glibc's mutex behind it; it counts if it is a
// thread of the same process. Else it is who let the waiter go on. A long wait for a mutex
// is shared out among all who let go of it meanwhile: each held it since the one before.
// Where waits are thinned out some of these are not seen, and their time goes to the next.
//
// A wait for any of several futexes (futex_waitv) is told as one for the futex that let it go
// on, else for the first of them. One that a signal nobody handles interrupts, such as a
// debugger's, goes on by restart_syscall, and is then counted as two waits of one acquisition.
//
// Time waited is that from when the thread leaves its CPU to the call's end. What a call takes
// before that is known of a sample of all ([Watcher.BeforeSleep]). A call that comes back at
// once, because its word has changed, is counted, and has waited for nothing.
package futex

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf/link"

	"github.com/narrows-profiler/narrows/bpf"
	"github.com/narrows-profiler/narrows/collector/core"
	"github.com/narrows-profiler/narrows/collector/process"
)

// Backend is the kind of hook in use. What a call is for is read from the registers it was
// entered with, while it waits or when it ends: a second hook would cost each call as much again.
const Backend = "tracepoint syscalls/sys_exit_futex"

// hooks are the ends of the system calls on futexes. Kernels need not have all: futex_waitv
// came with Linux 5.16, the three after it with 6.7.
var hooks = []struct {
	name     string
	optional bool
}{
	{"sys_exit_futex", false}, {"sys_exit_futex_waitv", true}, {"sys_exit_futex_wait", true}, {"sys_exit_futex_wake", true},
	{"sys_exit_futex_requeue", true}, {"sys_exit_restart_syscall", true},
}

// Watcher is the running programs.
type Watcher struct {
	objects bpf.FutexObjects
	core    *core.Core
	links   []link.Link
	entries entries
}

// Open loads and attaches the programs. It needs CAP_PERFMON and CAP_BPF, and a kernel with
// tracepoints of system calls.
func Open(c *core.Core) (*Watcher, error) {
	w := &Watcher{core: c}
	if err := w.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("watching futex calls: %w", err), w.Close())
	}
	return w, nil
}

func (w *Watcher) open() error {
	spec, err := bpf.LoadFutex()
	if err != nil {
		return err
	}
	if err := w.core.LoadAndAssign(spec, &w.objects); err != nil {
		return err
	}
	for _, hook := range hooks {
		attached, err := link.Tracepoint("syscalls", hook.name, w.objects.FutexExit, nil)
		if hook.optional && errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("attaching to %s: %w", hook.name, err)
		}
		w.links = append(w.links, attached)
	}
	w.entries.begin(w.objects.FutexEnter, w.core.Entries())
	return nil
}

// Sums are what was counted of a lock since it was first waited for.
type Sums struct {
	Key     Key
	Process process.Identity
	// Operation, Flags and Value are those of the call it was first waited for with.
	Operation, Flags, Value uint32
	// Acquisitions counts runs of waits until the thread's own next wake, Waits the calls
	// that took, Waited for how many ns these were off their CPUs.
	Acquisitions, Waits, Waited    uint64
	TimedOut, Interrupted, Changed uint64 // Waits that ended so
	// Holds counts how often a thread that had waited let others go on, and Held the ns
	// between, up to when the first was woken.
	Holds, Held uint64
}

// BeforeSleep is how many ns of a wait are before its thread leaves its CPU, on average: they
// are not in [Sums].
func (w *Watcher) BeforeSleep() (float64, error) { return w.entries.beforeSleep() }

// Read gives the sums of all locks. Those that nothing was added to since the given time are
// dropped after that.
func (w *Watcher) Read(forgetBefore uint64, each func(Sums)) error {
	if err := w.objects.ForgetBefore.Set(forgetBefore); err != nil {
		return fmt.Errorf("reading the sums of locks: %w", err)
	}
	options := link.IterOptions{Program: w.objects.ReadLocks, Map: w.core.Locks()}
	if err := core.Iterate(options, core.EachRecord(func(raw *bpf.FutexLockRecord) { each(sums(raw)) })); err != nil {
		return fmt.Errorf("reading the sums of locks: %w", err)
	}
	return nil
}

func sums(raw *bpf.FutexLockRecord) Sums {
	l := &raw.Lock
	return Sums{
		Key:       Key{PID: raw.Key.Tgid, Address: raw.Key.Address},
		Process:   process.Identity{PID: raw.Key.Tgid, Start: l.ProcessStart, Generation: l.ExecGeneration},
		Operation: l.Operation, Flags: l.Flags, Value: l.Value,
		Acquisitions: l.Acquisitions, Waits: l.Waits + l.Changed, Waited: l.Waited,
		TimedOut: l.TimedOut, Interrupted: l.Interrupted, Changed: l.Changed, Holds: l.Holds, Held: l.Held,
	}
}

// Cost is what the programs took so far; it is counted only while BPF statistics are on.
func (w *Watcher) Cost() (runs uint64, spent time.Duration, err error) {
	return core.Cost(w.objects.FutexExit, w.objects.FutexEnter)
}

// Stop detaches the programs.
func (w *Watcher) Stop() error {
	err := errors.Join(w.entries.end(), core.Detach(w.links))
	w.links, w.entries.stop = nil, nil
	return err
}

// Close detaches and frees everything.
func (w *Watcher) Close() error { return errors.Join(w.Stop(), w.objects.Close()) }
