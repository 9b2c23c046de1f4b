//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause)
/*
 * A child begins with its parent's memory, so it is given the parent's mappings at
 * the moment it is made: its first sample finds them. What either maps later, user
 * space learns from the kernel's records. The same program for two kinds of hooks:
 * the loader takes the first that works.
 */
#include "unwind_machine.h"

static __always_inline void share_mappings(struct task_struct *parent, struct task_struct *child)
{
	__u32 parent_tgid = BPF_CORE_READ(parent, tgid), tgid = BPF_CORE_READ(child, tgid);
	struct unwind_process *known, process;
	struct unwind_set *set;
	__u32 i;

	if (tgid == parent_tgid)
		return; /* a thread */
	known = bpf_map_lookup_elem(&unwind_processes, &parent_tgid);
	if (!known)
		return;
	process = *known;
	if (process.start != BPF_CORE_READ(parent, group_leader, start_time) ||
	    process.generation != BPF_CORE_READ(parent, self_exec_id) || process.check != check_process(&process))
		return;
	process.start = BPF_CORE_READ(child, start_time);
	process.generation = BPF_CORE_READ(child, self_exec_id);
	process.check = check_process(&process);
	i = process.set;
	set = bpf_map_lookup_elem(&unwind_sets, &i);
	if (!set)
		return;
	/* Counted before it can be seen, so that a set in use never counts as free. */
	__sync_fetch_and_add(&set->processes, 1);
	if (!bpf_map_update_elem(&unwind_processes, &tgid, &process, BPF_NOEXIST)) {
		count(COUNTER_FORK_SHARED);
		return;
	}
	__sync_fetch_and_add(&set->processes, -1);
	count(COUNTER_FORK_FULL);
}

SEC("tp_btf/sched_process_fork")
int fork_btf(__u64 *ctx)
{
	share_mappings((struct task_struct *)ctx[0], (struct task_struct *)ctx[1]);
	return 0;
}

SEC("raw_tp/sched_process_fork")
int fork_raw(__u64 *ctx)
{
	share_mappings((struct task_struct *)ctx[0], (struct task_struct *)ctx[1]);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
