/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * Tells kernel stacks apart without walking them. The kernel looks each frame up in its own
 * unwind tables, which costs more than everything else at a switch. But threads wait in few
 * places. So where the return addresses of the stacks of a system call were found the last
 * times, they are looked at again: if all are the same, so is the stack, since each frame's
 * rule says where the next return address lies. Only others are walked.
 */
#ifndef NARROWS_KERNEL_STACK_H
#define NARROWS_KERNEL_STACK_H

#include "unwind.h"

/* Stacks of more bytes or frames are always walked. */
#define KERNEL_STACK_BYTES 4096
#define KERNEL_STACK_WORDS (KERNEL_STACK_BYTES / 8)
#define LAYOUT_FRAMES 32
#define LAYOUT_SETS 64
#define LAYOUTS_A_SET 4
/* Frames of the program and of what calls it are below the address it can know. */
#define OWN_FRAMES 4

struct kernel_layout {
	__u64 key; /* the system call, or the kernel's thread; 0: none */
	__u64 hash[2];
	__u32 frames;
	__u32 last; /* of the words, counted from the stack's upper end: the entry's own frame */
	__u16 words[LAYOUT_FRAMES]; /* where the other return addresses lie, from its lower end */
	__u64 addresses[LAYOUT_FRAMES];
};

/* Some for each hash of the key; each CPU has its own. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LAYOUT_SETS * LAYOUTS_A_SET);
	__type(key, __u32);
	__type(value, struct kernel_layout);
} kernel_layouts SEC(".maps");

struct kernel_words {
	__u64 number; /* for as_number */
	__u64 words[KERNEL_STACK_WORDS];
};

/* A pointer as a number: the verifier takes it for one when it comes out of a map. */
static __always_inline __u64 as_number(void *pointer, volatile __u64 *through)
{
	*through = (__u64)pointer;
	return *through;
}

/* An address on the kernel stack that the program was called on: that of its arguments. Its
 * own variables lie elsewhere since 6.13. */
static __always_inline __u64 stack_address(void *ctx, volatile __u64 *through) { return as_number(ctx, through); }

static __always_inline __u64 word_at(const struct kernel_words *stack, __u32 at)
{
	asm volatile("" : "+r"(at)); /* so that what is checked is what is used */
	return at < KERNEL_STACK_WORDS ? stack->words[at] : 0;
}

/* Whether the return addresses are where they were, and the same. Between the last and the
 * others the kernel may leave a random distance (CONFIG_RANDOMIZE_KSTACK_OFFSET). */
static __always_inline bool same_layout(const struct kernel_layout *layout, const struct kernel_words *stack, __u32 count)
{
	for (int i = 0; i < LAYOUT_FRAMES; i++) {
		if (i + 1 >= layout->frames)
			return word_at(stack, count - layout->last) == layout->addresses[i];
		if (word_at(stack, layout->words[i]) != layout->addresses[i])
			return false;
	}
	return false;
}

/* A search for the frames of a walked stack among its words. */
struct layout_search {
	struct kernel_layout *layout;
	const struct kernel_words *words;
	const struct stack *stack;
	__u32 count;  /* of words */
	__u32 first;  /* of the stack's frames, the first of the kernel's */
	__u32 frames; /* of the kernel's */
	__u32 next;   /* the one that is looked for */
};

static __always_inline __u64 frame_of(const struct layout_search *search, __u32 i)
{
	__u32 at = search->first + i;

	asm volatile("" : "+r"(at));
	if (at >= MAX_USER_FRAMES + MAX_KERNEL_FRAMES)
		return 0;
	return search->stack->frames[at];
}

static long search_word(__u32 index, struct layout_search *search)
{
	struct kernel_layout *layout = search->layout;
	__u32 next = search->next, n = layout->frames;
	__u64 word;

	if (index >= search->count || index >= KERNEL_STACK_WORDS || next >= search->frames)
		return 1;
	word = search->words->words[index];
	if (n == 0) {
		for (int i = 0; i < OWN_FRAMES; i++)
			if (word == frame_of(search, i))
				next = i;
	}
	if (word == 0 || word != frame_of(search, next))
		return 0;
	asm volatile("" : "+r"(n));
	if (n >= LAYOUT_FRAMES)
		return 1;
	layout->words[n] = index;
	layout->last = search->count - index;
	layout->addresses[n] = word;
	layout->frames = n + 1;
	search->next = next + 1;
	return 0;
}

/* Remembers where the frames of a stack that was walked lie. */
static __always_inline void remember_layout(struct kernel_layout *layout, const struct kernel_words *words, __u32 count,
					    const struct stack *stack, __u64 key)
{
	struct layout_search search = { .layout = layout, .words = words, .stack = stack, .count = count,
					.first = stack->user_frames, .frames = stack->kernel_frames };

	layout->key = 0;
	layout->frames = layout->last = 0;
	bpf_loop(KERNEL_STACK_WORDS, search_word, &search, 0);
	if (search.next == stack->kernel_frames && layout->frames > 0)
		layout->key = key;
}

#endif
