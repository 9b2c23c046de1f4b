// A program that calls functions of libc through stubs, one of them also by its
// address, which gives it a stub in another section.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int (*pointer)(const char *) = puts;

int main(int argc, char **argv)
{
	char *copy = strdup(argv[0]);
	if (!copy)
		abort();
	pointer(copy);
	puts("directly");
	printf("%d %zu\n", argc, strlen(copy));
	free(copy);
	return atexit((void (*)(void))abort) ? 1 : 0;
}
