/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * Takes the stack of the current task, whatever kind of program runs: each brings
 * its own space for the walk, so that one may interrupt another. The loop is
 * bpf_loop over a global function, which the verifier looks at once and by itself.
 */
#ifndef NARROWS_UNWIND_H
#define NARROWS_UNWIND_H

#include "core.h"
#include "unwind_machine.h"
#include "unwind_step.h"

#define MAX_KERNEL_FRAMES 127 /* what kernel.perf_event_max_stack allows by default */

/*
 * A stack as every event carries it, at its tail: the user frames first, the
 * kernel frames behind them, both the leaf first.
 */
struct stack {
	__u16 user_frames;
	__u16 kernel_frames;
	__u16 unwind;    /* enum unwind_end of the user frames */
	__u8 in_kernel;  /* whether the kernel was interrupted */
	__u8 memory;     /* whether a stack_memory precedes the event */
	__u32 file;      /* the one whose rows are missing, for UNWIND_NO_TABLE */
	__u32 of_allocation; /* the kernel's frames begin in what allocates its memory */
	__u64 version;   /* of the mappings that the walk went by; 0 if there were none */
	__u64 frames[MAX_USER_FRAMES + MAX_KERNEL_FRAMES];
};

/* bpf_loop takes its context from the BPF stack only. */
struct unwind_context {
	struct unwind_walk *walk;
	struct stack *stack;
};

/* Several steps at once, since calls cost more than they used to (return thunks). */
#define STEPS_AT_ONCE 8

/* Takes the walk a few frames on; false when it has ended. Not static: the verifier
 * checks global functions once, for any arguments. */
__attribute__((noinline)) int unwind_some(struct unwind_walk *walk, struct stack *stack)
{
	if (!walk || !stack)
		return 0;
	for (int i = 0; i < STEPS_AT_ONCE; i++) {
		__u32 n;

		if (!step(walk))
			return 0;
		n = stack->user_frames;
		asm volatile("" : "+r"(n)); /* so that what is checked is what is used */
		if (n >= MAX_USER_FRAMES)
			return 0;
		stack->frames[n] = walk->pc;
		stack->user_frames = n + 1;
	}
	return 1;
}

static long unwind_each(__u32 index, struct unwind_context *context)
{
	return !unwind_some(context->walk, context->stack);
}

/* Reads the registers the task has in user mode, or entered the kernel with. now are
 * those of the moment, 0 where the kernel is known to have been entered. */
static __always_inline __u32 read_user_registers(const struct user_registers *now, struct task_struct *task,
						 struct user_registers *regs)
{
	void *saved;

	if (task->flags & PF_KTHREAD || !task->mm)
		return UNWIND_NO_USER_STACK;
	if (now && REGISTERS_FROM_USER(now)) {
		REGISTERS_IP(regs) = REGISTERS_IP(now);
		REGISTERS_SP(regs) = REGISTERS_SP(now);
		REGISTERS_FP(regs) = REGISTERS_FP(now);
		REGISTERS_SET_LINK(regs, now);
		REGISTERS_MODE(regs) = REGISTERS_MODE(now);
		return UNWIND_COMPLETE;
	}
	saved = (void *)bpf_task_pt_regs(task);
	if (!saved || bpf_probe_read_kernel(regs, sizeof(*regs), saved)) {
		count(COUNTER_USER_REGISTERS_MISSING);
		return UNWIND_NO_REGISTERS;
	}
	return UNWIND_COMPLETE;
}

/* Gives the walk the mappings of the process, if they are known. */
static __always_inline void find_process(struct unwind_walk *walk, const struct thread_identity *thread)
{
	__u32 tgid = thread->tgid;
	const struct unwind_process *known = bpf_map_lookup_elem(&unwind_processes, &tgid);
	struct unwind_process process;

	walk->version = 0;
	walk->go = 0;
	if (!known)
		return;
	process = *known;
	if (process.start != thread->process_start || process.generation != thread->exec_generation ||
	    process.check != check_process(&process))
		return;
	walk->version = process.version;
	walk->first = process.first;
	walk->count = process.count;
	walk->go = process.go;
}

/* Half-way through an exec the program's memory is gone, though its registers are not:
 * for what cannot be read then, there is no user stack. */
static __always_inline void check_exec(struct stack *stack)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (!BPF_CORE_READ_BITFIELD(task, in_execve))
		return;
	stack->unwind = UNWIND_NO_USER_STACK;
	stack->user_frames = 0;
}

/* An epoch is 8.6 s. */
#define EPOCH_SHIFT 33

static __always_inline void begin_walk_at(struct unwind_walk *walk, __u64 pc, __u64 sp, __u64 fp, __u64 link, __u64 time)
{
	walk->pc = pc;
	walk->sp = sp;
	walk->fp = fp;
	walk->link = link;
	walk->epoch = time >> EPOCH_SHIFT;
	walk->salt = (walk->version + ((__u64)walk->epoch << 40)) * 0xc2b2ae3d27d4eb4full;
	walk->context = 0;
	walk->start = walk->end = 0;
	walk->file = 0;
	walk->switches = 0;
	walk->leaf = true;
	walk->window_size = 0;
	walk->window_address = 0;
	walk->result = UNWIND_TOO_DEEP;
}

