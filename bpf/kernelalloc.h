/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * Memory that the kernel took for itself, as user space is told of it, and which of it lives:
 * that which was taken down and has not been freed, by its address.
 */
#ifndef NARROWS_KERNELALLOC_H
#define NARROWS_KERNELALLOC_H

#include "slab_cache.h"
#include "stack_once.h"

/* By which tracepoint: each has its program, and each program its own state on each CPU, so
 * that an interrupt that allocates within one does not meet half-written numbers. */
enum kernel_alloc_kind {
	KERNEL_ALLOC_KMALLOC = 0, /* of a size: from the cache for it, or whole pages */
	KERNEL_ALLOC_OBJECT,      /* of a slab cache of its own */
	KERNEL_ALLOC_PAGE,
	KERNEL_ALLOC_KINDS,
};

enum kernel_alloc_flag {
	KERNEL_ALLOC_INTERRUPT = 1, /* for an interrupt, whatever ran there */
	KERNEL_ALLOC_NO_CALL = 2,   /* no system call: a fault, or an interrupt on the thread's own stack */
};

/* What lives, of memory that was taken down. */
struct kernel_alloc_live {
	struct stack_id stack;
	__u64 size;
	__u64 mean;  /* how many bytes lay between two points then */
	__u64 cache; /* tells slab caches apart; 0: none */
	__u64 process_start;
	__u32 tgid, tid;
	__u16 kind, flags;
	__u32 order; /* of pages */
};

struct kernel_alloc_event {
	struct event_header header;
	struct thread_identity thread;
	struct kernel_alloc_live live;
	char cache[CACHE_NAME];
};

struct kernel_alloc_record {
	__u64 address;
	struct kernel_alloc_live live;
	__u32 freed; /* the cache gave its page back: it was freed, though that was not seen */
	__u32 padding;
};

const struct kernel_alloc_event *go_kernel_alloc_event;
const struct kernel_alloc_record *go_kernel_alloc_record;
const enum kernel_alloc_kind *go_kernel_alloc_kind;
const enum kernel_alloc_flag *go_kernel_alloc_flag;

/* Preallocated: what took memory here would come back here. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* set by the loader */
	__type(key, __u64);
	__type(value, struct kernel_alloc_live);
} kernel_alloc_blocks SEC(".maps");

/*
 * How many of what lives have an address of one hash. Nearly all that is freed was not taken
 * down: it meets a zero here, which costs less than the search of it.
 */
#define LIVE_HASH_BITS 17

__u32 live_by_hash[1 << LIVE_HASH_BITS];

static __always_inline __u32 live_hash(__u64 address)
{
	return address * 0x9e3779b97f4a7c15ull >> (64 - LIVE_HASH_BITS);
}

/* Begins to follow memory; false if too much lives. */
static __always_inline bool follow(__u64 address, const struct kernel_alloc_live *live)
{
	__u32 hash = live_hash(address);

	__sync_fetch_and_add(&live_by_hash[hash], 1);
	if (!bpf_map_update_elem(&kernel_alloc_blocks, &address, live, BPF_NOEXIST))
		return true;
	__sync_fetch_and_add(&live_by_hash[hash], -1);
	count(COUNTER_KERNEL_ALLOC_FULL);
	return false;
}

/* Takes memory that is freed out of what lives; true if it was followed. */
static __always_inline bool take_out(__u64 address, __u32 order)
{
	__u32 hash = live_hash(address);
	const struct kernel_alloc_live *live;

	if (!live_by_hash[hash])
		return false;
	live = bpf_map_lookup_elem(&kernel_alloc_blocks, &address);
	if (!live)
		return false;
	if (order < live->order)
		count(COUNTER_KERNEL_ALLOC_IN_PART);
	if (bpf_map_delete_elem(&kernel_alloc_blocks, &address))
		return false;
	__sync_fetch_and_add(&live_by_hash[hash], -1);
	return true;
}

/* What is allocated was free, whether that was seen or not: objects that are freed many at a
 * time have no tracepoint. */
static __always_inline void is_free(__u64 address)
{
	if (take_out(address, ~0u))
		count(COUNTER_KERNEL_ALLOC_REUSED);
}

#endif
