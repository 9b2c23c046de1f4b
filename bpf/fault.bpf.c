//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause)
/*
 * Which code makes memory resident: page faults of user mode, by the tracepoints at which
 * they begin, and the pages that the kernel takes for them, by the one at which it takes
 * any. A page that is taken while the task is in no system call is for its fault, since
 * nothing else that user mode enters the kernel by needs pages for programs; its order says
 * how large it is, so that huge pages count in full. What is in the page cache already is
 * mapped without taking anything: such a fault counts, with no bytes.
 *
 * Pages are also taken for system calls that fill memory before it is touched (MAP_POPULATE,
 * mlock), and for faults of the kernel in a program's buffer (read into fresh memory). Pages
 * of the page cache that read and write take are nobody's memory and are left out, and so
 * are those of hugetlbfs, which were taken before.
 *
 * Most faults only move two sums along: bytes and faults are each laid end to end and cut
 * into pieces, and one that a piece's random point falls into is sent with its stack, for
 * the whole piece (event_share.h). So sums are exact but for the piece begun on each CPU.
 */
#include "event_share.h"
#include "stack_once.h"
#include "syscall.h"

/* Periods are counted in jiffies, which cost less to read than the time does. */
#define FAULT_PERIOD_SHIFT 2

/* What one CPU may send in a period; set by user space, which knows how long a jiffy is. */
const volatile __u32 pages_a_period = 24;
const volatile __u32 faults_a_period = 8;
/* What it saves up: so many may be sent beyond that before pieces become twice as large.
 * Programs touch their memory in bursts, and 100 MB at once are told to 0.1 MB or so. */
#define MAX_PAGE_CREDIT 512
#define MAX_FAULT_CREDIT 128
/* An event costs so much where the ring buffer fills up. */
#define CREDIT_WHEN_FULL 16

/* What a page or a fault is worth in the unit that thin_out cuts: the smallest piece. */
#define PAGE_LENGTH 512
#define MAX_ORDER_SEEN 20 /* 4 GB; the largest page is 1 GB */

/* Of a process that began just now, whose stacks have to be walked in user space. They cost
 * much more, so that fewer of them stand for the others: pieces are of 256 KB at least. */
#define FAULT_STACK_MEMORY (8 * 1024)
#define HELP_SHIFT 6

/* include/linux/gfp_types.h: the same numbers from 5.0 to 6.18 at least. Pages for programs
 * and the page cache are all both of the first two, and nothing else is. */
#define GFP_HIGHMEM 0x02u
#define GFP_MOVABLE 0x08u
#define GFP_RECLAIM 0xc00u /* __GFP_DIRECT_RECLAIM | __GFP_KSWAPD_RECLAIM */
#define GFP_WRITE 0x1000u
#define GFP_NOWARN 0x2000u
#define GFP_NORETRY 0x10000u
#define GFP_THISNODE 0x200000u
#define GFP_PROGRAM (GFP_HIGHMEM | GFP_MOVABLE)
#define GFP_READAHEAD (GFP_NORETRY | GFP_NOWARN) /* readahead_gfp_mask() */

struct fault_event {
	struct event_header header;
	struct thread_identity thread;
	struct stack_id stack;
	__u64 faults, bytes; /* how many it stands for */
};

const struct fault_event *go_fault_event;

/* All there was on one CPU, sent or not, and what of it had to be sent and could not be. */
struct fault_totals {
	__u64 faults, bytes;
	__u64 lost_faults, lost_bytes;
	/* The largest pieces so far, as powers of two: of how many smallest pages, and faults. */
	__u32 page_shift, fault_shift;
};

struct fault_share {
	struct event_share cut;
	__u32 credit; /* of events */
	__u32 padding;
};

struct fault_cpu {
	struct fault_totals totals;
	__u64 period;
	struct fault_share pages, faults;
	struct event_share helped_pages, helped_faults;
	__u64 busy; /* the scratch space is in use */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fault_cpu);
} fault_cpus SEC(".maps");

struct fault_space {
	struct stack_event stack;
	struct fault_event event;
	struct unwind_walk walk;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fault_space);
} fault_scratch SEC(".maps");

/* A thread whose system call met a page that is not there. */
struct fault_thread {
	__u32 awaits_page; /* the next page that is taken for a program is for it */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct fault_thread);
} fault_threads SEC(".maps");

const volatile __u32 page_size = 4096; /* set by user space */

