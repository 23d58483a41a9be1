/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The summary of the map: leaves as the kernel sends them, and their sums.
 */
#ifndef FPC_LEAVES_H
#define FPC_LEAVES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fpc_attr.h"

/* The map counts pages of 4 KiB, whatever PAGE_SIZE is. */
#define FPC_PAGE_SHIFT 12
#define FPC_LEAF_MIB 128
#define FPC_LEAF_PAGES ((uint64_t)FPC_LEAF_MIB << (20 - FPC_PAGE_SHIFT))

/* The order of 128 MiB is 15: no block of a leaf is larger. */
#define FPC_ORDERS 16

/* A leaf, or the sum of those of a node. */
struct fpc_leaf {
	uint64_t start_pfn;
	uint64_t node;
	uint64_t free, present, largest; /* pages */
	unsigned int orders;
	uint64_t blocks[FPC_ORDERS];
	size_t first, last; /* of a node: indices of its leaves */
};

struct fpc_leaves {
	struct fpc_leaf *leaf; /* to be freed */
	size_t nr, room;
	bool no_memory;
};

/* For fpc_list(); @arg is the struct fpc_leaves. */
void fpc_leaves_add(const struct fpc_attrs *reply, void *arg);
/* By address, for the sums. */
void fpc_leaves_sort(struct fpc_leaves *l);
/* The sum of the first node from @node on; false if there is none. */
bool fpc_leaves_node(const struct fpc_leaves *l, uint64_t node,
		     struct fpc_leaf *sum);

static inline uint64_t fpc_leaf_index(const struct fpc_leaf *leaf)
{
	return leaf->start_pfn / FPC_LEAF_PAGES;
}

/* Percent of the free pages that are in blocks smaller than a chunk, 2 MiB. */
unsigned int fpc_leaf_fragmentation(const struct fpc_leaf *leaf);

#endif /* FPC_LEAVES_H */
