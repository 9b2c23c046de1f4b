/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/* What is particular to arm64. */
#ifndef NARROWS_UNWIND_ARM64_H
#define NARROWS_UNWIND_ARM64_H

#include "unwind_memory.h"

/* DWARF for the Arm 64-bit architecture, 4.1 */
#define DWARF_FP 29
#define DWARF_LINK 30
#define DWARF_SP 31
#define DWARF_LAST 31

#define USER_ADDRESS_BITS 48
#define RETURN_ADDRESS(saved) ((saved) + 8) /* from the CFA: behind the frame pointer */
#define ENTRY_CFA 0 /* from SP, at a function's first instruction; the caller is in the link register */

/*
 * A handler returns to code that finds SP at struct rt_sigframe: 128 bytes of siginfo,
 * a ucontext whose struct sigcontext begins at 176: fault_address, 31 registers, sp,
 * pc. arch/arm64/kernel/signal.c, uapi/asm/ucontext.h, uapi/asm/sigcontext.h.
 */
#define SIGNAL_CONTEXT (128 + 176)
#define CONTEXT_REGISTER(number) (8 + 8 * (number))
#define CONTEXT_FP CONTEXT_REGISTER(DWARF_FP)
#define CONTEXT_SP CONTEXT_REGISTER(31)
#define CONTEXT_PC CONTEXT_REGISTER(32)
#define CONTEXT_TO_STACK (176 - 16) /* back to the ucontext's uc_stack */

/* Takes off what pointer authentication and tags put into the upper bits. */
static __always_inline __u64 code_address(__u64 pointer) { return pointer & ((1ull << USER_ADDRESS_BITS) - 1); }

static __always_inline bool read_link(struct unwind_walk *walk, __u64 context, __u64 *link)
{
	return read_word(walk, context + CONTEXT_REGISTER(DWARF_LINK), link);
}

static __always_inline __u32 context_register(__u8 number) { return CONTEXT_REGISTER(number & 31); }

#endif