/* Saves up what was not sent in periods that have passed, and makes pieces smaller of it. */
static __always_inline void refill(struct fault_share *share, __u64 passed, __u32 most, __u32 saved)
{
	__u64 credit = share->credit + passed * most, steps = credit / saved;

	share->credit = credit;
	if (credit <= saved)
		return;
	share->credit = saved;
	if (!share->cut.shift)
		return;
	share->cut.shift -= steps < share->cut.shift ? steps : share->cut.shift;
	share->credit = saved / 2;
}

static __always_inline struct fault_cpu *this_cpu(void)
{
	__u64 period = bpf_jiffies64() >> FAULT_PERIOD_SHIFT, passed;
	struct fault_cpu *cpu;
	__u32 zero = 0;

	cpu = bpf_map_lookup_elem(&fault_cpus, &zero);
	if (!cpu) {
		count(COUNTER_LOST_SCRATCH);
		return 0;
	}
	passed = period - cpu->period;
	if (passed) {
		refill(&cpu->pages, passed, pages_a_period, MAX_PAGE_CREDIT);
		refill(&cpu->faults, passed, faults_a_period, MAX_FAULT_CREDIT);
		cpu->period = period;
	}
	return cpu;
}

/* How many faults one stands for, or the bytes of a page do; 0 if another stands for it. The
 * length is so many of them, in the unit that thin_out cuts. */
static __always_inline __u64 stands_for(struct fault_share *share, __u64 amount, __u64 length, __u32 saved)
{
	__u64 weight = thin_out(&share->cut, WEIGHT_ONE, length);
	__u32 price = 1;

	if (!weight)
		return 0;
	if (ring_is_beyond(RING_FOR_ALL_FAULTS))
		price = CREDIT_WHEN_FULL;
	if (share->credit >= price) {
		share->credit -= price;
	} else if (share->cut.shift < MAX_EVENT_SHIFT) {
		share->cut.shift++;
		share->credit = saved;
	}
	return amount * weight / WEIGHT_ONE;
}

static __always_inline void note_piece(__u32 *largest, const struct fault_share *share)
{
	if (share->cut.shift > *largest)
		*largest = share->cut.shift;
}

/* The same, of what one that was to be sent stands for already, and needs help. */
static __always_inline __u64 stands_for_helped(struct event_share *share, __u64 amount, __u64 length)
{
	share->shift = HELP_SHIFT;
	return amount * thin_out(share, WEIGHT_ONE, length) / WEIGHT_ONE;
}

static __always_inline bool send_fault(struct fault_cpu *cpu, struct fault_space *space, void *ctx, struct task_struct *task,
				       __u64 faults, __u64 bytes)
{
	const struct help_limit limit = { .bytes = FAULT_STACK_MEMORY, .reserve = MEMORY_BURST / 8 * 7 };
	struct stack_event *stack = &space->stack;
	struct fault_event *event = &space->event;

	stack->header.time = bpf_ktime_get_ns();
	stack->header.cpu = bpf_get_smp_processor_id();
	identify_process(&stack->thread, task);
	unwind_user(&space->walk, &stack->stack, 0, &stack->thread, stack->header.time);
	if (UNWIND_NEEDS_HELP(stack->stack.unwind)) {
		if (faults)
			faults = stands_for_helped(&cpu->helped_faults, faults, faults * PAGE_LENGTH);
		if (bytes)
			bytes = stands_for_helped(&cpu->helped_pages, bytes, bytes / page_size * PAGE_LENGTH);
		if (!faults && !bytes)
			return true;
		ask_within(&limit, &stack->stack, &space->walk, &stack->header);
	}
	send_once(stack, 0, ctx, task, 0, -1);
	event->header = stack->header;
	event->header.kind = EVENT_FAULT;
	identify(&event->thread, task);
	event->stack = stack->id;
	event->faults = faults;
	event->bytes = bytes;
	if (!bpf_ringbuf_output(&events, event, sizeof(*event), wakeup_flags(false)))
		return true;
	count(COUNTER_LOST_RING_FULL);
	return false;
}

