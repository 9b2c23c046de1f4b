//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause)
/*
 * Where memory is allocated, and what of it is never freed: uprobes at malloc and its kin.
 *
 * Bytes are laid end to end, on each CPU, and points thrown on them, a mean apart; an
 * allocation that a point falls on is taken. So one of S bytes is with probability
 * 1 - exp(-S / mean), and stands for the inverse of that. All others cost the trap and one
 * subtraction. What was taken is followed until it is freed: `blocks` is what lives.
 *
 * The address is known at the return, where the stack is walked too: the caller's frame is
 * then the innermost. Since 6.13 the program decides call by call whether it returns here
 * (uprobe.session); before, each call does.
 */
#include "exponential.h"
#include "stack_once.h"
#include "thread_iterator.h"

/* The kernel rewrites accesses to this; it is no type of its own. */
struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	void *key;
	void *value;
};

#define MAX_TARGETS 4096
#define MAX_FUNCTIONS 32 /* of a process that allocate */
#define MAX_PENDING (16 * 1024)
#define MAX_BLOCKS (256 * 1024)
#define SPACES 4
/* As for waits (wait.bpf.c): what a stack may bring that is not walked here. */
#define ALLOC_STACK_MEMORY (16 * 1024)

/* How a function takes what it is asked for. It is in the cookie of its probe, above the
 * number of the target. */
enum alloc_function {
	ALLOC_MALLOC = 1,     /* (size) */
	ALLOC_CALLOC,         /* (count, size) */
	ALLOC_REALLOC,        /* (old, size) */
	ALLOC_ALIGNED,        /* (alignment, size) */
	ALLOC_POSIX_MEMALIGN, /* (where, alignment, size) */
	ALLOC_FREE,           /* (address) */
	/* realloc that goes on in malloc without having called it where there is no old block */
	ALLOC_REALLOC_OR_MALLOC,
	ALLOC_FUNCTIONS,
};

struct address_range {
	__u64 start, end;
};

/* A process with probes, by its number. Set by user space. */
struct alloc_target {
	__u32 tgid;
	__u32 functions;
	struct address_range function[MAX_FUNCTIONS];
};

/* What a target did on one CPU, and how many bytes there are to the next point. */
struct alloc_hits {
	__u64 calls[ALLOC_FUNCTIONS]; /* by enum alloc_function */
	__u64 returns;
	__u64 left; /* 0 before the first */
};

struct alloc_block {
	__u64 address;
	__u32 target;
	__u32 padding;
};

struct alloc_live {
	struct stack_id stack;
	__u64 size;
	__u64 time;
	__u32 tid;
	__u32 padding;
};

/* A call that will return here, by the thread and its stack pointer behind the return. */
struct alloc_call {
	__u64 thread;
	__u64 sp;
};

struct alloc_pending {
	__u64 size;
	__u64 where;   /* of posix_memalign */
	__u64 address; /* of the old block, if it was followed */
	struct alloc_live old;
	__u32 taken;
	__u32 padding;
};

struct alloc_event {
	struct event_header header;
	struct thread_identity thread;
	struct stack_id stack;
	__u64 address;
	__u64 size;
	__u32 target;
	__u32 padding;
};

struct alloc_record {
	struct alloc_block block;
	struct alloc_live live;
};

const struct alloc_event *go_alloc_event;
const struct alloc_record *go_alloc_record;
const enum alloc_function *go_alloc_function;

struct alloc_space {
	struct stack_event stack;
	struct alloc_event event;
	struct unwind_walk walk;
	__u64 busy;
};

/* A program may be put off its CPU for another thread that is probed: each has its own. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SPACES);
	__type(key, __u32);
	__type(value, struct alloc_space);
} alloc_scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_TARGETS);
	__type(key, __u32);
	__type(value, struct alloc_target);
} alloc_targets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_TARGETS);
	__type(key, __u32);
	__type(value, struct alloc_hits);
} alloc_target_hits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_PENDING);
	__type(key, struct alloc_call);
	__type(value, struct alloc_pending);
} alloc_calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_BLOCKS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct alloc_block);
	__type(value, struct alloc_live);
} alloc_blocks SEC(".maps");

/* Set by user space. */
volatile const __u64 mean_bytes = 1; /* 1: every allocation is taken */
volatile const __u32 log_table[LOG_STEPS + 1];

#if defined(__TARGET_ARCH_x86)
#define CALL_ARGUMENT_0(r) ((r)->di)
#define CALL_ARGUMENT_1(r) ((r)->si)
#define CALL_ARGUMENT_2(r) ((r)->dx)
#define CALL_RESULT(r) ((r)->ax)
/* Where the stack pointer will be when the function has returned. */
#define CALL_SP(r) ((r)->sp + 8)

