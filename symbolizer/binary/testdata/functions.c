/* Functions of every kind that a symbol table knows. */
#include <stdint.h>

static volatile uint64_t sink;

__attribute__((noinline)) static void static_function(uint64_t n) {
	for (uint64_t i = 0; i < n; i++)
		sink += i * i;
}

__attribute__((noinline)) void exported_function(uint64_t n) {
	static_function(n + 1);
	sink ^= n;
}

__attribute__((noinline)) void aliased_function(void) { sink++; }
void __aliased_weak(void) __attribute__((weak, alias("aliased_function")));
static void aliased_local(void) __attribute__((used, alias("aliased_function")));

static void *choose(void) { return (void *)exported_function; }
void indirect_function(uint64_t n) __attribute__((ifunc("choose")));

/* Written by hand: one symbol with a type but no size, then a label, and a
 * symbol with a size that has a label inside. */
__asm__(".text\n"
	".globl sizeless_function\n"
	".type sizeless_function, @function\n"
	"sizeless_function:\n"
	"	nop\n	nop\n	nop\n	ret\n"
	".globl bare_label\n"
	"bare_label:\n"
	"	nop\n	ret\n"
	".globl sized_assembly\n"
	".type sized_assembly, @function\n"
	"sized_assembly:\n"
	"	nop\n"
	"inner_label:\n"
	"	nop\n	ret\n"
	".size sized_assembly, .-sized_assembly\n"
	"	int3\n	int3\n	int3\n	int3\n");

int main(void) {
	exported_function(3);
	aliased_function();
	indirect_function(4);
	return (int)sink & 1;
}
