// Programs whose lives are hard to follow. Each spends half a second or so of CPU
// time in a function that says which program it is.
//
//	life spin [SECONDS]      this program's function, then end
//	life exec PROGRAM        this program's function, then become PROGRAM
//	life fork                a child spends its time in the parent's function
//	life dlopen A.so B.so    the function of A, unload it, then that of B, in turn
//	life reuse PID A B       A as process PID, then B as process PID again
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SPIN
#define SPIN spin_life
#endif

volatile int salt = SALT;

void SPIN(double seconds)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	double end = t.tv_sec + t.tv_nsec / 1e9 + seconds;
	do {
		for (volatile int i = 0; i < 100000; i++)
			;
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	} while (t.tv_sec + t.tv_nsec / 1e9 < end);
}

#ifndef LIBRARY
static int as_process(pid_t pid, char *program)
{
	struct clone_args args;
	memset(&args, 0, sizeof(args));
	args.exit_signal = SIGCHLD;
	args.set_tid = (uintptr_t)&pid;
	args.set_tid_size = 1;
	long child = syscall(SYS_clone3, &args, sizeof(args));
	if (child < 0) {
		perror("clone3");
		return 1;
	}
	if (child == 0) {
		execl(program, program, "spin", (char *)NULL);
		perror(program);
		_exit(1);
	}
	int status;
	return waitpid(child, &status, 0) == child && status == 0 ? 0 : 1;
}

static int alternate(char **libraries)
{
	for (int i = 0; i < 20; i++) {
		void *library = dlopen(libraries[i % 2], RTLD_NOW);
		if (!library) {
			fprintf(stderr, "%s\n", dlerror());
			return 1;
		}
		void (*spin)(double) = (void (*)(double))dlsym(library, i % 2 ? "spin_b" : "spin_a");
		if (i < 2)
			fprintf(stderr, "%s at %p\n", libraries[i % 2], (void *)spin);
		spin(0.05);
		dlclose(library);
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "spin";
	if (!strcmp(what, "dlopen"))
		return alternate(argv + 2);
	if (!strcmp(what, "reuse"))
		return as_process(atoi(argv[2]), argv[3]) || as_process(atoi(argv[2]), argv[4]);
	if (!strcmp(what, "fork")) {
		pid_t child = fork();
		if (child == 0) {
			SPIN(0.5);
			_exit(0);
		}
		int status;
		return waitpid(child, &status, 0) != child;
	}
	SPIN(what[0] == 's' && argc > 2 ? atof(argv[2]) : 0.5);
	if (!strcmp(what, "exec")) {
		execl(argv[2], argv[2], "spin", (char *)NULL);
		perror(argv[2]);
		return 1;
	}
	return 0;
}
#endif
