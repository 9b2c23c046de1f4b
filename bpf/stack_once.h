/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * Stacks that recur leave the kernel once: an event names its stack by a 128-bit hash,
 * and the frames go before it if user space does not have them yet. Nobody can make two
 * stacks look the same, since the hash begins with secret numbers.
 */
#ifndef NARROWS_STACK_ONCE_H
#define NARROWS_STACK_ONCE_H

#include "stack_memory.h"

struct stack_id {
	__u64 low, high; /* both 0: no stack */
};

struct stack_event {
	struct event_header header;
	struct thread_identity thread;
	struct stack_id id;
	struct stack stack;
};

/* Set by user space. */
struct stack_setting {
	__u64 seed[2];
	__u64 generation; /* what was sent in another one is sent again: user space forgets */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stack_setting);
} stack_settings SEC(".maps");

/* In which generation a stack was sent last. What is put out of it is sent again. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 64 * 1024);
	__type(key, struct stack_id);
	__type(value, __u64);
} stacks_sent SEC(".maps");

struct stack_hash {
	const struct stack *stack;
	__u32 frames;
	__u32 padding;
	__u64 a, b;
};

#define FRAMES_AT_ONCE 16

/* Two lanes of multiply and shift, as in the finaliser of MurmurHash3. */
static __always_inline void mix(__u64 *a, __u64 *b, __u64 word)
{
	*a = (*a ^ word) * 0xff51afd7ed558ccdull;
	*a ^= *a >> 33;
	*b = (*b + word) * 0xc4ceb9fe1a85ec53ull;
	*b ^= *b >> 29;
}

static long hash_frames(__u32 index, struct stack_hash *hash)
{
	__u64 a = hash->a, b = hash->b;

	for (int i = 0; i < FRAMES_AT_ONCE; i++) {
		__u32 at = index * FRAMES_AT_ONCE + i;

		asm volatile("" : "+r"(at)); /* so that what is checked is what is used */
		if (at >= hash->frames || at >= MAX_USER_FRAMES + MAX_KERNEL_FRAMES)
			break;
		mix(&a, &b, hash->stack->frames[at]);
	}
	hash->a = a;
	hash->b = b;
	return (index + 1) * FRAMES_AT_ONCE >= hash->frames;
}

static __always_inline void identify_stack(struct stack_event *event, const struct stack_setting *settings)
{
	const struct stack *stack = &event->stack;
	struct stack_hash hash = { .stack = stack, .frames = stack->user_frames + stack->kernel_frames,
				   .a = settings->seed[0], .b = settings->seed[1] };

	mix(&hash.a, &hash.b, event->thread.process_start + event->thread.exec_generation);
	mix(&hash.a, &hash.b, (__u64)event->thread.tgid << 32 | (__u32)stack->user_frames << 16 | stack->unwind);
	mix(&hash.a, &hash.b, stack->version);
	if (stack->memory) /* frames alone do not tell it from others */
		mix(&hash.a, &hash.b, event->header.time);
	bpf_loop((MAX_USER_FRAMES + MAX_KERNEL_FRAMES) / FRAMES_AT_ONCE + 1, hash_frames, &hash, 0);
	event->id.low = hash.a;
	event->id.high = hash.b | 1;
}

/* Gives the stack its id, and sends it if user space does not have it. */
static __always_inline void send_once(struct stack_event *event)
{
	struct stack_setting *settings;
	__u64 *known, generation;
	__u32 zero = 0;

	event->id.low = event->id.high = 0;
	settings = bpf_map_lookup_elem(&stack_settings, &zero);
	if (!settings)
		return;
	generation = settings->generation;
	identify_stack(event, settings);
	known = bpf_map_lookup_elem(&stacks_sent, &event->id);
	if (known && *known == generation)
		return;
	event->header.kind = EVENT_STACK;
	__u64 size = __builtin_offsetof(struct stack_event, stack) + stack_size(&event->stack);
	if (size > sizeof(*event))
		size = sizeof(*event);
	if (bpf_ringbuf_output(&events, event, size, wakeup_flags(event->stack.memory))) {
		count(COUNTER_LOST_RING_FULL);
		event->id.low = event->id.high = 0;
		return;
	}
	count(COUNTER_STACK_SENT);
	if (bpf_map_update_elem(&stacks_sent, &event->id, &generation, BPF_ANY))
		count(COUNTER_STACK_UNKNOWN);
}

#endif
