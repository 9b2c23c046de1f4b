/* Makes known numbers of bytes resident on known stacks, as the first argument says, once a
 * byte comes in, and prints what the kernel counted meanwhile. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MB (1024ul * 1024)
#define PAGE 4096
#define HUGE (2 * MB)

__attribute__((noinline)) static void touch(volatile char *from, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += PAGE)
		from[i] = 1;
}

__attribute__((noinline)) static void touch_most(char *from, size_t bytes)
{
	touch(from, bytes);
	asm volatile("");
}

__attribute__((noinline)) static void touch_rest(char *from, size_t bytes)
{
	touch(from, bytes);
	asm volatile("");
}

static char *map(size_t bytes, int flags)
{
	char *p = mmap(0, bytes + HUGE, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE | MAP_NORESERVE | flags, -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return (char *)(((size_t)p + HUGE - 1) & ~(HUGE - 1));
}

static long faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt + usage.ru_majflt;
}

static long resident(void) /* in KB */
{
	char line[256];
	long kb = -1;
	FILE *f = fopen("/proc/self/smaps_rollup", "r");

	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "Rss: %ld kB", &kb);
	if (f)
		fclose(f);
	return kb;
}

static void split(int huge)
{
	char *p = map(1024 * MB, 0);

	if (huge)
		madvise(p, 1024 * MB, MADV_HUGEPAGE);
	touch_most(p, 70 * MB);
	touch_rest(p + 512 * MB, 30 * MB);
}

__attribute__((noinline)) static void populate(size_t bytes)
{
	mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE | MAP_POPULATE, -1, 0);
	asm volatile("");
}

__attribute__((noinline)) static void lock_memory(size_t bytes)
{
	mlock(map(bytes, 0), bytes);
	asm volatile("");
}

__attribute__((noinline)) static void read_zeros(size_t bytes)
{
	char *p = map(bytes, 0);
	int f = open("/dev/zero", O_RDONLY);

	for (size_t n = 0; n < bytes; n += 64 * 1024)
		if (read(f, p + n, 64 * 1024) < 0)
			exit(1);
	close(f);
}

/* A child writes what it shares with its parent, so that each page is copied. */
__attribute__((noinline)) static void copy(size_t bytes)
{
	char *p = map(bytes, 0);

	touch_rest(p, bytes);
	if (!fork()) {
		touch_most(p, bytes);
		_exit(0);
	}
	wait(0);
}

/* Reads each page of a file, through a mapping. */
__attribute__((noinline)) static int read_file(const char *name, size_t bytes)
{
	int f = open(name, O_RDONLY), sum = 0;
	volatile char *p = mmap(0, bytes, PROT_READ, MAP_SHARED, f, 0);

	if (p == MAP_FAILED)
		exit(1);
	for (size_t i = 0; i < bytes; i += PAGE)
		sum += p[i];
	close(f);
	return sum;
}

static void *storm(void *seconds)
{
	struct timespec now, end;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += (long)seconds;
	do {
		char *p = map(8 * MB, 0);

		touch_most(p, 4 * MB);
		touch_rest(p + 4 * MB, 4 * MB);
		munmap(p, 8 * MB);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec));
	return 0;
}

static void storms(void)
{
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], 0, storm, (void *)3);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], 0);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	long before, kb;
	char c;

	if (strcmp(what, "huge"))
		prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	resident(); /* what reading it needs is there from here on */
	if (read(0, &c, 1) < 0)
		return 1;
	kb = resident();
	before = faults();
	if (!strcmp(what, "split") || !strcmp(what, "huge"))
		split(what[0] == 'h');
	else if (!strcmp(what, "kernel"))
		populate(128 * MB), lock_memory(96 * MB), read_zeros(112 * MB);
	else if (!strcmp(what, "copy"))
		copy(96 * MB);
	else if (!strcmp(what, "file") && argc > 2)
		read_file(argv[2], 32 * MB);
	else if (!strcmp(what, "storm"))
		storms();
	printf("faults %ld\n", faults() - before);
	printf("resident %ld\n", (resident() - kb) * 1024);
	return 0;
}
