//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause)
/*
 * What the hooks on switches cannot see by themselves: threads that were asleep before
 * the recording began, and waits that have not ended when a window does. Both programs
 * go through all threads, and write what they find to the file that user space reads, so
 * that as much leaves at a time as is read. Each record has its size before it.
 */
#include "futex.h"
#include "thread_iterator.h"

#define ASLEEP_STACK (12 * 1024)

/* A struct stack_memory and a struct stack_event, cut: as if a walk had needed help at its
 * first frame. */
struct asleep_memory {
	__u64 record_size;
	struct event_header header;
	__u64 pc, sp, fp, link;
	__u16 leaf, caller;
	__u32 size, other_size;
	__u32 padding;
	__u64 other;
	struct user_registers registers;
	__u8 bytes[ASLEEP_STACK + PAGE_BYTES]; /* the last page is never sent */
};

struct asleep_stack {
	__u64 record_size;
	struct event_header header;
	struct thread_identity thread;
	struct stack_id id;
	__u16 user_frames, kernel_frames, unwind;
	__u8 in_kernel, memory;
	__u32 file, padding;
	__u64 version;
	__u64 frames[1 + MAX_KERNEL_FRAMES];
};

struct open_wait {
	__u64 record_size;
	struct wait_event event;
};

struct asleep_space {
	struct asleep_memory memory;
	struct asleep_stack stack;
	struct open_wait open;
};

/* The programs are run one at a time. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct asleep_space);
} asleep_scratch SEC(".maps");

volatile __u64 boundary = 0; /* the time at which open waits are cut */

/* Copies the user stack page by page, as far as there is one. */
static __always_inline __u32 copy_asleep(struct asleep_memory *memory, struct task_struct *task, __u64 from)
{
	__u32 size = 0;

	for (int i = 0; i <= ASLEEP_STACK / PAGE_BYTES; i++) {
		__u32 n = PAGE_BYTES - (from & (PAGE_BYTES - 1));

		asm volatile("" : "+r"(size)); /* so that what is checked is what is used */
		if (size >= ASLEEP_STACK)
			break;
		if (bpf_copy_from_user_task(&memory->bytes[size], n, (void *)from, task, 0))
			break;
		size += n;
		from += n;
	}
	return size > ASLEEP_STACK ? ASLEEP_STACK : size;
}

/* Fills in what user space needs to walk the stack of a thread in user mode. */
static __always_inline bool fill_asleep(struct asleep_memory *memory, struct task_struct *task)
{
	void *saved = (void *)bpf_task_pt_regs(task);

	memory->size = 0;
	if (task->flags & PF_KTHREAD || !task->mm || !saved)
		return false;
	if (bpf_probe_read_kernel(&memory->registers, sizeof(memory->registers), saved))
		return false;
	if (REGISTERS_32_BIT(&memory->registers))
		return false;
	memory->pc = REGISTERS_IP(&memory->registers);
	memory->sp = REGISTERS_SP(&memory->registers);
	memory->fp = REGISTERS_FP(&memory->registers);
	memory->link = REGISTERS_LINK(&memory->registers);
	memory->leaf = 1;
	memory->caller = 0;
	memory->other = memory->other_size = 0;
	memory->size = copy_asleep(memory, task, memory->sp);
	return memory->size > 0;
}

/* Begins the wait of a thread that sleeps and is not followed yet. */
static __always_inline struct thread_wait *begin_asleep(struct task_struct *task, __u64 now)
{
	struct thread_wait *wait;

	if (task->on_cpu)
		return 0;
	wait = bpf_task_storage_get(&thread_waits, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!wait) {
		count(COUNTER_WAIT_UNTRACKED);
		return 0;
	}
	if (wait->since || wait->stack_weight)
		return 0; /* it left its CPU since the recording began, so it is followed */
	wait->flags = WAIT_ASLEEP_AT_START;
	if (BPF_CORE_READ_BITFIELD(task, in_iowait))
		wait->flags |= WAIT_IN_IOWAIT;
	wait->state = BPF_CORE_READ(task, __state);
	if (!wait->state) {
		wait->flags |= WAIT_PREEMPTED;
		wait->woken = now;
	}
	wait->syscall = syscall_of(task);
	return wait;
}

/* Reads who holds the lock that a thread waits for. */
static __always_inline void look_for_owner(struct task_struct *task, struct thread_wait *wait)
{
	struct futex_words words = {};
	__u32 bytes = owner_bytes(&wait->futex);

	if (is_join(&wait->futex)) {
		wait->futex.owner = wait->futex.value;
		return;
	}
	if (!bytes)
		return;
	if (bpf_copy_from_user_task(&words, bytes == sizeof(words) ? sizeof(words) : sizeof(words.word), (void *)wait->futex.address,
				    task, 0)) {
		count(COUNTER_FUTEX_UNREADABLE);
		return;
	}
	wait->futex.owner = owner_in(&wait->futex, &words);
}

/* Finds out for which futex a thread waits that was not seen to begin. */
static __always_inline void begin_futex(struct task_struct *task, struct thread_wait *wait, __u64 now)
{
	const struct pt_regs *regs = entry_registers(task);
	struct futex_waitv waiter = {};
	struct futex_call call;

	if (!regs || !is_futex_syscall(wait->syscall) || wait->syscall == SYSCALL_RESTART || COMPAT_SYSCALL(task, regs))
		return;
	read_call(&call, regs, wait->syscall);
	if (!operation_in(&call, WAITS))
		return;
	if (has_array(wait->syscall)) {
		if (bpf_copy_from_user_task(&waiter, sizeof(waiter), (void *)call.address, task, 0))
			count(COUNTER_FUTEX_UNREADABLE);
		fill_from_array(&call, &waiter);
	}
	call.flags |= FUTEX_CALL_FIRST;
	wait->futex = call;
	look_for_owner(task, wait);
	wait->locks.first = FUTEX_CALL_FIRST;
	wait->locks.since = now;
}

