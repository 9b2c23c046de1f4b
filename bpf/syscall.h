/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/* Which system call a task is in. */
#ifndef NARROWS_SYSCALL_H
#define NARROWS_SYSCALL_H

#include "kernel.h"

/* The system call that a task is in, -1 if it entered the kernel otherwise. */
static __always_inline __s32 syscall_of(struct task_struct *task)
{
	void *saved = (void *)bpf_task_pt_regs(task);
	__s32 number = -1;

	if (task->flags & PF_KTHREAD || !saved)
		return -1;
	bpf_probe_read_kernel(&number, sizeof(number), saved + REGISTERS_SYSCALL_OFFSET);
	return number;
}

#endif
