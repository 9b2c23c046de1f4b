/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * What all programs share: the ring buffer by which events leave, and the
 * counters of everything that went wrong. The core object (core.bpf.c) owns the
 * maps; every other object declares them by including this file and is given the
 * core's at load time.
 */
#ifndef NARROWS_CORE_H
#define NARROWS_CORE_H

#include "kernel.h"

/* Why something was not recorded, or not recorded whole. One slot each in the
 * per-CPU array `counters`; a value is only ever appended. */
enum counter {
	COUNTER_TICK = 0,              /* the sampling program ran */
	COUNTER_TICK_IDLE,             /* ... while the CPU idled: nothing to record */
	COUNTER_LOST_RING_FULL,        /* the ring buffer had no room for the event */
	COUNTER_LOST_SCRATCH,          /* the per-CPU scratch space could not be had */
	COUNTER_KERNEL_STACK_MISSING,  /* the kernel gave no stack for a kernel sample */
	COUNTER_USER_REGISTERS_MISSING,/* the task's user registers could not be read */
	COUNTER_MEMORY_SENT,           /* a stack's memory went to user space, to be unwound there */
	COUNTER_MEMORY_REFUSED,        /* ... or did not: its budget is used up */
	COUNTER_MEMORY_FAILED,         /* ... or did not: it could not be read, or the ring was full */
	COUNTER_FORK_SHARED,           /* a child was given its parent's mappings */
	COUNTER_FORK_FULL,             /* ... or was not: the table of processes is full */
	COUNTER_WAIT_UNTRACKED,        /* a thread's wait was not followed: no memory for its state */
	COUNTER_WAIT_SAMPLED_OUT,      /* short waits that others, sent with more weight, stand for */
	COUNTER_STACK_SENT,            /* a stack was sent that user space did not have */
	COUNTER_STACK_UNKNOWN,         /* it was sent, but could not be remembered: it is sent again */
	COUNTER_CONTENTION_UNTRACKED,  /* a wait for a kernel lock was not followed: no memory, or nested too deep */
	COUNTER_CONTENTION_UNMATCHED,  /* ... or only its beginning or only its end was seen */
	COUNTER_CONTENTION_OWN,        /* ... or it was for a lock that telling of another one takes */
	COUNTER_CONTENTION_SAMPLED_OUT,/* short ones that others, sent with more weight, stand for */
	COUNTER_FUTEX_UNTRACKED,       /* a futex call was not followed: no memory for its thread's state */
	COUNTER_FUTEX_UNREADABLE,      /* a lock's word, or the one that names its owner, could not be read */
	COUNTER_FUTEX_FULL,            /* a wait was not counted with its lock: too many locks */
	COUNTER_GO_WAIT_FULL,          /* a goroutine's wait was not followed: too many wait */
	COUNTER_GO_STACK_UNREADABLE,   /* a goroutine's stack could not be found */
	COUNTER_ALLOC_CALL_FULL,       /* an allocation was not followed: too many calls under way */
	COUNTER_ALLOC_FULL,            /* ... or its block was not: too many live */
	COUNTER_ALLOC_UNREADABLE,      /* ... or where its address was stored could not be read */
	COUNTER_RING_FILLED,           /* a period began in which waits are thinned out more: the ring is filling */
	COUNTER_FAULT_UNTRACKED,       /* a page taken for the kernel's own fault in a program's memory is not counted */
	COUNTER_KERNEL_ALLOC_FULL,     /* memory of the kernel is not followed until it is freed: too much lives */
	COUNTER_KERNEL_ALLOC_REUSED,   /* ... was freed without that being seen: it was allocated again */
	COUNTER_KERNEL_ALLOC_IN_PART,  /* ... was freed in part only, and is taken for freed */
	COUNTER_MAX,
};

