/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * Stacks that recur leave the kernel once: an event names its stack by a 128-bit hash,
 * and the frames go before it if user space does not have them yet. Nobody can make two
 * stacks look the same, since the hash begins with secret numbers.
 */
#ifndef NARROWS_STACK_ONCE_H
#define NARROWS_STACK_ONCE_H

#include "kernel_stack.h"
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
	__u32 first, frames;
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
		__u32 n = index * FRAMES_AT_ONCE + i, at = hash->first + n;

		asm volatile("" : "+r"(at)); /* so that what is checked is what is used */
		if (n >= hash->frames || at >= MAX_USER_FRAMES + MAX_KERNEL_FRAMES)
			break;
		mix(&a, &b, hash->stack->frames[at]);
	}
	hash->a = a;
	hash->b = b;
	return (index + 1) * FRAMES_AT_ONCE >= hash->frames;
}

/* Begins the hash of a stack whose user frames have been taken. */
static __always_inline void begin_hash(struct stack_hash *hash, const struct stack_event *event, const struct stack_setting *settings)
{
	const struct stack *stack = &event->stack;

	hash->a = settings->seed[0];
	hash->b = settings->seed[1];
	mix(&hash->a, &hash->b, event->thread.process_start + event->thread.exec_generation);
	mix(&hash->a, &hash->b, (__u64)event->thread.tgid << 32 | (__u32)stack->user_frames << 16 | stack->unwind);
	mix(&hash->a, &hash->b, stack->version);
	if (stack->memory) /* frames alone do not tell it from others */
		mix(&hash->a, &hash->b, event->header.time);
}

static __always_inline void hash_stack(struct stack_hash *hash, const struct stack *stack, __u32 first, __u32 frames)
{
	hash->stack = stack;
	hash->first = first;
	hash->frames = frames;
	bpf_loop((MAX_USER_FRAMES + MAX_KERNEL_FRAMES) / FRAMES_AT_ONCE + 1, hash_frames, hash, 0);
}

/*
 * Gives two numbers that tell the kernel stack of the current task apart, from an address on
 * up to its user registers. It is walked only if it is not as one that was seen; true if so.
 */
static __always_inline bool identify_kernel_stack(__u64 id[2], struct stack *stack, struct kernel_words *words, void *ctx,
						  struct task_struct *task, __u64 from, __s32 syscall)
{
	__u64 size = as_number((void *)bpf_task_pt_regs(task), &words->number) - from;
	__u64 key = task->flags & PF_KTHREAD ? (__u64)task->pid << 32 : (__u64)(__u32)syscall << 1 | 1;
	__u32 set = (key * 0x9e3779b97f4a7c15ull) >> 58; /* of LAYOUT_SETS */
	bool copied = size <= KERNEL_STACK_BYTES && !bpf_probe_read_kernel(words->words, size, (void *)from);
	struct stack_hash hash = { .a = 1, .b = 1 };
	struct kernel_layout *layout;
	__u32 slot;

	for (int i = 0; copied && i < LAYOUTS_A_SET; i++) {
		slot = set * LAYOUTS_A_SET + i;
		layout = bpf_map_lookup_elem(&kernel_layouts, &slot);
		if (layout && layout->key == key && same_layout(layout, words, size / 8)) {
			id[0] = layout->hash[0];
			id[1] = layout->hash[1];
			return false;
		}
	}
	take_kernel_stack(stack, ctx, true);
	hash_stack(&hash, stack, stack->user_frames, stack->kernel_frames);
	id[0] = hash.a;
	id[1] = hash.b;
	slot = set * LAYOUTS_A_SET + (bpf_get_prandom_u32() & (LAYOUTS_A_SET - 1));
	layout = bpf_map_lookup_elem(&kernel_layouts, &slot);
	if (copied && layout) {
		layout->hash[0] = hash.a;
		layout->hash[1] = hash.b;
		remember_layout(layout, words, size / 8, stack, key);
	}
	return true;
}

static __always_inline void send_stack(struct stack_event *event, __u64 generation)
{
	__u64 size = __builtin_offsetof(struct stack_event, stack) + stack_size(&event->stack);

	event->header.kind = EVENT_STACK;
	if (size > sizeof(*event))
		size = sizeof(*event);
	if (ring_is_beyond(RING_FOR_WAITS) || bpf_ringbuf_output(&events, event, size, wakeup_flags(event->stack.memory))) {
		count(COUNTER_LOST_RING_FULL);
		event->id.low = event->id.high = 0;
		return;
	}
	count(COUNTER_STACK_SENT);
	if (bpf_map_update_elem(&stacks_sent, &event->id, &generation, BPF_ANY))
		count(COUNTER_STACK_UNKNOWN);
}

/*
 * Gives the current task's stack, whose user frames have been taken, its id, and sends it
 * if user space does not have it. from is an address on the kernel stack below all that is
 * worth telling, 0 if the kernel's frames are not wanted.
 */
static __always_inline void send_once(struct stack_event *event, struct kernel_words *words, void *ctx, struct task_struct *task,
				      __u64 from, __s32 syscall)
{
	struct stack_setting *settings;
	struct stack_hash hash = {};
	__u64 *known, generation;
	__u64 kernel[2] = {};
	bool walked = false;
	__u32 zero = 0;

	event->id.low = event->id.high = 0;
	settings = bpf_map_lookup_elem(&stack_settings, &zero);
	if (!settings)
		return;
	generation = settings->generation;
	begin_hash(&hash, event, settings);
	event->stack.kernel_frames = 0;
	event->stack.in_kernel = from != 0;
	hash_stack(&hash, &event->stack, 0, event->stack.user_frames);
	if (from) {
		walked = identify_kernel_stack(kernel, &event->stack, words, ctx, task, from, syscall);
		mix(&hash.a, &hash.b, kernel[0]);
		mix(&hash.a, &hash.b, kernel[1]);
	}
	event->id.low = hash.a;
	event->id.high = hash.b | 1;
	known = bpf_map_lookup_elem(&stacks_sent, &event->id);
	if (known && *known == generation)
		return;
	identify(&event->thread, task);
	if (from && !walked)
		take_kernel_stack(&event->stack, ctx, true);
	send_stack(event, generation);
}

#endif
