package waits

// kindRule tells by a function on the waiting stack what was waited for.
type kindRule struct {
	functions      []pattern
	kind           string
	implementation string
}

// kindRules are looked through for each function of a waiting stack, in their order. Of
// the functions that they know the outermost counts: std::mutex calls pthread_mutex_lock,
// and malloc a lock of its own.
var kindRules = []kindRule{
	{[]pattern{"pthread_mutex_lock", "pthread_mutex_timedlock", "pthread_mutex_clocklock", "__pthread_mutex_*", "___pthread_mutex_*", "lll_mutex_lock_*"}, "mutex", "glibc"},
	{[]pattern{"pthread_cond_wait", "pthread_cond_timedwait", "pthread_cond_clockwait", "__pthread_cond_*", "___pthread_cond_*"}, "condition variable", "glibc"},
	{[]pattern{"pthread_rwlock_*", "__pthread_rwlock_*", "___pthread_rwlock_*"}, "rwlock", "glibc"},
	{[]pattern{"sem_wait", "sem_timedwait", "sem_clockwait", "__new_sem_wait*", "___new_sem_wait*", "__sem_*", "do_futex_wait"}, "semaphore", "glibc"},
	{[]pattern{"pthread_barrier_wait", "___pthread_barrier_wait", "__pthread_barrier_wait"}, "barrier", "glibc"},
	{[]pattern{"pthread_join", "pthread_timedjoin_np", "pthread_clockjoin_np", "___pthread_join", "__pthread_clockjoin_ex", "__pthread_timedjoin_ex"}, "join", "glibc"},
	{[]pattern{"pthread_once", "__pthread_once*", "___pthread_once", "std::call_once*"}, "once", "glibc"},
	{[]pattern{"__lll_lock_wait_private", "__GI___lll_lock_wait_private", "__libc_lock_lock*"}, "internal lock", "glibc"},
	{[]pattern{"_int_malloc", "__libc_malloc", "_int_free", "__libc_free", "arena_get2", "tcache_init", "malloc", "free", "calloc", "realloc"}, "allocator's lock", "glibc"},
	{[]pattern{"_IO_*", "fwrite", "fputs", "fprintf", "vfprintf", "printf", "puts"}, "stream's lock", "glibc"},
	{[]pattern{"_dl_*", "dl_iterate_phdr", "__dl_iterate_phdr"}, "loader's lock", "glibc"},
	{[]pattern{"__timedwait", "__timedwait_cp", "__lock", "__wait"}, "futex", "musl"},
	{[]pattern{"std::condition_variable*"}, "condition variable", "libstdc++"},
	{[]pattern{"std::mutex::*", "std::timed_mutex::*", "std::recursive_mutex::*"}, "mutex", "libstdc++"},
	{[]pattern{"std::shared_mutex::*", "std::__shared_mutex_*", "std::shared_timed_mutex::*"}, "rwlock", "libstdc++"},
	{[]pattern{"std::counting_semaphore*", "std::__platform_semaphore*", "std::__atomic_semaphore*"}, "semaphore", "libstdc++"},
	{[]pattern{"std::latch::*", "std::barrier*", "std::__tree_barrier*"}, "barrier", "libstdc++"},
	{[]pattern{"std::thread::join*"}, "join", "libstdc++"},
	{[]pattern{"std::__atomic_wait*", "std::__atomic_futex*", "void std::__atomic_wait*", "*std::__detail::__atomic_wait*"}, "atomic wait", "libstdc++"},
	{[]pattern{"std::sys::sync::mutex::*", "std::sys::pal::unix::locks::futex_mutex::*", "std::sync::mutex::*", "std::sync::poison::mutex::*", "<std::sync::mutex::*"}, "mutex", "Rust"},
	{[]pattern{"std::sys::sync::rwlock::*", "std::sys::pal::unix::locks::futex_rwlock::*", "std::sync::rwlock::*", "std::sync::poison::rwlock::*"}, "rwlock", "Rust"},
	{[]pattern{"std::sys::sync::condvar::*", "std::sys::pal::unix::locks::futex_condvar::*", "std::sync::condvar::*", "std::sync::poison::condvar::*"}, "condition variable", "Rust"},
	{[]pattern{"std::sys::sync::once::*", "std::sync::once*", "std::sync::poison::once*"}, "once", "Rust"},
	{[]pattern{"std::thread::park*", "std::sys::sync::thread_parking::*", "std::thread::Thread::park*"}, "park", "Rust"},
	{[]pattern{"std::thread::JoinHandle*", "std::thread::JoinInner*", "std::sys::thread::*join*"}, "join", "Rust"},
	{[]pattern{"std::sync::mpsc::*", "std::sync::mpmc::*"}, "channel", "Rust"},
	{[]pattern{"parking_lot::raw_mutex::*", "<parking_lot::raw_mutex::*"}, "mutex", "parking_lot"},
	{[]pattern{"parking_lot::raw_rwlock::*", "<parking_lot::raw_rwlock::*"}, "rwlock", "parking_lot"},
	{[]pattern{"parking_lot::condvar::*"}, "condition variable", "parking_lot"},
	{[]pattern{"absl::*Mutex::*", "absl::*SpinLock::*", "absl::base_internal::SpinLock*", "AbslInternalSpinLock*"}, "mutex", "abseil"},
	{[]pattern{"absl::*CondVar::*"}, "condition variable", "abseil"},
	{[]pattern{"take_gil"}, "GIL", "Python"},
	{[]pattern{"PyThread_acquire_lock*", "lock_PyThread_acquire_lock", "_PyMutex_Lock*", "PyMutex_Lock*"}, "lock", "Python"},
	{[]pattern{"ObjectMonitor::enter*", "*ObjectMonitor::EnterI*"}, "monitor", "HotSpot"},
	{[]pattern{"ObjectMonitor::wait*"}, "condition variable", "HotSpot"},
	{[]pattern{"Unsafe_Park", "Parker::park"}, "park", "HotSpot"},
	{[]pattern{"gomp_*", "GOMP_*"}, "barrier", "libgomp"},
	{[]pattern{"__kmp_*", "__kmpc_*"}, "barrier", "libomp"},
	{[]pattern{"uv_cond_*"}, "condition variable", "libuv"},
	{[]pattern{"uv_mutex_*"}, "mutex", "libuv"},
}

// what is a kind of lock, and whose it is.
type what struct{ kind, implementation string }

// kindOf tells by the functions of a waiting stack what was waited for: from the system
// call outwards, up to the first of the program's own. ok is false if none tells.
func kindOf(stack []call) (found what, ok bool) {
	for _, c := range user(stack) {
		if c.own() && c.kind.kind == "" {
			break
		}
		if c.kind.kind != "" {
			found = c.kind
		}
	}
	return found, found.kind != ""
}

func ruleOf(name string) what {
	for _, r := range kindRules {
		if matchesAny(r.functions, name) {
			return what{r.kind, r.implementation}
		}
	}
	return what{}
}
