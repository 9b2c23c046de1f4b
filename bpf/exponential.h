/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * Exponentially distributed distances, without floating point: -ln(u) * mean for an even u.
 * The logarithm is that of a table of 256 steps, between which straight lines run. It is off by
 * 2e-6 at most; a test compiles this very code and compares it with floating point.
 */
#ifndef NARROWS_EXPONENTIAL_H
#define NARROWS_EXPONENTIAL_H

#include <linux/types.h>

#define LOG_STEP_BITS 8
#define LOG_STEPS (1 << LOG_STEP_BITS)
#define LOG_FRACTION_BITS 24 /* of the table's numbers and of the result */
#define LN_2 11629080        /* ln(2) * 2^24 */

/* The largest mean: more would overflow. */
#define MAX_MEAN (1ull << 32)

/*
 * -ln(u / 2^32) * 2^24 for u from 1 to 2^32 - 1. table[i] is ln(1 + i / 256) * 2^24, with one
 * entry more than there are steps.
 */
static inline __attribute__((always_inline)) __u64 minus_log(__u32 u, const volatile __u32 *table)
{
	__u32 shift = 0, step, rest;
	__u64 low, high;

	/* The leading one goes to the top: there is no instruction for it. */
	for (int bits = 16; bits; bits /= 2) {
		if (u >> (32 - bits) == 0) {
			u <<= bits;
			shift += bits;
		}
	}
	step = u << 1 >> (32 - LOG_STEP_BITS);
	rest = u << (1 + LOG_STEP_BITS); /* of 2^32 */
	step &= LOG_STEPS - 1;
	low = table[step];
	high = table[step + 1];
	low += (high - low) * rest >> 32;
	return (__u64)(shift + 1) * LN_2 - low;
}

/* How many bytes there are to the next point, rounded up, if points come a mean apart. */
static inline __attribute__((always_inline)) __u64 distance(__u32 random, __u64 mean, const volatile __u32 *table)
{
	__u64 log = minus_log(random | !random, table);

	return (log * mean >> LOG_FRACTION_BITS) + 1;
}

#endif