/* Where a function, which has not moved the stack pointer yet, returns to. */
static __always_inline __u64 return_address(const struct user_registers *registers)
{
	__u64 address = 0;

	bpf_probe_read_user(&address, sizeof(address), (void *)registers->sp);
	return address;
}
#else
#define CALL_ARGUMENT_0(r) ((r)->regs[0])
#define CALL_ARGUMENT_1(r) ((r)->regs[1])
#define CALL_ARGUMENT_2(r) ((r)->regs[2])
#define CALL_RESULT(r) ((r)->regs[0])
#define CALL_SP(r) ((r)->sp)
#define return_address(r) ((r)->regs[30])
#endif

/* The process that the probe was put into, unless it is a child of it. */
static __always_inline const struct alloc_target *alloc_target_of(__u32 number)
{
	const struct alloc_target *target = bpf_map_lookup_elem(&alloc_targets, &number);

	if (!target || target->tgid != bpf_get_current_pid_tgid() >> 32)
		return 0;
	return target;
}

static __always_inline bool is_taken(struct alloc_hits *hits, __u64 size)
{
	__u64 mean = mean_bytes, left = hits->left;

	if (mean <= 1)
		return true;
	if (!size)
		size = 1;
	if (!left)
		left = distance(bpf_get_prandom_u32(), mean, log_table);
	if (size < left) {
		hits->left = left - size;
		return false;
	}
	hits->left = distance(bpf_get_prandom_u32(), mean, log_table);
	return true;
}

/* Whether one of these functions is called by another one, which is looked at itself. */
static __always_inline bool is_inner(const struct alloc_target *target, __u64 caller)
{
	for (__u32 i = 0; i < MAX_FUNCTIONS; i++) {
		if (i >= target->functions)
			break;
		if (caller - target->function[i].start < target->function[i].end - target->function[i].start)
			return true;
	}
	return false;
}

/* Takes a block that is freed out of those that live; true if it was followed. */
static __always_inline bool take_out(struct alloc_block *block, struct alloc_live *was)
{
	const struct alloc_live *live = bpf_map_lookup_elem(&alloc_blocks, block);

	if (!live)
		return false;
	if (was)
		*was = *live;
	bpf_map_delete_elem(&alloc_blocks, block);
	return true;
}

/* At a function's entry; true if it matters how it returns. */
static __always_inline bool enter(struct user_registers *registers, __u64 cookie)
{
	__u64 first = CALL_ARGUMENT_0(registers), second = CALL_ARGUMENT_1(registers), third = CALL_ARGUMENT_2(registers);
	__u32 number = cookie, function = cookie >> 32;
	struct alloc_block block = { .target = number };
	struct alloc_pending pending = {};
	const struct alloc_target *target;
	struct alloc_hits *hits;
	struct alloc_call call;

	target = alloc_target_of(number);
	hits = bpf_map_lookup_elem(&alloc_target_hits, &number);
	if (!target || !hits || function >= ALLOC_FUNCTIONS)
		return false;
	hits->calls[function]++;
	if (function == ALLOC_FREE) {
		block.address = first;
		take_out(&block, 0);
		return false;
	}
	switch (function) {
	case ALLOC_CALLOC:
		pending.size = first * second;
		break;
	case ALLOC_REALLOC_OR_MALLOC:
		if (!first)
			return false;
		/* fall through */
	case ALLOC_REALLOC:
		pending.size = second;
		/* It is taken out now: behind the return another thread may have its address. */
		block.address = first;
		if (first && take_out(&block, &pending.old))
			pending.address = first;
		break;
	case ALLOC_ALIGNED:
		pending.size = second;
		break;
	case ALLOC_POSIX_MEMALIGN:
		pending.size = third;
		pending.where = first;
		break;
	default:
		pending.size = first;
	}
	pending.taken = is_taken(hits, pending.size);
	if (!pending.taken && !pending.address)
		return false;
	if (pending.taken && is_inner(target, return_address(registers))) {
		pending.taken = 0;
		if (!pending.address)
			return false;
	}
	call.thread = bpf_get_current_pid_tgid();
	call.sp = CALL_SP(registers);
	if (bpf_map_update_elem(&alloc_calls, &call, &pending, BPF_ANY)) {
		count(COUNTER_ALLOC_CALL_FULL);
		return false;
	}
	hits->returns++;
	return true;
}

