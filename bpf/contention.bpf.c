//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause)
/*
 * Locks of the kernel that were waited for. What spins cannot leave its CPU, so that waits
 * for spinlocks are kept with the CPU, a level for each interrupt that may interrupt the
 * one before; what may sleep is kept with its thread. The stack is taken at the end, when
 * the length is known, and only of what is sent: the kernel holds the lock then, so that
 * what is spent there is bounded.
 */
#include "contention.h"
#include "event_share.h"
#include "lock_object.h"
#include "thread_iterator.h"

/* What one CPU may send in a period: at 0.4 us each, and 2 to 5 us in user space, it is less
 * than 1 % of it. */
#define EVENTS_A_PERIOD 10

/* Waits of a process that began just now. */
#define CONTENTION_STACK_MEMORY (8 * 1024)

/* Nobody spins for so long: the end was missed. */
#define STALE_SPIN 1000000000ull

struct contention_cpu {
	struct contention_stack spins;
	__u64 period;
	struct event_share share;
	__u64 busy;   /* telling of one: the locks that this takes are not told of */
	__u64 address; /* for stack_address */
	struct contention ended; /* not on the program's stack, which has 512 bytes */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct contention_cpu);
} contention_cpus SEC(".maps");

struct contention_space {
	struct stack_event stack;
	struct contention_event event;
	struct unwind_walk walk;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct contention_space);
} contention_scratch SEC(".maps");

/* Apart, since an element of a per-CPU map has 32 KB at most. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct kernel_words);
} contention_words SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct contention_stack);
} thread_contentions SEC(".maps");

/* By the lock's flags. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CONTENTION_KINDS);
	__type(key, __u32);
	__type(value, struct contention_total);
} contention_totals SEC(".maps");

/* The highest level that waits for the lock, -1 if none does. */
static __always_inline int find_level(const struct contention_stack *stack, __u64 lock)
{
	int found = -1;

	for (int i = 0; i < CONTENTION_LEVELS; i++)
		if (i < stack->depth && stack->levels[i].lock == lock)
			found = i;
	return found;
}

static __always_inline struct contention *push(struct contention_stack *stack, __u64 lock, __u32 flags, __u64 now)
{
	struct contention *level;
	__u64 depth = stack->depth;

	asm volatile("" : "+r"(depth)); /* so that what is checked is what is used */
	if (depth >= CONTENTION_LEVELS) {
		count(COUNTER_CONTENTION_UNTRACKED);
		return 0;
	}
	level = &stack->levels[depth];
	level->lock = lock;
	level->since = now;
	level->nested = 0;
	level->lock_flags = flags;
	level->flags = 0;
	level->owner_tgid = level->owner_tid = 0;
	stack->depth = depth + 1;
	return level;
}

static __always_inline void begin_spin(struct contention_cpu *cpu, __u64 lock, __u32 flags, __u64 now)
{
	struct contention_stack *spins = &cpu->spins;

	if (spins->depth && now - spins->levels[0].since > STALE_SPIN) {
		spins->depth = 0;
		count(COUNTER_CONTENTION_UNMATCHED);
	}
	push(spins, lock, flags, now);
}

