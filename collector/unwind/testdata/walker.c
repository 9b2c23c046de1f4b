// SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause)
/*
 * The kernel's walker as a program: it reads cases as 64-bit words, each of the maps
 * as the loader fills them, registers, and pieces of memory, and prints for each how
 * the walk ended and its frames.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/types.h>

#define NARROWS_UNWIND_MACHINE
#include "unwind_walk.h"

struct piece {
	__u64 address, size;
	unsigned char *bytes;
};

static __u64 *rows, row_count, mapping_count, file_count, piece_count, registers[32], known_registers;
static struct unwind_mapping *mappings;
static struct unwind_file *files;
static struct piece *pieces;

static const __u64 *row_slot(__u32 slot) { return slot < row_count ? &rows[slot] : NULL; }
static struct unwind_file *file_at(__u32 i) { return i < file_count ? &files[i] : NULL; }
static const struct unwind_mapping *mapping_at(__u32 i) { return i < mapping_count ? &mappings[i] : NULL; }

static int task_register(__u8 number, __u64 *value)
{
	if (!known_registers || number >= 32)
		return 0;
	*value = registers[number];
	return 1;
}

/* Reads of the kernel fail as a whole, and may begin below what is there: the page is.
 * What a piece lacks of its pages is zero. */
static long read_user(void *to, __u32 size, __u64 address)
{
	for (__u64 i = 0; i < piece_count; i++) {
		struct piece *p = &pieces[i];
		__u64 first = p->address & ~4095ull, end = (p->address + p->size + 4095) & ~4095ull;

		if (address < first || address + size > end || address + size < address)
			continue;
		memset(to, 0, size);
		for (__u32 k = 0; k < size; k++)
			if (address + k >= p->address && address + k - p->address < p->size)
				((unsigned char *)to)[k] = p->bytes[address + k - p->address];
		return 0;
	}
	return -1;
}

#include "unwind_step.h"

static __u64 word(void)
{
	__u64 value;

	if (fread(&value, sizeof(value), 1, stdin) != 1)
		exit(feof(stdin) ? 0 : 1);
	return value;
}

static void *array(__u64 *count, size_t size)
{
	void *data;

	*count = word();
	data = calloc(*count + 1, size);
	if (*count && fread(data, size, *count, stdin) != *count)
		exit(1);
	return data;
}

static int read_case(struct unwind_walk *walk)
{
	int entry = word();

	memset(walk, 0, sizeof(*walk));
	walk->pc = word();
	walk->sp = word();
	walk->fp = word();
	walk->link = word();
	walk->leaf = !word();
	walk->salt = 1;
	walk->result = UNWIND_TOO_DEEP;
	known_registers = word();
	for (int i = 0; i < 32; i++)
		registers[i] = word();
	rows = array(&row_count, sizeof(*rows));
	files = array(&file_count, sizeof(*files));
	mappings = array(&mapping_count, sizeof(*mappings));
	walk->count = mapping_count;
	piece_count = word();
	pieces = calloc(piece_count + 1, sizeof(*pieces));
	for (__u64 i = 0; i < piece_count; i++) {
		pieces[i].address = word();
		pieces[i].bytes = array(&pieces[i].size, 1);
	}
	return entry;
}

int main(void)
{
	for (;;) {
		static struct unwind_walk walk;
		int entry = read_case(&walk), frames = 1, more = 1;
		static __u64 pcs[MAX_USER_FRAMES];

		pcs[0] = walk.pc;
		if (entry && (more = step_from_entry(&walk)))
			pcs[frames++] = walk.pc;
		while (more && step(&walk)) {
			if (frames >= MAX_USER_FRAMES) {
				walk.result = UNWIND_TOO_DEEP;
				break;
			}
			pcs[frames++] = walk.pc;
		}
		printf("%d", walk.result);
		for (int i = 0; i < frames; i++)
			printf(" %llx", pcs[i]);
		printf("\n");
		for (__u64 i = 0; i < piece_count; i++)
			free(pieces[i].bytes);
		free(pieces), free(rows), free(files), free(mappings);
	}
}