static __always_inline struct alloc_space *find_space(void)
{
	for (__u32 i = 0; i < SPACES; i++) {
		__u32 key = i;
		struct alloc_space *space = bpf_map_lookup_elem(&alloc_scratch, &key);

		if (space && !__sync_lock_test_and_set(&space->busy, 1))
			return space;
	}
	count(COUNTER_LOST_SCRATCH);
	return 0;
}

/* Takes the stack of who called, as it is behind the return. */
static __always_inline void take_stack(struct alloc_space *space, const struct user_registers *registers, __u64 now)
{
	const struct help_limit limit = { .bytes = ALLOC_STACK_MEMORY, .reserve = MEMORY_BURST / 4 * 3 };
	struct stack_event *event = &space->stack;
	struct stack *stack = &event->stack;
	__u64 pc = REGISTERS_IP(registers);

	event->header.time = now;
	event->header.kind = EVENT_STACK;
	event->header.cpu = bpf_get_smp_processor_id();
	identify(&event->thread, bpf_get_current_task_btf());
	unwind_user_at(&space->walk, stack, pc, REGISTERS_SP(registers), REGISTERS_FP(registers), 0, false, &event->thread, now);
	stack->frames[0] = pc - 1; /* the call, not what comes behind it */
	ask_within(&limit, stack, &space->walk, &event->header);
	send_once(event, 0, 0, bpf_get_current_task_btf(), 0, -1);
}

/* Begins to follow a block, and tells of it. */
static __always_inline void follow(const struct user_registers *registers, const struct alloc_block *block, __u64 size)
{
	struct alloc_space *space = find_space();
	struct alloc_live live = { .size = size };
	struct alloc_event *event;
	__u64 now = bpf_ktime_get_ns();

	if (!space)
		return;
	event = &space->event;
	take_stack(space, registers, now);
	event->header = space->stack.header;
	event->header.kind = EVENT_ALLOC;
	event->thread = space->stack.thread;
	event->stack = live.stack = space->stack.id;
	event->address = block->address;
	event->size = size;
	event->target = block->target;
	event->padding = 0;
	live.time = now;
	live.tid = event->thread.tid;
	if (bpf_map_update_elem(&alloc_blocks, block, &live, BPF_ANY))
		count(COUNTER_ALLOC_FULL);
	submit(event, sizeof(*event), false);
	WRITE_ONCE(space->busy, 0);
}

/* Behind a function's return. */
static __always_inline void leave(struct user_registers *registers, __u64 cookie)
{
	struct alloc_call call = { .thread = bpf_get_current_pid_tgid(), .sp = REGISTERS_SP(registers) };
	struct alloc_block block = { .address = CALL_RESULT(registers), .target = cookie };
	struct alloc_pending *found = bpf_map_lookup_elem(&alloc_calls, &call), pending;

	if (!found)
		return;
	pending = *found;
	bpf_map_delete_elem(&alloc_calls, &call);
	if (pending.where) {
		bool failed = (__u32)block.address != 0;

		block.address = 0;
		if (!failed && bpf_probe_read_user(&block.address, sizeof(block.address), (void *)pending.where))
			count(COUNTER_ALLOC_UNREADABLE);
	}
	if (block.address) {
		if (pending.taken)
			follow(registers, &block, pending.size);
	} else if (pending.address && pending.size) { /* the old block is what it was */
		block.address = pending.address;
		bpf_map_update_elem(&alloc_blocks, &block, &pending.old, BPF_ANY);
	}
}

SEC("uprobe")
int alloc_enter(struct user_registers *registers)
{
	enter(registers, bpf_get_attach_cookie(registers));
	return 0;
}

SEC("uretprobe")
int alloc_leave(struct user_registers *registers)
{
	leave(registers, bpf_get_attach_cookie(registers));
	return 0;
}

extern bool bpf_session_is_return(void) __ksym __weak;

/* Both in one, where the kernel asks whether to come back: not if this returns 1. */
SEC("uprobe.session")
int alloc_session(struct user_registers *registers)
{
	__u64 cookie = bpf_get_attach_cookie(registers);

	if (bpf_session_is_return()) {
		leave(registers, cookie);
		return 0;
	}
	return !enter(registers, cookie);
}

SEC("iter/bpf_map_elem")
int read_blocks(struct bpf_iter__bpf_map_elem *ctx)
{
	struct alloc_block *block = ctx->key;
	struct alloc_live *live = ctx->value;
	struct alloc_record record = {};

	if (!block || !live)
		return 0;
	record.block = *block;
	record.live = *live;
	bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
