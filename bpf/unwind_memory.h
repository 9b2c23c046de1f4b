/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/* Reads words of a user stack through the walk's window. */
#ifndef NARROWS_UNWIND_MEMORY_H
#define NARROWS_UNWIND_MEMORY_H

#include "unwind_walk.h"
#ifndef NARROWS_UNWIND_MACHINE
#include "unwind_machine.h"
#endif

#define PAGE_BYTES 4096 /* the smallest of any kernel */

/* Moves the window so that it begins at the cache line of an address. */
static __always_inline bool move_window(struct unwind_walk *walk, __u64 address)
{
	__u64 start = address & ~63ull;
	__u32 size = PAGE_BYTES - (start & (PAGE_BYTES - 1));

	if (size > WINDOW_BYTES)
		size = WINDOW_BYTES;
	walk->window_size = 0;
	if (read_user(walk->window, size, start))
		return false;
	walk->window_address = start;
	walk->window_size = size;
	return true;
}

static __always_inline bool read_word(struct unwind_walk *walk, __u64 address, __u64 *value)
{
	__u64 offset = address - walk->window_address;

	if (address & 7)
		return !read_user(value, sizeof(*value), address);
	if (offset >= walk->window_size) {
		if (!move_window(walk, address))
			return false;
		offset = address - walk->window_address;
	}
	*value = walk->window[(offset / 8) & (WINDOW_BYTES / 8 - 1)];
	return true;
}

#endif
