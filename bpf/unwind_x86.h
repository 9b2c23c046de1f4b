/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/* What is particular to x86-64. */
#ifndef NARROWS_UNWIND_X86_H
#define NARROWS_UNWIND_X86_H

#include "unwind_memory.h"

/* System V x86-64 ABI, figure 3.36 */
#define DWARF_FP 6
#define DWARF_SP 7
#define DWARF_LAST 15

#define USER_ADDRESS_BITS 56 /* with five levels of page tables, less the sign */
#define RETURN_ADDRESS(saved) -8 /* from the CFA */
#define ENTRY_CFA 8 /* from SP, at a function's first instruction */

/*
 * A handler returns to code that finds SP at struct rt_sigframe without its first
 * word: a ucontext, with struct sigcontext_64 behind 40 bytes (uc_flags, uc_link,
 * uc_stack). arch/x86/include/asm/sigframe.h, uapi/asm/sigcontext.h.
 */
#define SIGNAL_CONTEXT 40
#define CONTEXT_FP 80
#define CONTEXT_SP 120
#define CONTEXT_PC 128
#define CONTEXT_TO_STACK (SIGNAL_CONTEXT - 16) /* back to the ucontext's uc_stack */

static __always_inline __u64 code_address(__u64 pointer) { return pointer; }

static __always_inline bool read_link(struct unwind_walk *walk, __u64 context, __u64 *link) { return true; }

/* Where a register lies in struct sigcontext_64, which begins with r8 to r15, di, si,
 * bp, bx, dx, ax, cx. */
static __always_inline __u32 context_register(__u8 number)
{
	switch (number) {
	case 0: return 104; /* ax */
	case 1: return 96;  /* dx */
	case 2: return 112; /* cx */
	case 3: return 88;  /* bx */
	case 4: return 72;  /* si */
	case 5: return 64;  /* di */
	}
	return (number & 7) * 8;
}

#endif
