/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * What a walk of a user stack knows, and how it can end. Nothing here and in
 * unwind_memory.h, unwind_table.h and unwind_step.h needs the kernel: what they
 * ask of the machine is declared in unwind_machine.h, and a test that defines
 * NARROWS_UNWIND_MACHINE gives them a recorded stack instead.
 */
#ifndef NARROWS_UNWIND_WALK_H
#define NARROWS_UNWIND_WALK_H

#include <stdbool.h>
#include <linux/types.h>
#include "unwind_rows.h"

#define MAX_USER_FRAMES 1024

/* Why a walk ended. Only UNWIND_COMPLETE reached the root. */
enum unwind_end {
	UNWIND_COMPLETE = 0,
	UNWIND_NO_USER_STACK,      /* a kernel thread, or a process whose memory is freed: it ends or execs */
	UNWIND_NO_REGISTERS,       /* the user registers could not be read */
	UNWIND_UNREADABLE,         /* the frame's memory could not be read */
	UNWIND_BAD_FRAME_POINTER,  /* misaligned */
	UNWIND_NOT_ASCENDING,      /* frames went down more often than stacks are switched */
	UNWIND_TOO_DEEP,           /* MAX_USER_FRAMES reached */
	UNWIND_COMPAT,             /* a 32-bit process: other registers, other frames */
	UNWIND_BAD_ADDRESS,        /* a return address that no code can have */
	UNWIND_NO_RULE,            /* the rule needs a register that is known in the leaf only */
	/* From here on more knowledge would help, and user space may have it. */
	UNWIND_NO_PROCESS,         /* the process's mappings are not known yet */
	UNWIND_NO_MAPPING,         /* no mapping known so far holds the address */
	UNWIND_NO_TABLE,           /* the rows of the file are not loaded */
};

#define UNWIND_NEEDS_HELP(end) ((end) >= UNWIND_NO_PROCESS)

/* A chain goes down to a lower address where the stack is switched: a signal
 * handler's alternate stack, Go's system stack. Garbage does it all the time. */
#define MAX_STACK_SWITCHES 8

/* The part of the stack that was read last: one large read is cheaper than many
 * small ones. It never crosses a page, since a read fails as a whole. */
#define WINDOW_BYTES 4096

/* The rows found last, by a hash of the address. More of them would cost more when
 * caches are cold, as they are at 99 Hz, than they save. */
#define ROW_CACHE_BITS 10

struct cached_row {
	__u64 key;
	__u64 row;
};

struct unwind_walk {
	__u64 pc, sp, fp;
	__u64 link;      /* arm64: the link register, in the leaf */
	__u64 version;   /* of the process's mappings; 0 if they are not known */
	__u64 salt;      /* sets apart the cache's keys of different mappings */
	__u64 context;   /* where a signal handler's frame keeps the leaf's registers; 0: the task has them */
	__u64 start, end, bias; /* the mapping found last */
	__u32 file;      /* ... and its file */
	__u32 first, count; /* the process's mappings */
	__u32 go;        /* the process is a Go program */
	__u32 epoch;     /* coarse time, to see which tables are used */
	__u16 result;    /* enum unwind_end */
	__u8 switches;
	__u8 leaf;       /* pc is where the thread is, not behind a call; all registers are known */
	__u32 window_size;
	__u64 window_address;
	__u64 window[WINDOW_BYTES / 8];
	struct cached_row cache[1 << ROW_CACHE_BITS];
};

/*
 * Code of a process. pc - bias is an ELF address; file indexes unwind_files. The
 * mappings of a process are a sorted range of one array.
 */
struct unwind_mapping {
	__u64 start, end;
	__u64 bias;
	__u32 file; /* 0: memory without a file */
	__u32 padding;
};

enum unwind_file_state {
	FILE_ABSENT = 0, /* not loaded: it is asked for */
	FILE_LOADED,
	FILE_WITHOUT_ROWS, /* nothing is known of its frames: frame pointers are followed */
};

/*
 * Where the table of a file lies in the array unwind_rows, in slots of 8 bytes: an
 * index of the rows (for each stretch of 1 << shift bytes of code the row that its
 * first byte has, 4 bytes each, and the last row behind them), the rows, and the
 * wide rules, two slots each.
 */
struct unwind_file {
	__u64 base; /* ELF address that rows are relative to */
	__u32 index, rows, wide;
	__u32 stretches;
	__u32 state;
	__u32 used; /* the epoch of the last walk that looked here */
	__u16 wide_count;
	__u8 shift;
	__u8 unused;
	__u32 padding[7]; /* to a cache line */
};

#endif
