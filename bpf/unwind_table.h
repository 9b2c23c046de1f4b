/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/* Finds the row of an address: the cache, else the mapping, its file, the row. */
#ifndef NARROWS_UNWIND_TABLE_H
#define NARROWS_UNWIND_TABLE_H

#include "unwind_walk.h"
#ifndef NARROWS_UNWIND_MACHINE
#include "unwind_machine.h"
#endif

/* Steps of the binary searches: as many as the largest range of mappings (the
 * loader's limit), and of rows that share one entry of the index, can need. */
#define MAPPING_STEPS 15
#define ROW_STEPS 24

#define ROW_WORD_PC(word) ((__u32)(word))
#define ROW_WORD_CFA(word) ((__s16)((word) >> 32))
#define ROW_WORD_FP(word) ((__s8)((word) >> 48))
#define ROW_WORD_KIND(word) ((__u8)((word) >> 56))
#define ROW_WORD(kind) ((__u64)(kind) << 56)

#define READ_ONCE(x) (*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile typeof(x) *)&(x) = (value))

/* Finds the mapping that holds pc and leaves it in walk. */
static __always_inline bool find_mapping(struct unwind_walk *walk, __u64 pc)
{
	__u32 low = walk->first, high = low + walk->count;
	const struct unwind_mapping *mapping;

	if (pc >= walk->start && pc < walk->end)
		return true;
	for (int i = 0; i < MAPPING_STEPS && low < high; i++) {
		__u32 middle = (low + high) / 2;

		mapping = mapping_at(middle);
		if (!mapping)
			return false;
		if (mapping->start <= pc)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == walk->first)
		return false;
	mapping = mapping_at(low - 1);
	if (!mapping || pc < mapping->start || pc >= mapping->end)
		return false;
	walk->start = mapping->start;
	walk->end = mapping->end;
	walk->bias = mapping->bias;
	walk->file = mapping->file;
	return true;
}

/* One entry of a table's index; two share a slot. */
static __always_inline bool read_index(const struct unwind_file *file, __u32 i, __u32 *row)
{
	const __u64 *slot = row_slot(file->index + i / 2);

	if (!slot)
		return false;
	*row = i & 1 ? *slot >> 32 : *slot;
	return true;
}

/* The last row that begins at or before the address. */
static __always_inline __u64 search_rows(const struct unwind_file *file, __u64 address)
{
	__u64 relative = address - file->base;
	const __u64 *slot;
	__u32 low, high, stretch;

	if (relative >> 32)
		return ROW_WORD(ROW_NONE);
	stretch = relative >> (file->shift & 31);
	if (stretch >= file->stretches)
		return ROW_WORD(ROW_NONE);
	if (!read_index(file, stretch, &low) || !read_index(file, stretch + 1, &high))
		return ROW_WORD(ROW_NONE);
	for (int i = 0; i < ROW_STEPS && low < high; i++) {
		__u32 middle = low + (high - low + 1) / 2;

		slot = row_slot(file->rows + middle);
		if (!slot)
			return ROW_WORD(ROW_NONE);
		if (ROW_WORD_PC(*slot) <= (__u32)relative)
			low = middle;
		else
			high = middle - 1;
	}
	slot = row_slot(file->rows + low);
	return slot ? *slot : ROW_WORD(ROW_NONE);
}

/* The row of pc by its file's table, or why there is none. */
static __always_inline __u32 look_up_row(struct unwind_walk *walk, __u64 pc, __u64 *row)
{
	struct unwind_file *file;

	if (!find_mapping(walk, pc))
		return UNWIND_NO_MAPPING;
	*row = ROW_WORD(ROW_NONE);
	if (!walk->file)
		return UNWIND_COMPLETE;
	file = file_at(walk->file);
	if (!file)
		return UNWIND_NO_TABLE;
	switch (READ_ONCE(file->state)) {
	case FILE_ABSENT:
		return UNWIND_NO_TABLE;
	case FILE_WITHOUT_ROWS:
		return UNWIND_COMPLETE;
	}
	if (file->used != walk->epoch)
		WRITE_ONCE(file->used, walk->epoch);
	*row = search_rows(file, pc - walk->bias);
	return UNWIND_COMPLETE;
}

/*
 * The row of pc. The cache's key is made of pc and of the version of the mappings,
 * which no other process and no later state of this one has: what was true of a key
 * once stays true. It also changes with the epoch, so that tables in use are looked
 * at from time to time and seen to be used.
 */
static __always_inline __u32 find_row(struct unwind_walk *walk, __u64 pc, __u64 *row)
{
	__u64 key = pc * 0x9e3779b97f4a7c15ull ^ walk->salt;
	struct cached_row *cached = &walk->cache[(key >> (64 - ROW_CACHE_BITS)) & ((1 << ROW_CACHE_BITS) - 1)];
	__u32 end;

	if (cached->key == key) {
		*row = cached->row;
		return UNWIND_COMPLETE;
	}
	end = look_up_row(walk, pc, row);
	/* A wide rule is found through its file, so its row is of no use without. */
	if (end == UNWIND_COMPLETE && (ROW_WORD_KIND(*row) & ROW_KIND) != ROW_WIDE) {
		cached->key = key;
		cached->row = *row;
	}
	return end;
}

static __always_inline bool find_wide(struct unwind_walk *walk, __u16 i, struct unwind_wide *wide)
{
	struct unwind_file *file = file_at(walk->file);
	const __u64 *first, *second;

	if (!file || i >= file->wide_count)
		return false;
	first = row_slot(file->wide + 2 * i);
	second = row_slot(file->wide + 2 * i + 1);
	if (!first || !second)
		return false;
	((__u64 *)wide)[0] = *first;
	((__u64 *)wide)[1] = *second;
	return true;
}

#endif
