// Threads that wait for each other, and measure that themselves.
//
//	locks MODE THREADS ROUNDS
//
// Each thread takes the lock ROUNDS times, but for at most 3 s where it syncs a file. Where it is not free, the time until it is had
// is the wait. In the end the program prints the address of what was waited for, how often
// and how long its threads waited, and for whom: "pair:WAITER:HOLDER" by the threads' names.
// Time in which nobody held the lock is counted to who held it before.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_THREADS 16
#define MAX_ROUNDS 20000

struct span {
	int thread, contended;
	uint64_t from, to;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static sem_t semaphore;
static struct span held[MAX_THREADS * MAX_ROUNDS], waited[MAX_THREADS][MAX_ROUNDS];
static int holdings, waits[MAX_THREADS];
static int threads, rounds, file;
static const char *mode;

static int is(const char *name) { return strcmp(mode, name) == 0; }

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

__attribute__((noinline)) void spin(uint64_t ns)
{
	uint64_t end = now() + ns;
	while (now() < end)
		;
}

static void rest(uint64_t ns)
{
	struct timespec t = {ns / 1000000000, ns % 1000000000};
	nanosleep(&t, 0);
}

static int try_lock(void)
{
	if (is("semaphore"))
		return sem_trywait(&semaphore);
	if (is("rwlock"))
		return pthread_rwlock_trywrlock(&rwlock);
	return pthread_mutex_trylock(&mutex);
}

__attribute__((noinline)) void take(void)
{
	if (is("semaphore"))
		sem_wait(&semaphore);
	else if (is("rwlock"))
		pthread_rwlock_wrlock(&rwlock);
	else
		pthread_mutex_lock(&mutex);
	asm volatile("" ::: "memory");
}

__attribute__((noinline)) void let_go(void)
{
	if (is("semaphore"))
		sem_post(&semaphore);
	else if (is("rwlock"))
		pthread_rwlock_unlock(&rwlock);
	else
		pthread_mutex_unlock(&mutex);
	asm volatile("" ::: "memory");
}

__attribute__((noinline)) void sync_file(void)
{
	char block[4096] = {1};
	for (int i = 0; i < 8; i++)
		if (pwrite(file, block, sizeof(block), i * sizeof(block)) < 0)
			perror("write");
	fsync(file);
	asm volatile("" ::: "memory");
}

static void hold(int thread)
{
	if (is("fsync"))
		sync_file();
	else if (is("long") && thread == 0)
		rest(20000000);
	else if (is("long") || is("convoy"))
		spin(100000);
	else if (thread & 1)
		rest(1000000);
	else
		spin(1000000);
}

static void *work(void *argument)
{
	int thread = (intptr_t)argument;
	char name[16];
	snprintf(name, sizeof(name), "t%d", thread);
	pthread_setname_np(pthread_self(), name);
	uint64_t end = now() + 3000000000ull;
	for (int i = 0; i < rounds && (now() < end || !is("fsync")); i++) {
		struct span *w = &waited[thread][waits[thread]];
		uint64_t from = now();
		int contended = try_lock();
		if (contended) {
			w->from = from;
			take();
			w->to = now();
			waits[thread]++;
		}
		struct span *h = &held[holdings++];
		h->thread = thread;
		h->contended = contended;
		h->from = now();
		hold(thread);
		h->to = now();
		let_go();
		rest(is("convoy") ? 50000 : 300000 + 100000 * thread);
	}
	return 0;
}

static uint64_t overlap(const struct span *w, uint64_t from, uint64_t to)
{
	if (from < w->from)
		from = w->from;
	if (to > w->to)
		to = w->to;
	return from < to ? to - from : 0;
}

// When a thread began to hold the lock. A mutex with priority inheritance is given by the
// kernel to the next thread, whether that runs or not.
static uint64_t owned(int h) { return is("pi") && h > 0 && held[h].contended ? held[h - 1].to : held[h].from; }

static void report(void *lock, int bytes)
{
	static double pairs[MAX_THREADS][MAX_THREADS];
	double total = 0, count = 0;
	for (int t = 0; t < threads; t++)
		for (int i = 0; i < waits[t]; i++) {
			struct span *w = &waited[t][i];
			int low = 0, high = holdings; // the first that may overlap
			while (low < high) {
				int middle = (low + high) / 2;
				if (held[middle].from <= w->from)
					low = middle + 1;
				else
					high = middle;
			}
			total += w->to - w->from;
			count++;
			for (int h = low > 1 ? low - 2 : 0; h < holdings && owned(h) < w->to; h++) {
				// What is given to a thread that has no CPU is still another's doing.
				int by = held[h].thread == t && h > 0 ? held[h - 1].thread : held[h].thread;
				pairs[t][by] += overlap(w, owned(h), h + 1 < holdings ? owned(h + 1) : UINT64_MAX);
			}
		}
	printf("{\"lock\":%llu,\"lock_bytes\":%d,\"wait_ns\":%.0f,\"contended\":%.0f", (unsigned long long)(uintptr_t)lock, bytes, total, count);
	for (int w = 0; w < threads; w++)
		for (int h = 0; h < threads; h++)
			if (pairs[w][h] > 0)
				printf(",\"pair:t%d:t%d\":%.0f", w, h, pairs[w][h]);
	printf("}\n");
}

static void make_mutex(void)
{
	pthread_mutexattr_t a;
	pthread_mutexattr_init(&a);
	if (is("pi"))
		pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT);
	if (is("robust"))
		pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&mutex, &a);
}

int main(int argc, char **argv)
{
	pthread_t started[MAX_THREADS];
	if (argc < 4)
		return 2;
	mode = argv[1];
	threads = atoi(argv[2]);
	rounds = atoi(argv[3]);
	if (threads > MAX_THREADS || rounds > MAX_ROUNDS)
		return 2;
	make_mutex();
	sem_init(&semaphore, 0, 1);
	if (is("fsync")) {
		file = open(argv[4], O_RDWR | O_CREAT | O_TRUNC, 0600);
		if (file < 0)
			return perror(argv[4]), 1;
	}
	for (intptr_t i = 0; i < threads; i++)
		pthread_create(&started[i], 0, work, (void *)i);
	for (int i = 0; i < threads; i++)
		pthread_join(started[i], 0);
	if (is("rwlock"))
		report(&rwlock, sizeof(rwlock)); // it has several words to wait for
	else if (is("semaphore"))
		report(&semaphore, sizeof(semaphore));
	else
		report(&mutex, sizeof(mutex));
	return 0;
}
