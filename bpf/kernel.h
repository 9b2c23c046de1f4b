/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * The few kernel types the programs touch, instead of a 3 MB vmlinux.h.
 * Everything under preserve_access_index is relocated against the running
 * kernel's BTF (CO-RE), so only names and types matter here, not offsets.
 */
#ifndef NARROWS_KERNEL_H
#define NARROWS_KERNEL_H

#include <stdbool.h>
#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define TASK_COMM_LEN 16
#define PF_KTHREAD 0x00200000 /* include/linux/sched.h, unchanged since 2.6 */
#define TASK_DEAD 0x80 /* the same; a thread that has ended, before 4.14 64 */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct mm_struct {
	unsigned long start_stack; /* where a program finds its arguments: above the first frame */
};

struct kernfs_node {
	__u64 id; /* a union before 5.5 */
};

struct cgroup {
	struct kernfs_node *kn;
};

struct css_set {
	struct cgroup *dfl_cgrp; /* in the v2 hierarchy */
};

struct upid {
	int nr;
};

struct pid {
	unsigned int level; /* of the innermost PID namespace */
	struct upid numbers[1]; /* a number for each namespace, from the outermost on */
};

struct thread_info {
	unsigned int status; /* on x86 */
};

/* The registers that a task entered the kernel with, for direct reads. Layouts further down
 * are for copies. */
struct pt_regs {
#if defined(__TARGET_ARCH_x86)
	unsigned long di, si, dx, r10, r8, ax, orig_ax;
#elif defined(__TARGET_ARCH_arm64)
	__u64 regs[31], pstate, orig_x0;
	int syscallno;
#endif
};

struct task_struct {
	struct thread_info thread_info;
	unsigned int flags;
	unsigned int in_execve : 1;
	unsigned int in_iowait : 1;
	unsigned int __state; /* "state" before 5.14 */
	int on_cpu;
	void *stack; /* the lowest address of the kernel stack */
	struct mm_struct *mm;
	struct pid *thread_pid;
	struct css_set *cgroups;
	int pid;
	int tgid;
	struct task_struct *group_leader;
	__u64 start_time;   /* ns of CLOCK_MONOTONIC since 3.17 */
	__u64 self_exec_id; /* one more at each execve; u32 before 5.7 */
	char comm[TASK_COMM_LEN];
	unsigned long sas_ss_sp; /* the alternate signal stack */
	unsigned long sas_ss_size;
	int pagefault_disabled; /* a page that is not there is not brought in */
};

#pragma clang attribute pop

/*
 * Registers as a perf_event program sees them in its context, and as the kernel
 * leaves them at the top of the task's stack. Both layouts are ABI
 * (arch/x86/include/asm/ptrace.h, arch/arm64/include/uapi/asm/ptrace.h).
 */
