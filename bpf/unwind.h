/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * Walks a user stack by frame pointers: each frame holds the caller's frame
 * pointer and, above it, the return address (System V x86-64 ABI 3.4.1; AAPCS64
 * 6.4.6). The loop is bpf_loop: verified once, 1,024 frames deep, no tail calls.
 */
#ifndef NARROWS_UNWIND_H
#define NARROWS_UNWIND_H

#include "core.h"

#define MAX_USER_FRAMES 1024
#define MAX_KERNEL_FRAMES 127 /* what kernel.perf_event_max_stack allows by default */

/* Why a walk ended. Only UNWIND_COMPLETE reached the root. */
enum unwind_end {
	UNWIND_COMPLETE = 0,
	UNWIND_NO_USER_STACK,      /* a kernel thread */
	UNWIND_NO_REGISTERS,       /* the user registers could not be read */
	UNWIND_UNREADABLE,         /* the frame's memory could not be read */
	UNWIND_BAD_FRAME_POINTER,  /* misaligned, or outside user memory */
	UNWIND_NOT_ASCENDING,      /* frames went down more often than stacks are switched */
	UNWIND_TOO_DEEP,           /* MAX_USER_FRAMES reached */
	UNWIND_COMPAT,                    /* a 32-bit process: other registers, other frames */
};

/* A chain goes down to a lower address where the stack is switched: a signal
 * handler's alternate stack, Go's system stack. Garbage does it all the time. */
#define MAX_STACK_SWITCHES 4

/*
 * A stack as every event carries it, at its tail: the user frames first, the
 * kernel frames behind them, both the leaf first. The walk keeps its state here
 * and not on the BPF stack, where the verifier would know the values and follow
 * the loop once for each of them.
 */
struct stack {
	__u16 user_frames;
	__u16 kernel_frames;
	__u16 unwind;    /* enum unwind_end of the user frames */
	__u16 in_kernel; /* whether the kernel was interrupted */
	__u32 switches;
	__u32 padding;
	__u64 frame_pointer;
	__u64 stack_pointer;
	__u64 frames[MAX_USER_FRAMES + MAX_KERNEL_FRAMES];
};

struct frame_record {
	__u64 frame_pointer;
	__u64 return_address;
};

/* bpf_loop takes its context from the BPF stack only. */
struct unwind_context {
	struct stack *stack;
};

static long unwind_step(__u32 index, struct unwind_context *context)
{
	struct stack *stack = context->stack;
	__u64 fp = stack->frame_pointer;
	__u32 n = stack->user_frames;
	struct frame_record record;

	if (fp == 0) {
		stack->unwind = UNWIND_COMPLETE;
		return 1;
	}
	if (fp & 7) {
		stack->unwind = UNWIND_BAD_FRAME_POINTER;
		return 1;
	}
	if (fp < stack->stack_pointer && ++stack->switches > MAX_STACK_SWITCHES) {
		stack->unwind = UNWIND_NOT_ASCENDING;
		return 1;
	}
	if (bpf_probe_read_user(&record, sizeof(record), (void *)fp)) {
		stack->unwind = UNWIND_UNREADABLE;
		return 1;
	}
	if (record.return_address == 0) {
		stack->unwind = UNWIND_COMPLETE;
		return 1;
	}
	if (n >= MAX_USER_FRAMES) {
		stack->unwind = UNWIND_TOO_DEEP;
		return 1;
	}
	stack->frames[n] = record.return_address;
	stack->user_frames = n + 1;
	stack->stack_pointer = fp + sizeof(record);
	stack->frame_pointer = record.frame_pointer;
	return 0;
}

/* Reads the registers the task has in user mode, or entered the kernel with. */
static __always_inline __u32 read_user_registers(const struct user_registers *now, struct task_struct *task,
						 struct user_registers *regs)
{
	void *saved;

	if (task->flags & PF_KTHREAD)
		return UNWIND_NO_USER_STACK;
	if (REGISTERS_FROM_USER(now)) {
		REGISTERS_IP(regs) = REGISTERS_IP(now);
		REGISTERS_SP(regs) = REGISTERS_SP(now);
		REGISTERS_FP(regs) = REGISTERS_FP(now);
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

/* Fills stack with the user frames of the current task, interrupted at now. */
static __always_inline void unwind_user(struct stack *stack, const struct user_registers *now, struct task_struct *task)
{
	struct unwind_context context = { .stack = stack };
	struct user_registers regs;

	stack->user_frames = 0;
	stack->switches = 0;
	stack->unwind = read_user_registers(now, task, &regs);
	if (stack->unwind != UNWIND_COMPLETE)
		return;
	stack->frames[0] = REGISTERS_IP(&regs);
	stack->user_frames = 1;
	stack->frame_pointer = REGISTERS_FP(&regs);
	stack->stack_pointer = REGISTERS_SP(&regs);
	if (REGISTERS_32_BIT(&regs)) {
		stack->unwind = UNWIND_COMPAT;
		return;
	}
	stack->unwind = UNWIND_TOO_DEEP;
	bpf_loop(MAX_USER_FRAMES, unwind_step, &context, 0);
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
