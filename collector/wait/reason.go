package wait

import (
	"strings"

	"github.com/narrows-profiler/narrows/bpf"
)

// States of a thread that does not run, as the label "state" of samples has them.
const (
	Runnable = "runnable" // it could run, and waited for a CPU
	Futex    = "futex"    // a lock, condition variable, semaphore or the like of user space
	IO       = "io"       // a disk or another device, or the file system over it
	Fault    = "fault"    // a page fault
	Sleep    = "sleep"    // a time
	Poll     = "poll"     // any of several files: epoll, poll, select
	Pipe     = "pipe"     // a pipe or FIFO
	Socket   = "socket"   // the other end of a connection
	Lock     = "lock"     // a lock of the kernel
	Idle     = "idle"     // nothing to do
	Go       = "go"       // of a goroutine, whatever its thread did meanwhile: a lock, a channel
	Other    = "other"
)

// Names names the kernel's functions.
type Names interface {
	Lookup(address uint64) (name, module string, ok bool)
}

// Reasons says what waits were for, by the kernel functions that they were in. It is used
// by one goroutine.
type Reasons struct {
	names Names
	known map[uint64]place
}

// place is what a kernel function says of a wait in it.
type place struct {
	state   string
	outer   bool // it counts even if a function it called says something else
	switchs bool // it is the scheduler's
}

// NewReasons goes by the names of kernel functions; without any all waits but those for a
// CPU are for something else.
func NewReasons(names Names) *Reasons { return &Reasons{names: names, known: map[uint64]place{}} }

// functions by state; prefixes end in "*". Names are those of Linux 6.1 to 6.18.
var functions = map[string][]string{
	Futex: {"futex_wait*", "futex_lock_pi*", "__futex_wait*", "futex_do_wait*", "futex_wake*"},
	IO: {
		"io_schedule*", "folio_wait*", "wait_on_page*", "bit_wait_io*", "wait_for_completion_io*", "submit_bio_wait*", "blk_*", "blkdev_*", "bio_*",
		"jbd2_*", "xfs_*", "btrfs_*", "ext4_*", "f2fs_*", "nfs_*", "rpc_wait*", "io_cqring_wait*", "io_sq_thread*", "balance_dirty_pages*", "wait_sb_inodes*",
		"do_get_write_access*", "aio_*", "read_events*", "fuse_*", "request_wait_answer*", "p9_client_rpc*", "ceph_*", "cifs_*", "sync_inodes_sb*",
	},
	Sleep: {"do_nanosleep", "hrtimer_nanosleep*", "common_nsleep*", "schedule_timeout_idle*", "msleep*", "usleep_range*"},
	Poll:  {"ep_poll", "do_epoll_wait", "do_epoll_pwait*", "do_poll*", "do_sys_poll", "do_select", "core_sys_select", "poll_schedule_timeout*"},
	Pipe:  {"pipe_read", "anon_pipe_read", "fifo_pipe_read", "pipe_write", "anon_pipe_write", "fifo_pipe_write", "wait_for_partner", "fifo_open"},
	Socket: {
		"sk_wait_data*", "sk_stream_wait*", "inet_csk_accept", "inet_accept", "unix_stream_data_wait*", "unix_stream_read_generic", "unix_accept",
		"__skb_wait_for_more_packets*", "unix_wait_for_peer*", "sock_alloc_send_pskb", "tcp_recvmsg*", "tcp_sendmsg*", "udp_recvmsg*", "inet_stream_connect", "__inet_stream_connect",
		"netlink_recvmsg", "vsock_*", "sock_wait_for_wmem*", "sk_stream_wait_connect*",
	},
	Lock: {
		"__mutex_lock*", "mutex_lock*", "rwsem_down_*", "down_read*", "down_write*", "__down*", "down_interruptible", "rt_mutex_slowlock*",
		"__rt_mutex_slowlock*", "percpu_rwsem_wait*", "__percpu_down_read*", "ww_mutex_lock*", "rwbase_*", "do_wait_for_common_lock*",
	},
	Idle: {
		"worker_thread", "rescuer_thread", "kthread_worker_fn", "smpboot_thread_fn", "kthreadd", "rcu_gp_kthread", "rcu_gp_fqs_loop", "rcu_gp_init", "rcu_nocb_*", "rcu_tasks_*",
		"kswapd", "kcompactd", "kswapd_try_to_sleep", "khugepaged*", "ksm_scan_thread", "oom_reaper", "kauditd_thread", "kauditd_*", "irq_thread*", "irq_wait_for_interrupt",
		"watchdog*", "khungtaskd", "hwrng_fillfn", "kjournald2", "mmcqd*", "nvme_tcp_*", "scsi_error_handler", "devtmpfs*", "devtmpfsd", "dm_*_thread", "psi_*", "psi_rtpoll_worker",
		"bdi_writeback*", "cpuhp_*", "migration_*", "ubi_thread", "worker_*_idle", "vhost_*", "napi_threaded_poll*", "kernel_init*", "damon*",
		"inet_csk_accept", "inet_accept", "unix_accept", "do_sigtimedwait", "__do_sys_pause", "do_sigsuspend", "sigsuspend",
	},
	Fault: {"handle_mm_fault", "__handle_mm_fault", "exc_page_fault", "do_user_addr_fault", "handle_userfault", "do_page_fault", "do_mem_abort", "do_translation_fault"},
}

// outer states are told by a function that called what blocked: a page fault waits for a
// disk, and a socket that accepts waits for nothing to do.
var outer = map[string]bool{Fault: true, Idle: true}

// byName says what a function of that name means.
func byName(name string) place {
	name, _, _ = strings.Cut(name, ".") // the compiler's clones: name.constprop.0
	p := place{switchs: name == "__schedule"}
	for state, patterns := range functions {
		for _, pattern := range patterns {
			prefix, isPrefix := strings.CutSuffix(pattern, "*")
			if name != prefix && !(isPrefix && strings.HasPrefix(name, prefix)) {
				continue
			}
			// What is idle is in two lists, and that says more.
			if p.state == "" || outer[state] {
				p.state, p.outer = state, outer[state]
			}
		}
	}
	return p
}

func (r *Reasons) at(address uint64) place {
	p, ok := r.known[address]
	if !ok {
		if r.names != nil {
			if name, _, found := r.names.Lookup(address); found {
				p = byName(name)
			}
		}
		r.known[address] = p
	}
	return p
}

// Trim drops the frames above the scheduler, the leaf first: they are of what watches.
func (r *Reasons) Trim(kernel []uint64) []uint64 {
	for i, address := range kernel {
		if r.at(address).switchs {
			return kernel[i:]
		}
	}
	return kernel
}

// State says what a thread waits for that is on this stack of the kernel.
func (r *Reasons) State(kernel []uint64) string {
	state := Other
	for _, address := range kernel {
		switch p := r.at(address); {
		case p.state == "":
		case p.outer:
			return p.state
		case state == Other:
			state = p.state
		}
	}
	return state
}

// BlockedState is the state in which the event's thread was blocked, by that of its stack.
func (e Event) BlockedState(ofStack string) string {
	if (ofStack == Other || ofStack == "") && e.Flags&bpf.CoreWaitFlagWAIT_IN_IOWAIT != 0 {
		return IO
	}
	if ofStack == "" {
		return Other
	}
	return ofStack
}

// Preempted tells that the thread could have gone on: it waited for a CPU all the time.
func (e Event) Preempted() bool { return e.Flags&bpf.CoreWaitFlagWAIT_PREEMPTED != 0 }