#if defined(__TARGET_ARCH_x86)
struct user_registers {
	__u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
#define REGISTERS_IP(r) ((r)->ip)
#define REGISTERS_SP(r) ((r)->sp)
#define REGISTERS_FP(r) ((r)->bp)
#define REGISTERS_MODE(r) ((r)->cs)
#define REGISTERS_FROM_USER(r) (((r)->cs & 3) == 3)
#define REGISTERS_LINK(r) 0
#define REGISTERS_SET_LINK(r, from)
#define REGISTERS_32_BIT(r) (((r)->cs & 0xffff) == 0x23) /* __USER32_CS */
/* Where the kernel keeps the number of the system call it was entered by, as 32 bits; -1 if
 * by something else (orig_ax in arch/x86/entry/entry_64.S). */
#define REGISTERS_SYSCALL_OFFSET __builtin_offsetof(struct user_registers, orig_ax)
#define THREAD_SIZE (16 * 1024) /* of a kernel stack, without KASAN */
#define SYSCALL_FUTEX 202
#define SYSCALL_RESTART 219
/* Of struct pt_regs: the number and the first arguments of the system call that it entered
 * the kernel by, which stay there until it has been left. */
#define ENTERED_BY(r) ((__s32)(r)->orig_ax)
#define ARGUMENT_0(r) ((r)->di)
#define ARGUMENT_1(r) ((r)->si)
#define ARGUMENT_2(r) ((r)->dx)
#define ARGUMENT_3(r) ((r)->r10)
#define ARGUMENT_4(r) ((r)->r8)
/* Whether the system call has not ended: the entry puts -ENOSYS where its result will be. */
#define IN_SYSCALL(r) ((__s64)(r)->ax == -38)
/* Whether it is one of 32-bit code, with other numbers and registers (TS_COMPAT). */
#define COMPAT_SYSCALL(task, r) ((task)->thread_info.status & 2)
#define SYSCALL_MMAP 9
#define SYSCALL_BRK 12
#define SYSCALL_MREMAP 25
#define SYSCALL_MADVISE 28
#define SYSCALL_MLOCK 149
#define SYSCALL_MLOCKALL 151
#define SYSCALL_MLOCK2 325

/* Where a register lies by its DWARF number (System V x86-64 ABI, figure 3.36). */
static __always_inline __u32 registers_offset(__u8 number)
{
	switch (number) {
	case 0: return __builtin_offsetof(struct user_registers, ax);
	case 1: return __builtin_offsetof(struct user_registers, dx);
	case 2: return __builtin_offsetof(struct user_registers, cx);
	case 3: return __builtin_offsetof(struct user_registers, bx);
	case 4: return __builtin_offsetof(struct user_registers, si);
	case 5: return __builtin_offsetof(struct user_registers, di);
	}
	return (15 - (number & 15)) * 8; /* r8 to r15, the last first */
}
#elif defined(__TARGET_ARCH_arm64)
struct user_registers {
	__u64 regs[31], sp, pc, pstate;
};
#define REGISTERS_IP(r) ((r)->pc)
#define REGISTERS_SP(r) ((r)->sp)
#define REGISTERS_FP(r) ((r)->regs[29])
#define REGISTERS_MODE(r) ((r)->pstate)
#define REGISTERS_FROM_USER(r) (((r)->pstate & 0xf) == 0)
#define REGISTERS_LINK(r) ((r)->regs[30])
#define REGISTERS_SET_LINK(r, from) ((r)->regs[30] = (from)->regs[30])
#define REGISTERS_32_BIT(r) ((r)->pstate & 0x10) /* PSR_MODE32_BIT */
/* syscallno of struct pt_regs, behind orig_x0; NO_SYSCALL is -1. */
#define REGISTERS_SYSCALL_OFFSET (sizeof(struct user_registers) + 8)
#define THREAD_SIZE (64 * 1024) /* of a kernel stack, at most: 16 KB with small pages */
#define SYSCALL_FUTEX 98
#define SYSCALL_RESTART 128
#define ENTERED_BY(r) ((r)->syscallno)
#define ARGUMENT_0(r) ((r)->orig_x0) /* the result takes the place of the argument */
#define ARGUMENT_1(r) ((r)->regs[1])
#define ARGUMENT_2(r) ((r)->regs[2])
#define ARGUMENT_3(r) ((r)->regs[3])
#define ARGUMENT_4(r) ((r)->regs[4])
#define IN_SYSCALL(r) ((r)->regs[0] == (r)->orig_x0)
#define COMPAT_SYSCALL(task, r) ((r)->pstate & 0x10) /* PSR_MODE32_BIT */
#define SYSCALL_BRK 214
#define SYSCALL_MREMAP 216
#define SYSCALL_MMAP 222
#define SYSCALL_MLOCK 228
#define SYSCALL_MLOCKALL 230
#define SYSCALL_MADVISE 233
#define SYSCALL_MLOCK2 284

static __always_inline __u32 registers_offset(__u8 number) { return (number & 31) * 8; }
#else
#error "Narrows knows the registers of x86-64 and arm64 only"
#endif

/* The same on all machines: 5.16, and 6.7. */
#define SYSCALL_FUTEX_WAITV 449
#define SYSCALL_FUTEX_WAKE 454
#define SYSCALL_FUTEX_WAIT 455
#define SYSCALL_FUTEX_REQUEUE 456

/* include/uapi/linux/bpf_perf_event.h */
struct perf_event_context {
	struct user_registers regs;
	__u64 sample_period;
	__u64 addr;
};

#endif
