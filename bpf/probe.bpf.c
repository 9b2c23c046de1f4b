//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause)
/*
 * The walker in other kinds of programs than the sampler: at a function's entry, and
 * in a program that is run on request (BPF_PROG_TEST_RUN) by the thread whose stack
 * is walked. For tests, and to measure what a walk costs.
 */
#include "stack_memory.h"

struct probe_stack {
	struct event_header header;
	struct thread_identity thread;
	struct stack stack;
};

const struct probe_stack *go_probe_stack;

struct probe_space {
	struct probe_stack event;
	struct unwind_walk walk;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct probe_space);
} probe_scratch SEC(".maps");

static __always_inline struct probe_space *begin_probe(void)
{
	__u32 zero = 0;
	struct probe_space *space = bpf_map_lookup_elem(&probe_scratch, &zero);

	if (!space) {
		count(COUNTER_LOST_SCRATCH);
		return 0;
	}
	space->event.header.time = bpf_ktime_get_ns();
	space->event.header.kind = EVENT_PROBE_STACK;
	space->event.header.cpu = bpf_get_smp_processor_id();
	identify(&space->event.thread, bpf_get_current_task_btf());
	space->event.stack.kernel_frames = 0;
	space->event.stack.in_kernel = false;
	return space;
}

static __always_inline void end_probe(struct probe_space *space)
{
	ask_for_help(&space->event.stack, &space->walk, &space->event.header);
	submit(&space->event, __builtin_offsetof(struct probe_stack, stack) + stack_size(&space->event.stack), space->event.stack.memory);
}

SEC("uprobe")
int probe_entry(struct user_registers *registers)
{
	struct probe_space *space = begin_probe();

	if (!space)
		return 0;
	unwind_user_at_entry(&space->walk, &space->event.stack, registers, &space->event.thread, space->event.header.time);
	end_probe(space);
	return 0;
}

SEC("raw_tp")
int probe_request(void *ctx)
{
	struct probe_space *space = begin_probe();

	if (!space)
		return 0;
	unwind_user(&space->walk, &space->event.stack, 0, &space->event.thread, space->event.header.time);
	end_probe(space);
	return 0;
}

/* The walk alone, without an event. */
SEC("raw_tp")
int probe_walk(void *ctx)
{
	struct probe_space *space = begin_probe();

	if (space)
		unwind_user(&space->walk, &space->event.stack, 0, &space->event.thread, space->event.header.time);
	return 0;
}

/* What comes before the walk, to be subtracted from it. */
SEC("raw_tp")
int probe_nothing(void *ctx)
{
	begin_probe();
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
