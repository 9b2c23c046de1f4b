/*
 * Allocates a known number of bytes by each function of an allocator, from a stack of each, and
 * never frees some of it. It says on its standard output what it did: of each function the
 * bytes and blocks that were allocated, and those that were not freed.
 *
 *	main SEED BLOCKS LEAK    every LEAKth block is not freed, none is if it is 0
 *
 * It is C, or C++ with its operators new and delete.
 */
#include <pthread.h>

#include "ways.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HELD 64

static struct block held[HELD];
static long blocks, leak;

/* A thread of its own, so that blocks are freed by other threads too. */
NOINLINE void *work(void *unused)
{
	for (long i = 0; i < blocks; i++) {
		size_t size = 16 + chance() % 4000, counted;
		unsigned way = chance() % WAYS;
		struct way *w = &ways[way];
		struct block b = { w->allocate(size), way };

		counted = ROUND(size, w->unit);
		if (!b.address)
			wrong++;
		w->objects += w->blocks;
		w->bytes += w->times * counted;
		if (leak && i % leak == 0) {
			w->live_objects++;
			w->live_bytes += w->live * counted;
			continue;
		}
		struct block *place = &held[chance() % HELD];
		release(place);
		*place = b;
	}
	return unused;
}

int main(int argc, char **argv)
{
	static char buffer[4096];
	pthread_t thread;

	if (argc < 4)
		return 2;
	seed = strtoull(argv[1], NULL, 10);
	blocks = strtol(argv[2], NULL, 10);
	leak = strtol(argv[3], NULL, 10);
	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	puts("ready");
	fflush(stdout);
	wait_for_line();
	if (pthread_create(&thread, NULL, work, NULL) || pthread_join(thread, NULL))
		return 2;
	for (unsigned i = 0; i < HELD; i++)
		release(&held[i]);
	for (unsigned i = 0; i < WAYS; i++)
		printf("%s %zu %zu %zu %zu\n", ways[i].name, ways[i].bytes, ways[i].objects, ways[i].live_bytes, ways[i].live_objects);
	puts("done");
	fflush(stdout);
	wait_for_line();
	return wrong != 0;
}
#ifdef __cplusplus
}
#endif
