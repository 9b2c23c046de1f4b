//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause)
/*
 * Where the kernel allocates memory for itself, for whom, and what of it is never freed: by
 * the tracepoints at which objects of slab caches and pages are taken and given back.
 *
 * Bytes are laid end to end, on each CPU, and points thrown on them, a mean apart; what a
 * point falls on is taken down, with its stack, and followed until it is freed (as in
 * alloc.bpf.c). Where that is more than a CPU may send, the mean doubles. All else costs a
 * few sums. What each one was drawn with goes with it, so that sums stay right.
 *
 * Pages for programs and the page cache are left out: fault.bpf.c has the former. Nothing
 * here takes memory. What other eBPF programs take comes by here as all does, and can be
 * told by its stack; what one program here would meet while it runs already, on one CPU, the
 * kernel leaves out and counts.
 */
#include "exponential.h"
#include "kernelalloc.h"
#include "syscall.h"
#include "thread_iterator.h"

/* The kernel rewrites accesses to this; it is no type of its own. */
struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	void *key;
	void *value;
};

/* Periods are counted in jiffies, which cost less to read than the time does. */
#define PERIOD_JIFFIES_SHIFT 2

/* What one CPU may send of one kind in a period, and what it saves up for bursts. Set by
 * user space, which knows how long a jiffy is. */
const volatile __u32 events_a_period = 8;
const volatile __u32 events_saved = 2048;
/* So many more are sent beyond that before the mean doubles. */
#define EVENTS_A_STEP 64
/* An event costs so much where the ring buffer fills up. */
#define CREDIT_WHEN_FULL 16

volatile const __u64 mean_bytes = 1; /* 1: everything is taken down, while it is not too much */
volatile const __u32 log_table[LOG_STEPS + 1];
const volatile __u32 page_size = 4096;

#define MAX_ORDER_SEEN 20 /* 4 GB */
#define SPACES 3	  /* a thread, and two interrupts within one another */

/* Of a process that began just now, whose stacks have to be walked in user space. */
#define KERNEL_ALLOC_STACK_MEMORY (8 * 1024)

/* include/linux/gfp_types.h: the same numbers from 5.0 to 6.18 at least. Pages for programs
 * and nearly all of the page cache can be moved; the kernel's own cannot. */
#define GFP_DMA 0x01u
#define GFP_MOVABLE 0x08u
#define GFP_RECLAIMABLE 0x10u
#define GFP_ACCOUNT 0x400000u

/* All there was of one kind on one CPU, taken down or not. */
struct kernel_alloc_cpu {
	__u64 objects, bytes;
	__u64 program_bytes; /* of pages for programs and the page cache, which are not in bytes */
	__u64 sent, lost;    /* events */
	__u64 left;	     /* bytes to the next point; 0: it has not been drawn */
	__u64 period;
	__u32 shift; /* of the mean */
	__u32 credit;
};

const struct kernel_alloc_cpu *go_kernel_alloc_cpu;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, KERNEL_ALLOC_KINDS);
	__type(key, __u32);
	__type(value, struct kernel_alloc_cpu);
} kernel_alloc_cpus SEC(".maps");

struct kernel_alloc_space {
	struct stack_event stack;
	struct kernel_alloc_event event;
	struct unwind_walk walk;
	__u64 address; /* for stack_address */
	__u64 busy;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SPACES);
	__type(key, __u32);
	__type(value, struct kernel_alloc_space);
} kernel_alloc_scratch SEC(".maps");

/* Apart, since an element of a per-CPU map has 32 KB at most. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SPACES);
	__type(key, __u32);
	__type(value, struct kernel_words);
} kernel_alloc_words SEC(".maps");

/* Saves up what was not sent in periods that have passed, and halves the mean of it. */
static __always_inline void refill(struct kernel_alloc_cpu *cpu)
{
	__u64 period = bpf_jiffies64() >> PERIOD_JIFFIES_SHIFT, passed = period - cpu->period, credit;

	if (!passed)
		return;
	cpu->period = period;
	credit = cpu->credit + passed * events_a_period;
	if (credit > events_saved) {
		__u64 steps = credit / events_saved;

		credit = events_saved;
		if (cpu->shift) {
			cpu->shift -= steps < cpu->shift ? steps : cpu->shift;
			cpu->left = 0;
			credit = events_saved / 2;
		}
	}
	cpu->credit = credit;
}

static __always_inline __u64 mean_of(const struct kernel_alloc_cpu *cpu)
{
	__u64 mean = mean_bytes << (cpu->shift & 31);

	return mean > MAX_MEAN ? MAX_MEAN : mean;
}

