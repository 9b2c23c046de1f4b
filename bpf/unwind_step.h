/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/* One step of a walk: from a frame to its caller. */
#ifndef NARROWS_UNWIND_STEP_H
#define NARROWS_UNWIND_STEP_H

#include "unwind_memory.h"
#include "unwind_table.h"

#if defined(__TARGET_ARCH_x86)
#include "unwind_x86.h"
#elif defined(__TARGET_ARCH_arm64)
#include "unwind_arm64.h"
#else
#error "Narrows unwinds stacks of x86-64 and arm64 only"
#endif

static __always_inline bool stop(struct unwind_walk *walk, __u32 result)
{
	walk->result = result;
	return false;
}

/* Makes the caller's frame the walk's own, if it can be one. */
static __always_inline bool enter_caller(struct unwind_walk *walk, __u64 pc, __u64 sp, __u64 fp)
{
	pc = code_address(pc);
	if (pc == 0)
		return stop(walk, UNWIND_COMPLETE);
	if (pc >> USER_ADDRESS_BITS)
		return stop(walk, UNWIND_BAD_ADDRESS);
	if (sp < walk->sp && ++walk->switches > MAX_STACK_SWITCHES)
		return stop(walk, UNWIND_NOT_ASCENDING);
	walk->pc = pc;
	walk->sp = sp;
	walk->fp = fp;
	walk->leaf = false;
	return true;
}

/* A frame record is the caller's frame pointer and above it the return address
 * (System V x86-64 ABI 3.4.1; AAPCS64 6.4.6). */
static __always_inline bool follow_frame_pointer(struct unwind_walk *walk)
{
	__u64 at = walk->fp, fp, pc;

	if (at == 0)
		return stop(walk, UNWIND_COMPLETE);
	if (at & 7)
		return stop(walk, UNWIND_BAD_FRAME_POINTER);
	if (!read_word(walk, at, &fp) || !read_word(walk, at + 8, &pc))
		return stop(walk, UNWIND_UNREADABLE);
	return enter_caller(walk, pc, at + 16, fp);
}

/* A signal interrupted the code above: its registers are in the handler's frame. */
static __always_inline bool leave_signal(struct unwind_walk *walk)
{
	__u64 context = walk->sp + SIGNAL_CONTEXT, pc, sp, fp, link = 0;

	if (!read_word(walk, context + CONTEXT_FP, &fp) || !read_word(walk, context + CONTEXT_SP, &sp) ||
	    !read_word(walk, context + CONTEXT_PC, &pc) || !read_link(walk, context, &link))
		return stop(walk, UNWIND_UNREADABLE);
	if (!enter_caller(walk, pc, sp, fp))
		return false;
	walk->link = link;
	walk->context = context;
	walk->leaf = true;
	return true;
}

/* How far below SP a function's epilogue can leave the frame pointer that it has
 * restored. What is further below is another stack. */
#define POPPED 1024

/* Reads the caller's frame pointer from where it was saved. Compilers do not say that a
 * function which is about to return has restored it: then it lies below SP. */
static __always_inline bool read_saved(struct unwind_walk *walk, __u64 address, __u64 *fp)
{
	return walk->sp - address - 1 < POPPED || read_word(walk, address, fp);
}

static __always_inline bool register_value(struct unwind_walk *walk, __u8 number, __u64 *value)
{
	if (number == DWARF_SP)
		*value = walk->sp;
	else if (number == DWARF_FP)
		*value = walk->fp;
	else if (!walk->leaf)
		return stop(walk, UNWIND_NO_RULE);
	else if (number > DWARF_LAST)
		return stop(walk, UNWIND_NO_REGISTERS);
	else if (walk->context ? !read_word(walk, walk->context + context_register(number), value)
			       : !task_register(number, value))
		return stop(walk, UNWIND_NO_REGISTERS);
	return true;
}

