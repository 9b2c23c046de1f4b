/* Threads that wait in known ways, each of which says how long it lived without running. */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static atomic_int ended;
static int bytes[2];

static uint64_t now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void sleep_ns(long ns)
{
	struct timespec t = { .tv_nsec = ns };

	nanosleep(&t, NULL);
}

__attribute__((noinline)) static void nap(void) { while (!ended) sleep_ns(5000000); }

__attribute__((noinline)) static void doze(void) { while (!ended) sleep_ns(1000000); }

__attribute__((noinline)) static void await_byte(void)
{
	char c;

	while (read(bytes[0], &c, 1) == 1)
		;
}

__attribute__((noinline)) static void write_bytes(void)
{
	while (!ended) {
		sleep_ns(3000000);
		if (write(bytes[1], "", 1) != 1)
			break;
	}
	close(bytes[1]);
}

__attribute__((noinline)) static void await_poll(void)
{
	struct pollfd none = { .fd = -1 };

	while (!ended)
		poll(&none, 1, 7);
}

/* Wakes up on another CPU each time. */
__attribute__((noinline)) static void wander(void)
{
	int cpus = sysconf(_SC_NPROCESSORS_ONLN);

	for (int i = 0; !ended; i++) {
		cpu_set_t one;

		CPU_ZERO(&one);
		CPU_SET(i % cpus, &one);
		pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
		sleep_ns(2000000);
	}
}

/* One wait that is longer than any window. */
__attribute__((noinline)) static void await_end(void)
{
	char c;

	while (read(0, &c, 1) > 0)
		;
	ended = 1;
}

/* 2^17 different stacks, by the bits of a number. */
static void turn_left(uint32_t path, int depth);
static void turn_right(uint32_t path, int depth);

__attribute__((noinline)) static void turn(uint32_t path, int depth)
{
	if (depth == 0)
		sleep_ns(20000000);
	else if (path & 1)
		turn_left(path >> 1, depth - 1);
	else
		turn_right(path >> 1, depth - 1);
	__asm__ volatile("");
}

__attribute__((noinline)) static void turn_left(uint32_t path, int depth) { turn(path, depth); __asm__ volatile(""); }
__attribute__((noinline)) static void turn_right(uint32_t path, int depth) { turn(path, depth); __asm__ volatile(""); }

static atomic_uint next_path;

__attribute__((noinline)) static void take_paths(void)
{
	for (uint32_t path; (path = next_path++) < 100000;)
		turn(path, 17);
}

/* Sleeps once, for a while that differs by thread. */
static atomic_uint next_sleep;

__attribute__((noinline)) static void sleep_once(void) { sleep_ns(1000000 + 997 * (next_sleep++ % 100000)); }

struct job {
	const char *name;
	void (*run)(void);
	uint64_t off;
	pthread_t thread;
};

static void *work(void *argument)
{
	struct job *job = argument;
	uint64_t start = now(CLOCK_MONOTONIC);

	job->run();
	job->off = now(CLOCK_MONOTONIC) - start - now(CLOCK_THREAD_CPUTIME_ID);
	return NULL;
}

static void start(struct job *job)
{
	pthread_attr_t small;

	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 32 << 10);
	if (pthread_create(&job->thread, &small, work, job)) {
		perror("pthread_create");
		exit(1);
	}
	pthread_attr_destroy(&small);
}

static void report(const char *name, uint64_t off) { printf("%s %llu\n", name, (unsigned long long)off); }

static void several(void)
{
	struct job jobs[] = {
		{ "nap", nap }, { "doze", doze }, { "await_byte", await_byte }, { "write_bytes", write_bytes },
		{ "await_poll", await_poll }, { "wander", wander }, { "await_end", await_end },
	};
	int n = sizeof(jobs) / sizeof(*jobs);

	if (pipe(bytes))
		exit(1);
	for (int i = 0; i < n; i++)
		start(&jobs[i]);
	for (int i = 0; i < n; i++) {
		pthread_join(jobs[i].thread, NULL);
		report(jobs[i].name, jobs[i].off);
	}
}

static void same(const char *name, void (*run)(void), int threads)
{
	struct job *jobs = calloc(threads, sizeof(*jobs));
	uint64_t sum = 0;

	for (int i = 0; i < threads; i++) {
		jobs[i] = (struct job){ name, run };
		start(&jobs[i]);
	}
	for (int i = 0; i < threads; i++) {
		pthread_join(jobs[i].thread, NULL);
		sum += jobs[i].off;
	}
	report(name, sum);
	free(jobs);
}

int main(int argc, char **argv)
{
	if (argc == 1)
		several();
	else if (!strcmp(argv[1], "paths"))
		same("take_paths", take_paths, 500);
	else if (!strcmp(argv[1], "threads"))
		same("sleep_once", sleep_once, 20000);
	return 0;
}
