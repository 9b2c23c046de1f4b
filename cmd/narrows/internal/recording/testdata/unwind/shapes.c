// Stacks of the shapes that are hard to unwind, until a byte comes on standard input:
//
//	shapes recursion    500 frames deep
//	shapes signal       inside a handler, on an alternate stack
//	shapes syscall      system calls through the C library
//	shapes callback     qsort calls back into the program
//	shapes mappings     10,000 mappings of code
//	shapes garbage      a stack of random words
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile uint64_t sink;

static int ended(void)
{
	char byte;
	return read(0, &byte, 1) == 1;
}

__attribute__((noinline)) static void leaf(int n)
{
	uint64_t x = sink;
	for (int i = 0; i < n; i++)
		x = x * 6364136223846793005u + 1442695040888963407u;
	sink = x;
}

__attribute__((noinline)) static int recursion(int depth)
{
	if (depth == 0) {
		for (int i = 0; i < 100; i++)
			leaf(20000);
		return ended();
	}
	return recursion(depth - 1) + (sink == 1);
}

__attribute__((noinline)) static void handler(int signal)
{
	leaf(400000 + signal);
	sink++;
}

__attribute__((noinline)) static int in_signal(void)
{
	for (int i = 0; i < 10; i++)
		raise(SIGUSR1);
	return ended();
}

__attribute__((noinline)) static int syscalls(void)
{
	static int pipes[2];
	char buffer[4096] = {0};
	struct timespec nothing = {0};
	if (!pipes[0] && pipe(pipes))
		exit(1);
	for (int i = 0; i < 200; i++) {
		if (write(pipes[1], buffer, sizeof(buffer)) < 0 || read(pipes[0], buffer, sizeof(buffer)) < 0)
			exit(1);
		poll(0, 0, 0);
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &nothing, 0);
	}
	return ended();
}

static int compare(const void *a, const void *b)
{
	leaf(50);
	return *(const int *)a - *(const int *)b;
}

__attribute__((noinline)) static int callbacks(void)
{
	static int numbers[4000];
	for (int i = 0; i < 4000; i++)
		numbers[i] = rand();
	qsort(numbers, 4000, sizeof(int), compare);
	return ended();
}

__attribute__((noinline)) static int many_mappings(void)
{
	static int made;
	for (; made < 10000; made++)
		if (mmap(0, 4096, made % 2 ? PROT_READ : PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ||
		    mmap(0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ||
		    mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) {
			perror("mmap");
			exit(1);
		}
	for (int i = 0; i < 100; i++)
		leaf(20000);
	return ended();
}

/* Works for a while on a stack that nobody called anything on. */
__attribute__((noinline)) static int garbage(void)
{
	static uint64_t stack[8192];
	for (int i = 0; i < 8192; i++)
		stack[i] = i % 3 ? (uint64_t)rand() << 20 | rand() : (uint64_t)&stack[(i + rand() % 64) % 8192];
#ifdef __x86_64__
	uint64_t work = 20000000;
	__asm__ volatile("movq %%rsp, %%r12\n\tmovq %%rbp, %%r13\n\tmovq %1, %%rsp\n\tmovq %1, %%rbp\n"
			 "1:\tdecq %0\n\tjnz 1b\n\tmovq %%r12, %%rsp\n\tmovq %%r13, %%rbp"
			 : "+r"(work) : "r"(&stack[64]) : "r12", "r13", "memory", "cc");
#endif
	return ended();
}

int main(int argc, char **argv)
{
	static char alternate[64 << 10];
	stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
	sigaltstack(&stack, 0);
	sigaction(SIGUSR1, &action, 0);
	fcntl(0, F_SETFL, O_NONBLOCK);
	if (argc < 2)
		return 2;
	for (int end = 0; !end;) {
		if (!strcmp(argv[1], "recursion"))
			end = recursion(500);
		else if (!strcmp(argv[1], "signal"))
			end = in_signal();
		else if (!strcmp(argv[1], "syscall"))
			end = syscalls();
		else if (!strcmp(argv[1], "mappings"))
			end = many_mappings();
		else if (!strcmp(argv[1], "garbage"))
			end = garbage();
		else
			end = callbacks();
	}
	puts("{}");
	return 0;
}
