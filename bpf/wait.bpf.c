//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause)
/*
 * Off-CPU time: when a thread leaves its CPU, on which stack and why; who wakes it; and
 * when it runs again. The stack is taken when the thread leaves, in its own context,
 * which is cheap by unwind rules; where switches are so many that it would not be, one
 * in 2^n gets it, and stands for the others. So are short waits thinned out before they
 * leave the kernel. Every sum stays what it is on average, and long waits are exact.
 */
#include "event_share.h"
#include "futex.h"

/* What one CPU may spend in a period of 8.4 ms: at 0.5 us a stack and 2 to 5 us an event in
 * user space these are 3 % of it, 1 % for events, and up to 4 % for those that tell who held
 * a lock, where there is such contention. */
#define STACKS_A_PERIOD 512
#define EVENTS_A_PERIOD 24
#define LOCK_EVENTS_A_PERIOD 64
#define MAX_STACK_SHIFT 12
/* Wakers of waits shorter than this have no stack: it would cost more than the wait. */
#define WAKER_STACK_FROM 20000ull

/* Waits of a process that began just now. */
#define WAIT_STACK_MEMORY (8 * 1024)

struct wait_budget {
	__u64 period;
	__u32 switches;    /* in this period */
	__u32 stack_shift; /* one switch in 2^this gets a stack */
	/* Of waits that ended as others let go of a lock, and of all others: who held a lock
	 * is told by all who let go of it, so that other waits do not thin these out. Go's are
	 * among the others: its runtime parks threads by futexes, and no lock of the program. */
	struct event_share locks, others;
};

struct wait_space {
	struct stack_event stack;
	struct wait_event event;
	struct unwind_walk walk;
	struct wait_budget budget;
	__u64 address;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct wait_space);
} wait_scratch SEC(".maps");

/* Apart, since an element of a per-CPU map has 32 KB at most. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct kernel_words);
} wait_words SEC(".maps");

/* Adapts what is taken to what there was in the period before. */
static __always_inline void begin_period(struct wait_budget *budget, __u64 now)
{
	__u64 period = now >> PERIOD_SHIFT, passed = period - budget->period;
	__u32 most = STACKS_A_PERIOD;

	if (!passed)
		return;
	if (ring_is_beyond(RING_FOR_ALL_WAITS)) {
		most /= 16;
		count(COUNTER_RING_FILLED);
	}
	budget->stack_shift = 0;
	if (passed == 1)
		for (int i = 0; i < MAX_STACK_SHIFT && budget->switches >> i > most; i++)
			budget->stack_shift = i + 1;
	adapt_share(&budget->locks, passed, LOCK_EVENTS_A_PERIOD);
	adapt_share(&budget->others, passed, EVENTS_A_PERIOD);
	budget->period = period;
	budget->switches = 0;
}

/* Takes the current task's stack, and sends it if it is new. from is an address on the
 * kernel stack, 0 if the kernel's frames are not wanted. */
static __always_inline void take_stack(struct wait_space *space, void *ctx, struct task_struct *task, __u64 now, __u64 from,
				       __s32 syscall)
{
	const struct help_limit limit = { .bytes = WAIT_STACK_MEMORY, .reserve = MEMORY_BURST / 4 * 3 };
	struct stack_event *event = &space->stack;
	struct kernel_words *words;
	__u32 zero = 0;

	words = bpf_map_lookup_elem(&wait_words, &zero);
	if (!words)
		return;
	event->header.time = now;
	event->header.cpu = bpf_get_smp_processor_id();
	identify_process(&event->thread, task);
	unwind_user(&space->walk, &event->stack, 0, &event->thread, now);
	ask_within(&limit, &event->stack, &space->walk, &event->header);
	send_once(event, words, ctx, task, from, syscall);
}

/* Notes the futex call that the thread sleeps in, at its first time, and who holds the lock
 * now. One that could go on does not wait for the lock, unless it has before. As those below,
 * it is a function of its own so that its variables do not lie on the stack while the walk
 * needs it. */
