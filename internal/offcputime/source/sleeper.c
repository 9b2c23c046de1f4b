// Waits in known ways: when it is told to, 8 threads begin that sleep, and compete for CPUs.
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

enum { threads = 8, rounds = 200 };

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static void *sleep_and_spin(void *unused)
{
	for (int i = 0; i < rounds; i++) {
		nanosleep(&(struct timespec){ .tv_nsec = 8000000 }, 0);
		for (int64_t end = now() + 1000000; now() < end;)
			;
	}
	return unused;
}

int main(void)
{
	pthread_t all[threads];

	puts("ready");
	fflush(stdout);
	getchar();
	for (int i = 0; i < threads; i++)
		pthread_create(&all[i], 0, sleep_and_spin, 0);
	for (int i = 0; i < threads; i++)
		pthread_join(all[i], 0);
	return 0;
}