/* Copies the stack of a thread that sleeps, as of a time. name is one that no other copy of
 * the thread's stacks has. */
static __always_inline void copy_stack_of(struct asleep_space *space, struct task_struct *task, __u64 time, __u64 name)
{
	struct asleep_stack *stack = &space->stack;
	long bytes;

	stack->header.time = space->memory.header.time = time;
	stack->header.kind = EVENT_STACK;
	space->memory.header.kind = EVENT_STACK_MEMORY;
	stack->header.cpu = space->memory.header.cpu = 0;
	identify_task(&stack->thread, task);
	stack->memory = fill_asleep(&space->memory, task);
	stack->user_frames = stack->memory;
	stack->frames[0] = space->memory.pc;
	stack->unwind = stack->memory ? UNWIND_NO_PROCESS : UNWIND_NO_USER_STACK;
	stack->in_kernel = true;
	stack->version = stack->file = 0;
	stack->id.low = name;
	stack->id.high = (__u64)task->pid << 1; /* even, as no hash is */
	bytes = bpf_get_task_stack(task, &stack->frames[stack->user_frames & 1], MAX_KERNEL_FRAMES * sizeof(__u64), 0);
	stack->kernel_frames = bytes > 0 ? bytes / sizeof(__u64) : 0;
}

static __always_inline void write_stack(struct seq_file *seq, struct asleep_space *space)
{
	struct asleep_stack *stack = &space->stack;

	if (stack->memory)
		write_record(seq, &space->memory, __builtin_offsetof(struct asleep_memory, bytes) + space->memory.size,
			     sizeof(space->memory));
	write_record(seq, stack,
		     __builtin_offsetof(struct asleep_stack, frames) + (stack->user_frames + stack->kernel_frames) * sizeof(__u64),
		     sizeof(*stack));
}

/* Gives a long wait the stack that was not to be had when it began. */
static __always_inline void take_wanted_stack(struct seq_file *seq, struct asleep_space *space, struct task_struct *task,
					      struct thread_wait *wait, __u64 since, __u64 end)
{
	if (!(wait->flags & WAIT_STACK_WANTED) || end - since < LONG_WAIT)
		return;
	copy_stack_of(space, task, end - 1, end); /* known before the wait that names it */
	if (task->on_cpu || wait->since != since)
		return; /* it is of another wait */
	wait->stack = space->stack.id;
	wait->stack_weight = 1;
	wait->flags &= ~WAIT_STACK_WANTED;
	write_stack(seq, space);
}

SEC("iter.s/task")
int find_asleep(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct asleep_space *space;
	struct asleep_stack *stack;
	struct thread_wait *wait;
	__u64 now = bpf_ktime_get_ns();
	__u32 zero = 0;

	if (!task || !task->pid)
		return 0;
	space = bpf_map_lookup_elem(&asleep_scratch, &zero);
	if (!space)
		return 0;
	wait = begin_asleep(task, now);
	if (!wait)
		return 0;
	copy_stack_of(space, task, now, now);
	stack = &space->stack;
	wait->stack = stack->id;
	wait->stack_weight = 1;
	if (stack->memory && !wait->futex.operation)
		begin_futex(task, wait, now);
	wait->since = now;
	if (task->on_cpu) { /* it woke up meanwhile: what was read may be of another wait */
		wait->since = 0;
		wait->futex.operation = 0;
		return 0;
	}
	write_stack(ctx->meta->seq, space);
	return 0;
}

/* Gives out the part of each wait under way that lies before the boundary. */
SEC("iter.s/task")
int cut_waits(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct asleep_space *space;
	struct thread_wait *wait;
	__u64 since, weight, end = boundary;
	__u32 zero = 0, first;

	if (!task || !task->pid)
		return 0;
	space = bpf_map_lookup_elem(&asleep_scratch, &zero);
	wait = bpf_task_storage_get(&thread_waits, task, 0, 0);
	if (!space || !wait)
		return 0;
	count_waited(task, wait, end);
	tell_changed(task, wait, end, true);
	since = wait->since;
	if (!since || since >= end)
		return 0;
	if (wait->futex.operation)
		look_for_owner(task, wait);
	take_wanted_stack(ctx->meta->seq, space, task, wait, since, end);
	if (__sync_val_compare_and_swap(&wait->since, since, end) != since)
		return 0; /* it runs again, and has been told of */
	weight = weigh_wait(wait, end - since);
	first = wait->futex.flags & FUTEX_CALL_FIRST;
	wait->futex.flags &= ~FUTEX_CALL_FIRST; /* what comes next is of the same call */
	if (!weight)
		return 0;
	describe_wait(&space->open.event, task, wait, since, end, weight);
	space->open.event.futex.flags |= first;
	space->open.event.flags |= WAIT_OPEN;
	if (space->open.event.woken > end)
		space->open.event.woken = 0;
	write_record(ctx->meta->seq, &space->open, sizeof(space->open), sizeof(space->open));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