/* Whether a point falls on memory of some size. */
static __always_inline bool is_taken(struct kernel_alloc_cpu *cpu, __u64 size, __u64 mean)
{
	if (mean <= 1)
		return true;
	if (!cpu->left)
		cpu->left = distance(bpf_get_prandom_u32(), mean, log_table);
	if (size < cpu->left) {
		cpu->left -= size;
		return false;
	}
	cpu->left = 0;
	return true;
}

/* Pays for an event; where there is nothing left to, fewer are taken from here on. */
static __always_inline void pay(struct kernel_alloc_cpu *cpu)
{
	__u32 price = ring_is_beyond(RING_FOR_ALL_FAULTS) ? CREDIT_WHEN_FULL : 1;

	if (cpu->credit >= price) {
		cpu->credit -= price;
		return;
	}
	if (mean_of(cpu) >= MAX_MEAN)
		return;
	cpu->shift++;
	cpu->left = 0;
	cpu->credit = EVENTS_A_STEP;
}

/* In which context memory is taken. from is an address on the stack in use: interrupts have
 * stacks of their own, unless they interrupted user code. */
static __always_inline __u16 context_of(struct task_struct *task, __u64 from)
{
	if (from - (__u64)task->stack >= THREAD_SIZE)
		return KERNEL_ALLOC_INTERRUPT;
	return !(task->flags & PF_KTHREAD) && syscall_of(task) == -1 ? KERNEL_ALLOC_NO_CALL : 0;
}

/* Takes the stack, the kernel's part alone of an interrupt. */
static __always_inline void take_stack(struct kernel_alloc_space *space, struct kernel_words *words, void *ctx,
				       struct task_struct *task, __u16 flags, __u64 from)
{
	const struct help_limit limit = { .bytes = KERNEL_ALLOC_STACK_MEMORY, .reserve = MEMORY_BURST / 8 * 7 };
	struct stack_event *event = &space->stack;

	event->header.time = bpf_ktime_get_ns();
	event->header.cpu = bpf_get_smp_processor_id();
	event->stack.of_allocation = true;
	if (flags & KERNEL_ALLOC_INTERRUPT) {
		event->thread.process_start = event->thread.exec_generation = 0;
		event->thread.tgid = event->thread.tid = 0;
		event->stack.user_frames = 0;
		event->stack.memory = false;
		event->stack.file = 0;
		event->stack.version = 0;
		event->stack.unwind = UNWIND_NO_USER_STACK;
	} else {
		identify_process(&event->thread, task);
		unwind_user(&space->walk, &event->stack, 0, &event->thread, event->header.time);
		ask_within(&limit, &event->stack, &space->walk, &event->header);
	}
	send_once(event, words, ctx, task, from, syscall_of(task));
}

static __always_inline bool send_event(struct kernel_alloc_space *space, struct kernel_words *words, void *ctx, __u64 address)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct kernel_alloc_event *event = &space->event;
	struct kernel_alloc_live *live = &event->live;
	__u64 from = stack_address(ctx, &space->address);

	live->flags = context_of(task, from);
	take_stack(space, words, ctx, task, live->flags, from);
	event->header = space->stack.header;
	event->header.kind = EVENT_KERNEL_ALLOC;
	identify(&event->thread, task);
	live->stack = space->stack.id;
	live->process_start = event->thread.process_start;
	live->tgid = event->thread.tgid;
	live->tid = event->thread.tid;
	if (bpf_ringbuf_output(&events, event, sizeof(*event), wakeup_flags(false))) {
		count(COUNTER_LOST_RING_FULL);
		return false;
	}
	follow(address, live);
	return true;
}

/* Names the cache of an object, as far as its kernel says: kmalloc has many of one size. */
static __always_inline void name_cache(struct kernel_alloc_event *event, __u64 address, struct kmem_cache *cache, __u32 gfp)
{
	struct kernel_alloc_live *live = &event->live;

	event->cache[0] = 0;
	live->cache = 0;
	if (live->kind == KERNEL_ALLOC_PAGE)
		return;
	if (!cache && bpf_get_kmem_cache)
		cache = bpf_get_kmem_cache(address);
	if (cache) {
		const char *name = BPF_CORE_READ(cache, name);

		live->cache = (__u64)cache;
		bpf_probe_read_kernel_str(event->cache, sizeof(event->cache), name);
	} else if (!bpf_get_kmem_cache) { /* user space makes a name of this */
		live->cache = live->size << 32 | (gfp & (GFP_DMA | GFP_RECLAIMABLE | GFP_ACCOUNT));
	}
}

