// A program that does all that C compilers make unusual frames for: it is run
// instruction by instruction, and says "done" if it came to its end.
#include <alloca.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOINLINE __attribute__((noinline, noclone))

volatile int sink;
static jmp_buf environment;

NOINLINE static int leaf(int x) { return x * 3 + sink; }

NOINLINE static int deep(int n)
{
	if (n == 0)
		return leaf(n);
	return deep(n - 1) + leaf(n);
}

// The size of the frame is not known, so the frame pointer is used.
NOINLINE static int dynamic(int n)
{
	char *p = alloca(n);

	memset(p, n, n);
	return p[n / 2] + leaf(n);
}

// The frame is aligned to more than the stack is, and has no known size: gcc keeps
// where the arguments are, and so the CFA, in a register and then in memory.
typedef float wide __attribute__((vector_size(32)));

NOINLINE __attribute__((target("avx2"))) static int
realigned(int n, int a, int b, int c, int d, int e, int on_stack, int too, const wide *in)
{
	volatile char *p = alloca(n);
	volatile wide v = *in + *in;

	p[n - 1] = n;
	return leaf(n) + (int)v[1] + a + b + c + d + e + on_stack + too + p[n - 1];
}

NOINLINE static int many(int a, int b, int c, int d, int e, int f, int g, int h, int i, int j)
{
	return leaf(a) + leaf(b) + c + d + e + f + g + h + leaf(i) + j;
}

NOINLINE static int early(int n)
{
	if (n < 3)
		return n;
	return many(n, 1, 2, 3, 4, 5, 6, 7, 8, 9) + leaf(n);
}

static int compare(const void *a, const void *b) { return leaf(*(const int *)a) - leaf(*(const int *)b); }

NOINLINE static void handler(int number)
{
	sink += deep(2) - deep(2);
	(void)number;
}

NOINLINE static void jump(int n)
{
	if (n == 0)
		longjmp(environment, 1);
	jump(n - 1);
	sink++; // or it was no call
}

int main(void)
{
	int numbers[20], total = 0;
	struct sigaction action = {.sa_handler = handler};
	stack_t other = {.ss_sp = malloc(65536), .ss_size = 65536};
	struct timespec now;
	char text[64];

	total += deep(20) + dynamic(40) + early(2) + early(4);
	if (__builtin_cpu_supports("avx2"))
		total += realigned(33, 1, 2, 3, 4, 5, 6, 7, &(wide){1, 2});
	for (int i = 0; i < 20; i++)
		numbers[i] = (i * 7) % 20;
	qsort(numbers, 20, sizeof(numbers[0]), compare);
	sigaction(SIGUSR1, &action, NULL);
	raise(SIGUSR1);
	sigaltstack(&other, NULL);
	action.sa_flags = SA_ONSTACK;
	sigaction(SIGUSR2, &action, NULL);
	raise(SIGUSR2);
	if (!setjmp(environment))
		jump(5);
	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(text, sizeof(text), "%.3f %d", total / 3.0, numbers[3]);
	total += strtol(text, NULL, 10);
	puts(total ? "done" : "");
	return 0;
}