/* Sends an event for so many faults, or so many bytes. */
static __always_inline void send(struct fault_cpu *cpu, void *ctx, struct task_struct *task, __u64 faults, __u64 bytes)
{
	struct fault_space *space;
	__u32 zero = 0;
	bool sent = false;

	space = bpf_map_lookup_elem(&fault_scratch, &zero);
	if (ring_is_beyond(RING_FOR_FAULTS)) {
		/* What is left is for samples and waits, if the reader is slow. */
	} else if (space && !__sync_lock_test_and_set(&cpu->busy, 1)) {
		sent = send_fault(cpu, space, ctx, task, faults, bytes);
		cpu->busy = 0;
	} else { /* where tracepoints can be preempted, another thread may be at it here */
		count(COUNTER_LOST_SCRATCH);
	}
	if (!sent) {
		cpu->totals.lost_faults += faults;
		cpu->totals.lost_bytes += bytes;
	}
}

static __always_inline void count_fault(void *ctx, struct task_struct *task)
{
	struct fault_cpu *cpu = this_cpu();
	__u64 faults;

	if (!cpu)
		return;
	cpu->totals.faults++;
	faults = stands_for(&cpu->faults, 1, PAGE_LENGTH, MAX_FAULT_CREDIT);
	note_piece(&cpu->totals.fault_shift, &cpu->faults);
	if (faults)
		send(cpu, ctx, task, faults, 0);
}

SEC("tp_btf/page_fault_user")
int fault_user(__u64 *ctx)
{
	count_fault(ctx, bpf_get_current_task_btf());
	return 0;
}

/* The kernel reads or writes a program's memory in a system call of it. Where it may not
 * sleep, as where a stack is walked, it does not bring in what is not there. */
SEC("tp_btf/page_fault_kernel")
int fault_kernel(__u64 *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct fault_thread *thread;

	if ((__s64)ctx[0] < 0 || task->flags & PF_KTHREAD || !task->mm || task->pagefault_disabled)
		return 0;
	count_fault(ctx, task);
	thread = bpf_task_storage_get(&fault_threads, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (thread)
		thread->awaits_page = 1;
	else
		count(COUNTER_FAULT_UNTRACKED);
	return 0;
}

/* The system calls that bring memory in before it is touched: if it is to be locked, or
 * filled at once. */
static __always_inline bool fills_memory(__s32 syscall)
{
	switch (syscall) {
	case SYSCALL_MMAP:
	case SYSCALL_BRK:
	case SYSCALL_MREMAP:
	case SYSCALL_MADVISE:
	case SYSCALL_MLOCK:
	case SYSCALL_MLOCKALL:
	case SYSCALL_MLOCK2:
		return true;
	}
	return false;
}

/* Whether a page is for memory of the current task: its own, or a file's that it maps. */
static __always_inline bool for_program(struct task_struct *task, __u32 gfp, __u32 order)
{
	struct fault_thread *thread;
	__s32 syscall = syscall_of(task);

	if (syscall == -1) /* a page that is moved to another node was resident before */
		return !(gfp & GFP_THISNODE) || gfp & GFP_RECLAIM || order;
	if (fills_memory(syscall))
		return true;
	thread = bpf_task_storage_get(&fault_threads, task, 0, 0);
	if (!thread || !thread->awaits_page)
		return false;
	/* The system call itself takes these for the page cache. */
	if (gfp & GFP_WRITE || (!order && (gfp & GFP_READAHEAD) == GFP_READAHEAD))
		return false;
	thread->awaits_page = 0;
	return true;
}

/* Every page that the kernel takes for anything passes here. */
SEC("tp_btf/mm_page_alloc")
int fault_page(__u64 *ctx)
{
	struct task_struct *task;
	__u32 order = ctx[1], gfp = ctx[2];
	struct fault_cpu *cpu;
	__u64 page = 0, bytes;

	if ((gfp & GFP_PROGRAM) != GFP_PROGRAM || order > MAX_ORDER_SEEN)
		return 0;
	task = bpf_get_current_task_btf();
	if (task->flags & PF_KTHREAD || !task->mm || !for_program(task, gfp, order))
		return 0;
	/* Read like this since verifiers before 6.13 hold that it is never NULL. */
	bpf_probe_read_kernel(&page, sizeof(page), &ctx[0]);
	if (!page)
		return 0; /* there was none: it does with a smaller one */
	cpu = this_cpu();
	if (!cpu)
		return 0;
	bytes = page_size << order;
	cpu->totals.bytes += bytes;
	bytes = stands_for(&cpu->pages, bytes, (__u64)PAGE_LENGTH << order, MAX_PAGE_CREDIT);
	note_piece(&cpu->totals.page_shift, &cpu->pages);
	if (bytes)
		send(cpu, ctx, task, 0, bytes);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
