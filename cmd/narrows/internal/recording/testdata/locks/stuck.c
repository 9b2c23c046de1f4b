// What is hard to follow of futexes.
//
//	stuck deadlock    three threads: two wait for each other's mutex, one for one of them
//	stuck unmapped    waits for locks in memory that there is none of
//	stuck distinct    waits for each of 100,000 words for a moment
//	stuck reuse       a mutex, then another one of its own in the same memory
//	stuck die         is killed while two of its threads wait
//	stuck condition   threads that wait for a condition variable, and one that signals
//	stuck traced      a child whose waits are interrupted by the one who traces it
//
// Programs that wait print a line first, and go on when their input ends.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t first = PTHREAD_MUTEX_INITIALIZER, second = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t barrier;

static void rest(uint64_t ns)
{
	struct timespec t = {ns / 1000000000, ns % 1000000000};
	nanosleep(&t, 0);
}

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static long futex(void *word, int operation, uint32_t value, uint64_t timeout)
{
	struct timespec t = {timeout / 1000000000, timeout % 1000000000};
	return syscall(SYS_futex, word, operation, value, timeout ? &t : 0, 0, -1);
}

static void *one(void *unused)
{
	pthread_setname_np(pthread_self(), "one");
	rest(1000000);
	pthread_mutex_lock(&first);
	pthread_barrier_wait(&barrier);
	pthread_mutex_lock(&second);
	return unused;
}

static void *two(void *unused)
{
	pthread_setname_np(pthread_self(), "two");
	pthread_mutex_lock(&second);
	pthread_barrier_wait(&barrier);
	pthread_mutex_lock(&first);
	return unused;
}

static void *three(void *unused)
{
	pthread_setname_np(pthread_self(), "three");
	pthread_barrier_wait(&barrier);
	pthread_mutex_lock(&first);
	return unused;
}

static void until_told(void)
{
	printf("{\"first\":%llu,\"second\":%llu}\n", (unsigned long long)(uintptr_t)&first, (unsigned long long)(uintptr_t)&second);
	fflush(stdout);
	while (getchar() != EOF)
		;
}

static void deadlock(void)
{
	pthread_t t;
	pthread_barrier_init(&barrier, 0, 4);
	pthread_create(&t, 0, one, 0);
	pthread_create(&t, 0, two, 0);
	pthread_create(&t, 0, three, 0);
	for (int i = 0; i < 50; i++)
		rest(20000000); // so that where it waits is known by then
	pthread_barrier_wait(&barrier);
	rest(50000000);
	until_told();
	_exit(0);
}

static void unmapped(void)
{
	char *memory = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t failed = 0;
	munmap(memory, 4096);
	for (int i = 0; i < 100; i++) {
		failed += futex(memory, FUTEX_WAIT_PRIVATE, 2, 0) == -1 && errno == EFAULT;
		failed += futex(memory, FUTEX_LOCK_PI_PRIVATE, 0, 0) == -1 && errno == EFAULT;
		failed += futex((void *)-4096, FUTEX_WAIT_PRIVATE, 2, 0) == -1 && errno == EFAULT;
	}
	printf("{\"failed\":%llu}\n", (unsigned long long)failed);
}

static void distinct(void)
{
	const int words = 100000;
	uint32_t *memory = calloc(words, sizeof(*memory));
	uint64_t waits = 0;
	for (int i = 0; i < words; i++)
		waits += futex(&memory[i], FUTEX_WAIT_PRIVATE, 0, 1) == -1 && errno == ETIMEDOUT;
	printf("{\"waits\":%llu}\n", (unsigned long long)waits);
}

static void *hold_it(void *lock)
{
	pthread_mutex_lock(lock);
	pthread_barrier_wait(&barrier);
	rest(20000000);
	pthread_mutex_unlock(lock);
	return 0;
}

static void reuse(void)
{
	pthread_mutex_t *lock = malloc(sizeof(*lock));
	uint64_t waited = 0;
	pthread_barrier_init(&barrier, 0, 2);
	for (int i = 0; i < 20; i++) {
		pthread_t t;
		pthread_mutexattr_t a;
		pthread_mutexattr_init(&a);
		if (i & 1)
			pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT);
		pthread_mutex_init(lock, &a);
		pthread_create(&t, 0, hold_it, lock);
		pthread_barrier_wait(&barrier);
		uint64_t from = now();
		pthread_mutex_lock(lock);
		waited += now() - from;
		pthread_mutex_unlock(lock);
		pthread_join(t, 0);
		pthread_mutex_destroy(lock);
		memset(lock, 0xff, sizeof(*lock));
	}
	printf("{\"lock\":%llu,\"lock_bytes\":40,\"wait_ns\":%llu,\"contended\":20}\n", (unsigned long long)(uintptr_t)lock, (unsigned long long)waited);
}

static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int given;

static void *consume(void *unused)
{
	pthread_setname_np(pthread_self(), "consumer");
	for (int i = 0; i < 100; i++) {
		pthread_mutex_lock(&first);
		while (!given)
			pthread_cond_wait(&condition, &first);
		given--;
		pthread_mutex_unlock(&first);
	}
	return unused;
}

static void conditions(void)
{
	pthread_t t[3];
	pthread_setname_np(pthread_self(), "producer");
	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], 0, consume, 0);
	for (int i = 0; i < 300; i++) {
		rest(2000000);
		pthread_mutex_lock(&first);
		given++;
		pthread_mutex_unlock(&first);
		pthread_cond_signal(&condition);
	}
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], 0);
	printf("{\"lock\":%llu,\"lock_bytes\":48}\n", (unsigned long long)(uintptr_t)&condition);
}

static void traced(void)
{
	pid_t child = fork();
	int status;
	if (child == 0) {
		static uint32_t word;
		uint64_t from = now();
		while (now() - from < 1000000000)
			futex(&word, FUTEX_WAIT_PRIVATE, 0, 300000000);
		_exit(0);
	}
	ptrace(PTRACE_SEIZE, child, 0, PTRACE_O_TRACESYSGOOD);
	for (int i = 0; i < 50; i++) {
		rest(10000000);
		ptrace(PTRACE_INTERRUPT, child, 0, 0);
		if (waitpid(child, &status, __WALL) < 0 || WIFEXITED(status))
			break;
		ptrace(i & 1 ? PTRACE_SYSCALL : PTRACE_CONT, child, 0, 0);
		if (i & 1) {
			waitpid(child, &status, __WALL);
			ptrace(PTRACE_CONT, child, 0, 0);
		}
	}
	waitpid(child, &status, __WALL);
	printf("{\"child\":%d}\n", child);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	if (!strcmp(mode, "deadlock") || !strcmp(mode, "die"))
		deadlock();
	else if (!strcmp(mode, "unmapped"))
		unmapped();
	else if (!strcmp(mode, "distinct"))
		distinct();
	else if (!strcmp(mode, "reuse"))
		reuse();
	else if (!strcmp(mode, "condition"))
		conditions();
	else if (!strcmp(mode, "traced"))
		traced();
	return 0;
}
