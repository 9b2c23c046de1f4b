// Spends its CPU time in three functions, none of them a leaf, and prints how much
// in each by its own clock when it is told to end by a byte on standard input.
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static volatile uint64_t sink;

static uint64_t clock_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

__attribute__((noinline)) static void step(uint64_t i) { sink += i; }

// Each function is the same loop, with its own name.
#define WORK(name)                                                              \
	__attribute__((noinline)) void name(uint64_t until)                     \
	{                                                                       \
		uint64_t x = 1;                                                 \
		do {                                                            \
			for (int i = 0; i < 200000; i++)                        \
				x = x * 6364136223846793005u + 1442695040888963407u; \
			step(x);                                                \
		} while (clock_ns() < until);                                   \
	}

WORK(half)
WORK(third)
WORK(fifth)

int main(void)
{
	uint64_t spent[3] = {0};
	void (*work[3])(uint64_t) = {half, third, fifth};
	const uint64_t slice[3] = {5000000, 3000000, 2000000};
	uint32_t random = 1;
	char byte;

	fcntl(0, F_SETFL, O_NONBLOCK);
	do {
		random = random * 1103515245 + 12345; // a fixed cycle could beat with the ticks
		uint64_t stretch = 512 + (random >> 16) % 1024;
		for (int i = 0; i < 3; i++) {
			uint64_t start = clock_ns();
			work[i](start + slice[i] * stretch / 1024);
			spent[i] += clock_ns() - start;
		}
	} while (read(0, &byte, 1) != 1);
	printf("{\"half\":%llu,\"third\":%llu,\"fifth\":%llu}\n", (unsigned long long)spent[0],
	       (unsigned long long)spent[1], (unsigned long long)spent[2]);
	return 0;
}
