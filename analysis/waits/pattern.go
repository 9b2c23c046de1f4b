package waits

import "strings"

// pattern matches names of functions; "*" stands for any text.
type pattern string

func (p pattern) matches(name string) bool {
	first, rest, more := strings.Cut(string(p), "*")
	name, ok := strings.CutPrefix(name, first)
	for ok && more {
		var part string
		part, rest, more = strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(name, part)
		}
		_, name, ok = strings.Cut(name, part)
	}
	return ok && name == ""
}

func matchesAny(patterns []pattern, name string) bool {
	for _, p := range patterns {
		if p.matches(name) {
			return true
		}
	}
	return false
}

// wrappers are functions between a program and what it waits for, of libraries and
// language runtimes.
var wrappers = []pattern{
	"WaitEventSetWait*", "WaitLatch*", // PostgreSQL's loops for any event
	"PGSemaphore*", // what its locks are made of
	"__GI_*", "__libc_*", "__futex*", "futex_*", "lll_*", "__lll_*", "pthread_*", "__pthread_*", "___pthread_*",
	"__new_sem_*", "__old_sem_*", "__sem_*", "sem_*", "do_sem_*", "do_futex_*", "__gthread_*", "__gthrw_*",
	"__lock", "__wait", "__timedwait*", "__unlock", "uv_mutex_*", "uv_cond_*", "uv_sem_*", "uv_rwlock_*",
	"std::*", "bool std::*", "void std::*", "<std::*", "__gnu_cxx::*", "core::*", "<core::*", "alloc::*", "parking_lot*", "<parking_lot*", "lock_api::*", "absl::*",
	"sync.*", "internal/sync.*", "sync/atomic.*", "internal/race.*",
	"PyThread_*", "lock_PyThread_*", "_PyMutex_*", "PyMutex_*", "_PyParkingLot_*", "_PySemaphore_*", "acquire_timed", "PyObject_*", "_PyObject_*", "method_vectorcall*", "cfunction_*", "_PyEval_*", "PyEval_*",
	"poll", "ppoll", "select", "pselect", "epoll_*", "accept", "accept4", "read", "write", "recv*", "nanosleep", "clock_nanosleep", "usleep", "sleep", "___*",
}

// releasing are functions that let a lock of a program's own go, for those who held it.
var releasing = []pattern{
	"LWLockRelease*", "LWLockUpdateVar", "LockRelease*", "ProcLockWakeup", "ProcWakeup", "ProcReleaseLocks", "CleanUpLock", "SetLatch", "ResourceOwnerRelease*",
	"ConditionVariableSignal", "ConditionVariableBroadcast", "UnlockTuple", "UnlockRelation*", "UnlockPage", "XactLockTableDelete",
}

// gates are functions that do a system call for those that callers know by name.
var gates = []pattern{
	"*__syscall_cancel*", "__syscall_cp*", "__internal_syscall_cancel*", "syscall", "__kernel_*", "runtime.*", "internal/runtime/*", "internal/poll.*",
	"syscall.Syscall*", "syscall.RawSyscall*", "syscall.syscall*", "golang.org/x/sys/unix.Syscall*",
}

// threadStarts are the functions that threads begin in, below the program's own.
var threadStarts = []pattern{
	"start_thread", "__clone", "clone", "clone3", "__clone3", "__GI___clone*", "thread_start", "execute_native_thread_routine", "*std::thread::_State_impl*", "*std::thread::_Invoker*", "*std::__invoke*",
	"std::sys::*thread*", "std::thread::*spawn*", "*__rust_begin_short_backtrace*", "*__rust_end_short_backtrace*", "*FnOnce*call_once*", "core::ops::function::*", "std::panic*", "*AssertUnwindSafe*", "__rust_try",
	"_start", "__libc_start_main*", "__libc_start_call_main", "ret_from_fork*", "runtime.mstart*", "runtime.goexit*", "thread_native_entry*", "Thread::call_run", "pythread_wrapper", "uv__thread_start",
}

// errands are words of functions that want something of others, so that their waits are
// for work of those: room in a queue, a connection of a pool, an answer.
var errands = map[string]bool{
	"push": true, "put": true, "enqueue": true, "produce": true, "send": true, "submit": true, "acquire": true, "checkout": true,
	"join": true, "reply": true, "response": true, "result": true, "await": true, "flush": true, "commit": true, "call": true, "request": true, "borrow": true,
}
