// Maps the file that it is given for execution and calls what is at its offset 4096,
// again and again until its input ends.
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int fd = open(argv[argc - 1], O_RDONLY);
	char *code = mmap(NULL, 1ul << 31, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	char byte;

	if (fd < 0 || code == MAP_FAILED) {
		perror(argv[argc - 1]);
		return 1;
	}
	fcntl(0, F_SETFL, O_NONBLOCK);
	do {
		((void (*)(long, long, long, long))(code + 4096))(0, 0, 0, 20000);
	} while (read(0, &byte, 1) != 1);
	printf("{}\n");
	return 0;
}
