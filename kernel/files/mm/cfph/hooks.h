/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Continuous free-page hinting: what the page allocator calls.
 *
 * For mm/page_alloc.c, and balloon.c.  With the static key off each hook is one NOP;
 * its body is out of line in map.c, because the allocator inlines its paths a lot.
 */
#ifndef _MM_CFPH_HOOKS_H
#define _MM_CFPH_HOOKS_H

#include <linux/jump_label.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/minmax.h>
#include <linux/mmzone.h>
#include <linux/pgtable.h>

#ifdef CONFIG_CFPH

DECLARE_STATIC_KEY_FALSE(cfph_hooks);
DECLARE_STATIC_KEY_FALSE(cfph_pcp_short);
#ifdef CONFIG_CFPH_DEBUG
DECLARE_STATIC_KEY_FALSE(cfph_mutant_drop);
bool __cfph_drops(const char *kind, const char *hook);
void __cfph_check_new_page(struct page *page, unsigned int order);
#endif

void __cfph_page_freed(struct page *page, unsigned int order);
void __cfph_page_allocated(struct page *page, unsigned int order);

/**
 * cfph_page_freed - a block has come to the buddy free lists, or to the balloon
 * @zone: its zone
 * @page: its first page
 * @order: its order
 *
 * Idempotent: a block that was free already may be reported once more.
 *
 * Context: zone->lock held, by the hold in which the block went to a free list,
 *	after everything that the old owner or the allocator wrote to the pages.
 */
static inline void cfph_page_freed(struct zone *zone, struct page *page,
				   unsigned int order)
{
	lockdep_assert_held(&zone->lock);
	if (static_branch_unlikely(&cfph_hooks))
		__cfph_page_freed(page, order);
}

/**
 * cfph_page_allocated - a block has left the buddy free lists, or the balloon
 * @zone: its zone
 * @page: its first page
 * @order: its order: what the caller takes, without what goes back to the lists
 *
 * Context: zone->lock held, by the hold in which the block left its free list,
 *	so before its new owner can write to it.
 */
static inline void cfph_page_allocated(struct zone *zone, struct page *page,
				       unsigned int order)
{
	lockdep_assert_held(&zone->lock);
	if (static_branch_unlikely(&cfph_hooks))
		__cfph_page_allocated(page, order);
}

#ifdef CONFIG_CFPH_DEBUG
/* Hooks can be left out, by their kind or by the function that they are in: debug.c. */
#define cfph_drops(kind, hook)						\
	(static_branch_unlikely(&cfph_mutant_drop) && __cfph_drops(kind, hook))
#define cfph_page_freed(zone, page, order)				\
	(cfph_drops("freed", "freed") ? (void)0 :			\
					cfph_page_freed(zone, page, order))
#define cfph_page_allocated(zone, page, order)				\
	(cfph_drops("allocated", __func__) ? (void)0 :			\
					     cfph_page_allocated(zone, page, order))
#endif

/**
 * cfph_check_new_page - a block is handed out: is it still free in the map?
 * @page: its first page
 * @order: its order
 *
 * Then a hook is missing, and a migration would lose what the new owner writes.
 * Warns once.  Nothing without CONFIG_CFPH_DEBUG.
 *
 * Context: any, zone->lock not held; the block is in no list, so nothing may set
 *	its bits.
 */
static inline void cfph_check_new_page(struct page *page, unsigned int order)
{
#ifdef CONFIG_CFPH_DEBUG
	if (static_branch_unlikely(&cfph_hooks))
		__cfph_check_new_page(page, order);
#endif
}

/*
 * Transparent huge pages are the only other ones in these lists, and have their own.
 *
 * Return: the pages of one for each of their lists that is not empty.
 */
static inline int cfph_pcp_huge(const struct per_cpu_pages *pcp)
{
	int list, pages = 0;

	for (list = NR_LOWORDER_PCP_LISTS; list < NR_PCP_LISTS; list++)
		pages += !list_empty(&pcp->lists[list]) << (PMD_SHIFT - PAGE_SHIFT);
	return pages;
}

/**
 * cfph_pcp_limits - keep the per-cpu lists short while a migration runs
 * @pcp: the lists
 * @batch: pages that go to or from a per-cpu list at a time
 * @high_min: least number of pages above which a list is trimmed
 * @high_max: the largest that auto-tuning may make of it
 *
 * A page in a per-cpu list is free, but in no buddy list: the map shows it as
 * used.  Auto-tuning lets an eighth of a zone lie in these lists, and a process
 * that frees and allocates all the time keeps them full of dirty pages.  With
 * more of them than the link carries within the downtime limit no migration would
 * end.  Four batches are what zone_highsize() gives to the smallest of zones.
 *
 * One huge page of each kind does not count: it is more than four batches by itself,
 * and would never stay.  A size that somebody has set (percpu_pagelist_high_fraction),
 * which is one that does not vary, stays.
 *
 * Context: any; nobody relies on the result but for speed.
 */
static inline void cfph_pcp_limits(const struct per_cpu_pages *pcp, int batch,
				   int *high_min, int *high_max)
{
	/* All of it inline: a call would cost registers, even where it is not made. */
	if (static_branch_unlikely(&cfph_pcp_short) && *high_min != *high_max)
		*high_min = *high_max = min(*high_max, (batch << 2) +
					    cfph_pcp_huge(pcp));
}

#else /* CONFIG_CFPH */

static inline void cfph_page_freed(struct zone *zone, struct page *page,
				   unsigned int order)
{
}

static inline void cfph_page_allocated(struct zone *zone, struct page *page,
				       unsigned int order)
{
}

static inline void cfph_check_new_page(struct page *page, unsigned int order)
{
}

static inline void cfph_pcp_limits(const struct per_cpu_pages *pcp, int batch,
				   int *high_min, int *high_max)
{
}

#endif /* CONFIG_CFPH */

#endif /* _MM_CFPH_HOOKS_H */
