//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause)
/*
 * Locks of user space: what futex calls say of them. At its entry a call that waits is
 * noted with the thread, where the hooks on switches and wake-ups find it: for which
 * lock, and who holds that. At its end it is counted with the lock. A call that lets
 * others go on is noted too, so that its thread is known to have let go of that lock.
 */
#include "futex.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};
#pragma clang attribute pop

struct bpf_map;

/* The kernel rewrites accesses to this; it is no type of its own. */
struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	void *key;
	void *value;
};

/* include/trace/syscall.h: what programs on tracepoints of system calls are given. */
struct syscall_enter {
	__u64 entry;
	__u64 number;
	__u64 arguments[6];
};

struct syscall_exit {
	__u64 entry;
	__u64 number;
	__s64 result;
};

/*
 * A thread that lost the race for a lock it was woken for waits again at once. Where its
 * wake does not say that it has had the lock in between (musl lets go of a mutex that
 * nobody waits for without one), a longer time than this does.
 */
#define RACE_NS 50000

static __always_inline struct thread_wait *wait_of(struct task_struct *task)
{
	struct thread_wait *wait = bpf_task_storage_get(&thread_waits, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!wait)
		count(COUNTER_FUTEX_UNTRACKED);
	return wait;
}

/* The place of a lock among those that the thread may hold, HELD_LOCKS if it has none. */
static __always_inline __u32 find_held(const struct futex_thread *locks, __u64 address)
{
	__u32 i;

	for (i = 0; i < HELD_LOCKS; i++)
		if (locks->held[i].address == address)
			break;
	return i;
}

/* Whether the value says that a thread which has waited will wake others when it lets go. */
static __always_inline bool wakes_always(const struct futex_call *call)
{
	return is_pi(call) || call->value == GLIBC_CONTENDED;
}

static __always_inline __u32 read_owner(const struct futex_call *call)
{
	struct futex_words words = {};
	__u32 bytes = owner_bytes(call);
	long failed = 0;

	if (is_join(call))
		return call->value;
	if (bytes == sizeof(words.word))
		failed = bpf_probe_read_user(&words.word, sizeof(words.word), (void *)call->address);
	else if (bytes)
		failed = bpf_probe_read_user(&words, sizeof(words), (void *)call->address);
	if (failed) {
		count(COUNTER_FUTEX_UNREADABLE);
		return 0;
	}
	return bytes ? owner_in(call, &words) : 0;
}

static __always_inline void enter_wait(struct task_struct *task, __u64 address, __u32 operation, __u32 value, bool timed)
{
	struct thread_wait *wait = wait_of(task);
	struct futex_call call = { .address = address, .operation = 1 + (operation & FUTEX_CMD_MASK), .value = value,
				   .flags = operation & ~FUTEX_CMD_MASK };
	__u64 now = bpf_ktime_get_ns();
	__u32 at;

	if (!wait)
		return;
	if (timed)
		call.flags |= FUTEX_CALL_TIMED;
	at = find_held(&wait->locks, address);
	if (at >= HELD_LOCKS || (!wakes_always(&call) && now - wait->locks.held[at].since > RACE_NS))
		call.flags |= FUTEX_CALL_FIRST;
	if (at >= HELD_LOCKS) {
		at = wait->locks.next++ & (HELD_LOCKS - 1);
		wait->locks.held[at].address = address;
	}
	wait->locks.held[at & (HELD_LOCKS - 1)].since = now;
	call.owner = read_owner(&call);
	wait->locks.waking = 0;
	wait->locks.since = now;
	wait->futex = call;
	wait->locks.first = call.flags & FUTEX_CALL_FIRST;
}

/* The thread lets others go on: if it has waited for that lock, it has held it since. */
static __always_inline void enter_wake(struct task_struct *task, __u64 address)
{
	struct thread_wait *wait = wait_of(task);
	struct futex_call call = { .address = address };
	struct futex_lock *lock;
	__u64 now, since;
	__u32 at;

	if (!wait)
		return;
	wait->futex.operation = 0;
	wait->locks.waking = address;
	at = find_held(&wait->locks, address);
	if (at >= HELD_LOCKS)
		return;
	since = wait->locks.held[at].since;
	wait->locks.held[at].address = 0;
	now = bpf_ktime_get_ns();
	lock = find_lock(task, &call);
	if (!lock || since > now)
		return;
	__sync_fetch_and_add(&lock->holds, 1);
	__sync_fetch_and_add(&lock->held, now - since);
	lock->last = now;
}

