// SPDX-License-Identifier: GPL-2.0
/*
 * Collecting the summary of the map, see fpc_leaves.h.
 */
#include <stdlib.h>
#include <string.h>

#include <linux/cfph.h>

#include "fpc_leaves.h"
#include "fpctl.h"

/* Chunks are of order 9: 2 MiB. */
#define CHUNK_ORDER 9

void fpc_leaves_add(const struct fpc_attrs *reply, void *arg)
{
	struct fpc_leaves *l = arg;
	uint64_t bytes = reply->value[CFPH_A_LEAF_FREE_BLOCKS];
	struct fpc_leaf leaf = {
		.start_pfn = reply->value[CFPH_A_LEAF_START_PFN],
		.node = reply->value[CFPH_A_LEAF_NODE],
		.free = reply->value[CFPH_A_LEAF_FREE_PAGES],
		.present = reply->value[CFPH_A_LEAF_PRESENT_PAGES],
		.largest = reply->value[CFPH_A_LEAF_LARGEST_RUN_PAGES],
	};

	if (fpc_have(reply, CFPH_A_LEAF_FREE_BLOCKS)) {
		leaf.orders = bytes / sizeof(leaf.blocks[0]);
		if (leaf.orders > FPC_ORDERS)
			leaf.orders = FPC_ORDERS;
		memcpy(leaf.blocks, fpc_data(reply, CFPH_A_LEAF_FREE_BLOCKS),
		       leaf.orders * sizeof(leaf.blocks[0]));
	}
	if (l->nr == l->room) {
		size_t room = l->room ? l->room * 2 : 64;
		void *more = reallocarray(l->leaf, room, sizeof(leaf));

		if (!more) {
			l->no_memory = true;
			return;
		}
		l->leaf = more;
		l->room = room;
	}
	l->leaf[l->nr++] = leaf;
}

static int by_address(const void *a, const void *b)
{
	const struct fpc_leaf *x = a, *y = b;

	return (x->start_pfn > y->start_pfn) - (x->start_pfn < y->start_pfn);
}

void fpc_leaves_sort(struct fpc_leaves *l)
{
	if (l->nr)
		qsort(l->leaf, l->nr, sizeof(l->leaf[0]), by_address);
}

static void add(struct fpc_leaf *sum, const struct fpc_leaf *leaf)
{
	sum->free += leaf->free;
	sum->present += leaf->present;
	if (leaf->largest > sum->largest)
		sum->largest = leaf->largest;
	if (leaf->orders > sum->orders)
		sum->orders = leaf->orders;
	for (unsigned int i = 0; i < leaf->orders; i++)
		sum->blocks[i] += leaf->blocks[i];
}

bool fpc_leaves_node(const struct fpc_leaves *l, uint64_t node,
		     struct fpc_leaf *sum)
{
	bool found = false;

	*sum = (struct fpc_leaf){ .node = UINT64_MAX };
	for (size_t i = 0; i < l->nr; i++)
		if (l->leaf[i].node >= node && l->leaf[i].node <= sum->node) {
			sum->node = l->leaf[i].node;
			found = true;
		}
	sum->first = l->nr;
	for (size_t i = 0; found && i < l->nr; i++) {
		if (l->leaf[i].node != sum->node)
			continue;
		if (sum->first == l->nr)
			sum->first = i;
		sum->last = i;
		add(sum, &l->leaf[i]);
	}
	return found;
}

unsigned int fpc_leaf_fragmentation(const struct fpc_leaf *leaf)
{
	uint64_t small = 0;

	for (unsigned int i = 0; i < leaf->orders && i < CHUNK_ORDER; i++)
		small += leaf->blocks[i] << i;
	/* The kernel counts blocks and pages while they change. */
	if (small >= leaf->free)
		return leaf->free ? 100 : 0;
	return small * 100 / leaf->free;
}