static __attribute__((noinline)) void note_call(struct task_struct *task, struct thread_wait *wait, const struct pt_regs *regs, __u64 now)
{
	struct futex_thread *locks = &wait->locks;
	struct futex_call call;

	if (!regs || !is_futex_syscall(wait->syscall) || !IN_SYSCALL(regs) || COMPAT_SYSCALL(task, regs))
		goto none;
	read_own_call(&call, regs, wait->syscall, 0);
	if (slept_in(wait, &call) && locks->since) { /* it goes on */
		wait->futex.owner = read_owner(&wait->futex);
		return;
	}
	if (!wait->state || !operation_in(&call, WAITS) || (wait->syscall == SYSCALL_RESTART && !restarts(wait, &call)))
		goto none;
	locks->first = wait->syscall != SYSCALL_RESTART && is_first(locks, &call, find_held(locks, call.address), now);
	if (locks->first)
		call.flags |= FUTEX_CALL_FIRST;
	call.owner = read_owner(&call);
	wait->futex = call;
	locks->since = now;
	count_entry(task, now);
	return;
none:
	wait->futex.operation = 0;
}

/* What the thread has not told yet is lost with it. */
static __attribute__((noinline)) void end_thread(struct task_struct *task, __u64 now)
{
	struct thread_wait *wait = bpf_task_storage_get(&thread_waits, task, 0, 0);

	if (wait)
		tell_changed(task, wait, now, false);
}

/* Notes why the thread leaves its CPU. */
static __always_inline void begin_wait(struct thread_wait *wait, struct task_struct *task, __u32 state, __u64 now)
{
	const struct pt_regs *regs = entry_registers(task);

	wait->state = state;
	wait->flags = state ? 0 : WAIT_PREEMPTED;
	if (BPF_CORE_READ_BITFIELD(task, in_iowait))
		wait->flags |= WAIT_IN_IOWAIT;
	wait->syscall = regs ? ENTERED_BY(regs) : -1;
	wait->woken = state ? 0 : now;
	wait->waker_tgid = wait->waker_tid = 0;
	wait->waker_stack.low = wait->waker_stack.high = 0;
	wait->stack.low = wait->stack.high = 0;
	wait->stack_weight = 0;
	note_call(task, wait, regs, now);
}

static __always_inline void leave_cpu(struct wait_space *space, void *ctx, struct task_struct *task, __u32 state, __u64 now)
{
	struct wait_budget *budget = &space->budget;
	struct thread_wait *wait;

	if (state & TASK_DEAD)
		return end_thread(task, now);
	wait = bpf_task_storage_get(&thread_waits, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!wait) {
		count(COUNTER_WAIT_UNTRACKED);
		return;
	}
	begin_period(budget, now);
	budget->switches++;
	begin_wait(wait, task, state, now);
	if (!(bpf_get_prandom_u32() & ((1u << (budget->stack_shift & 31)) - 1))) {
		take_stack(space, ctx, task, now, stack_address(ctx, &space->address), wait->syscall);
		wait->stack = space->stack.id;
		wait->go = space->walk.go;
		wait->stack_weight = 1u << (budget->stack_shift & 31);
		if (UNWIND_NEEDS_HELP(space->stack.stack.unwind) && !space->stack.stack.memory)
			wait->flags |= WAIT_STACK_WANTED;
	} else {
		wait->flags |= WAIT_STACK_WANTED;
	}
	wait->since = now;
}

