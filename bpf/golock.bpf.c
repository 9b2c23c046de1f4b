//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause)
/*
 * Where goroutines wait, and who lets them go on: what sched_switch and sched_waking say
 * of threads, from uprobes at runtime.gopark and runtime.ready of unmodified programs.
 *
 * Parking only notes the time: no stack is taken. Whoever makes a goroutine ready runs in
 * the same process, so that the waiter's stack can be walked there and then, from where
 * the runtime saved it; and by then it is known how long the wait was. So the walks are
 * for waits that are sent, long ones always, short ones with a chance that grows with
 * their length and the weight that this takes. Sums stay what they are on average.
 *
 * Where a probe sits is chosen by user space (collector/probesite), so that the arguments
 * and the caller's frame pointer are still in their registers and the stack pointer is as
 * it was at the function's entry. Registers: Go's internal ABI, since 1.17.
 */
#include "event_share.h"
#include "stack_once.h"

#define MAX_TARGETS 4096
#define MAX_WAITING (64 * 1024)

/* As for threads (wait.bpf.c): what one CPU may send in a period. */
#define EVENTS_A_PERIOD 20

/* A process with probes, by the number that is its probes' cookie. Set by user space. */
struct go_target {
	__u64 waits;      /* reasons of waits that are recorded, a bit for each number */
	__u64 semaphores; /* those of them that semacquire1 waits for */
	__u64 semacquire, semacquire_end; /* where that is in the process's memory */
	__u32 tgid;
	__u32 padding;
};

struct go_hits {
	__u64 parks, readies;
};

struct goroutine {
	__u64 g; /* the address of its runtime.g */
	__u32 tgid;
	__u32 target;
};

struct parked {
	__u64 since;
	__u64 lock;
	__u32 reason;
	__u32 tid;
};

struct go_wait_event {
	struct event_header header;    /* when it was made ready */
	struct thread_identity thread; /* by whom */
	__u64 since;
	__u64 goroutine;
	__u64 lock; /* the address of what it waited for, 0 if not known */
	struct stack_id stack, release_stack;
	__u64 weight; /* how many waits it stands for, in units of 1 / WEIGHT_ONE */
	__u32 reason; /* runtime.waitReason */
	__u32 tid;    /* of the thread that it parked on */
	__u32 target;
	__u32 padding;
};

const struct go_wait_event *go_go_wait_event;

/* Where the runtime keeps what a goroutine that does not run goes on with: the words of
 * runtime.g up to the end of its sched (runtime2.go). They are the same from Go 1.20 to
 * 1.26, but that the frame pointer came one word later before 1.25. */
enum g_word {
	G_STACK_LOW = 0,
	G_STACK_HIGH = 1,
	G_SCHED_SP = 7,
	G_SCHED_PC = 8,
	G_SCHED_G = 9,
	G_SCHED_FP = 12,
	G_SCHED_FP_OLD = 13,
	G_WORDS = 14,
};

struct go_space {
	struct stack_event stack;
	struct go_wait_event event;
	struct unwind_walk walk;
	__u64 busy; /* a program may be interrupted by another thread that is probed */
	__u64 period;
	struct event_share share;
	__u64 g[G_WORDS];  /* of the waiter; here, since the stack of a program is small */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct go_space);
} go_scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_TARGETS);
	__type(key, __u32);
	__type(value, struct go_target);
} go_targets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_TARGETS);
	__type(key, __u32);
	__type(value, struct go_hits);
} go_target_hits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_WAITING);
	__type(key, struct goroutine);
	__type(value, struct parked);
} go_parked SEC(".maps");

#if defined(__TARGET_ARCH_x86)
#define GO_ARGUMENT_1(r) ((r)->ax)
#define GO_ARGUMENT_2(r) ((r)->bx)
#define GO_ARGUMENT_3(r) ((r)->cx)
#define GO_G(r) ((r)->r14)
#define GO_CALLER(r) ((r)->sp) /* where the return address is */

static __always_inline bool go_caller(__u64 at, __u64 *caller)
{
	return !bpf_probe_read_user(caller, sizeof(*caller), (void *)at);
}

/* The first argument of the function that calls the probed one, which it keeps where its
 * own caller left room for it: right above its return address. */
static __always_inline bool go_first_argument_of_caller(__u64 fp, __u64 *value)
{
	return !bpf_probe_read_user(value, sizeof(*value), (void *)(fp + 16));
}
#else
#define GO_ARGUMENT_1(r) ((r)->regs[0])
#define GO_ARGUMENT_2(r) ((r)->regs[1])
#define GO_ARGUMENT_3(r) ((r)->regs[2])
#define GO_G(r) ((r)->regs[28])
#define GO_CALLER(r) ((r)->regs[30]) /* the return address itself */