SEC("tracepoint/syscalls/sys_enter_futex")
int futex_enter(struct syscall_enter *ctx)
{
	__u32 operation = ctx->arguments[1];

	switch (operation & FUTEX_CMD_MASK) {
	case FUTEX_WAIT:
	case FUTEX_WAIT_BITSET:
	case FUTEX_LOCK_PI:
	case FUTEX_LOCK_PI2:
	case FUTEX_WAIT_REQUEUE_PI:
		enter_wait(bpf_get_current_task_btf(), ctx->arguments[0], operation, ctx->arguments[2], ctx->arguments[3] != 0);
		break;
	case FUTEX_WAKE:
	case FUTEX_WAKE_BITSET:
	case FUTEX_WAKE_OP:
	case FUTEX_REQUEUE:
	case FUTEX_CMP_REQUEUE:
	case FUTEX_CMP_REQUEUE_PI:
	case FUTEX_UNLOCK_PI:
		enter_wake(bpf_get_current_task_btf(), ctx->arguments[0]);
		break;
	}
	return 0;
}

static __always_inline void count_outcome(struct futex_lock *lock, __s64 result, bool first, __u64 waited, __u64 now)
{
	if (first)
		__sync_fetch_and_add(&lock->acquisitions, 1);
	__sync_fetch_and_add(&lock->waits, 1);
	__sync_fetch_and_add(&lock->waited, waited);
	if (result == -ERROR_TIMED_OUT)
		__sync_fetch_and_add(&lock->timed_out, 1);
	else if (result == -ERROR_INTERRUPTED || (result <= -ERROR_RESTART && result >= -ERROR_RESTART - 4))
		__sync_fetch_and_add(&lock->interrupted, 1);
	else if (result == -ERROR_AGAIN)
		__sync_fetch_and_add(&lock->changed, 1);
	lock->last = now;
}

static __always_inline void exit_wait(struct task_struct *task, struct thread_wait *wait, __s64 result)
{
	__u64 now = bpf_ktime_get_ns(), since = __sync_lock_test_and_set(&wait->locks.since, 0);
	__u32 at = find_held(&wait->locks, wait->futex.address);
	bool first = wait->locks.first;
	struct futex_lock *lock;

	if (at < HELD_LOCKS) {
		wait->locks.held[at].since = now;
		if (result == -ERROR_TIMED_OUT || result == -ERROR_FAULT)
			wait->locks.held[at].address = 0;
	}
	if (result != -ERROR_FAULT && since && since <= now) {
		lock = find_lock(task, &wait->futex);
		if (lock)
			count_outcome(lock, result, first, now - since, now);
	}
	wait->futex.operation = 0;
}

SEC("tracepoint/syscalls/sys_exit_futex")
int futex_exit(struct syscall_exit *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct thread_wait *wait = bpf_task_storage_get(&thread_waits, task, 0, 0);

	if (!wait)
		return 0;
	wait->locks.waking = 0;
	if (wait->futex.operation)
		exit_wait(task, wait, ctx->result);
	return 0;
}

struct lock_record {
	struct futex_key key;
	struct futex_lock lock;
};

/* Sums that nothing was added to since then are dropped after they were told. */
volatile __u64 forget_before = 0;

SEC("iter/bpf_map_elem")
int read_locks(struct bpf_iter__bpf_map_elem *ctx)
{
	struct futex_key *key = ctx->key;
	struct futex_lock *lock = ctx->value;
	struct lock_record record = {};

	if (!key || !lock)
		return 0;
	record.key = *key;
	record.lock = *lock;
	if (bpf_seq_write(ctx->meta->seq, &record, sizeof(record)))
		return 0;
	if (record.lock.last < forget_before)
		bpf_map_delete_elem(&futex_locks, &record.key);
	return 0;
}

const struct lock_record *go_lock_record;

char LICENSE[] SEC("license") = "Dual BSD/GPL";
