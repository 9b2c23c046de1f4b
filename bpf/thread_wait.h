/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * What is known of a thread that waits, kept with the task itself: it moves with the
 * thread from CPU to CPU and ends with it. One program begins a wait, another one says
 * who ended it, a third what it was for.
 */
#ifndef NARROWS_THREAD_WAIT_H
#define NARROWS_THREAD_WAIT_H

#include "event_share.h"
#include "stack_once.h"
#include "syscall.h"

enum wait_flag {
	WAIT_IN_IOWAIT = 1,        /* the kernel counts it as waiting for a device */
	WAIT_OPEN = 2,             /* it has not ended: this is the part of it so far */
	WAIT_ASLEEP_AT_START = 4,  /* it had begun before the recording */
	WAIT_WAKER_INTERRUPT = 8,  /* an interrupt ended it, whatever ran there */
	WAIT_PREEMPTED = 16,       /* it could have gone on */
	WAIT_STACK_WANTED = 32,    /* its stack was not taken, or not to its end */
	WAIT_RELEASED = 32,        /* who ended it did so by a futex call on what it waited for */
};

/* The futex call that a thread is in. */
struct futex_call {
	__u64 address;
	__u32 operation; /* 1 + FUTEX_WAIT ..., without flags; 0: it is in none */
	__u32 flags;     /* FUTEX_PRIVATE_FLAG ... and enum futex_call_flag */
	__u32 value;     /* what the word was to be */
	__u32 owner;     /* a TID in the process's own PID namespace, 0 if not known */
};

enum futex_call_flag {
	FUTEX_CALL_FIRST = 1 << 16, /* the first wait for the lock since the thread last had it */
	FUTEX_CALL_TIMED = 1 << 17, /* with a timeout */
	FUTEX_CALL_SEVERAL = 1 << 18, /* for any of several futexes, of which this is one */
};

/* Contended locks that a thread may hold at a time and be known to. */
#define HELD_LOCKS 4

/* What a thread does with futexes. */
struct futex_thread {
	__u64 since;  /* when it first slept in the call, or where that was cut; 0: it has not */
	__u64 let_go; /* when the call that it is in first woke somebody; 0: it has not */
	__u64 interrupted; /* the futex whose wait restart_syscall may go on with; 0: none */
	struct {
		__u64 address, since; /* the end of the last wait for it; address 0: none */
	} held[HELD_LOCKS];
	__u32 next;  /* of held, to be used next */
	__u32 first; /* the call begins an acquisition that is not counted yet */
	/* Calls that found the word changed, of the last lock that had such, and what of them
	 * has been added to the lock's sums: acquisitions << 32 | calls, which only grow. */
	struct futex_call changed;
	__u64 gathered, told;
};

struct thread_wait {
	__u64 since; /* 0: it does not wait */
	__u64 woken; /* 0: not yet */
	struct stack_id stack, waker_stack;
	__u32 stack_weight; /* the stack was taken with a chance of 1 in so many; 0: it was not */
	__u32 waker_tgid, waker_tid;
	__s32 syscall; /* -1: none */
	__u32 state;   /* the task's, 0 if it could have gone on */
	__u32 flags;
	__u32 go; /* of its process, as the last stack that was taken told */
	struct futex_call futex;
	struct futex_thread locks;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct thread_wait);
} thread_waits SEC(".maps");

struct wait_event {
	struct event_header header; /* the time of its end */
	struct thread_identity thread;
	__u64 since;
	__u64 woken;
	struct stack_id stack, waker_stack;
	__u64 weight; /* how many waits it stands for, in units of 1 / WEIGHT_ONE */
	__u32 waker_tgid, waker_tid;
	__s32 syscall;
	__u32 state;
	__u32 flags;
	__u32 has_stack; /* one was taken, though it may have been lost */
	__u32 namespace_tid; /* of the thread, in its own PID namespace */
	__u32 padding;
	struct futex_call futex;
};


/* Of a task that is not the current one. */
static __always_inline void identify_task(struct thread_identity *identity, struct task_struct *task)
{
	struct task_struct *leader = task->group_leader;

	identify_process(identity, task);
	identity->cgroup = task->cgroups->dfl_cgrp->kn->id;
	bpf_probe_read_kernel(identity->thread_name, sizeof(identity->thread_name), &task->comm);
	bpf_probe_read_kernel(identity->process_name, sizeof(identity->process_name), &leader->comm);
}

/* A thread's number as its own process sees it: what it writes into its locks. */
static __always_inline __u32 namespace_tid(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	unsigned int level = BPF_CORE_READ(pid, level);
	__u32 tid = task->pid;

	if (!pid || level > 32)
		return tid;
	bpf_core_read(&tid, sizeof(tid), (void *)pid + bpf_core_field_offset(struct pid, numbers) +
					     level * bpf_core_type_size(struct upid) + bpf_core_field_offset(struct upid, nr));
	return tid;
}

/*
 * Whether the program runs for an interrupt, and not for the current task. Interrupts
 * have stacks of their own, unless user code was interrupted: then the task is in no
 * system call. address is one on the stack in use.
 */
static __always_inline bool in_interrupt(struct task_struct *task, __u64 address)
{
	if (address - (__u64)task->stack >= THREAD_SIZE)
		return true;
	return !(task->flags & PF_KTHREAD) && syscall_of(task) == -1;
}

/* From here on a wait stands for itself alone, with or without a stack. */
#define LONG_WAIT 10000000ull

/* How many waits of that length a wait stands for, in units of 1 / WEIGHT_ONE; 0 if others
 * stand for it. */
static __always_inline __u64 weigh_wait(const struct thread_wait *wait, __u64 length)
{
	if (length >= LONG_WAIT)
		return WEIGHT_ONE;
	return (__u64)wait->stack_weight * WEIGHT_ONE;
}

/* Describes a wait, or the part of it until now. */
static __always_inline void describe_wait(struct wait_event *event, struct task_struct *task, const struct thread_wait *wait,
					  __u64 since, __u64 now, __u64 weight)
{
	event->header.time = now;
	event->header.kind = EVENT_WAIT;
	event->header.cpu = bpf_get_smp_processor_id();
	identify_task(&event->thread, task);
	event->since = since;
	event->woken = wait->woken;
	event->stack = wait->stack;
	event->waker_stack = wait->waker_stack;
	event->weight = weight;
	event->waker_tgid = wait->waker_tgid;
	event->waker_tid = wait->waker_tid;
	event->syscall = wait->syscall;
	event->state = wait->state;
	event->flags = wait->flags;
	event->has_stack = wait->stack_weight != 0;
	event->namespace_tid = namespace_tid(task);
	event->futex = wait->futex;
}

#endif