static __always_inline bool go_caller(__u64 link, __u64 *caller)
{
	*caller = link;
	return true;
}

/* On arm64 the frame pointer leads to the caller's caller's, a word below its stack
 * pointer, above which come the link register's room and the argument's. */
static __always_inline bool go_first_argument_of_caller(__u64 fp, __u64 *value)
{
	return !bpf_probe_read_user(&fp, sizeof(fp), (void *)fp) && !bpf_probe_read_user(value, sizeof(*value), (void *)(fp + 16));
}
#endif

/* The process that the probe was put into, unless it is a child of it. */
static __always_inline const struct go_target *target_of(void *ctx, __u32 *number)
{
	const struct go_target *target;

	*number = bpf_get_attach_cookie(ctx);
	target = bpf_map_lookup_elem(&go_targets, number);
	if (!target || target->tgid != bpf_get_current_pid_tgid() >> 32)
		return 0;
	return target;
}

/* The address of the semaphore that a goroutine waits for; 0 if it does not wait in
 * semacquire1 itself. */
static __always_inline __u64 semaphore_of(const struct go_target *target, __u64 at, __u64 fp)
{
	__u64 caller = 0, address = 0;

	if (!go_caller(at, &caller) || caller - target->semacquire >= target->semacquire_end - target->semacquire ||
	    !go_first_argument_of_caller(fp, &address))
		return 0;
	return address;
}

SEC("uprobe")
int go_park(struct user_registers *registers)
{
	/* The verifier wants the context to be read at constant distances only. */
	__u64 lock = GO_ARGUMENT_2(registers), reason = GO_ARGUMENT_3(registers), g = GO_G(registers);
	__u64 at = GO_CALLER(registers), fp = REGISTERS_FP(registers), semaphore;
	struct parked parked = {};
	struct goroutine goroutine = {};
	const struct go_target *target;
	struct go_hits *hits;

	target = target_of(registers, &goroutine.target);
	if (!target)
		return 0;
	hits = bpf_map_lookup_elem(&go_target_hits, &goroutine.target);
	if (hits)
		hits->parks++;
	parked.reason = reason & 0xff;
	if (parked.reason > 63 || !(target->waits >> parked.reason & 1))
		return 0;
	goroutine.g = g;
	goroutine.tgid = target->tgid;
	/* What gopark was told to unlock is part of the channel or condition variable. */
	parked.lock = lock;
	if (target->semaphores >> parked.reason & 1 && (semaphore = semaphore_of(target, at, fp)))
		parked.lock = semaphore;
	parked.tid = bpf_get_current_pid_tgid();
	parked.since = bpf_ktime_get_ns();
	if (bpf_map_update_elem(&go_parked, &goroutine, &parked, BPF_ANY))
		count(COUNTER_GO_WAIT_FULL);
	return 0;
}

static __always_inline void begin_period(struct go_space *space, __u64 now)
{
	__u64 period = now >> PERIOD_SHIFT, passed = period - space->period;

	if (!passed)
		return;
	adapt_share(&space->share, passed, EVENTS_A_PERIOD);
	space->period = period;
}

static __always_inline bool on_stack(const __u64 *g, __u64 address)
{
	return address >= g[G_STACK_LOW] && address < g[G_STACK_HIGH];
}

/*
 * Goroutines can be walked without any table: all Go functions that call others keep frame
 * pointers, and a goroutine begins with none. So at the start of a process, when nothing is
 * known of it yet, no stack is lost, and none has to be copied.
 */
struct go_frames {
	struct stack *stack;
	__u64 fp;
	__u32 switches;
	__u32 end;
};

static long go_frame(__u32 index, struct go_frames *frames)
{
	struct stack *stack = frames->stack;
	__u64 words[2]; /* the caller's frame pointer, and where it goes on */
	__u32 n = stack->user_frames;

	frames->end = UNWIND_COMPLETE;
	if (!frames->fp)
		return 1;
	frames->end = UNWIND_BAD_FRAME_POINTER;
	if (frames->fp & 7 || frames->fp >> USER_ADDRESS_BITS)
		return 1;
	frames->end = UNWIND_UNREADABLE;
	if (bpf_probe_read_user(words, sizeof(words), (void *)frames->fp))
		return 1;
	frames->end = UNWIND_NOT_ASCENDING;
	if (words[0] && words[0] <= frames->fp && ++frames->switches > MAX_STACK_SWITCHES)
		return 1;
	frames->end = UNWIND_TOO_DEEP;
	asm volatile("" : "+r"(n)); /* so that what is checked is what is used */
	if (n >= MAX_USER_FRAMES)
		return 1;
	stack->frames[n] = words[1];
	stack->user_frames = n + 1;
	frames->fp = words[0];
	return 0;
}

