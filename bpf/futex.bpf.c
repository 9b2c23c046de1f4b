//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause)
/*
 * Locks of user space: what futex calls say of them at their end, when each is counted with
 * its lock. The hooks on switches and wake-ups find calls by themselves, while they are
 * under way (futex_call.h): for which lock, and who holds that.
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
struct syscall_exit {
	__u64 entry;
	__u64 number;
	__s64 result;
};

/*
 * The thread has let others go on: if it has waited for that lock, it has held it since. Until
 * when is told by the first that it woke; one that woke nobody has ended at once.
 */
static __always_inline void exit_wake(struct task_struct *task, const struct futex_call *call)
{
	struct thread_wait *wait = bpf_task_storage_get(&thread_waits, task, 0, 0);
	struct futex_lock *lock;
	__u64 until, since;
	__u32 at;

	if (!wait)
		return;
	until = wait->locks.let_go;
	if (until)
		wait->locks.let_go = 0;
	at = find_held(&wait->locks, call->address);
	if (at >= HELD_LOCKS || !call->address)
		return;
	since = wait->locks.held[at].since;
	wait->locks.held[at].address = 0;
	if (!until)
		until = bpf_ktime_get_ns();
	lock = find_lock(task, call);
	if (!lock || since > until)
		return;
	__sync_fetch_and_add(&lock->holds, 1);
	__sync_fetch_and_add(&lock->held, until - since);
	lock->last = until;
}

/* The thread may have the lock from now on, unless it gave up. */
static __always_inline void keep_held(struct futex_thread *locks, __u64 address, __u32 at, __s64 result, __u64 now)
{
	bool given_up = result == -ERROR_TIMED_OUT || result == -ERROR_FAULT;

	if (at >= HELD_LOCKS) {
		if (given_up)
			return;
		at = locks->next++ & (HELD_LOCKS - 1);
	}
	locks->held[at & (HELD_LOCKS - 1)].address = given_up ? 0 : address;
	locks->held[at & (HELD_LOCKS - 1)].since = now;
}

/* A call that found the word changed is told of later, with others for the same lock. */
static __always_inline void gather_changed(struct task_struct *task, struct thread_wait *wait, const struct futex_call *call, bool first,
					   __u64 now)
{
	struct futex_thread *locks = &wait->locks;

	if (locks->changed.address != call->address) {
		tell_changed(task, wait, now, false);
		locks->changed.operation = call->operation;
		locks->changed.flags = call->flags;
		locks->changed.value = call->value;
		__sync_lock_test_and_set(&locks->changed.address, call->address);
	}
	locks->gathered += 1 | (__u64)first << 32;
}

static __always_inline void count_outcome(struct futex_lock *lock, __s64 result, bool first, __u64 waited, __u64 now)
{
	if (first)
		__sync_fetch_and_add(&lock->acquisitions, 1);
	if (waited)
		__sync_fetch_and_add(&lock->waited, waited);
	if (result == -ERROR_AGAIN)
		__sync_fetch_and_add(&lock->changed, 1);
	else
		__sync_fetch_and_add(&lock->waits, 1);
	if (result == -ERROR_TIMED_OUT)
		__sync_fetch_and_add(&lock->timed_out, 1);
	else if (result == -ERROR_INTERRUPTED || (result <= -ERROR_RESTART && result >= -ERROR_RESTART_BLOCK))
		__sync_fetch_and_add(&lock->interrupted, 1);
	lock->last = now;
}

/* Ends a call in which the thread has slept. */
static __always_inline void exit_sleep(struct task_struct *task, struct thread_wait *wait, const struct futex_call *call, __s64 result,
				       __u64 now)
{
	__u64 since = __sync_lock_test_and_set(&wait->locks.since, 0);
	struct futex_lock *lock;

	wait->futex.operation = 0;
	if (result == -ERROR_FAULT || since > now)
		return;
	lock = find_lock(task, call);
	if (lock)
		count_outcome(lock, result, wait->locks.first, since ? now - since : 0, now);
}

/* Ends a call in which it has not. */
static __always_inline void exit_at_once(struct task_struct *task, struct thread_wait *wait, const struct futex_call *call, __s64 result,
					 bool first, __u64 now)
{
	struct futex_lock *lock;

	wait->futex.operation = 0;
	if (result == -ERROR_FAULT)
		return;
	if (result == -ERROR_AGAIN)
		return gather_changed(task, wait, call, first, now);
	lock = find_lock(task, call);
	if (lock)
		count_outcome(lock, result, first, 0, now);
}

static __always_inline void exit_wait(struct task_struct *task, struct futex_call *call, __s32 number, __s64 result)
{
	struct thread_wait *wait = bpf_task_storage_get(&thread_waits, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	bool first;
	__u64 now;
	__u32 at;

	if (!wait) {
		count(COUNTER_FUTEX_UNTRACKED);
		return;
	}
	if (number == SYSCALL_RESTART && !restarts(wait, call))
		return;
	if (result == -ERROR_FAULT)
		count(COUNTER_FUTEX_UNREADABLE); /* for the kernel neither */
	wait->locks.interrupted = result == -ERROR_RESTART_BLOCK ? call->address : 0;
	now = bpf_ktime_get_ns();
	at = find_held(&wait->locks, call->address);
	first = number != SYSCALL_RESTART && is_first(&wait->locks, call, at, now);
	if (slept_in(wait, call))
		exit_sleep(task, wait, call, result, now);
	else
		exit_at_once(task, wait, call, result, first, now);
	keep_held(&wait->locks, call->address, at, result, now);
}

/* Of all system calls on futexes. */
SEC("tracepoint/syscalls/sys_exit_futex")
int futex_exit(struct syscall_exit *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	const struct pt_regs *regs = entry_registers(task);
	struct futex_call call;
	__s32 number = ctx->number;
	__s64 result = ctx->result;

	if (!regs)
		return 0;
	read_own_call(&call, regs, number, number == SYSCALL_FUTEX_WAITV && result > 0 ? result : 0);
	if (operation_in(&call, WAITS))
		exit_wait(task, &call, number, result);
	else if (number != SYSCALL_RESTART && operation_in(&call, WAKES))
		exit_wake(task, &call);
	return 0;
}

struct syscall_enter {
	__u64 entry;
	__u64 number;
	__u64 arguments[6];
};

/* Attached for a moment now and then, to learn what a call takes before it sleeps. */
SEC("tracepoint/syscalls/sys_enter_futex")
int futex_enter(struct syscall_enter *ctx)
{
	struct futex_call call = { .operation = 1 + (ctx->arguments[1] & FUTEX_CMD_MASK) };
	struct futex_entry *entry;
	__u32 zero = 0;

	if (!operation_in(&call, WAITS))
		return 0;
	entry = bpf_map_lookup_elem(&futex_entries, &zero);
	if (!entry)
		return 0;
	entry->task = (__u64)bpf_get_current_task();
	entry->time = bpf_ktime_get_ns();
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