static __always_inline void begin_walk(struct unwind_walk *walk, const struct user_registers *regs, __u64 time)
{
	begin_walk_at(walk, REGISTERS_IP(regs), REGISTERS_SP(regs), REGISTERS_FP(regs), REGISTERS_LINK(regs), time);
}

/* Set beside the result of begin_user where the task runs 32-bit code. */
#define BEGAN_COMPAT 0x10000

/* Begins a walk where the current task is in user mode. It is a function of its own, so that
 * the registers do not lie on the stack while the walk needs it. */
static __attribute__((noinline)) __u32 begin_user(struct unwind_walk *walk, const struct user_registers *now,
						  struct task_struct *task, __u64 time)
{
	struct user_registers regs;
	__u32 result = read_user_registers(now, task, &regs);

	if (result != UNWIND_COMPLETE)
		return result;
	begin_walk(walk, &regs, time);
	return REGISTERS_32_BIT(&regs) ? BEGAN_COMPAT : 0;
}

/*
 * Fills stack with the user frames of the current task, which had the registers now
 * when the program began. At the entry of a function (where a uprobe sits on its
 * first byte) the caller is taken from there, whatever is known of the code.
 */
static __always_inline void unwind_user_from(struct unwind_walk *walk, struct stack *stack, const struct user_registers *now,
					     const struct thread_identity *thread, __u64 time, bool entry)
{
	struct unwind_context context = { .walk = walk, .stack = stack };
	__u32 began;

	stack->user_frames = 0;
	stack->memory = false;
	stack->file = 0;
	stack->version = 0;
	find_process(walk, thread);
	began = begin_user(walk, now, bpf_get_current_task_btf(), time);
	stack->unwind = began & (BEGAN_COMPAT - 1);
	if (stack->unwind != UNWIND_COMPLETE)
		return;
	stack->version = walk->version;
	stack->frames[0] = walk->pc;
	stack->user_frames = 1;
	if (began & BEGAN_COMPAT) {
		stack->unwind = UNWIND_COMPAT;
		return;
	}
	if (!walk->version) {
		walk->result = UNWIND_NO_PROCESS;
	} else if (!entry) {
		bpf_loop(MAX_USER_FRAMES / STEPS_AT_ONCE + 1, unwind_each, &context, 0);
	} else if (step_from_entry(walk)) {
		stack->frames[1] = walk->pc;
		stack->user_frames = 2;
		bpf_loop(MAX_USER_FRAMES / STEPS_AT_ONCE + 1, unwind_each, &context, 0);
	}
	stack->unwind = walk->result;
	if (walk->result == UNWIND_UNREADABLE)
		check_exec(stack);
	if (walk->result == UNWIND_NO_TABLE)
		stack->file = walk->file;
}

static __always_inline void unwind_user(struct unwind_walk *walk, struct stack *stack, const struct user_registers *now,
					const struct thread_identity *thread, __u64 time)
{
	unwind_user_from(walk, stack, now, thread, time, false);
}

static __always_inline void unwind_user_at_entry(struct unwind_walk *walk, struct stack *stack, const struct user_registers *now,
						 const struct thread_identity *thread, __u64 time)
{
	unwind_user_from(walk, stack, now, thread, time, true);
}

/*
 * Fills stack with the frames from some registers on: the current thread's where leaf is
 * set, else those of something in its process that does not run, a goroutine, as they were
 * saved when it stopped: pc is behind the call in which it did.
 */
static __always_inline void unwind_user_at(struct unwind_walk *walk, struct stack *stack, __u64 pc, __u64 sp, __u64 fp, __u64 link, bool leaf,
					   const struct thread_identity *thread, __u64 time)
{
	struct unwind_context context = { .walk = walk, .stack = stack };

	stack->memory = false;
	stack->file = 0;
	find_process(walk, thread);
	begin_walk_at(walk, pc, sp, fp, link, time);
	walk->leaf = leaf;
	stack->version = walk->version;
	stack->frames[0] = pc;
	stack->user_frames = 1;
	if (walk->version)
		bpf_loop(MAX_USER_FRAMES / STEPS_AT_ONCE + 1, unwind_each, &context, 0);
	else
		walk->result = UNWIND_NO_PROCESS;
	stack->unwind = walk->result;
	if (walk->result == UNWIND_NO_TABLE)
		stack->file = walk->file;
}

/* Puts the kernel's own walk behind the user frames, where the kernel was interrupted. */
static __always_inline void take_kernel_stack(struct stack *stack, void *ctx, bool in_kernel)
{
	__u32 n = stack->user_frames;
	long bytes;

	stack->in_kernel = in_kernel;
	stack->kernel_frames = 0;
	if (!in_kernel)
		return;
	if (n > MAX_USER_FRAMES)
		n = MAX_USER_FRAMES;
	bytes = bpf_get_stack(ctx, &stack->frames[n], MAX_KERNEL_FRAMES * sizeof(__u64), 0);
	if (bytes <= 0) {
		count(COUNTER_KERNEL_STACK_MISSING);
		return;
	}
	stack->kernel_frames = bytes / sizeof(__u64);
}

/* The bytes of a stack that are worth sending. */
static __always_inline __u64 stack_size(const struct stack *stack)
{
	return __builtin_offsetof(struct stack, frames) + (stack->user_frames + stack->kernel_frames) * sizeof(__u64);
}

#endif
