package waits

// idleRule says which waits are of threads that have nothing to do.
type idleRule struct {
	name   string
	states []string // in which it applies
	// any are functions of which one is on the stack; without any, each stack will do.
	any []pattern
	// root are functions of which one is the outermost; within bounds how many of the
	// program's functions lie between it and the wait (0: any number).
	root   []pattern
	within int
	unless []pattern // none of these is on the stack
	// noErrand tells that none of the program's functions may be called as if it wanted
	// something of others.
	noErrand bool
	why      string
}

// blocked are the states of threads that no disk and no lock of the kernel holds up.
var blocked = []string{"futex", "poll", "sleep", "socket", "pipe", "other"}

// roots are what a thread other than the first begins in.
var roots = []pattern{"start_thread", "clone3", "__clone", "clone", "thread_start", "__GI___clone*"}

// answers are functions that wait, in a loop made for any event, for one of them: PostgreSQL's
// locks, its client library's results.
var answers = []pattern{
	"ProcSleep", "LockAcquire*", "LWLockAcquire*", "ConditionVariable*Sleep", "SyncRepWait*", "WaitForParallelWorkers*", "shm_mq_*", "PQgetResult", "PQexec*", "pqWait*",
}

// idleRules are tried in order; the first that fits counts. A rule has to name what makes
// a wait idle: a thread that never runs is not idle for that, since one in a deadlock looks
// just so.
var idleRules = []idleRule{
	{
		name: "accept", states: blocked,
		any: []pattern{"accept", "accept4", "__GI_accept*", "__libc_accept*", "inet_csk_accept", "inet_accept", "unix_accept", "*::accept", "*::accept4"},
		why: "a server waits for somebody to connect",
	}, {
		name: "event loop", states: []string{"poll", "io", "other"},
		any: []pattern{"ep_poll", "do_epoll_wait", "epoll_wait", "epoll_pwait", "epoll_pwait2", "__GI_epoll_*", "io_cqring_wait"}, unless: answers,
		why: "epoll and io_uring serve loops that wait for any of their files; who waits for one answer polls or receives",
	}, {
		name: "named event loop", states: []string{"poll", "sleep", "other", "futex"},
		any: []pattern{
			"uv__io_poll", "event_base_loop", "aeApiPoll", "aeMain", "ngx_process_events_and_timers", "g_main_context_iterate*", "g_main_loop_run", "g_main_context_poll*", "ev_run", "apr_pollset_poll",
			"boost::asio::detail::scheduler::run*", "mio::*poll*", "tokio::runtime::io::*", "WaitEventSetWait*", "sun.nio.ch.EPoll*", "select_epoll_poll*", "select_poll_poll*", "select_select*", "asyncio.*", "serve_forever", "sd_event_wait", "sd_event_run", "server_accept_loop", "ServerLoop",
		}, unless: answers,
		why: "the loop of a well-known library waits for any of its files",
	}, {
		name: "PostgreSQL's first process", states: []string{"poll"}, any: []pattern{"PostmasterMain"}, within: 3,
		why: "it waits for clients and for its processes' ends; those have functions of their own below",
	}, {
		name: "main loop", states: []string{"poll"}, root: []pattern{"_start", "start_thread", "clone3", "__clone", "clone", "thread_start", "__libc_start_main*", "__libc_start_call_main"}, within: 2,
		noErrand: true,
		why:      "poll or select in the function that the thread begins with, or the one below, is its loop",
	}, {
		name: "Go's parked threads", states: blocked,
		any: []pattern{"runtime.stopm", "runtime.mPark", "runtime.findRunnable", "runtime.findrunnable", "runtime.netpoll", "runtime.sysmon", "runtime.templateThread", "runtime.stoplockedm", "os/signal.signal_recv", "runtime.gcstopm"},
		why: "the scheduler has no goroutine for the thread; where goroutines wait is Go's own to tell",
	}, {
		name: "pools of libuv, Node and V8", states: blocked,
		any: []pattern{"node::*PlatformWorkerThread*", "node::*TaskQueue*BlockingPop*", "v8::platform::*Worker*", "node::*DelayedTaskScheduler*", "node::inspector::*StartIoThread*", "*SignalInspector*", "v8::base::*"},
		why: "a worker waits for a task",
	}, {
		name: "libuv's workers", states: []string{"futex"}, any: []pattern{"uv_cond_wait"}, root: roots, within: 3,
		why: "a worker of the pool waits for a task",
	}, {
		name: "Python's pools", states: blocked,
		any: []pattern{"concurrent.futures.thread:_worker", "_worker", "*queue:get", "queue.get", "Queue.get", "*.serve_forever", "*threading:_monitor*"},
		why: "a worker waits for a task, or a server for a request",
	}, {
		name: "Rust's pools", states: blocked,
		any: []pattern{"tokio::runtime::*park*", "tokio::runtime::blocking::pool::*", "tokio::runtime::*Parker*", "rayon_core::sleep::*", "rayon_core::registry::WorkerThread::wait_until*", "async_io::driver::*", "threadpool::*"},
		why: "a worker of tokio, rayon or the like has no task",
	}, {
		name: "HotSpot's own threads", states: blocked,
		any: []pattern{"WorkerThread::run", "GangWorker::loop", "VMThread::*wait*", "VMThread::inner_execute", "WatcherThread::sleep", "CompileQueue::get", "CompileBroker::compiler_thread_loop", "ServiceThread::service_thread_entry", "MonitorDeflationThread::*", "*G1ConcurrentRefine*", "*ConcurrentGCThread::run*", "signal_thread_entry", "AttachListener::*", "os::signal_wait", "*ThreadPoolExecutor*getTask*", "*ForkJoinPool*awaitWork*", "*ReferenceHandler*", "*Finalizer*", "*NotificationThread*"},
		why: "the garbage collector, the compiler or an executor has no task",
	}, {
		name: "docked OpenMP and BLAS threads", states: []string{"futex"},
		any: []pattern{"gomp_thread_start", "__kmp_launch_worker", "blas_thread_server"}, unless: []pattern{"gomp_team_barrier_wait*", "*_omp_fn*", "__kmp_invoke_task*", "*.omp_outlined*"},
		why: "a thread waits for the next parallel region; within one it would wait for its team",
	}, {
		name: "pools of GLib, gRPC and allocators", states: blocked,
		any: []pattern{"g_thread_pool_*", "g_async_queue_pop*", "g_thread_pool_wait_for_new_task", "background_thread_entry", "background_thread_sleep*", "grpc_core::Executor::*", "grpc_event_engine::*WorkStealingThreadPool*", "*TimerManager::MainLoop*"},
		why: "a worker waits for a task",
	}, {
		name: "worker's loop", states: []string{"futex"},
		any:  []pattern{"pthread_cond_wait", "pthread_cond_timedwait", "pthread_cond_clockwait", "__pthread_cond_*", "___pthread_cond_*", "std::condition_variable*", "std::sys::sync::condvar::*", "std::sys::pal::unix::locks::futex_condvar::*", "std::sync::condvar::*", "std::sync::poison::condvar::*", "absl::*CondVar::*", "sem_wait", "__new_sem_wait*", "std::sync::mpsc::*recv*", "std::sync::mpmc::*recv*", "crossbeam_channel::*recv*"},
		root: roots, within: 3, unless: []pattern{"take_gil", "PyThread_*", "lock_PyThread_*", "ObjectMonitor::*"}, noErrand: true,
		why: "a condition variable waited for within three functions of the thread's root is that of its queue, unless a function's name says that it wants room or an answer",
	}, {
		name: "threads of the kernel", states: []string{"other", "sleep"}, root: []pattern{"ret_from_fork*", "kthread"},
		unless: []pattern{"io_schedule*", "*completion*"},
		why:    "a thread of the kernel that waits neither for a device nor for a lock has no work",
	}, {
		name: "terminal", states: blocked, any: []pattern{"n_tty_read"},
		why: "nobody types",
	},
}
