// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: what a leaf of the map looks like to people.
 *
 * Copies one leaf and counts on the copy.  Must not know netlink.
 *
 * Locks: cfph_mutex for the copy of one leaf; what takes long, the counting, runs
 * under none.
 */
#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/cfph.h>
#include <linux/find.h>
#include <linux/ioport.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/string.h>

#include "../internal.h"
#include "common.h"

/* --- counting --- */

static u64 cfph_largest_run(const unsigned long *bits)
{
	unsigned long start, end, most = 0;

	for_each_set_bitrange(start, end, bits, CFPH_LEAF_PAGES)
		most = max(most, end - start);
	return most;
}

static void cfph_count_order(u64 *blocks, unsigned int order, u64 count)
{
	if (order > MAX_PAGE_ORDER)
		return;
	blocks[order] += count;
	/* Two of them are in each block of the next order: no longer on their own. */
	if (order)
		blocks[order - 1] -= 2 * count;
}

/*
 * Count the blocks of six orders that begin in @bits.
 *
 * Whether a word is free as a whole makes one bit of @next, for the next six.
 */
static void cfph_count_level(const unsigned long *bits, unsigned int words,
			     unsigned int base, u64 *blocks,
			     unsigned long *next)
{
	unsigned int i, order;

	for (i = 0; i < words; i++) {
		unsigned long word = bits[i];

		for (order = 0; order < CFPH_WORD_SHIFT; order++) {
			cfph_count_order(blocks, base + order,
					 hweight_long(word));
			word = cfph_word_merge(word, order);
		}
		__assign_bit(i, next, word);
	}
}

static void cfph_count_blocks(const unsigned long *bits, u64 *blocks)
{
	enum { WORDS2 = CFPH_LEAF_WORDS / BITS_PER_LONG };
	unsigned long level2[WORDS2], level3 = 0, level4 = 0;

	/* 512 words, 8 words, 8 bits: orders 0 to 5, 6 to 11, 12 to 15. */
	cfph_count_level(bits, CFPH_LEAF_WORDS, 0, blocks, level2);
	cfph_count_level(level2, WORDS2, CFPH_WORD_SHIFT, blocks, &level3);
	cfph_count_level(&level3, 1, 2 * CFPH_WORD_SHIFT, blocks, &level4);
}

/* Everything that follows from the bits. */
static void cfph_summarize(struct cfph_summary *s)
{
	memset(s->free_blocks, 0, sizeof(s->free_blocks));
	s->free_pages = bitmap_weight(s->bits, CFPH_LEAF_PAGES);
	s->largest_run_pages = cfph_largest_run(s->bits);
	cfph_count_blocks(s->bits, s->free_blocks);
}

/* --- reading --- */

static int cfph_add_ram(unsigned long pfn, unsigned long pages, void *arg)
{
	*(u64 *)arg += pages;
	return 0;
}

/* What does not change with each allocation. */
static void cfph_describe_leaf(struct cfph_summary *s)
{
	unsigned long pfn = s->start_pfn;
	struct page *page = NULL;

	/* RAM that is offline counts, too; holes do not. */
	s->present_pages = 0;
	walk_system_ram_range(pfn, CFPH_LEAF_PAGES, &s->present_pages,
			      cfph_add_ram);

	get_online_mems();
	for (; !page && pfn < s->start_pfn + CFPH_LEAF_PAGES;
	     pfn += MAX_ORDER_NR_PAGES)
		page = pfn_to_online_page(pfn);
	/* Whoever has the page may change other bits of that word meanwhile. */
	s->node = page ? data_race(page_to_nid(page)) : 0;
	put_online_mems();
}

/**
 * cfph_next_summary - look at the next leaf
 * @slot: where to look; set to where to look after that
 * @instance: set to a number that another map would not have
 * @summary: filled in
 *
 * Context: process context, may sleep.
 * Return: 1; 0 if there is no leaf any more; -ENODATA if the map is not READY.
 */
int cfph_next_summary(unsigned long *slot, u64 *instance,
		      struct cfph_summary *summary)
{
	int ret = -ENODATA;

	mutex_lock(&cfph_mutex);
	if (cfph.state != CFPH_STATE_READY)
		goto out_unlock;

	*instance = cfph.counters.scans;
	while (*slot < cfph.map->slots && !cfph_map_leaf(cfph.map, *slot))
		++*slot;
	ret = *slot < cfph.map->slots;
	if (ret) {
		summary->start_pfn = *slot << CFPH_LEAF_SHIFT;
		cfph_map_copy(cfph.map, summary->start_pfn, CFPH_LEAF_WORDS,
			      summary->bits);
		++*slot;
	}
out_unlock:
	mutex_unlock(&cfph_mutex);

	if (ret > 0) {
		cfph_summarize(summary);
		cfph_describe_leaf(summary);
	}
	return ret;
}

#if IS_ENABLED(CONFIG_CFPH_KUNIT_TEST)
#include "tests/summary-kunit.c"
#endif
