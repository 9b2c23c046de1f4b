/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * Where a walk ends for want of knowledge (a process that began just now, a library
 * not seen before), the memory of the stack goes to user space, which knows more two
 * seconds later. Nothing is lost at the start of a process this way.
 */
#ifndef NARROWS_STACK_MEMORY_H
#define NARROWS_STACK_MEMORY_H

#include "unwind.h"

#define MAX_STACK_MEMORY (32 * 1024)
#define MAX_OTHER_MEMORY (16 * 1024)

/* Sent before the event that it belongs to. The walk continues at pc, sp and fp. */
struct stack_memory {
	struct event_header header;
	__u64 pc, sp, fp, link;
	__u16 leaf;            /* whether registers are those of this frame */
	__u16 caller;          /* whether pc is a return address */
	__u32 size, other_size; /* of bytes: first those from sp on, then those from other on */
	__u32 padding;
	__u64 other;
	struct user_registers registers;
	__u8 bytes[MAX_STACK_MEMORY + MAX_OTHER_MEMORY + PAGE_BYTES]; /* the last page is never sent */
};

/*
 * One for each CPU. What may leave is bounded: garbage stacks, and files whose tables
 * find no room, ask for it at each sample. A start of many processes may take a burst;
 * in the long run it is 3.9 MB a second, the whole stacks of 119 samples.
 */
struct memory_space {
	__u64 last, credit; /* the time of the last refill, and the bytes left */
	__u64 busy; /* a program that interrupts another finds it in use */
	struct stack_memory memory;
};

#define MEMORY_BURST (16 * 1024 * 1024)
#define MEMORY_REFILL_SHIFT 8 /* a byte each 256 ns */

static __always_inline void refill_credit(struct memory_space *space, __u64 now)
{
	__u64 credit = space->credit + ((now - space->last) >> MEMORY_REFILL_SHIFT);

	space->credit = credit > MEMORY_BURST ? MEMORY_BURST : credit;
	space->last = now;
}

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* the loader makes it one a CPU */
	__type(key, __u32);
	__type(value, struct memory_space);
} stack_memory_space SEC(".maps");

/* Copies memory, page by page, as far as there is some; at is where in bytes it goes. */
static __always_inline __u32 copy_stack(struct stack_memory *memory, __u32 at, __u64 from, __u32 most)
{
	__u32 size = 0;

	for (int i = 0; i <= MAX_STACK_MEMORY / PAGE_BYTES; i++) {
		__u32 n = PAGE_BYTES - (from & (PAGE_BYTES - 1)), to = at + size;

		if (size >= most || to > MAX_STACK_MEMORY + MAX_OTHER_MEMORY)
			break;
		if (bpf_probe_read_user(&memory->bytes[to], n, (void *)from))
			break;
		size += n;
		from += n;
	}
	size = size > most ? most : size;
	return size > MAX_STACK_MEMORY ? MAX_STACK_MEMORY : size;
}

/* Go's runtime works on a stack of its own. Its frame pointers lead back to the
 * goroutine's, and so to where they leave the stack that was copied. */
static __always_inline __u64 find_other_stack(const struct stack_memory *memory)
{
	__u64 fp = memory->fp;

	for (int i = 0; i < 48; i++) {
		__u64 offset = fp - memory->sp, next;

		if (fp == 0 || fp & 7 || fp >> USER_ADDRESS_BITS)
			return 0;
		if (offset >= memory->size)
			return i > 0 ? fp : 0;
		next = *(__u64 *)&memory->bytes[offset & (MAX_STACK_MEMORY - 8)];
		if (next - memory->sp <= offset)
			return 0; /* neither up this stack nor out of it */
		fp = next;
	}
	return 0;
}

/* A search for the frame of a signal's handler: its ucontext says which alternate stack
 * it is on, as the task does. */
struct signal_search {
	const struct stack_memory *memory;
	__u64 stack, size; /* as in stack_t */
	__u64 found;       /* the interrupted code's stack pointer */
};

#define STACK_WORD(memory, i) (*(__u64 *)&(memory)->bytes[(8 * (__u64)(i)) & (MAX_STACK_MEMORY - 8)])

static long search_signal(__u32 i, struct signal_search *search)
{
	const struct stack_memory *memory = search->memory;

	if (STACK_WORD(memory, i) != search->stack || STACK_WORD(memory, i + 2) != search->size)
		return 0;
	search->found = STACK_WORD(memory, i + (CONTEXT_TO_STACK + CONTEXT_SP) / 8);
	return 1;
}

