// A C program with functions to inline, functions that the compiler splits or
// copies, and one that it leaves alone.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct node {
	struct node *left, *right;
	uint64_t key;
};

static inline uint64_t rotate(uint64_t x, int by) { return x << by | x >> (64 - by); }

static inline uint64_t hash(const char *text)
{
	uint64_t h = 0xcbf29ce484222325ull;
	for (; *text; text++)
		h = rotate(h ^ (unsigned char)*text, 5) * 0x100000001b3ull;
	return h;
}

static struct node *insert(struct node *at, uint64_t key)
{
	if (!at) {
		at = calloc(1, sizeof(*at));
		if (!at) {
			fprintf(stderr, "no memory for %llu\n", (unsigned long long)key);
			abort();
		}
		at->key = key;
		return at;
	}
	if (key < at->key)
		at->left = insert(at->left, key);
	else if (key > at->key)
		at->right = insert(at->right, key);
	return at;
}

static inline int depth(const struct node *at)
{
	if (!at)
		return 0;
	int left = depth(at->left), right = depth(at->right);
	return 1 + (left > right ? left : right);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

__attribute__((noinline)) static int power(int base, int exponent, int unused)
{
	int result = 1;
	for (int i = 0; i < exponent; i++)
		result *= base + (unused & 0);
	return result;
}

__attribute__((noinline)) uint64_t sorted_sum(uint64_t *keys, size_t n)
{
	qsort(keys, n, sizeof(*keys), compare);
	uint64_t sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += keys[i] * i;
	return sum;
}

int main(int argc, char **argv)
{
	struct node *root = NULL;
	uint64_t keys[64];
	for (int i = 0; i < 64; i++) {
		char text[32];
		snprintf(text, sizeof(text), "%d-%s", i, argv[argc - 1]);
		keys[i] = hash(text);
		root = insert(root, keys[i]);
	}
	printf("%d %llu %d\n", depth(root), (unsigned long long)sorted_sum(keys, 64), power(argc, 5, 1) + power(argc, 5, 2));
	return strlen(argv[0]) == 0;
}
