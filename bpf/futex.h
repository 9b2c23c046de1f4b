/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * Locks of user space, as futex calls tell of them: who holds one, and exact sums for
 * each. Waits are sampled where they are many; these sums are not, so what is sampled is
 * brought to them in the end.
 */
#ifndef NARROWS_FUTEX_H
#define NARROWS_FUTEX_H

#include "futex_call.h"

#define ERROR_INTERRUPTED 4
#define ERROR_AGAIN 11
#define ERROR_FAULT 14
#define ERROR_TIMED_OUT 110
#define ERROR_RESTART 512 /* to the next: what the kernel makes of a signal before it is EINTR */
#define ERROR_RESTART_BLOCK 516

struct futex_key {
	__u64 address;
	__u32 tgid;
	__u32 padding;
};

/* What is counted of a lock, all of it since it was first waited for. */
struct futex_lock {
	__u64 process_start, exec_generation; /* of the process that made the entry */
	__u64 last;                           /* when something was counted */
	__u64 acquisitions;                   /* runs of waits until the thread's own next wake */
	__u64 waits, waited;                  /* futex calls that waited, and for how many ns off their CPU */
	__u64 timed_out, interrupted;         /* those of them that ended so */
	__u64 changed;                        /* others, which found that there was nothing to wait for */
	__u64 holds, held;                    /* from a wait's end to the thread's own next wake; ns */
	__u32 operation, flags, value, padding; /* of the call that made the entry */
};

#define MAX_FUTEX_LOCKS (64 * 1024)

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_FUTEX_LOCKS);
	__type(key, struct futex_key);
	__type(value, struct futex_lock);
} futex_locks SEC(".maps");

/* The lock's sums; made if there are none, and counted if there is no room. */
static __always_inline struct futex_lock *find_lock(struct task_struct *task, const struct futex_call *call)
{
	struct futex_key key = { .address = call->address, .tgid = task->tgid };
	struct futex_lock *lock = bpf_map_lookup_elem(&futex_locks, &key), fresh = {};

	if (lock)
		return lock;
	fresh.process_start = task->group_leader->start_time;
	fresh.exec_generation = task->self_exec_id;
	fresh.operation = call->operation;
	fresh.flags = call->flags;
	fresh.value = call->value;
	bpf_map_update_elem(&futex_locks, &key, &fresh, BPF_NOEXIST);
	lock = bpf_map_lookup_elem(&futex_locks, &key);
	if (!lock)
		count(COUNTER_FUTEX_FULL);
	return lock;
}

/* What of a lock's memory is read to know its owner. */
struct futex_words {
	__u32 word;
	/* Of glibc's pthread_mutex_t, whose lock is at its beginning. */
	__u32 count, owner, users, kind;
};

/* musl's mutex that knows no owner has EBUSY in the place of a TID. */
#define MUSL_LOCKED (FUTEX_WAITERS | 16)
/* What glibc's contended mutex waits with. */
#define GLIBC_CONTENDED 2
/* Above all bits that glibc uses of a mutex's kind (sysdeps/nptl/internaltypes.h). */
#define GLIBC_KINDS 0x400
#define MAX_TID (4 * 1024 * 1024)

static __always_inline bool is_pi(const struct futex_call *call)
{
	return call->operation == FUTEX_LOCK_PI + 1 || call->operation == FUTEX_LOCK_PI2 + 1;
}

/* How many bytes have to be read to know the lock's owner; 0 if it says none. glibc waits
 * for a mutex by FUTEX_WAIT, or with a timeout; others' that use the same value do not. */
static __always_inline __u32 owner_bytes(const struct futex_call *call)
{
	if (is_pi(call) || (call->value & FUTEX_WAITERS && call->value != MUSL_LOCKED))
		return sizeof(__u32);
	if (call->value == GLIBC_CONTENDED && (call->operation == FUTEX_WAIT + 1 || call->flags & FUTEX_CALL_TIMED))
		return sizeof(struct futex_words);
	return 0;
}

