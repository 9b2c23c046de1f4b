//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause)
/* The core object: it owns the shared maps and has no programs. */
#include "contention.h"
#include "futex.h"

/* Named so that bpf2go makes Go types of them. */
const enum counter *go_counter;
const enum event_kind *go_event_kind;
const enum unwind_end *go_unwind_end;
const struct event_header *go_event_header;
const enum unwind_file_state *go_unwind_file_state;
const struct stack *go_stack;
const struct stack_event *go_stack_event;
const struct stack_setting *go_stack_setting;
const struct stack_memory *go_stack_memory;
const struct thread_identity *go_thread_identity;
const struct unwind_file *go_unwind_file;
const struct unwind_mapping *go_unwind_mapping;
const struct unwind_process *go_unwind_process;
const struct unwind_set *go_unwind_set;
const struct wait_event *go_wait_event;
const enum wait_flag *go_wait_flag;
const struct contention_event *go_contention_event;
const struct contention_total *go_contention_total;
const enum contention_flag *go_contention_flag;
const enum futex_call_flag *go_futex_call_flag;
const struct futex_key *go_futex_key;
const struct futex_lock *go_futex_lock;
const struct futex_entry *go_futex_entry;

char LICENSE[] SEC("license") = "Dual BSD/GPL";
