/*
 * Allocates at an even pace, from one line on its standard input to the next, by all functions of
 * an allocator, and frees all of that soon, but for what it is told to keep; it says then on its
 * standard output what that is, by whom.
 *
 *	leaks SEED PLAN WAY MILLISECONDS
 *
 * The plans: "leak" keeps each block of a way. "cache" does so for so long, and no longer.
 * "free" frees all that it has kept before it says so.
 */
#include <poll.h>
#include <time.h>

#include "ways.h"

#define HELD 64
#define KEPT 100000

static struct block held[HELD], kept[KEPT];

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

/* What is kept has a stack of its own. */
NOINLINE struct block keep(unsigned way, size_t size)
{
	struct block b = { ways[way].allocate(size), way };

	ways[way].live_objects++;
	ways[way].live_bytes += ways[way].live * ROUND(size, ways[way].unit);
	return b;
}

NOINLINE void pass(void)
{
	unsigned way = chance() % WAYS;
	struct block b = { ways[way].allocate(16 + chance() % 4000), way };
	struct block *place = &held[chance() % HELD];

	release(place);
	*place = b;
}

int main(int argc, char **argv)
{
	struct pollfd input = { 0, POLLIN, 0 };
	static char buffer[4096];
	unsigned way = 0, n = 0;
	double begun, time;

	if (argc < 5)
		return 2;
	seed = strtoull(argv[1], NULL, 10);
	time = atof(argv[4]);
	while (way < WAYS && strcmp(ways[way].name, argv[3]))
		way++;
	if (way == WAYS)
		return 2;
	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	puts("ready");
	fflush(stdout);
	wait_for_line();
	for (begun = now(); !poll(&input, 1, 2);) {
		if (n < KEPT && (strcmp(argv[2], "cache") || now() - begun < time))
			kept[n++] = keep(way, 16 + chance() % 4000);
		pass();
		pass();
	}
	wait_for_line();
	for (unsigned i = 0; i < HELD; i++)
		release(&held[i]);
	if (!strcmp(argv[2], "free")) {
		while (n)
			release(&kept[--n]);
		ways[way].live_bytes = ways[way].live_objects = 0;
	}
	printf("%s 0 0 %zu %zu\ndone\n", ways[way].name, ways[way].live_bytes, ways[way].live_objects);
	fflush(stdout);
	wait_for_line();
	return wrong != 0;
}
