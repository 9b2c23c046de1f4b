/* Makes the kernel allocate known numbers of objects and pages on known stacks, as the
 * arguments say, once a byte comes in, and prints what lives of them; it ends when its input
 * does. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PIPE_BYTES (16 * 4096)

static int check(int result)
{
	if (result < 0) {
		perror("kernelallocs");
		exit(1);
	}
	return result;
}

enum what { SOCKETS, FILES, PIPES, KINDS };
static const char *names[] = { "sockets", "files", "pipes" };

static int *open_files;
static int files;

static int keep(int file)
{
	open_files[files++] = check(file);
	return file;
}

static inline __attribute__((always_inline)) void make(enum what what)
{
	static char bytes[PIPE_BYTES];
	int ends[2];

	switch (what) {
	case SOCKETS:
		keep(socket(AF_UNIX, SOCK_DGRAM, 0));
		break;
	case FILES:
		keep(memfd_create("narrows", 0));
		break;
	default:
		check(pipe2(ends, O_NONBLOCK));
		keep(ends[0]);
		keep(ends[1]);
		if (write(ends[1], bytes, PIPE_BYTES) != PIPE_BYTES)
			check(-1);
	}
}

__attribute__((noinline)) static void make_most(enum what what, int n)
{
	for (int i = 0; i < n; i++)
		make(what);
	asm volatile("");
}

__attribute__((noinline)) static void make_rest(enum what what, int n)
{
	for (int i = 0; i < n; i++)
		make(what);
	asm volatile("");
}

/* Closes one file in two that were opened from one on, or one pipe. */
static void close_half(int from, int to, int of_each)
{
	for (int i = from; i + of_each <= to; i += 2 * of_each)
		for (int j = 0; j < of_each; j++)
			close(open_files[i + j]);
}

static void hold(int n, int seed)
{
	srand(seed);
	for (enum what what = SOCKETS; what < KINDS; what++) {
		int each = what == PIPES ? 2 : 1, made = what == PIPES ? n / 8 : n, from = files, at;
		int most = 2 * (made / 3 + rand() % (made / 24 + 1)), rest = made - most; /* both even */

		make_most(what, most);
		at = files;
		close_half(from, at, each);
		make_rest(what, rest);
		close_half(at, files, each);
		printf("most-%s %d\nrest-%s %d\n", names[what], most / 2, names[what], rest / 2);
	}
}

/* Allocates and frees as fast as it can. */
__attribute__((noinline)) static long storm(double seconds)
{
	struct timespec now, end;
	long calls = 0;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_nsec += seconds * 1e9;
	end.tv_sec += end.tv_nsec / 1000000000;
	end.tv_nsec %= 1000000000;
	do {
		for (int i = 0; i < 64; i++, calls++)
			close(check(eventfd(0, 0)));
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec));
	return calls;
}

int main(int argc, char **argv)
{
	struct rlimit limit = { 1 << 16, 1 << 16 };
	int n = argc > 2 ? atoi(argv[2]) : 0;
	char c;

	setrlimit(RLIMIT_NOFILE, &limit);
	open_files = calloc(1 << 16, sizeof(int));
	if (read(0, &c, 1) < 0)
		return 1;
	if (argc > 3 && !strcmp(argv[1], "hold"))
		hold(n, atoi(argv[3]));
	else if (argc > 2 && !strcmp(argv[1], "storm"))
		printf("calls %ld\n", storm(n));
	puts("done 1");
	fflush(stdout);
	return read(0, &c, 1) < 0;
}
