//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause)
/* The core object: it owns the shared maps and has no programs. */
#include "unwind.h"

/* Named so that bpf2go makes Go types of them. */
const enum counter *go_counter;
const enum event_kind *go_event_kind;
const enum unwind_end *go_unwind_end;
const struct event_header *go_event_header;
const struct stack *go_stack;
const struct thread_identity *go_thread_identity;

char LICENSE[] SEC("license") = "Dual BSD/GPL";
