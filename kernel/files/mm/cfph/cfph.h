/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Continuous free-page hinting: the hooks of the page allocator.
 *
 * For mm/page_alloc.c only.  With the static key off each hook is one NOP; its
 * body is out of line in map.c, because the allocator inlines its paths a lot.
 */
#ifndef _MM_CFPH_H
#define _MM_CFPH_H

#include <linux/jump_label.h>
#include <linux/lockdep.h>
#include <linux/mmzone.h>

#ifdef CONFIG_CFPH

DECLARE_STATIC_KEY_FALSE(cfph_hooks);

void __cfph_page_freed(struct zone *zone, struct page *page,
		       unsigned int order);
void __cfph_page_allocated(struct zone *zone, struct page *page,
			   unsigned int order);

/**
 * cfph_page_freed - a block has come to the buddy free lists
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
		__cfph_page_freed(zone, page, order);
}

/**
 * cfph_page_allocated - a block has left the buddy free lists
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
		__cfph_page_allocated(zone, page, order);
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

#endif /* CONFIG_CFPH */

#endif /* _MM_CFPH_H */