/* Where the stack goes on that a signal's handler on an alternate stack left. */
static __always_inline __u64 find_interrupted_stack(const struct stack_memory *memory)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct signal_search search = { .memory = memory, .stack = task->sas_ss_sp, .size = task->sas_ss_size };

	if (memory->sp - search.stack >= search.size)
		return 0;
	bpf_loop(memory->size / 8, search_signal, &search, 0);
	return search.found;
}

/* How much of the stack can have frames: the main thread's ends at the arguments. */
static __always_inline __u32 stack_left(__u64 sp, __u32 most)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 left = BPF_CORE_READ(task, mm, start_stack) - sp;

	return left < most ? left : most;
}

static __always_inline bool fill_memory(struct stack_memory *memory, const struct unwind_walk *walk, const struct event_header *header,
					__u32 most)
{
	void *saved = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());

	memory->header = *header;
	memory->header.kind = EVENT_STACK_MEMORY;
	memory->pc = walk->pc;
	memory->sp = walk->sp;
	memory->fp = walk->fp;
	memory->link = walk->link;
	memory->leaf = walk->leaf && !walk->context;
	memory->caller = !walk->leaf;
	if (!saved || bpf_probe_read_kernel(&memory->registers, sizeof(memory->registers), saved))
		return false;
	memory->size = copy_stack(memory, 0, walk->sp, stack_left(walk->sp, most));
	memory->other = find_interrupted_stack(memory);
	if (!memory->other)
		memory->other = find_other_stack(memory);
	memory->other_size = memory->other ? copy_stack(memory, memory->size, memory->other, most / 2) : 0;
	return memory->size > 0;
}

/* How much of a stack may be sent, and how much credit is to be left for others: CPU samples
 * come before waits, of which there are many more. */
struct help_limit {
	__u32 bytes;
	__u32 reserve;
};

static __always_inline bool send_memory(struct memory_space *space, struct stack *stack, const struct unwind_walk *walk,
					const struct event_header *header, const struct help_limit *limit)
{
	__u64 size = __builtin_offsetof(struct stack_memory, bytes);
	__u32 bytes;

	refill_credit(space, header->time);
	/* What the ring has room for is kept for samples, if the reader is slow. */
	if (space->credit < limit->reserve + MAX_STACK_MEMORY + MAX_OTHER_MEMORY ||
	    ring_is_beyond(limit->reserve ? RING_FOR_WAITS_COPIES : RING_FOR_COPIES)) {
		count(COUNTER_MEMORY_REFUSED);
		return false;
	}
	if (!fill_memory(&space->memory, walk, header, limit->bytes)) {
		check_exec(stack);
		if (stack->unwind != UNWIND_NO_USER_STACK)
			count(COUNTER_MEMORY_FAILED);
		return false;
	}
	bytes = space->memory.size + space->memory.other_size;
	if (bytes > MAX_STACK_MEMORY + MAX_OTHER_MEMORY)
		bytes = MAX_STACK_MEMORY + MAX_OTHER_MEMORY;
	space->credit -= bytes;
	if (bpf_ringbuf_output(&events, &space->memory, size + bytes, BPF_RB_NO_WAKEUP)) {
		count(COUNTER_MEMORY_FAILED);
		return false;
	}
	count(COUNTER_MEMORY_SENT);
	return true;
}

/* Sends the memory that a walk left off at, if user space could do better. It comes
 * before the event itself; header is the event's. */
static __always_inline void ask_within(const struct help_limit *limit, struct stack *stack, const struct unwind_walk *walk,
				       const struct event_header *header)
{
	__u32 cpu = header->cpu;
	struct memory_space *space;

	if (!UNWIND_NEEDS_HELP(stack->unwind))
		return;
	space = bpf_map_lookup_elem(&stack_memory_space, &cpu);
	if (!space || space->busy) {
		count(COUNTER_MEMORY_FAILED);
		return;
	}
	space->busy = 1;
	stack->memory = send_memory(space, stack, walk, header, limit);
	space->busy = 0;
}

static __always_inline void ask_for_help(struct stack *stack, const struct unwind_walk *walk, const struct event_header *header)
{
	const struct help_limit limit = { .bytes = MAX_STACK_MEMORY, .reserve = 0 };

	ask_within(&limit, stack, walk, header);
}

#endif
