// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: page cache that is given back.
 *
 * Takes clean page cache out of memory, as drop_caches does, but by the page, up to a
 * limit and in bounded steps.  Must not know who wants that, nor the map: what it
 * frees goes through the allocator's doors, where the hooks are.
 *
 * Locks: none is held while it works; it takes those of one page and its file, and
 * waits for none of them.  cfph_mutex protects what is counted.
 */
#include <linux/cfph.h>
#include <linux/ktime.h>
#include <linux/memblock.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/pagemap.h>
#include <linux/pagevec.h>
#include <linux/sched.h>
#include <linux/swap.h>
#include <linux/vmstat.h>

#include <trace/events/cfph.h>

#include "../internal.h"
#include "common.h"

/**
 * DOC: cfph reclaim
 *
 * Three promises: nothing is written, nothing is swapped, nothing is unmapped.
 * mapping_evict_folio() keeps them: with the folio locked it takes what is clean and
 * has no user beside the page cache, and freezes the reference count to be sure of it.
 * Memory reclaim proper (mm/vmscan.c, and so memory.reclaim of a cgroup) does not: it
 * unmaps, wakes up those who write dirty pages back, and asks every shrinker, of which
 * some write or swap; and the multi-generational LRU does nothing at all unless it may
 * unmap and write.
 *
 * What has been used more than once comes last: in a second turn, and only if the
 * first one has not found enough. Within a turn it goes by address, from the top of
 * memory down. The host sends memory from the bottom up, so each page that is given
 * back before they meet is one that need not be sent; and what lies together becomes
 * free together, in large blocks.
 */

/*
 * A step ends at the first block behind this.  Short, for the thread does nothing
 * else meanwhile, neither passes nor a STOP.
 */
#define CFPH_RECLAIM_STEP_NS	(2 * NSEC_PER_MSEC)

/* --- how much --- */

/* Some of what is mapped may be dirty, too, or be no file: then it is less. */
static u64 cfph_clean_cache_pages(void)
{
	unsigned long cache, kept;

	cache = global_node_page_state(NR_ACTIVE_FILE) +
		global_node_page_state(NR_INACTIVE_FILE);
	kept = global_node_page_state(NR_FILE_DIRTY) +
	       global_node_page_state(NR_WRITEBACK) +
	       global_node_page_state(NR_FILE_MAPPED);
	return cache > kept ? cache - kept : 0;
}

/*
 * Below the min watermarks whoever allocates reclaims first.  What we gave back would
 * be gone at once, and to compete with them for locks helps nobody.
 */
static bool cfph_memory_is_low(void)
{
	unsigned long free = 0, min = 0;
	struct zone *zone;

	for_each_populated_zone(zone) {
		free += zone_page_state(zone, NR_FREE_PAGES);
		min += min_wmark_pages(zone);
	}
	return free < min;
}

static unsigned long cfph_reclaim_top(void)
{
	return round_up(READ_ONCE(max_pfn), MAX_ORDER_NR_PAGES);
}

/**
 * cfph_reclaim_begin - nothing has been given back yet
 * @r: filled in
 * @percent: of the clean page cache, 0..100
 *
 * Context: process context.
 */
void cfph_reclaim_begin(struct cfph_reclaim *r, u32 percent)
{
	memset(r, 0, sizeof(*r));
	r->percent = percent;
	r->open = true;
	/* Those of other CPUs' batches, some ten pages each, are not worth a wait. */
	lru_add_drain();
	r->target_pages = div_u64(cfph_clean_cache_pages() * percent, 100);
	r->end_pfn = cfph_reclaim_top();
}

/* --- pages --- */

/*
 * A reference to a folio on an LRU list that begins at @page, or NULL.  Without one a
 * folio may be freed or split at any moment, so what was true before is asked again.
 */
static struct folio *cfph_get_folio(struct page *page)
{
	struct folio *folio;

	if (PageTail(page) || !PageLRU(page))
		return NULL;
	folio = page_folio(page);
	if (!folio_try_get(folio))
		return NULL;
	if (page_folio(page) == folio && folio_test_lru(folio))
		return folio;
	folio_put(folio);
	return NULL;
}

/* Page cache, and of this turn?  Advice, but for its being a file's. */
static bool cfph_folio_fits(struct folio *folio, bool used)
{
	if (!folio_is_file_lru(folio) || folio_test_anon(folio) ||
	    folio_test_unevictable(folio) || folio_test_dirty(folio) ||
	    folio_test_writeback(folio) || folio_mapped(folio))
		return false;
	/* The latter: has been active, or with the other LRU, used by file reads. */
	return used || !(folio_test_active(folio) ||
			 folio_test_workingset(folio));
}

/* Return: false if it stays. */
static bool cfph_evict(struct folio *folio)
{
	long pages;

	if (!folio_trylock(folio))
		return false;
	pages = mapping_evict_folio(folio_mapping(folio), folio);
	folio_unlock(folio);
	return pages;
}

