/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * The rules of a binary's frames, as package symbolizer/binary/unwind compiles
 * them: for each stretch of code where the caller's stack pointer (the CFA), frame
 * pointer and return address are. Its row.go says what each kind means; layouts
 * and numbers here are the same.
 */
#ifndef NARROWS_UNWIND_ROWS_H
#define NARROWS_UNWIND_ROWS_H

#include <linux/types.h>

enum unwind_row_kind {
	ROW_END = 0,
	ROW_NONE,
	ROW_SP,
	ROW_FP,
	ROW_FP_DEREF,
	ROW_PLT,
	ROW_SIGNAL,
	ROW_WIDE,
	ROW_KIND = 0x7f, /* the bits of the kind proper */
	ROW_IN_LINK_REGISTER = 0x80,
};

struct unwind_row {
	__u32 pc;
	__s16 cfa;
	__s8 fp;
	__u8 kind;
};

enum unwind_wide_flags {
	WIDE_DEREF = 1,
	WIDE_FP_SAVED = 2,
	WIDE_IN_LINK_REGISTER = 4,
	WIDE_END = 8,
	WIDE_INEXPRESSIBLE = 16,
	WIDE_FP_AT_FP = 32,
};

struct unwind_wide {
	__s32 cfa;
	__s32 fp;
	__s32 ra;
	__u8 cfa_register;
	__u8 flags;
	__s16 after;
};

#endif