enum event_kind {
	EVENT_CPU_SAMPLE = 1,
	EVENT_STACK_MEMORY, /* belongs to the next event of the same CPU, which has its time */
	EVENT_PROBE_STACK,  /* of programs for tests */
	EVENT_STACK,        /* a stack that later events name by its id */
	EVENT_WAIT,         /* a thread waited, and runs again */
	EVENT_CONTENTION,   /* a lock of the kernel was waited for */
	EVENT_GO_WAIT,      /* a goroutine waited, and was made ready */
	EVENT_ALLOC,        /* memory was allocated */
	EVENT_FAULT,        /* page faults, or pages taken for them */
	EVENT_KERNEL_ALLOC, /* the kernel took memory for itself */
};

/* Every event starts like this, so that one reader serves all. */
struct event_header {
	__u64 time; /* ns of CLOCK_MONOTONIC */
	__u32 kind; /* enum event_kind */
	__u32 cpu;
};

/* A thread and the process it belongs to. A process is (tgid, start, generation):
 * the start tells a reused PID apart, the generation an exec. */
struct thread_identity {
	__u64 process_start; /* ns of CLOCK_MONOTONIC at the fork of the thread group's leader */
	__u64 exec_generation;
	__u64 cgroup; /* id of the cgroup in the v2 hierarchy */
	__u32 tgid;
	__u32 tid;
	char thread_name[TASK_COMM_LEN];
	char process_name[TASK_COMM_LEN]; /* the leader's */
};

#define RING_BYTES (16 * 1024 * 1024) /* at most: user space makes it as large as there are CPUs */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, RING_BYTES);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTER_MAX);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

static __always_inline void count(__u32 counter)
{
	__u64 *value = bpf_map_lookup_elem(&counters, &counter);
	if (value)
		*value += 1;
}

/* Waking the reader costs an interrupt, so it sleeps until this much waits, and
 * looks by itself a few times a second. */
#define WAKE_AT_BYTES (256 * 1024)

static __always_inline __u64 wakeup_flags(bool urgent)
{
	if (urgent)
		return BPF_RB_FORCE_WAKEUP;
	return bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) >= WAKE_AT_BYTES ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

/*
 * Who stands back when a reader that gets no CPU leaves a ring that fills, in eighths of it: page
 * faults are thinned out first and then left out, and copies of stacks at waits with them; then
 * copies of stacks of CPU samples, and waits are thinned out more (event_share.h). The last eighth
 * is for CPU samples alone, which come at a fixed rate.
 */
#define RING_FOR_ALL_FAULTS 2
#define RING_FOR_FAULTS 4
#define RING_FOR_WAITS_COPIES 4
#define RING_FOR_COPIES 6
#define RING_FOR_ALL_WAITS 6
#define RING_FOR_WAITS 7

static __always_inline bool ring_is_beyond(__u32 eighths)
{
	return bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) > bpf_ringbuf_query(&events, BPF_RB_RING_SIZE) / 8 * eighths;
}

/* Sends the first size bytes of an event; an urgent one wakes the reader. */
#define submit(event, size, urgent) \
	do { \
		__u64 n = (size); \
		if (n > sizeof(*(event))) \
			n = sizeof(*(event)); \
		if (bpf_ringbuf_output(&events, (event), n, wakeup_flags(urgent))) \
			count(COUNTER_LOST_RING_FULL); \
	} while (0)

/* The same for what is not sampled by time. */
#define submit_wait(event, size) \
	do { \
		if (ring_is_beyond(RING_FOR_WAITS)) \
			count(COUNTER_LOST_RING_FULL); \
		else \
			submit(event, size, false); \
	} while (0)

/* The part of a thread's identity that finds its process's mappings. */
static __always_inline void identify_process(struct thread_identity *identity, struct task_struct *task)
{
	identity->process_start = task->group_leader->start_time;
	identity->exec_generation = task->self_exec_id;
	identity->tgid = task->tgid;
	identity->tid = task->pid;
}

/* The current task's identity. */
static __always_inline void identify(struct thread_identity *identity, struct task_struct *task)
{
	struct task_struct *leader = task->group_leader;

	identify_process(identity, task);
	identity->cgroup = bpf_get_current_cgroup_id();
	bpf_get_current_comm(identity->thread_name, sizeof(identity->thread_name));
	bpf_probe_read_kernel(identity->process_name, sizeof(identity->process_name), &leader->comm);
}

#endif
