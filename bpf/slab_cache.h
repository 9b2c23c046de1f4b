/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/* The slab cache that an object of the kernel is of. */
#ifndef NARROWS_SLAB_CACHE_H
#define NARROWS_SLAB_CACHE_H

#include "kernel.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct kmem_cache_order_objects {
	unsigned int x;
};

struct kmem_cache {
	unsigned int size; /* of an object and what is between two */
	struct kmem_cache_order_objects oo;
	const char *name;
};

#pragma clang attribute pop

/* Since 6.14. */
extern struct kmem_cache *bpf_get_kmem_cache(__u64 address) __ksym __weak;

#define CACHE_NAME 32

#endif
