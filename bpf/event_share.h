/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * What one CPU may send of one kind of waits. Where more of them end, short ones are sent
 * with a chance that grows with their length, and the weight that this takes: sums stay
 * what they are on average.
 */
#ifndef NARROWS_EVENT_SHARE_H
#define NARROWS_EVENT_SHARE_H

#include "core.h"

#define PERIOD_SHIFT 23 /* a period is 8.4 ms */
/* Waits of half a second and more are always sent. */
#define MAX_EVENT_SHIFT 20

/* The unit of weights: they need not be whole. */
#define WEIGHT_ONE 256

struct event_share {
	__u32 events; /* in this period */
	__u32 shift;  /* 0: all waits are sent; else those below 512 ns << this thinned out */
};

/* Adapts a share to what there was in the period before; passed is how many have passed since,
 * most how many may be sent in one. */
static __always_inline void adapt_share(struct event_share *share, __u64 passed, __u32 most)
{
	if (passed > 1 || share->events * 4 < most) {
		if (share->shift > 0)
			share->shift--;
	} else if (share->events > most && share->shift < MAX_EVENT_SHIFT) {
		share->shift++;
	}
	share->events = 0;
}

/* The weight that a wait of some length is sent with, which stands for weight others already;
 * 0 if it is not sent. */
static __always_inline __u64 thin_out(const struct event_share *share, __u64 weight, __u64 length)
{
	__u64 exact = share->shift ? 512ull << (share->shift & 31) : 0;

	if (length >= exact)
		return weight;
	if (length == 0)
		length = 1;
	if (bpf_get_prandom_u32() >= (length << 32) / exact)
		return 0;
	return weight * exact / length;
}

#endif
