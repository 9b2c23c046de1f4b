/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * What a walk asks of the machine, as eBPF: user memory, the task's registers, and
 * the maps that the loader fills with mappings and tables. User space writes
 * unwind_rows, unwind_files, unwind_mappings and unwind_sets in place, through
 * mmap, since a CPU inside a map system call takes no sample; it changes nothing
 * that a walk could be reading before an RCU grace period is over.
 */
#ifndef NARROWS_UNWIND_MACHINE_H
#define NARROWS_UNWIND_MACHINE_H

#include "core.h"
#include "unwind_walk.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 4 * 1024 * 1024);
	__type(key, __u32);
	__type(value, __u64);
} unwind_rows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, struct unwind_file);
} unwind_files SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 128 * 1024);
	__type(key, __u32);
	__type(value, struct unwind_mapping);
} unwind_mappings SEC(".maps");

/* How many processes use a range of unwind_mappings. */
struct unwind_set {
	__u64 processes;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 32 * 1024);
	__type(key, __u32);
	__type(value, struct unwind_set);
} unwind_sets SEC(".maps");

/* A process's mappings. It is true only for the process that started then and has
 * exec'd so often: another one with its number gets none. */
struct unwind_process {
	__u64 start;
	__u64 generation;
	__u64 version;
	__u32 set;
	__u32 first, count;
	__u32 go; /* whether it is a Go program through and through, whose futexes are not its locks */
	__u64 check; /* of all of it: an entry is reused at once, even while it is read */
};

static __always_inline __u64 check_process(const struct unwind_process *process)
{
	return process->start * 3 + process->generation * 5 + process->version * 7 +
	       ((__u64)process->first << 32 | process->count) * 11 + process->set * 13 +
	       process->go * 17;
}

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16 * 1024);
	__type(key, __u32); /* tgid */
	__type(value, struct unwind_process);
} unwind_processes SEC(".maps");

static __always_inline const __u64 *row_slot(__u32 slot)
{
	return bpf_map_lookup_elem(&unwind_rows, &slot);
}

static __always_inline struct unwind_file *file_at(__u32 i)
{
	return bpf_map_lookup_elem(&unwind_files, &i);
}

static __always_inline const struct unwind_mapping *mapping_at(__u32 i)
{
	return bpf_map_lookup_elem(&unwind_mappings, &i);
}

static __always_inline long read_user(void *to, __u32 size, __u64 address)
{
	return bpf_probe_read_user(to, size, (void *)address);
}

/* A register of the current task in user mode, by its DWARF number. */
static __always_inline bool task_register(__u8 number, __u64 *value)
{
	void *saved = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());
	__u32 offset = registers_offset(number);

	return saved && !bpf_probe_read_kernel(value, sizeof(*value), saved + offset);
}

#endif
