package kernellock

import (
	"slices"
	"strings"
)

// Flags are those of the tracepoint contention_begin (include/trace/events/lock.h).
type Flags uint32

// The flags. A mutex that spins before it sleeps has none but Mutex here.
const (
	Spin Flags = 1 << iota
	Read
	Write
	RealTime
	PerCPU
	Mutex
)

// Kinds of locks, as the label "lock_kind" has them.
const (
	kindSpinlock  = "spinlock"
	kindRWLock    = "rwlock"
	kindRWSem     = "rwsem"
	kindPerCPU    = "percpu-rwsem"
	kindMutex     = "mutex"
	kindRTMutex   = "rtmutex"
	kindSemaphore = "semaphore"
)

// Kind is the kind of the lock.
func (f Flags) Kind() string {
	switch shared := f&(Read|Write) != 0; {
	case f&Mutex != 0:
		return kindMutex
	case f&PerCPU != 0:
		return kindPerCPU
	case f&RealTime != 0 && !shared:
		return kindRTMutex
	case f&Spin != 0 && shared:
		return kindRWLock
	case f&Spin != 0:
		return kindSpinlock
	case shared:
		return kindRWSem
	default:
		return kindSemaphore
	}
}

// Names names the kernel's functions.
type Names interface {
	Lookup(address uint64) (name, module string, ok bool)
}

// Frames tells the functions that wait for locks from those that want them. It is used by
// one goroutine.
type Frames struct {
	names Names
	known map[uint64]role
}

// role is what a function does in a wait for a lock.
type role int

const (
	wants      role = iota
	locks           // it is part of taking a lock
	waits           // ... and where the wait is: the innermost frame that says something
	interrupts      // it begins the work of an interrupt
)

// NewFrames goes by the names of kernel functions; nil if there are none.
func NewFrames(names Names) *Frames { return &Frames{names, map[uint64]role{}} }

// The functions that hold the tracepoints, and those between them and who wants the lock;
// prefixes end in "*". Names are those of Linux 6.1 to 6.18.
var (
	waiting = []string{
		"queued_spin_lock_slowpath", "native_queued_spin_lock_slowpath", "__pv_queued_spin_lock_slowpath", "resilient_queued_spin_lock_slowpath",
		"queued_read_lock_slowpath", "queued_write_lock_slowpath", "rwsem_down_*", "__mutex_lock*", "__ww_mutex_lock*", "mutex_lock*", "ww_mutex_lock*",
		"percpu_down_write", "__percpu_down_read*", "percpu_rwsem_wait*", "rt_mutex_slowlock*", "__rt_mutex_slowlock*", "rtlock_slowlock*",
		"__rwbase_*", "rwbase_read_lock*", "rwbase_write_lock*", "___down_common", "__down*", "down",
	}
	locking = []string{
		"_raw_spin_lock*", "__raw_spin_lock*", "do_raw_spin_lock*", "_raw_read_lock*", "__raw_read_lock*", "_raw_write_lock*", "__raw_write_lock*",
		"do_raw_read_lock*", "do_raw_write_lock*", "raw_spin_rq_lock*", "_raw_spin_rq_lock*", "task_rq_lock", "__task_rq_lock", "double_rq_lock", "_double_lock_balance",
		"down_read*", "down_write*", "down_interruptible", "down_killable", "down_timeout", "rt_mutex_lock*", "rt_spin_lock*", "rt_read_lock*",
		"rt_write_lock*", "lock_sock_nested", "bpf_res_spin_lock*", "lock_task_sighand", "__lock_task_sighand",
	}
	interrupting = []string{
		"__do_softirq", "handle_softirqs", "irq_exit_rcu", "__irq_exit_rcu", "common_interrupt", "sysvec_*", "__sysvec_*", "asm_sysvec_*", "asm_common_interrupt",
		"el0_irq", "el0_interrupt", "el0t_64_irq*", "gic_handle_irq", "exc_nmi", "asm_exc_nmi",
	}
)

func roleOf(name string) role {
	name, _, _ = strings.Cut(name, ".") // the compiler's clones: name.constprop.0
	among := func(patterns []string) bool {
		return slices.ContainsFunc(patterns, func(pattern string) bool {
			prefix, isPrefix := strings.CutSuffix(pattern, "*")
			return name == prefix || isPrefix && strings.HasPrefix(name, prefix)
		})
	}
	switch {
	case among(interrupting):
		return interrupts
	case among(waiting):
		return waits
	case among(locking):
		return locks
	}
	return wants
}

func (f *Frames) at(address uint64) role {
	r, ok := f.known[address]
	if !ok {
		if f.names != nil {
			if name, _, found := f.names.Lookup(address); found {
				r = roleOf(name)
			}
		}
		f.known[address] = r
	}
	return r
}

// Trim drops the frames inside of the function that waited, the leaf first: they are of
// what watches. It returns all if none waited for a lock.
func (f *Frames) Trim(kernel []uint64) []uint64 {
	for i, address := range kernel {
		if f.at(address) == waits {
			return kernel[i:]
		}
	}
	return kernel
}

// Caller names the function that wanted the lock, by a stack that Trim has cut; empty if
// it has no name.
func (f *Frames) Caller(kernel []uint64) string {
	for _, address := range kernel {
		if r := f.at(address); r == locks || r == waits {
			continue
		}
		if f.names != nil {
			name, _, _ := f.names.Lookup(address)
			return name
		}
		break
	}
	return ""
}

// Interrupted tells that an interrupt waited, by a stack.
func (f *Frames) Interrupted(kernel []uint64) bool {
	return slices.ContainsFunc(kernel, func(address uint64) bool { return f.at(address) == interrupts })
}
