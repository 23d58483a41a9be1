// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: what the buddy lists say, and the balloon.
 *
 * Reads the state of pages from their struct page, one max-order block per hold
 * of zone->lock: for the scan that fills a new map and for the oracle that
 * checks it.  Walking the free lists instead would hold the lock for millions of
 * entries.  Must not know states, sessions or messages.
 *
 * All of it runs under mem_hotplug_lock (get_online_mems()), so that no struct page
 * vanishes; and so not under cfph_mutex.
 */
#include <linux/memory_hotplug.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/spinlock.h>

#include "../internal.h"
#include "common.h"

static struct zone *cfph_page_zone(const struct page *page)
{
	/* Whoever has the page may change other bits of that word meanwhile. */
	return data_race(page_zone(page));
}

/* Return: the order of the block that begins at @page and is free for us, or -1. */
static int cfph_free_order(struct page *page)
{
	if (PageBuddy(page))
		return buddy_order(page);
	/*
	 * The part of a split block that debug_pagealloc keeps off the lists:
	 * nobody owns it, its contents are dead, and the hooks see it as free.
	 */
	if (page_is_guard(page))
		return page_private(page);
	if (cfph_page_in_balloon(page))
		return 0;
	return -1;
}

/**
 * cfph_read_buddy - read the free pages of (a part of) a max-order block
 * @zone: the zone of @pfn's page
 * @pfn: where to begin: the begin of the block, or where the last call ended
 * @end: the end of the block
 * @bits: CFPH_BLOCK_WORDS words for the whole block; the bits of the pages that
 *	the call looks at are set or cleared, the others stay
 *
 * Context: zone->lock and mem_hotplug_lock held.
 * Return: where another zone begins, or @end.
 */
unsigned long cfph_read_buddy(struct zone *zone, unsigned long pfn,
			      unsigned long end, unsigned long *bits)
{
	lockdep_assert_held(&zone->lock);

	while (pfn < end) {
		struct page *page = pfn_to_page(pfn);
		int order;

		if (cfph_page_zone(page) != zone)
			break;
		order = cfph_free_order(page);
		cfph_bits_update(bits, pfn % MAX_ORDER_NR_PAGES,
				 max(order, 0), order >= 0);
		pfn += 1UL << max(order, 0);
	}
	return pfn;
}

/**
 * cfph_walk_parts - visit the online parts of memory, each of one zone
 * @pfn: where to begin, a multiple of MAX_ORDER_NR_PAGES
 * @end: where to end, likewise
 * @visit: called for [pfn, part_end) within one max-order block; takes and drops
 *	zone->lock and returns where another zone begins, or part_end
 * @arg: for @visit
 *
 * Context: process context; mem_hotplug_lock held.
 */
void cfph_walk_parts(unsigned long pfn, unsigned long end,
		     cfph_visit_part visit, void *arg)
{
	while (pfn < end) {
		unsigned long part_end = round_down(pfn, MAX_ORDER_NR_PAGES) +
					 MAX_ORDER_NR_PAGES;
		struct page *page = pfn_to_online_page(pfn);
		struct zone *zone;

		/* A block is online as a whole, but for the end of FLATMEM. */
		if (!page) {
			pfn = part_end;
			continue;
		}

		/*
		 * A struct page in a hole names the zone of the memory behind
		 * the hole, or the last one.  It is never free; but the word
		 * may have memory of the zone before the hole, so a visit on
		 * behalf of the wrong zone would do harm.
		 */
		zone = cfph_page_zone(page);
		if (!zone_spans_pfn(zone, pfn)) {
			pfn++;
			continue;
		}
		pfn = visit(zone, pfn, min(part_end, zone_end_pfn(zone)), arg);
		cond_resched();
	}
}

/*
 * Under the lock that the hooks of this part of the block run under: from here
 * on it is exact.  Like them we find the map under RCU: it may have gone.  Only words
 * of this zone are written, because no word has pages of two zones.
 */
static unsigned long cfph_scan_part(struct zone *zone, unsigned long pfn,
				    unsigned long end, void *arg)
{
	unsigned long bits[CFPH_BLOCK_WORDS] = {};
	unsigned long word, last, *leaf;

	spin_lock_irq(&zone->lock);
	end = cfph_read_buddy(zone, pfn, end, bits);
	leaf = cfph_map_leaf(rcu_dereference_raw(cfph_live_map),
			     pfn >> CFPH_LEAF_SHIFT);
	word = pfn >> CFPH_WORD_SHIFT;
	last = (end - 1) >> CFPH_WORD_SHIFT;
	for (; leaf && word <= last; word++)
		WRITE_ONCE(leaf[word % CFPH_LEAF_WORDS],
			   bits[word % CFPH_BLOCK_WORDS]);
	spin_unlock_irq(&zone->lock);

	return end;
}

/**
 * cfph_scan_leaf - fill one leaf of the live map from the buddy lists
 * @slot: which leaf; nothing happens if it does not exist
 *
 * Context: process context; mem_hotplug_lock held.  Takes zone->lock per block.
 */
void cfph_scan_leaf(unsigned long slot)
{
	unsigned long pfn = slot << CFPH_LEAF_SHIFT;

	cfph_walk_parts(pfn, pfn + CFPH_LEAF_PAGES, cfph_scan_part, NULL);
}

/* --- may the map be kept at all? --- */

static bool cfph_word_has_zone(unsigned long pfn, struct zone *zone)
{
	unsigned long end = pfn + BITS_PER_LONG;
	struct page *page;

	for (; pfn < end; pfn++) {
		page = pfn_to_online_page(pfn);
		if (page && cfph_page_zone(page) == zone &&
		    zone_spans_pfn(zone, pfn))
			return true;
	}
	return false;
}

static bool cfph_pair_shares_word(struct zone *a, struct zone *b)
{
	unsigned long pfn, end;

	/* Where the spans meet, in whole words: mostly nowhere. */
	pfn = round_down(max(a->zone_start_pfn, b->zone_start_pfn),
			 BITS_PER_LONG);
	end = round_up(min(zone_end_pfn(a), zone_end_pfn(b)), BITS_PER_LONG);

	for (; pfn < end; pfn += BITS_PER_LONG) {
		if (cfph_word_has_zone(pfn, a) && cfph_word_has_zone(pfn, b))
			return true;
		cond_resched();
	}
	return false;
}

/**
 * cfph_zones_share_word - do two zones have pages in one word of the map
 *
 * Such a word would be written under two locks.  Zones of one node begin and end
 * at large powers of two, and memory is plugged by sections, but a node may end
 * at any page.
 *
 * Context: process context; takes mem_hotplug_lock.
 * Return: true if they do; then no map can be kept.
 */
bool cfph_zones_share_word(void)
{
	struct zone *a, *b;
	bool ret = false;

	get_online_mems();
	for_each_populated_zone(a) {
		for_each_populated_zone(b) {
			if (a == b)
				break;
			ret = ret || cfph_pair_shares_word(a, b);
		}
	}
	put_online_mems();

	return ret;
}