/* A mutex is spun for first, then slept for, perhaps several times: it is one wait. */
static __always_inline void begin_sleep(struct task_struct *task, __u64 lock, __u32 flags, __u64 now)
{
	struct contention_stack *stack = bpf_task_storage_get(&thread_contentions, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	struct contention *level;
	int found;

	if (!stack) {
		count(COUNTER_CONTENTION_UNTRACKED);
		return;
	}
	found = find_level(stack, lock);
	if (found >= 0) {
		stack->levels[found & (CONTENTION_LEVELS - 1)].flags |= flags & LCB_F_SPIN ? 0 : CONTENTION_SLEPT;
		return;
	}
	level = push(stack, lock, flags & ~LCB_F_SPIN, now);
	if (!level)
		return;
	level->flags = flags & LCB_F_SPIN ? 0 : CONTENTION_SLEPT;
	read_owner(level, flags);
}

SEC("tp_btf/contention_begin")
int begin_contention(__u64 *ctx)
{
	__u32 zero = 0, flags = ctx[1];
	struct contention_cpu *cpu = bpf_map_lookup_elem(&contention_cpus, &zero);
	__u64 now = bpf_ktime_get_ns();

	if (!cpu)
		return 0;
	if (cpu->busy)
		count(COUNTER_CONTENTION_OWN);
	else if (flags & LCB_F_SPIN && !(flags & LCB_F_MUTEX))
		begin_spin(cpu, ctx[0], flags, now);
	else
		begin_sleep(bpf_get_current_task_btf(), ctx[0], flags, now);
	return 0;
}

/* Takes the lock's level, and what is above it, from the stack. */
static __always_inline bool pop(struct contention_stack *stack, __u64 lock, struct contention *level)
{
	int found = find_level(stack, lock);

	if (found < 0)
		return false;
	if (stack->depth > found + 1)
		count(COUNTER_CONTENTION_UNMATCHED);
	*level = stack->levels[found & (CONTENTION_LEVELS - 1)];
	stack->depth = found;
	return true;
}

/* The wait that is around another one knows how long that took. */
static __always_inline void nest(struct contention_stack *stack, __u64 length)
{
	if (stack && stack->depth)
		stack->levels[(stack->depth - 1) & (CONTENTION_LEVELS - 1)].nested += length;
}

static __always_inline void add_total(__u32 lock_flags, __u64 time, __u64 nested, bool ended)
{
	__u32 kind = lock_flags & (CONTENTION_KINDS - 1);
	struct contention_total *total = bpf_map_lookup_elem(&contention_totals, &kind);

	if (!total)
		return;
	total->waits += ended;
	total->time += time;
	total->nested += nested;
}

/* Adapts what is sent to what was in the period before. */
static __always_inline void begin_period(struct contention_cpu *cpu, __u64 now)
{
	__u64 period = now >> PERIOD_SHIFT, passed = period - cpu->period;

	if (!passed)
		return;
	adapt_share(&cpu->share, passed, EVENTS_A_PERIOD);
	cpu->period = period;
}

/* The three below are functions of their own, so that what they need of the stack is not
 * added up: all that call each other have 512 bytes before 6.13. */

/* Takes the user frames of what waited. An interrupt has no part in the user stack below it. */
static __attribute__((noinline)) int take_user_stack(struct contention_space *space, __u64 now)
{
	struct task_struct *task = bpf_get_current_task_btf();
	const struct help_limit limit = { .bytes = CONTENTION_STACK_MEMORY, .reserve = MEMORY_BURST / 2 };
	struct stack_event *event = &space->stack;

	event->header.time = now;
	event->header.cpu = bpf_get_smp_processor_id();
	identify(&event->thread, task);
	if (space->event.flags & CONTENTION_INTERRUPT) {
		event->stack.user_frames = 0;
		event->stack.unwind = UNWIND_NO_USER_STACK;
		event->stack.memory = false;
		event->stack.file = 0;
		event->stack.version = 0;
		return 0;
	}
	unwind_user(&space->walk, &event->stack, 0, &event->thread, now);
	ask_within(&limit, &event->stack, &space->walk, &event->header);
	return 0;
}

/* Who let go of the lock is who woke the thread, if it slept. */
static __always_inline void describe_release(struct contention_event *event, struct task_struct *task)
{
	struct thread_wait *wait;

	event->waker_tgid = event->waker_tid = 0;
	event->release_stack.low = event->release_stack.high = 0;
	if (!(event->flags & CONTENTION_SLEPT) || event->result)
		return;
	wait = bpf_task_storage_get(&thread_waits, task, 0, 0);
	if (!wait || wait->woken < event->since)
		return;
	event->waker_tgid = wait->waker_tgid;
	event->waker_tid = wait->waker_tid;
	event->release_stack = wait->waker_stack;
}

static __always_inline void describe(struct contention_event *event, const struct contention *level, __u64 now)
{
	event->header.time = now;
	event->header.kind = EVENT_CONTENTION;
	event->header.cpu = bpf_get_smp_processor_id();
	event->since = level->since;
	event->nested = level->nested;
	event->lock = level->lock;
	event->lock_flags = level->lock_flags;
	event->flags = level->flags;
	event->owner_tgid = level->owner_tgid;
	event->owner_tid = level->owner_tid;
	event->offset = 0;
	event->cache[0] = 0;
}

static __attribute__((noinline)) int send_frames(__u64 *ctx, struct contention_space *space, __u64 from)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct kernel_words *words;
	__u32 zero = 0;

	words = bpf_map_lookup_elem(&contention_words, &zero);
	if (!words)
		return 0;
	space->stack.id.low = space->stack.id.high = 0;
	send_once(&space->stack, words, ctx, task, from, syscall_of(task));
	return 0;
}

static __attribute__((noinline)) int send_event(struct contention_space *space)
{
	struct task_struct *task = bpf_get_current_task_btf();

	space->event.thread = space->stack.thread;
	space->event.stack = space->stack.id;
	describe_release(&space->event, task);
	find_object(&space->event, task);
	submit_wait(&space->event, sizeof(space->event));
	return 0;
}

static __always_inline void tell(__u64 *ctx, const struct contention *level, __u64 now, __u64 weight, __u64 from)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct contention_space *space;
	__u32 zero = 0;

	space = bpf_map_lookup_elem(&contention_scratch, &zero);
	if (!space) {
		count(COUNTER_LOST_SCRATCH);
		return;
	}
	describe(&space->event, level, now);
	space->event.flags |= CONTENTION_HAS_STACK;
	if (!(task->flags & PF_KTHREAD) && syscall_of(task) == -1)
		space->event.flags |= CONTENTION_NO_CALL;
	space->event.weight = weight;
	space->event.result = ctx[1];
	take_user_stack(space, now);
	send_frames(ctx, space, from);
	send_event(space);
}

