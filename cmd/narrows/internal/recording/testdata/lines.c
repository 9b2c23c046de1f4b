// Spends its CPU time on three lines of one function, and prints how much on each by
// its own clock when it is told to end by a byte on standard input.
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static volatile uint64_t sink;

__attribute__((noinline)) static uint64_t clock_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

// Inlined into work: its line is of this function, called there.
static inline uint64_t next(uint64_t x) { return x * 6364136223846793005u + 1442695040888963407u; }

__attribute__((noinline)) static void work(uint64_t spent[3], uint64_t stretch)
{
	uint64_t x = 1, start = clock_ns(), end = clock_ns();
	do {
		for (int i = 0; i < 50000; i++) x = x * 6364136223846793005u + i; // half
	} while ((end = clock_ns()) < start + 5000 * stretch);
	spent[0] += end - start;
	start = end;
	do {
		for (int i = 0; i < 50000; i++) x = x * 2862933555777941757u + i; // third
	} while ((end = clock_ns()) < start + 3000 * stretch);
	spent[1] += end - start;
	start = end;
	do {
		for (int i = 0; i < 50000; i++) x = next(x); // fifth
	} while ((end = clock_ns()) < start + 2000 * stretch);
	spent[2] += end - start;
	sink = x;
}

int main(void)
{
	uint64_t spent[3] = {0};
	uint32_t random = 1;
	char byte;

	fcntl(0, F_SETFL, O_NONBLOCK);
	do {
		random = random * 1103515245 + 12345; // a fixed cycle could beat with the ticks
		work(spent, 512 + (random >> 16) % 1024);
	} while (read(0, &byte, 1) != 1);
	printf("{\"half\":%llu,\"third\":%llu,\"fifth\":%llu}\n", (unsigned long long)spent[0],
	       (unsigned long long)spent[1], (unsigned long long)spent[2]);
	return 0;
}