/* Sends the stack that was walked, and says what to call it. Where tables were missing, it is
 * walked again by frame pointers, from the one that its first two frames share. */
static __always_inline struct stack_id send_walked(struct go_space *space, __u64 caller, __u64 fp)
{
	struct go_frames frames = { .stack = &space->stack.stack, .fp = fp };
	struct stack *stack = &space->stack.stack;

	if (UNWIND_NEEDS_HELP(stack->unwind)) {
		stack->version = 0;
		stack->user_frames = 1;
		if (caller) {
			stack->frames[1] = caller;
			stack->user_frames = 2;
		}
		bpf_loop(MAX_USER_FRAMES, go_frame, &frames, 0);
		stack->unwind = frames.end;
	}
	send_once(&space->stack, 0, 0, bpf_get_current_task_btf(), 0, -1);
	return space->stack.id;
}

static __always_inline struct stack_id waiter_stack(struct go_space *space, __u64 address, __u64 now)
{
	struct stack_id none = {};
	__u64 *g = space->g, fp;

	if (bpf_probe_read_user(g, sizeof(space->g), (void *)address) || g[G_SCHED_G] != address || !on_stack(g, g[G_SCHED_SP])) {
		count(COUNTER_GO_STACK_UNREADABLE);
		return none;
	}
	fp = on_stack(g, g[G_SCHED_FP]) ? g[G_SCHED_FP] : g[G_SCHED_FP_OLD];
	unwind_user_at(&space->walk, &space->stack.stack, g[G_SCHED_PC], g[G_SCHED_SP], fp, 0, false, &space->stack.thread, now);
	return send_walked(space, 0, fp);
}

/* Sends the wait that space->event has been begun with. */
static __always_inline void send_wait(struct go_space *space, const struct user_registers *registers, __u64 now, __u64 weight)
{
	__u64 at = GO_CALLER(registers), fp = REGISTERS_FP(registers), caller = 0;
	struct go_wait_event *event = &space->event;

	space->share.events++;
	space->stack.header.time = now;
	space->stack.header.kind = EVENT_STACK;
	space->stack.header.cpu = bpf_get_smp_processor_id();
	identify(&space->stack.thread, bpf_get_current_task_btf());
	event->header = space->stack.header;
	event->header.kind = EVENT_GO_WAIT;
	event->thread = space->stack.thread;
	event->weight = weight;
	event->padding = 0;
	event->stack = waiter_stack(space, event->goroutine, now);
	unwind_user_at(&space->walk, &space->stack.stack, REGISTERS_IP(registers), REGISTERS_SP(registers), fp, REGISTERS_LINK(registers), true,
		       &space->stack.thread, now);
	go_caller(at, &caller);
	event->release_stack = send_walked(space, caller, fp);
	submit_wait(event, sizeof(*event));
}

static __always_inline void begin_event(struct go_wait_event *event, const struct goroutine *goroutine, const struct parked *parked)
{
	event->since = parked->since;
	event->goroutine = goroutine->g;
	event->lock = parked->lock;
	event->reason = parked->reason;
	event->tid = parked->tid;
	event->target = goroutine->target;
}

SEC("uprobe")
int go_ready(struct user_registers *registers)
{
	struct goroutine goroutine = { .g = GO_ARGUMENT_1(registers) };
	const struct go_target *target;
	struct parked *parked;
	struct go_space *space;
	struct go_hits *hits;
	__u64 now, weight;
	__u32 zero = 0;

	target = target_of(registers, &goroutine.target);
	if (!target)
		return 0;
	hits = bpf_map_lookup_elem(&go_target_hits, &goroutine.target);
	if (hits)
		hits->readies++;
	goroutine.tgid = target->tgid;
	parked = bpf_map_lookup_elem(&go_parked, &goroutine);
	if (!parked)
		return 0;
	now = bpf_ktime_get_ns();
	space = bpf_map_lookup_elem(&go_scratch, &zero);
	if (!space || parked->since > now || __sync_lock_test_and_set(&space->busy, 1)) {
		count(COUNTER_LOST_SCRATCH);
		bpf_map_delete_elem(&go_parked, &goroutine);
		return 0;
	}
	begin_event(&space->event, &goroutine, parked);
	bpf_map_delete_elem(&go_parked, &goroutine);
	begin_period(space, now);
	weight = thin_out(&space->share, WEIGHT_ONE, now - space->event.since);
	if (weight)
		send_wait(space, registers, now, weight);
	else
		count(COUNTER_WAIT_SAMPLED_OUT);
	WRITE_ONCE(space->busy, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
