// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: what lies in the balloon.
 *
 * Such a page has an owner, the balloon's driver, that never reads or writes it, so
 * its contents are worth no more than those of a free page, and its bit is set.  Owns
 * the mark by which scan and oracle know these pages; it is there with a map or
 * without, as the balloon may be older than the map.
 *
 * Locks: zone->lock, under which mark and bit change together; the caller's own are
 * taken before it.
 */
#include <linux/cfph.h>
#include <linux/export.h>
#include <linux/mm.h>

#include "hooks.h"
#include "common.h"

/**
 * cfph_page_inflated - a page lies in the balloon from now on
 * @page: the page; nobody else has it, and it has been entered (PageOffline)
 *
 * Before or after the host has been told of it: what is in the page matters to
 * nobody any more.
 *
 * Context: any but under zone->lock; the caller holds what keeps the page in the
 *	balloon meanwhile.
 */
void cfph_page_inflated(struct page *page)
{
	struct zone *zone = page_zone(page);
	unsigned long flags;

	spin_lock_irqsave(&zone->lock, flags);
	set_bit(PG_owner_priv_1, &page->flags);
	cfph_page_freed(zone, page, 0);
	spin_unlock_irqrestore(&zone->lock, flags);
}
EXPORT_SYMBOL_GPL(cfph_page_inflated);

/**
 * cfph_page_deflating - a page is about to leave a balloon
 * @page: the page, still PageOffline; one that lies in another driver's balloon has
 *	no mark, and nothing is done
 *
 * From here on it is in use, as if it had just been allocated.  This has to come
 * before it is given back: it may go to a per-cpu list and from there to its next
 * owner, and never come near a hook of the allocator.
 *
 * Context: any but under zone->lock; the page is out of reach of everybody else.
 */
void cfph_page_deflating(struct page *page)
{
	struct zone *zone = page_zone(page);
	unsigned long flags;

	if (!cfph_page_in_balloon(page))
		return;
	spin_lock_irqsave(&zone->lock, flags);
	cfph_page_allocated(zone, page, 0);
	clear_bit(PG_owner_priv_1, &page->flags);
	spin_unlock_irqrestore(&zone->lock, flags);
}
EXPORT_SYMBOL_GPL(cfph_page_deflating);
