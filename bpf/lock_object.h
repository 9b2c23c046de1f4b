/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * What lies around a lock of the kernel: who holds it, where it says so, and which kind of
 * object it is part of.
 */
#ifndef NARROWS_LOCK_OBJECT_H
#define NARROWS_LOCK_OBJECT_H

#include "contention.h"
#include "slab_cache.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct lock_word { /* atomic_long_t */
	__u64 counter;
};

struct mutex {
	struct lock_word owner; /* a task and 3 bits; not with PREEMPT_RT */
};

struct rw_semaphore {
	struct lock_word owner; /* a task and 2 bits; not with PREEMPT_RT */
};

struct sighand_struct___any {
	int count;
};

struct mm_struct___any {
	unsigned long start_stack;
};

struct task_struct___parts {
	struct mm_struct___any *mm;
	struct sighand_struct___any *sighand;
};

struct rq {
	int cpu;
};

struct cfs_rq {
	struct rq *rq; /* with FAIR_GROUP_SCHED, as everybody has it */
};

struct sched_entity {
	struct cfs_rq *cfs_rq; /* the same */
};

struct task_struct___queue {
	struct sched_entity se;
};

#pragma clang attribute pop

/* Where the run queue of a CPU lies. */
struct queue_record {
	__u64 record_size;
	__u64 address;
	__u64 cpu;
};

const volatile __u32 page_shift = 12; /* set by user space */

#define RWSEM_READER_OWNED 1 /* the rest is one of the readers, who may have let go */
#define OWNER_BITS 7
#define OO_SHIFT 16 /* of kmem_cache_order_objects, in mm/slub.c */

/* The word of a lock that names its holder, 0 if it has none. */
static __always_inline __u64 owner_word(__u64 lock, __u32 flags)
{
	struct rw_semaphore *semaphore = (void *)lock;
	struct mutex *mutex = (void *)lock;
	__u64 word = 0;

	if (flags & LCB_F_MUTEX) {
		if (bpf_core_field_exists(mutex->owner))
			bpf_core_read(&word, sizeof(word), &mutex->owner);
	} else if (flags & (LCB_F_READ | LCB_F_WRITE) && !(flags & (LCB_F_SPIN | LCB_F_RT | LCB_F_PERCPU))) {
		if (bpf_core_field_exists(semaphore->owner))
			bpf_core_read(&word, sizeof(word), &semaphore->owner);
		if (word & RWSEM_READER_OWNED)
			return 0;
	}
	return word & ~(__u64)OWNER_BITS;
}

/* Says who holds the lock, if that can be told and is a thread: the word is read while
 * others change it. */
static __always_inline void read_owner(struct contention *level, __u32 flags)
{
	struct task_struct *owner = (void *)owner_word(level->lock, flags), *leader;
	int tid, tgid;

	if (!owner)
		return;
	tid = BPF_CORE_READ(owner, pid);
	tgid = BPF_CORE_READ(owner, tgid);
	leader = BPF_CORE_READ(owner, group_leader);
	if (tid <= 0 || BPF_CORE_READ(leader, pid) != tgid || BPF_CORE_READ(leader, tgid) != tgid)
		return;
	level->owner_tid = tid;
	level->owner_tgid = tgid;
}

/* The lock's place in an object of the thread, for kernels that name no caches. */
static __always_inline void find_known_object(struct contention_event *event, struct task_struct *task)
{
	struct task_struct___parts *parts = (void *)task;
	__u64 mm = (__u64)BPF_CORE_READ(parts, mm), sighand = (__u64)BPF_CORE_READ(parts, sighand);

	if (mm && event->lock - mm < bpf_core_type_size(struct mm_struct___any)) {
		event->offset = event->lock - mm;
		__builtin_memcpy(event->cache, "mm_struct", sizeof("mm_struct"));
	} else if (sighand && event->lock - sighand < bpf_core_type_size(struct sighand_struct___any)) {
		event->offset = event->lock - sighand;
		__builtin_memcpy(event->cache, "sighand_cache", sizeof("sighand_cache"));
	}
}

/* Says which slab cache the lock's object is of, and where in the object it lies. Slabs are
 * aligned to their size; under want of memory the kernel makes smaller ones, in which the
 * place would be wrong, so that it needs to be a lock's to be believed. */
static __always_inline void find_object(struct contention_event *event, struct task_struct *task)
{
	struct kmem_cache *cache;
	const char *name;
	__u32 size, order;
	__u64 start;

	if (!bpf_get_kmem_cache) {
		find_known_object(event, task);
		return;
	}
	cache = bpf_get_kmem_cache(event->lock);
	if (!cache)
		return;
	size = BPF_CORE_READ(cache, size);
	order = BPF_CORE_READ(cache, oo.x) >> OO_SHIFT;
	name = BPF_CORE_READ(cache, name);
	if (!size || order > 16 || !name)
		return;
	start = event->lock & ~((1ull << ((page_shift + order) & 63)) - 1);
	event->offset = (event->lock - start) % size;
	bpf_probe_read_kernel_str(event->cache, sizeof(event->cache), name);
}

#endif
