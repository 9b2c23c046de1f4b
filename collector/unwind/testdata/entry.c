// Calls inner from outer a few times for each byte read, so that a probe can sit on
// its first instruction; "probe FD" has the program of that descriptor run there.
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static volatile unsigned long sink;
static int probed;

__attribute__((noinline)) void inner(void)
{
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.test.prog_fd = probed;
	if (probed && syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attr, sizeof(attr)))
		perror("BPF_PROG_TEST_RUN");
	sink++;
}

__attribute__((noinline)) void outer(void)
{
	for (int i = 0; i < 2; i++)
		inner();
	sink++;
}

int main(int argc, char **argv)
{
	char byte;
	probed = argc > 1 ? 3 : 0;
	while (read(0, &byte, 1) == 1) {
		outer();
		if (byte == 'f' && fork() == 0) {
			read(0, &byte, 1); // the child waits for its turn
			outer();
			return 0;
		}
		printf("done\n");
		fflush(stdout);
	}
	return 0;
}
