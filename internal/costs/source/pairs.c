/* Allocates and frees as often as a line of its input says, and says what one time took, in
 * nanoseconds. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(void)
{
	long times, i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	while (scanf("%ld %*d", &times) == 1) {
		double begun = now();

		for (i = 0; i < times; i++) {
			char *volatile block = malloc(100);

			free(block);
		}
		printf("%f\n", (now() - begun) / times);
	}
	return 0;
}