SEC("tp_btf/contention_end")
int end_contention(__u64 *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct contention_stack *sleeps = bpf_task_storage_get(&thread_contentions, task, 0, 0);
	__u64 now = bpf_ktime_get_ns(), length, weight, from;
	struct contention_cpu *cpu;
	struct contention *level;
	__u32 zero = 0;

	cpu = bpf_map_lookup_elem(&contention_cpus, &zero);
	if (!cpu)
		return 0;
	level = &cpu->ended;
	from = stack_address(ctx, &cpu->address);
	if (pop(&cpu->spins, ctx[0], level)) {
		if (task->pid == 0 || from - (__u64)task->stack >= THREAD_SIZE)
			level->flags |= CONTENTION_INTERRUPT;
	} else if (!sleeps || !pop(sleeps, ctx[0], level)) {
		count(COUNTER_CONTENTION_UNMATCHED); /* as it had begun before the recording */
		return 0;
	}
	length = now - level->since;
	if (!(level->flags & CONTENTION_INTERRUPT))
		nest(sleeps, length);
	if (level->nested > length)
		level->nested = length;
	length -= level->nested;
	add_total(level->lock_flags, length, level->nested, true);
	begin_period(cpu, now);
	weight = thin_out(&cpu->share, WEIGHT_ONE, length);
	if (!weight) {
		count(COUNTER_CONTENTION_SAMPLED_OUT);
		return 0;
	}
	cpu->share.events++;
	cpu->busy = 1;
	tell(ctx, level, now, weight, from);
	cpu->busy = 0;
	return 0;
}

volatile __u64 boundary = 0; /* the time at which waits under way are cut */

struct open_contention {
	__u64 record_size;
	struct contention_event event;
};

/* The programs below are run one at a time. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct open_contention);
} open_scratch SEC(".maps");

/* Adds to what the CPU that this runs on has, whose hooks may interrupt it. */
static __always_inline void add_open_total(__u32 lock_flags, __u64 time, __u64 nested)
{
	__u32 kind = lock_flags & (CONTENTION_KINDS - 1);
	struct contention_total *total = bpf_map_lookup_elem(&contention_totals, &kind);

	if (!total)
		return;
	__sync_fetch_and_add(&total->time, time);
	__sync_fetch_and_add(&total->nested, nested);
}

/* Describes the part of a wait until end, from which on the rest counts. */
static __always_inline bool cut(struct contention_event *event, struct contention *level, struct task_struct *task, __u64 end,
				__u64 within)
{
	struct thread_wait *wait = bpf_task_storage_get(&thread_waits, task, 0, 0);
	__u64 since = level->since;

	if (since >= end)
		return false;
	describe(event, level, end);
	event->since = since;
	event->nested += within;
	if (event->nested > end - since)
		event->nested = end - since;
	if (__sync_val_compare_and_swap(&level->since, since, end) != since)
		return false; /* it has ended, and been told of */
	level->nested = 0;
	level->flags |= CONTENTION_CONTINUED;
	identify_task(&event->thread, task);
	event->flags |= CONTENTION_OPEN;
	event->weight = WEIGHT_ONE;
	event->result = 0;
	event->waker_tgid = event->waker_tid = 0;
	event->release_stack.low = event->release_stack.high = 0;
	event->stack.low = event->stack.high = 0;
	if (wait && wait->since && wait->stack_weight) { /* it sleeps: the stack is that of its wait */
		event->stack = wait->stack;
		event->flags |= CONTENTION_HAS_STACK;
	}
	find_object(event, task);
	add_open_total(event->lock_flags, end - since - event->nested, event->nested);
	return true;
}

/* Gives out the part of each wait under way that lies before the boundary, or a deadlock
 * would never be seen. */
SEC("iter/task")
int cut_contentions(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct contention_stack *stack;
	struct open_contention *open;
	__u64 within = 0;
	__u32 zero = 0;

	if (!task || !task->pid)
		return 0;
	stack = bpf_task_storage_get(&thread_contentions, task, 0, 0);
	open = bpf_map_lookup_elem(&open_scratch, &zero);
	if (!stack || !open)
		return 0;
	for (int i = CONTENTION_LEVELS - 1; i >= 0; i--) {
		if (i >= stack->depth || !cut(&open->event, &stack->levels[i], task, boundary, within))
			continue;
		within = open->event.header.time - open->event.since;
		write_record(ctx->meta->seq, open, sizeof(*open), sizeof(*open));
	}
	return 0;
}

/* Gives out where the run queue of the task's CPU lies: each CPU has threads of its own. */
SEC("iter/task")
int find_queues(struct bpf_iter__task *ctx)
{
	struct task_struct___queue *task = (void *)ctx->task;
	struct queue_record record = { .record_size = sizeof(record) - sizeof(__u64) };
	struct rq *queue;

	if (!task || !bpf_core_field_exists(task->se.cfs_rq))
		return 0;
	queue = BPF_CORE_READ(task, se.cfs_rq, rq);
	if (!queue)
		return 0;
	record.address = (__u64)queue;
	record.cpu = BPF_CORE_READ(queue, cpu);
	bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
