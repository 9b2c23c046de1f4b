//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause)
/*
 * CPU samples: at each tick of a perf event, who runs and on which kernel and
 * user stack. The frames leave raw and whole, by ring buffer: most CPU stacks are
 * seen once, so user space dedups them for less than a map in the kernel would.
 */
#include "stack_memory.h"

struct cpu_sample {
	struct event_header header;
	struct thread_identity thread;
	__u64 weight; /* the period of the event: ns of cpu-clock, or cycles */
	struct stack stack;
};

const struct cpu_sample *go_cpu_sample; /* so that bpf2go makes a Go type of it */

struct cpu_space {
	struct cpu_sample sample;
	struct unwind_walk walk;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cpu_space);
} cpu_scratch SEC(".maps");

/* Where the kernel halts or polls when a CPU has nothing to do; the loader fills
 * it in. The idle task outside of these works: it serves interrupts. */
#define MAX_IDLE_RANGES 64

struct code_range {
	__u64 start, end;
};

const volatile struct code_range idle_code[MAX_IDLE_RANGES];
const volatile __u32 idle_ranges; /* 0: the idle task is always taken for idle */

/* Whether anybody reads yet what is asked for; the loader tries the program before. */
volatile __u32 recording = 0;

static __always_inline bool idles(__u64 ip)
{
	if (idle_ranges == 0)
		return true;
	for (__u32 i = 0; i < MAX_IDLE_RANGES && i < idle_ranges; i++)
		if (ip >= idle_code[i].start && ip < idle_code[i].end)
			return true;
	return false;
}

SEC("perf_event")
int cpu_tick(struct perf_event_context *ctx)
{
	struct cpu_sample *sample;
	struct cpu_space *space;
	__u32 zero = 0;

	count(COUNTER_TICK);
	if (bpf_get_current_pid_tgid() == 0 && idles(REGISTERS_IP(&ctx->regs))) {
		count(COUNTER_TICK_IDLE);
		return 0;
	}
	space = bpf_map_lookup_elem(&cpu_scratch, &zero);
	if (!space) {
		count(COUNTER_LOST_SCRATCH);
		return 0;
	}

	sample = &space->sample;
	sample->header.time = bpf_ktime_get_ns();
	sample->header.kind = EVENT_CPU_SAMPLE;
	sample->header.cpu = bpf_get_smp_processor_id();
	identify(&sample->thread, bpf_get_current_task_btf());
	sample->weight = ctx->sample_period;
	unwind_user(&space->walk, &sample->stack, &ctx->regs, &sample->thread, sample->header.time);
	if (recording)
		ask_for_help(&sample->stack, &space->walk, &sample->header);
	take_kernel_stack(&sample->stack, ctx, !REGISTERS_FROM_USER(&ctx->regs));
	submit(sample, __builtin_offsetof(struct cpu_sample, stack) + stack_size(&sample->stack), sample->stack.memory);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
