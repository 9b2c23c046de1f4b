// A target of known work: `target CPU DEPTH work N` does N steps beneath DEPTH
// frames and prints what they took by its own clocks; `spin` does the same until
// it is killed; `read` copies from the kernel until then.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/bpf.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile uint64_t sink;

__attribute__((noinline)) static void step(uint64_t i) { sink += i; }

static int streaming;

// Goes through 16 MB, and so leaves nothing of anybody else's in the caches.
static void stream(void)
{
	enum { bytes = 16 << 20 };
	uint64_t *memory = malloc(bytes), sum = 0;
	memset(memory, 1, bytes);
	for (;; step(sum))
		for (size_t i = 0; i < bytes / 8; i += 8)
			sum += memory[i]++;
}

// Has an eBPF program run here, by its file descriptor, as often as asked.
static int probed;

static void probe(uint64_t times)
{
	union bpf_attr attr = { .test = { .prog_fd = probed } };
	while (times-- > 0)
		if (syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attr, sizeof(attr))) {
			perror("BPF_PROG_TEST_RUN");
			exit(1);
		}
}

__attribute__((noinline)) static void work(uint64_t steps)
{
	uint64_t x = 1;
	if (probed)
		return probe(steps);
	if (streaming)
		stream();
	for (uint64_t i = 0; i < steps; i++) {
		for (int k = 0; k < 1000; k++)
			x = x * 6364136223846793005u + 1442695040888963407u;
		step(x);
	}
}

// 256 functions, f_0_0_0_0 to f_3_3_3_3, each of which calls the one before it, so that
// each frame of a stack is another function's as in real programs.
typedef void function(uint64_t);
static function *const functions[256];

#define F(a, b, c, d) \
	__attribute__((noinline)) static void f_##a##_##b##_##c##_##d(uint64_t steps) \
	{ \
		enum { i = a * 64 + b * 16 + c * 4 + d }; \
		uint64_t volatile space[1 + i % 5]; \
		space[0] = steps; \
		if (i > 0) \
			functions[i - 1](steps); \
		else \
			work(steps); \
		step(space[0]); /* so that the call above is no tail call */ \
	}
#define ALL3(m, a, b, c) m(a, b, c, 0) m(a, b, c, 1) m(a, b, c, 2) m(a, b, c, 3)
#define ALL2(m, a, b) ALL3(m, a, b, 0) ALL3(m, a, b, 1) ALL3(m, a, b, 2) ALL3(m, a, b, 3)
#define ALL1(m, a) ALL2(m, a, 0) ALL2(m, a, 1) ALL2(m, a, 2) ALL2(m, a, 3)
#define ALL(m) ALL1(m, 0) ALL1(m, 1) ALL1(m, 2) ALL1(m, 3)
ALL(F)
#define NAME(a, b, c, d) f_##a##_##b##_##c##_##d,
static function *const functions[256] = { ALL(NAME) };


static void read_forever(void)
{
	static char buffer[64 * 1024];
	int zero = open("/dev/zero", O_RDONLY);
	while (read(zero, buffer, sizeof(buffer)) > 0)
		;
	exit(1);
}

static uint64_t now(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

int main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	cpu_set_t only;
	CPU_ZERO(&only);
	CPU_SET(atoi(argv[1]), &only);
	if (sched_setaffinity(0, sizeof(only), &only)) {
		perror("sched_setaffinity");
		return 1;
	}
	alarm(300); // nobody wants it longer, should its parent die
	int depth = atoi(argv[2]);
	if (depth < 0 || depth > 255)
		return 2;
	function *top = functions[depth];
	if (!strcmp(argv[3], "spin"))
		top(UINT64_MAX);
	if (!strcmp(argv[3], "stream")) {
		streaming = 1;
		top(UINT64_MAX);
	}
	if (!strcmp(argv[3], "probe")) {
		// Each line asks for runs of a program: its file descriptor and how many.
		for (unsigned long long times; scanf("%d %llu", &probed, &times) == 2; puts("done"), fflush(stdout))
			top(times);
		return 0;
	}
	if (!strcmp(argv[3], "read"))
		read_forever();
	if (argc < 5)
		return 2;
	uint64_t cpu = now(CLOCK_PROCESS_CPUTIME_ID), wall = now(CLOCK_MONOTONIC);
	top(strtoull(argv[4], 0, 10));
	wall = now(CLOCK_MONOTONIC) - wall;
	cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	printf("{\"cpu_ns\":%llu,\"wall_ns\":%llu}\n", (unsigned long long)cpu, (unsigned long long)wall);
	return 0;
}
