/* The ways to allocate and to free memory, in C or C++, each with a stack of its own. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __cplusplus
#include <new>
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define NOINLINE __attribute__((noinline, noipa))
#define TOO_MUCH ((size_t)1 << 62)

/* What the standard asks for of aligned sizes, or the library makes of them. */
#define ROUND(size, unit) (((size) + (unit) - 1) / (unit) * (unit))

static int wrong;
static volatile size_t too_much = TOO_MUCH;

/* What a function is given, used so that no compiler leaves the allocation out. */
static void *used(void *block, size_t size)
{
	if (block)
		*(volatile char *)block = (char)size;
	return block;
}

NOINLINE void *by_malloc(size_t size)
{
	if (malloc(too_much))
		wrong++;
	return used(malloc(size), size);
}

NOINLINE void *by_calloc(size_t size)
{
	if (calloc(too_much, 8))
		wrong++;
	return used(calloc(4, size), size);
}

/* Two blocks: the first is the second one's in the end, unless there is no room. */
NOINLINE void *by_realloc(size_t size)
{
	void *first = used(realloc(NULL, size), size), *second;

	if (realloc(first, too_much)) /* it fails, and the first stays */
		wrong++;
	second = realloc(first, 2 * size);
	return used(second, size);
}

NOINLINE void *by_memalign(size_t size)
{
	return used(memalign(64, size), size);
}

NOINLINE void *by_aligned_alloc(size_t size)
{
	return used(aligned_alloc(64, ROUND(size, 64)), size);
}

NOINLINE void *by_posix_memalign(size_t size)
{
	void *block = NULL;

	if (posix_memalign(&block, 3, size) != EINVAL) /* it fails */
		wrong++;
	if (posix_memalign(&block, 256, size))
		wrong++;
	return used(block, size);
}

#ifdef __cplusplus
NOINLINE void *by_new(size_t size) { return used(::operator new(size), size); }
NOINLINE void *by_new_array(size_t size) { return used(::operator new[](size), size); }
NOINLINE void *by_new_aligned(size_t size) { return used(::operator new(ROUND(size, 128), std::align_val_t(128)), size); }
#endif

struct way {
	const char *name;
	void *(*allocate)(size_t);
	int blocks, times; /* blocks of a call, and their bytes in sizes */
	int live;          /* the same of what it returns */
	int unit;          /* to which sizes are rounded */
	size_t bytes, objects, live_bytes, live_objects;
};

static struct way ways[] = {
	{ "by_malloc", by_malloc, 1, 1, 1, 1, 0, 0, 0, 0 },
	{ "by_calloc", by_calloc, 1, 4, 4, 1, 0, 0, 0, 0 },
	{ "by_realloc", by_realloc, 2, 3, 2, 1, 0, 0, 0, 0 },
	{ "by_memalign", by_memalign, 1, 1, 1, 1, 0, 0, 0, 0 },
	{ "by_aligned_alloc", by_aligned_alloc, 1, 1, 1, 64, 0, 0, 0, 0 },
	{ "by_posix_memalign", by_posix_memalign, 1, 1, 1, 1, 0, 0, 0, 0 },
#ifdef __cplusplus
	{ "by_new", by_new, 1, 1, 1, 1, 0, 0, 0, 0 },
	{ "by_new_array", by_new_array, 1, 1, 1, 1, 0, 0, 0, 0 },
	{ "by_new_aligned", by_new_aligned, 1, 1, 1, 128, 0, 0, 0, 0 },
#endif
};

#define WAYS (sizeof(ways) / sizeof(ways[0]))

struct block {
	void *address;
	unsigned way;
};

static unsigned long long seed;

static unsigned chance(void)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return seed >> 33;
}

static void release(struct block *b)
{
	if (!b->address)
		return;
#ifdef __cplusplus
	if (ways[b->way].allocate == by_new)
		::operator delete(b->address);
	else if (ways[b->way].allocate == by_new_array)
		::operator delete[](b->address);
	else if (ways[b->way].allocate == by_new_aligned)
		::operator delete(b->address, std::align_val_t(128));
	else
#endif
		free(b->address);
	b->address = NULL;
}

static void wait_for_line(void)
{
	char c = 0;

	while (read(0, &c, 1) == 1 && c != '\n')
		;
}

#ifdef __cplusplus
}
#endif
