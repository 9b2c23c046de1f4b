// A target of known work: `target CPU DEPTH work N` does N steps beneath DEPTH
// frames and prints what they took by its own clocks; `spin` does the same until
// it is killed; `read` copies from the kernel until then.
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile uint64_t sink;

__attribute__((noinline)) static void step(uint64_t i) { sink += i; }

__attribute__((noinline)) static void work(uint64_t steps)
{
	uint64_t x = 1;
	for (uint64_t i = 0; i < steps; i++) {
		for (int k = 0; k < 1000; k++)
			x = x * 6364136223846793005u + 1442695040888963407u;
		step(x);
	}
}

__attribute__((noinline)) static void descend(int depth, uint64_t steps)
{
	if (depth > 0)
		descend(depth - 1, steps);
	else
		work(steps);
	step(depth); // so that the call above is no tail call
}

static void read_forever(void)
{
	static char buffer[64 * 1024];
	int zero = open("/dev/zero", O_RDONLY);
	while (read(zero, buffer, sizeof(buffer)) > 0)
		;
	exit(1);
}

static uint64_t now(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

int main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	cpu_set_t only;
	CPU_ZERO(&only);
	CPU_SET(atoi(argv[1]), &only);
	if (sched_setaffinity(0, sizeof(only), &only)) {
		perror("sched_setaffinity");
		return 1;
	}
	alarm(300); // nobody wants it longer, should its parent die
	int depth = atoi(argv[2]);
	if (!strcmp(argv[3], "spin"))
		descend(depth, UINT64_MAX);
	if (!strcmp(argv[3], "read"))
		read_forever();
	if (argc < 5)
		return 2;
	uint64_t cpu = now(CLOCK_PROCESS_CPUTIME_ID), wall = now(CLOCK_MONOTONIC);
	descend(depth, strtoull(argv[4], 0, 10));
	wall = now(CLOCK_MONOTONIC) - wall;
	cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	printf("{\"cpu_ns\":%llu,\"wall_ns\":%llu}\n", (unsigned long long)cpu, (unsigned long long)wall);
	return 0;
}
