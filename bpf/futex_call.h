/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * The futex call that a task is in, by the registers that it entered the kernel with: they
 * stay there until the call has been left. So nothing is noted when a call begins, and one
 * that neither waits nor wakes costs as good as nothing. What a call is for is looked at when
 * its thread leaves its CPU in it, lets another one go on, or is through.
 */
#ifndef NARROWS_FUTEX_CALL_H
#define NARROWS_FUTEX_CALL_H

#include <linux/futex.h>

#include "thread_wait.h"

/* Operations, as bits. */
#define OPERATION(operation) (1u << (operation))
#define WAITS (OPERATION(FUTEX_WAIT) | OPERATION(FUTEX_LOCK_PI) | OPERATION(FUTEX_WAIT_BITSET) | \
	       OPERATION(FUTEX_WAIT_REQUEUE_PI) | OPERATION(FUTEX_LOCK_PI2))
#define WAKES (OPERATION(FUTEX_WAKE) | OPERATION(FUTEX_REQUEUE) | OPERATION(FUTEX_CMP_REQUEUE) | OPERATION(FUTEX_WAKE_OP) | \
	       OPERATION(FUTEX_UNLOCK_PI) | OPERATION(FUTEX_WAKE_BITSET) | OPERATION(FUTEX_CMP_REQUEUE_PI))

static __always_inline bool operation_in(const struct futex_call *call, __u32 operations)
{
	return call->operation - 1 <= FUTEX_LOCK_PI2 && operations & OPERATION((call->operation - 1) & 31);
}

/* The registers that a task entered the kernel with, 0 for the kernel's own threads. */
static __always_inline const struct pt_regs *entry_registers(struct task_struct *task)
{
	return task->flags & PF_KTHREAD ? 0 : (const struct pt_regs *)bpf_task_pt_regs(task);
}

/* Whether a system call of this number may wait for a futex, or wake who does. */
static __always_inline bool is_futex_syscall(__s32 number)
{
	switch (number) {
	case SYSCALL_FUTEX:
	case SYSCALL_RESTART:
	case SYSCALL_FUTEX_WAITV:
	case SYSCALL_FUTEX_WAKE:
	case SYSCALL_FUTEX_WAIT:
	case SYSCALL_FUTEX_REQUEUE:
		return true;
	}
	return false;
}

/* Whether the call names its futexes in an array. */
static __always_inline bool has_array(__s32 number) { return number == SYSCALL_FUTEX_WAITV || number == SYSCALL_FUTEX_REQUEUE; }

/* Takes the futex from its place in the array. */
static __always_inline void fill_from_array(struct futex_call *call, const struct futex_waitv *waiter)
{
	call->address = waiter->uaddr;
	call->value = waiter->val;
	call->flags |= waiter->flags & FUTEX_PRIVATE_FLAG;
}

/* Fills in what futex(2) is asked for. A wait that is restarted has its registers still. */
static __always_inline void read_futex(struct futex_call *call, const struct pt_regs *regs)
{
	__u32 operation = ARGUMENT_1(regs);

	call->operation = 1 + (operation & FUTEX_CMD_MASK);
	call->flags = operation & (FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
	call->value = ARGUMENT_2(regs);
	if (ARGUMENT_3(regs) && operation_in(call, WAITS))
		call->flags |= FUTEX_CALL_TIMED;
}

/* Fills in what a system call is asked for. The later ones are told as the operation that
 * does the same. Where the futexes are in an array, the address is the array's. */
static __always_inline void read_call(struct futex_call *call, const struct pt_regs *regs, __s32 number)
{
	call->address = ARGUMENT_0(regs);
	call->operation = call->flags = call->value = call->owner = 0;
	switch (number) {
	case SYSCALL_FUTEX:
	case SYSCALL_RESTART:
		read_futex(call, regs);
		break;
	case SYSCALL_FUTEX_WAIT:
		call->operation = 1 + FUTEX_WAIT_BITSET;
		call->flags = (ARGUMENT_3(regs) & FUTEX_PRIVATE_FLAG) | (ARGUMENT_4(regs) ? FUTEX_CALL_TIMED : 0);
		call->value = ARGUMENT_1(regs);
		break;
	case SYSCALL_FUTEX_WAITV:
		call->operation = 1 + FUTEX_WAIT_BITSET;
		call->flags = (ARGUMENT_3(regs) ? FUTEX_CALL_TIMED : 0) | (ARGUMENT_1(regs) > 1 ? FUTEX_CALL_SEVERAL : 0);
		break;
	case SYSCALL_FUTEX_WAKE:
		call->operation = 1 + FUTEX_WAKE_BITSET;
		call->flags = ARGUMENT_3(regs) & FUTEX_PRIVATE_FLAG;
		break;
	case SYSCALL_FUTEX_REQUEUE:
		call->operation = 1 + FUTEX_CMP_REQUEUE;
		break;
	}
}

/* The same of the current task, with the futex that has this place in the array. */
static __always_inline void read_own_call(struct futex_call *call, const struct pt_regs *regs, __s32 number, __u32 place)
{
	struct futex_waitv waiter = {};

	read_call(call, regs, number);
	if (!has_array(number))
		return;
	if (bpf_probe_read_user(&waiter, sizeof(waiter), (void *)(call->address + place * sizeof(waiter))))
		count(COUNTER_FUTEX_UNREADABLE);
	fill_from_array(call, &waiter);
}

/* Whether restart_syscall goes on with a futex call: with the one that was last interrupted. */
static __always_inline bool restarts(const struct thread_wait *wait, const struct futex_call *call)
{
	return call->address && wait->locks.interrupted == call->address && operation_in(call, WAITS);
}

/* Whether the thread slept in this call. If not, it was in an earlier one, whose end was not
 * seen: it ended before its end was watched, or while another program ran on its CPU. */
static __always_inline bool slept_in(const struct thread_wait *wait, const struct futex_call *call)
{
	const struct futex_call *noted = &wait->futex;

	return noted->operation == call->operation && (noted->address == call->address || noted->flags & FUTEX_CALL_SEVERAL);
}

/* Whether the current task is in a futex call that wakes others, and on what. */
static __always_inline bool in_wake(struct task_struct *task, struct futex_call *call)
{
	const struct pt_regs *regs = entry_registers(task);
	__s32 number;

	if (!regs)
		return false;
	number = ENTERED_BY(regs);
	if (!is_futex_syscall(number) || number == SYSCALL_RESTART || !IN_SYSCALL(regs) || COMPAT_SYSCALL(task, regs))
		return false;
	read_own_call(call, regs, number, 0);
	return operation_in(call, WAKES);
}

#endif