static __always_inline __u32 owner_in(const struct futex_call *call, const struct futex_words *words)
{
	if (call->value != GLIBC_CONTENDED || is_pi(call))
		return words->word & FUTEX_TID_MASK;
	return words->kind < GLIBC_KINDS ? words->owner : 0;
}

/* A thread's end is waited for with its TID, which the kernel clears for any process. */
static __always_inline bool is_join(const struct futex_call *call)
{
	return !(call->flags & FUTEX_PRIVATE_FLAG) && call->value > GLIBC_CONTENDED && call->value < MAX_TID &&
	       (call->operation == FUTEX_WAIT + 1 || call->operation == FUTEX_WAIT_BITSET + 1);
}

/* The last futex call that was seen to begin on this CPU, and how long such calls took until
 * their thread left its CPU. They are watched a small part of the time only. */
struct futex_entry {
	__u64 task, time;
	__u64 before, sleeps; /* ns from the entry to the switch, all together; how many */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct futex_entry);
} futex_entries SEC(".maps");

/* What is older is of another call, whose beginning was not watched. */
#define ENTRY_NS 100000

/* The thread leaves its CPU for the first time in a call: that is the CPU it entered it on. */
static __always_inline void count_entry(struct task_struct *task, __u64 now)
{
	struct futex_entry *entry;
	__u32 zero = 0;

	entry = bpf_map_lookup_elem(&futex_entries, &zero);
	if (!entry || entry->task != (__u64)task || now - entry->time > ENTRY_NS)
		return;
	entry->before += now - entry->time;
	entry->sleeps++;
	entry->task = 0;
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

/*
 * A thread that lost the race for a lock it was woken for waits again at once. Where its
 * wake does not say that it has had the lock in between (musl lets go of a mutex that
 * nobody waits for without one), a longer time than this does.
 */
#define RACE_NS 50000

/* Whether a call is the first wait for the lock since the thread last had it; at is the
 * lock's place among those held. */
static __always_inline bool is_first(const struct futex_thread *locks, const struct futex_call *call, __u32 at, __u64 now)
{
	return at >= HELD_LOCKS || (!wakes_always(call) && now - locks->held[at].since > RACE_NS);
}

/* Who holds the lock that the current task is about to wait for: a TID, 0 if not known. */
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

/* Counts the time that a call has waited up to now; it goes on from there. */
static __always_inline void count_waited(struct task_struct *task, struct thread_wait *wait, __u64 now)
{
	__u64 since = wait->locks.since;
	struct futex_lock *lock;

	if (!wait->futex.operation || !since || since >= now)
		return;
	if (__sync_val_compare_and_swap(&wait->locks.since, since, now) != since)
		return; /* it has ended, and was counted */
	lock = find_lock(task, &wait->futex);
	if (!lock)
		return;
	__sync_fetch_and_add(&lock->waited, now - since);
	if (wait->locks.first)
		__sync_fetch_and_add(&lock->acquisitions, 1);
	wait->locks.first = 0;
	lock->last = now;
}

/*
 * Adds what a thread has gathered to its lock's sums. Where another task does so (by_other),
 * what was gathered is read before the lock, which the thread changes only after having told
 * all of it.
 */
static __always_inline void tell_changed(struct task_struct *task, struct thread_wait *wait, __u64 now, bool by_other)
{
	struct futex_thread *locks = &wait->locks;
	__u64 told = by_other ? __sync_fetch_and_add(&locks->told, 0) : READ_ONCE(locks->told);
	__u64 gathered = by_other ? __sync_fetch_and_add(&locks->gathered, 0) : READ_ONCE(locks->gathered), more = gathered - told;
	struct futex_call call;
	struct futex_lock *lock;

	if (!more)
		return;
	call = locks->changed;
	if (__sync_val_compare_and_swap(&locks->told, told, gathered) != told)
		return;
	lock = find_lock(task, &call);
	if (!lock)
		return;
	__sync_fetch_and_add(&lock->changed, (__u32)more);
	if (more >> 32)
		__sync_fetch_and_add(&lock->acquisitions, more >> 32);
	lock->last = now;
}

#endif