static __always_inline bool apply_wide(struct unwind_walk *walk, __u64 row)
{
	struct unwind_wide wide;
	__u64 cfa, fp = walk->fp, pc = walk->link;

	if (!find_wide(walk, ROW_WORD_CFA(row), &wide) || wide.flags & WIDE_INEXPRESSIBLE)
		return follow_frame_pointer(walk);
	if (wide.flags & WIDE_END)
		return stop(walk, UNWIND_COMPLETE);
	if (!register_value(walk, wide.cfa_register, &cfa))
		return false;
	cfa += (__s64)wide.cfa;
	if (wide.flags & WIDE_DEREF) {
		if (!read_word(walk, cfa, &cfa))
			return stop(walk, UNWIND_UNREADABLE);
		cfa += (__s64)wide.after;
	}
	if (wide.flags & WIDE_FP_SAVED && !read_saved(walk, cfa + (__s64)wide.fp, &fp))
		return stop(walk, UNWIND_UNREADABLE);
	/* For some instructions before it returns, a function that says so has restored the
	 * caller's already. */
	if (wide.flags & WIDE_FP_AT_FP && !read_word(walk, walk->fp + (__s64)wide.fp, &fp))
		fp = walk->fp;
	if (wide.flags & WIDE_IN_LINK_REGISTER) {
		if (!walk->leaf)
			return stop(walk, UNWIND_NO_RULE);
	} else if (!read_word(walk, cfa + (__s64)wide.ra, &pc)) {
		return stop(walk, UNWIND_UNREADABLE);
	}
	return enter_caller(walk, pc, cfa, fp);
}

/* The rules that a row can say: the CFA is a distance from SP or FP. */
static __always_inline bool apply_row(struct unwind_walk *walk, __u64 row)
{
	__s64 distance = 8 * (__s64)ROW_WORD_CFA(row), saved = 8 * (__s64)ROW_WORD_FP(row);
	__u64 cfa, fp = walk->fp, pc;

	switch (ROW_WORD_KIND(row) & ROW_KIND) {
	case ROW_SP:
		cfa = walk->sp + distance;
		break;
	case ROW_FP:
		cfa = walk->fp + distance;
		break;
	case ROW_FP_DEREF:
		if (!read_word(walk, walk->fp + distance, &cfa))
			return stop(walk, UNWIND_UNREADABLE);
		if (saved > 0) { /* the caller's frame pointer is at FP, not at the CFA */
			saved = 0;
			if (!read_word(walk, walk->fp, &fp))
				return stop(walk, UNWIND_UNREADABLE);
		}
		break;
	case ROW_PLT:
		cfa = walk->sp + distance + ((walk->pc & 15) >= (__u64)ROW_WORD_FP(row) ? 8 : 0);
		saved = 0;
		break;
	default:
		return follow_frame_pointer(walk);
	}
	/* The frame pointer lies below the return address: in this order both are in
	 * one window. */
	if (saved && !read_saved(walk, cfa + saved, &fp))
		return stop(walk, UNWIND_UNREADABLE);
	if (ROW_WORD_KIND(row) & ROW_IN_LINK_REGISTER) {
		if (!walk->leaf)
			return stop(walk, UNWIND_NO_RULE);
		pc = walk->link;
	} else if (!read_word(walk, cfa + RETURN_ADDRESS(saved), &pc)) {
		return stop(walk, UNWIND_UNREADABLE);
	}
	return enter_caller(walk, pc, cfa, fp);
}

/*
 * Takes a walk from a frame to its caller; false if it ends here, with the reason in
 * walk->result. The row of a caller is the one of its call, which the return address
 * lies behind.
 */
static __always_inline bool step(struct unwind_walk *walk)
{
	__u64 row;
	__u32 end = find_row(walk, walk->leaf ? walk->pc : walk->pc - 1, &row);

	/* A thread in a system call stands behind the instruction, which may be the last
	 * of its function. */
	if (walk->leaf && end == UNWIND_COMPLETE && (ROW_WORD_KIND(row) & ROW_KIND) == ROW_NONE)
		end = find_row(walk, walk->pc - 1, &row);
	if (end != UNWIND_COMPLETE)
		return stop(walk, end);
	switch (ROW_WORD_KIND(row) & ROW_KIND) {
	case ROW_END:
		return stop(walk, UNWIND_COMPLETE);
	case ROW_SIGNAL:
		return leave_signal(walk);
	case ROW_WIDE:
		return apply_wide(walk, row);
	}
	return apply_row(walk, row);
}

/* The first step where a function's first instruction is about to run: nothing is on
 * the stack yet but the return address, whatever is known of the code. */
static __always_inline bool step_from_entry(struct unwind_walk *walk)
{
	__u64 pc = walk->link, sp = walk->sp + ENTRY_CFA;

	if (ENTRY_CFA && !read_word(walk, walk->sp, &pc))
		return stop(walk, UNWIND_UNREADABLE);
	return enter_caller(walk, pc, sp, walk->fp);
}

#endif
