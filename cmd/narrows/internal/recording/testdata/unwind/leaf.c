// A leaf that three functions call, for 50, 30 and 20 of each 100 units of its work,
// until a byte comes on standard input.
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

static volatile uint64_t sink;

__attribute__((noinline)) static uint64_t leaf(uint64_t x, int units)
{
	for (int i = 0; i < units * 500; i++)
		x = x * 6364136223846793005u + 1442695040888963407u;
	return x;
}

#define CALLER(name, units) \
	__attribute__((noinline)) void name(void) { sink += leaf(sink, units); }

CALLER(half, 50)
CALLER(third, 30)
CALLER(fifth, 20)

int main(void)
{
	unsigned long long rounds = 0;
	char byte;

	fcntl(0, F_SETFL, O_NONBLOCK);
	do {
		for (int i = 0; i < 20; i++, rounds++) {
			half();
			third();
			fifth();
		}
	} while (read(0, &byte, 1) != 1);
	printf("{\"half\":%llu,\"third\":%llu,\"fifth\":%llu}\n", 50 * rounds, 30 * rounds, 20 * rounds);
	return 0;
}