static bool cfph_reclaim_enough(const struct cfph_reclaim *r)
{
	/* All of it is all of it, whatever the estimate was. */
	return r->percent < 100 && r->pages >= r->target_pages;
}

/*
 * Pages of the free block that begins at @page, which is free. zone->lock is not held,
 * so the order may be anything by now; what is missed then is not worth a lock.
 */
static unsigned long cfph_free_pages(struct page *page)
{
	unsigned long order = buddy_order_unsafe(page);

	return order <= MAX_PAGE_ORDER ? 1UL << order : 1;
}

/* Return: how many pages to go on by. */
static unsigned long cfph_reclaim_page(struct cfph_reclaim *r,
				       struct page *page,
				       struct folio_batch *gone)
{
	struct folio *folio;
	unsigned long pages;

	if (PageBuddy(page))
		return cfph_free_pages(page);
	folio = cfph_get_folio(page);
	if (!folio)
		return 1;
	/* Nobody splits it while we have a reference. */
	pages = folio_nr_pages(folio);
	if (!cfph_folio_fits(folio, r->used) || !cfph_evict(folio)) {
		folio_put(folio);
		return pages;
	}
	r->pages += pages;
	/* The last reference: they are freed together. A block of them is too long. */
	if (!folio_batch_add(gone, folio)) {
		folios_put(gone);
		cond_resched();
	}
	return pages;
}

/*
 * Like compaction, which goes through memory by address, too: without a lock of memory
 * hotplug, and a pageblock is online or is not.
 */
static void cfph_reclaim_block(struct cfph_reclaim *r, unsigned long pfn)
{
	unsigned long end = pfn + MAX_ORDER_NR_PAGES;
	unsigned long block_end = pfn;
	bool online = false;
	struct folio_batch gone;

	folio_batch_init(&gone);
	while (pfn < end && !cfph_reclaim_enough(r)) {
		if (pfn >= block_end) {
			block_end = pageblock_end_pfn(pfn);
			online = pfn_to_online_page(pfn);
		}
		if (online)
			pfn += cfph_reclaim_page(r, pfn_to_page(pfn), &gone);
		else
			pfn = block_end;
	}
	folios_put(&gone);
}

static void cfph_reclaim_some(struct cfph_reclaim *r)
{
	u64 start = ktime_get_ns(), ns = 0;

	while (r->end == CFPH_RECLAIM_END_NONE && ns < CFPH_RECLAIM_STEP_NS) {
		if (cfph_reclaim_enough(r)) {
			r->end = CFPH_RECLAIM_END_DONE;
		} else if (cfph_memory_is_low()) {
			r->end = CFPH_RECLAIM_END_LOW_MEMORY;
		} else if (r->end_pfn) {
			r->end_pfn -= MAX_ORDER_NR_PAGES;
			cfph_reclaim_block(r, r->end_pfn);
		} else if (!r->used) {
			r->used = true;
			r->end_pfn = cfph_reclaim_top();
		} else {
			r->end = CFPH_RECLAIM_END_DONE;
		}
		cond_resched();
		ns = ktime_get_ns() - start;
	}
	r->ns += ns;
}

/* --- for those who want it --- */

/**
 * cfph_reclaim_step - give some of it back
 * @r: where it is; @r->end says whether that was the last step
 *
 * Context: process context, cfph_mutex held; drops it meanwhile. Then others may
 *	call cfph_reclaim_end() on the same @r, but nobody begins.
 */
void cfph_reclaim_step(struct cfph_reclaim *r)
{
	struct cfph_reclaim now = *r;

	lockdep_assert_held(&cfph_mutex);

	mutex_unlock(&cfph_mutex);
	cfph_reclaim_some(&now);
	mutex_lock(&cfph_mutex);

	cfph.counters.reclaimed_pages += now.pages - r->pages;
	if (r->open)
		*r = now;
}

/**
 * cfph_reclaim_end - there will be no further step
 * @r: where it was; if it is not open, this has been said already
 * @migration_id: for those who trace
 * @round: likewise
 *
 * Context: process context, cfph_mutex held.
 */
void cfph_reclaim_end(struct cfph_reclaim *r, u32 migration_id, u32 round)
{
	lockdep_assert_held(&cfph_mutex);

	if (!r->open)
		return;
	r->open = false;
	if (r->end == CFPH_RECLAIM_END_NONE)
		r->end = CFPH_RECLAIM_END_STOPPED;
	cfph.counters.reclaim_ns = r->ns;
	trace_cfph_reclaim(migration_id, round, r->percent, r->target_pages,
			   r->pages, r->ns, r->end);
}

#if IS_ENABLED(CONFIG_CFPH_KUNIT_TEST)
#include "tests/reclaim-kunit.c"
#endif
