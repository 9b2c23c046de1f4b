/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * Programs that go through all threads, and write what they find to the file that user
 * space reads. Each record has its size before it.
 */
#ifndef NARROWS_THREAD_ITERATOR_H
#define NARROWS_THREAD_ITERATOR_H

#include "kernel.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};
#pragma clang attribute pop

static __always_inline void write_record(struct seq_file *seq, void *record, __u64 size, __u64 most)
{
	if (size > most)
		size = most;
	*(__u64 *)record = size - sizeof(__u64);
	bpf_seq_write(seq, record, size);
}

#endif