static __always_inline void enter_cpu(struct wait_space *space, struct task_struct *task, __u64 now)
{
	struct thread_wait *wait = bpf_task_storage_get(&thread_waits, task, 0, 0);
	struct event_share *share;
	__u64 since, weight;

	if (!wait)
		return; /* it runs for the first time */
	since = __sync_lock_test_and_set(&wait->since, 0);
	if (!since || since > now)
		return;
	share = wait->flags & WAIT_RELEASED && !wait->go ? &space->budget.locks : &space->budget.others;
	weight = weigh_wait(wait, now - since);
	if (weight)
		weight = thin_out(share, weight, now - since);
	if (!weight) {
		wait->futex.flags &= ~FUTEX_CALL_FIRST;
		count(COUNTER_WAIT_SAMPLED_OUT);
		return;
	}
	describe_wait(&space->event, task, wait, since, now, weight);
	wait->futex.flags &= ~FUTEX_CALL_FIRST; /* what comes next is of the same call */
	share->events++;
	submit_wait(&space->event, sizeof(space->event));
}

SEC("tp_btf/sched_switch")
int wait_switch(__u64 *ctx)
{
	struct task_struct *prev = (struct task_struct *)ctx[1], *next = (struct task_struct *)ctx[2];
	struct wait_space *space;
	__u64 now = bpf_ktime_get_ns();
	__u32 zero = 0;

	space = bpf_map_lookup_elem(&wait_scratch, &zero);
	if (!space) {
		count(COUNTER_LOST_SCRATCH);
		return 0;
	}
	if (prev->pid) /* one that is preempted on its way to sleep can go on, whatever its state says */
		leave_cpu(space, ctx, prev, ctx[0] ? 0 : ctx[3], now);
	if (next->pid)
		enter_cpu(space, next, now);
	return 0;
}

/* Whether the waker is in a futex call that lets go on who waits as this thread does. Then
 * its stack is where it let go of the lock. */
static __attribute__((noinline)) bool releases(struct task_struct *waker, struct task_struct *task, struct thread_wait *wait, __u64 now)
{
	struct thread_wait *own;
	struct futex_call call;

	if (!wait->futex.operation || !in_wake(waker, &call))
		return false;
	own = bpf_task_storage_get(&thread_waits, waker, 0, 0);
	if (own && !own->locks.let_go)
		own->locks.let_go = now;
	if (wait->futex.flags & FUTEX_CALL_SEVERAL && waker->tgid == task->tgid)
		wait->futex.address = call.address; /* it is one of them */
	return call.address == wait->futex.address || !(wait->futex.flags & FUTEX_PRIVATE_FLAG);
}

/* In the context of the one who wakes the task, or of an interrupt. */
SEC("tp_btf/sched_waking")
int wait_waking(__u64 *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx[0], *waker = bpf_get_current_task_btf();
	struct thread_wait *wait = bpf_task_storage_get(&thread_waits, task, 0, 0);
	__u64 now = bpf_ktime_get_ns(), since;
	struct wait_space *space;
	__u32 zero = 0;

	if (!wait)
		return 0;
	since = wait->since;
	if (!since || wait->woken || since > now)
		return 0;
	wait->woken = now;
	space = bpf_map_lookup_elem(&wait_scratch, &zero);
	if (!space) {
		count(COUNTER_LOST_SCRATCH);
		return 0;
	}
	if (waker->pid == 0 || in_interrupt(waker, stack_address(ctx, &space->address))) {
		wait->flags |= WAIT_WAKER_INTERRUPT;
		return 0;
	}
	wait->waker_tgid = waker->tgid;
	wait->waker_tid = waker->pid;
	if (releases(waker, task, wait, now))
		wait->flags |= WAIT_RELEASED;
	else if (now - since < WAKER_STACK_FROM)
		return 0;
	if (!wait->stack_weight && now - since < LONG_WAIT)
		return 0;
	begin_period(&space->budget, now);
	space->budget.switches++;
	if (bpf_get_prandom_u32() & ((1u << (space->budget.stack_shift & 31)) - 1))
		return 0;
	take_stack(space, ctx, waker, now, waker->flags & PF_KTHREAD ? stack_address(ctx, &space->address) : 0, -1);
	wait->waker_stack = space->stack.id;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
