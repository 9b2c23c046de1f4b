/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * What one CPU may send of one kind of waits. Where more of them end, short ones stand for
 * each other: the time waited is laid end to end and cut into pieces of equal length, in each
 * of which a random point says which wait is sent. So the chance of a wait grows with its
 * length, sums stay what they are, and are off by one piece at most: drawing each wait on its
 * own would make the sum over n waits that were sent uncertain by 1 / sqrt(n).
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
	__u32 point;  /* in the piece begun: of the wait that is sent for it */
	__u32 at;     /* how much of the piece has been; both as fractions of 2^32 */
};

/* Adapts a share to what there was in the period before; passed is how many have passed since,
 * most how many may be sent in one. */
static __always_inline void adapt_share(struct event_share *share, __u64 passed, __u32 most)
{
	if (share->events && ring_is_beyond(RING_FOR_ALL_WAITS)) /* the reader has no CPU */
		most = 0;
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
static __always_inline __u64 thin_out(struct event_share *share, __u64 weight, __u64 length)
{
	__u64 piece = share->shift ? 512ull << (share->shift & 31) : 0, time = length * weight / WEIGHT_ONE, end;
	__u32 points;

	if (time >= piece)
		return weight;
	end = share->at + (time << 32) / piece;
	points = share->at <= share->point && share->point < end;
	if (end >> 32) { /* a wait is shorter than a piece: it is in two of them at most */
		share->point = bpf_get_prandom_u32();
		points += share->point < (__u32)end;
	}
	share->at = end;
	return time ? points * weight * piece / time : 0;
}

#endif
