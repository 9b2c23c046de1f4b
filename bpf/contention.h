/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * A wait for a lock of the kernel, as the tracepoints contention_begin and contention_end
 * tell of it. What is under way is a short stack: a mutex's slow path waits for spinlocks,
 * and an interrupt waits while a thread does.
 */
#ifndef NARROWS_CONTENTION_H
#define NARROWS_CONTENTION_H

#include "slab_cache.h"
#include "thread_wait.h"

/* Of the tracepoints (include/trace/events/lock.h), the same since 5.19. Semaphores have none. */
#define LCB_F_SPIN 1
#define LCB_F_READ 2
#define LCB_F_WRITE 4
#define LCB_F_RT 8
#define LCB_F_PERCPU 16
#define LCB_F_MUTEX 32
#define CONTENTION_KINDS 64 /* of all flags together */

enum contention_flag {
	CONTENTION_INTERRUPT = 1, /* an interrupt waited, whatever ran there */
	CONTENTION_SLEPT = 2,     /* the thread did not, or not only, spin */
	CONTENTION_OPEN = 4,      /* it has not ended: this is the part of it so far */
	CONTENTION_CONTINUED = 8, /* earlier parts of it were told of */
	CONTENTION_HAS_STACK = 16, /* one was taken, though it may have been lost */
	CONTENTION_NO_CALL = 32,  /* no system call: a fault, or an interrupt on the thread's own stack */
};

struct contention_event {
	struct event_header header; /* the time of its end */
	struct thread_identity thread;
	__u64 since;
	__u64 nested; /* ns in which it waited for other locks, which tell of them themselves */
	__u64 lock;
	__u64 weight; /* how many such waits it stands for, in units of 1 / WEIGHT_ONE */
	struct stack_id stack, release_stack;
	__u32 lock_flags; /* LCB_F_... */
	__s32 result;     /* 0: it has the lock, or waits still */
	__u32 flags;      /* enum contention_flag */
	__u32 owner_tgid, owner_tid; /* who had it when the wait began, 0 if not known */
	__u32 waker_tgid, waker_tid; /* who let go of it in the end, 0 if not known */
	__u32 offset;        /* of the lock in its object, if cache is not empty */
	char cache[CACHE_NAME]; /* the slab cache of the object */
};

/* All contention there was, whether it was sent or others stand for it. */
struct contention_total {
	__u64 waits;
	__u64 time;   /* ns, without nested */
	__u64 nested; /* ns */
};

struct contention {
	__u64 lock;
	__u64 since;
	__u64 nested;
	__u32 lock_flags;
	__u32 flags;
	__u32 owner_tgid, owner_tid;
};

#define CONTENTION_LEVELS 4

struct contention_stack {
	__u64 depth;
	struct contention levels[CONTENTION_LEVELS];
};

#endif