struct allocation {
	__u64 address, size;
	struct kmem_cache *cache;
	__u32 gfp;
	__u16 kind;
	__u16 order;
};

static __always_inline bool tell(void *ctx, const struct allocation *a, __u64 mean)
{
	for (__u32 i = 0; i < SPACES; i++) {
		__u32 key = i;
		struct kernel_alloc_space *space = bpf_map_lookup_elem(&kernel_alloc_scratch, &key);
		struct kernel_words *words = bpf_map_lookup_elem(&kernel_alloc_words, &key);
		struct kernel_alloc_live *live;
		bool sent;

		if (!space || !words || __sync_lock_test_and_set(&space->busy, 1))
			continue;
		live = &space->event.live;
		live->size = a->size;
		live->mean = mean;
		live->kind = a->kind;
		live->order = a->order;
		name_cache(&space->event, a->address, a->cache, a->gfp);
		sent = send_event(space, words, ctx, a->address);
		WRITE_ONCE(space->busy, 0);
		return sent;
	}
	count(COUNTER_LOST_SCRATCH);
	return false;
}

static __always_inline void allocated(void *ctx, const struct allocation *a)
{
	__u32 kind = a->kind;
	struct kernel_alloc_cpu *cpu = bpf_map_lookup_elem(&kernel_alloc_cpus, &kind);
	__u64 mean;

	if (!cpu)
		return;
	is_free(a->address);
	refill(cpu);
	cpu->objects++;
	cpu->bytes += a->size;
	mean = mean_of(cpu);
	if (!is_taken(cpu, a->size, mean))
		return;
	pay(cpu);
	if (!ring_is_beyond(RING_FOR_FAULTS) && tell(ctx, a, mean))
		cpu->sent++;
	else
		cpu->lost++;
}

/* Where nothing was allocated: NULL, and what kmalloc gives for no bytes (ZERO_SIZE_PTR). */
#define IS_NOTHING(address) ((address) <= 16)

/* These are not tp_btf, whose programs may read no untyped pointers before Linux 6.13. */
SEC("raw_tp/kmalloc")
int kernel_kmalloc(__u64 *ctx)
{
	struct allocation a = { .address = ctx[1], .size = ctx[3], .gfp = ctx[4], .kind = KERNEL_ALLOC_KMALLOC };

	if (!IS_NOTHING(a.address))
		allocated(ctx, &a);
	return 0;
}

SEC("raw_tp/kmem_cache_alloc")
int kernel_object(__u64 *ctx)
{
	struct kmem_cache *cache = (struct kmem_cache *)ctx[2];
	struct allocation a = { .address = ctx[1], .size = BPF_CORE_READ(cache, size), .cache = cache, .kind = KERNEL_ALLOC_OBJECT };

	if (!IS_NOTHING(a.address))
		allocated(ctx, &a);
	return 0;
}

SEC("raw_tp/kfree")
int kernel_kfree(__u64 *ctx)
{
	take_out(ctx[1], ~0u);
	return 0;
}

SEC("raw_tp/kmem_cache_free")
int kernel_object_free(__u64 *ctx)
{
	take_out(ctx[1], ~0u);
	return 0;
}

SEC("raw_tp/mm_page_alloc")
int kernel_page(__u64 *ctx)
{
	struct allocation a = { .address = ctx[0], .gfp = ctx[2], .order = ctx[1], .kind = KERNEL_ALLOC_PAGE };
	struct kernel_alloc_cpu *cpu;
	__u32 kind = a.kind;

	if (!a.address || a.order > MAX_ORDER_SEEN)
		return 0;
	a.size = (__u64)page_size << a.order;
	if (!(a.gfp & GFP_MOVABLE)) {
		allocated(ctx, &a);
		return 0;
	}
	is_free(a.address);
	cpu = bpf_map_lookup_elem(&kernel_alloc_cpus, &kind);
	if (cpu)
		cpu->program_bytes += a.size;
	return 0;
}

/* Pages that are given back many at a time come by here one by one, too. */
SEC("raw_tp/mm_page_free")
int kernel_page_free(__u64 *ctx)
{
	take_out(ctx[0], ctx[1]);
	return 0;
}

SEC("iter/bpf_map_elem")
int read_kernel_allocs(struct bpf_iter__bpf_map_elem *ctx)
{
	struct kernel_alloc_live *live = ctx->value;
	struct kernel_alloc_record record = {};
	__u64 *address = ctx->key;

	if (!address || !live)
		return 0;
	record.address = *address;
	record.live = *live;
	if (bpf_get_kmem_cache && live->cache)
		record.freed = (__u64)bpf_get_kmem_cache(record.address) != live->cache;
	bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
