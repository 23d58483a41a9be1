// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: the map and the hooks that keep it.
 *
 * Owns the memory of the map, the static key of the hooks and the leaves of
 * memory that comes online.  Must not know states, sessions or messages.
 *
 * The invariant, true whenever zone->lock is not held and the hooks have been
 * on since the page's block was scanned (or came online):
 *
 *	a bit is set if and only if the page lies in a block on a buddy free
 *	list of the zone, or in a guard block of debug_pagealloc.
 *
 * The free lists change in three primitives of mm/page_alloc.c only; the seven
 * hooks cover the net effect of each hold of zone->lock that uses them.  Splits,
 * merges and moves between lists have none.
 *
 * Locks: bits are written under zone->lock of the page's zone, so the hooks
 * take no lock and allocate nothing.  cfph_leaf_lock nests inside everything.
 */
#define pr_fmt(fmt) "cfph: " fmt

#include <linux/bitops.h>
#include <linux/gfp.h>
#include <linux/memblock.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>

#include "cfph.h"
#include "internal.h"

DEFINE_STATIC_KEY_FALSE(cfph_hooks);

/* What the hooks write to.  Readers: RCU; zone->lock is an RCU reader, too. */
static struct cfph_map __rcu *cfph_live_map;

/* Protects cfph_live_map and the adding of leaves against each other. */
static DEFINE_SPINLOCK(cfph_leaf_lock);

#ifdef CONFIG_SPARSEMEM
/* Memory comes and goes by sections: a leaf is online as a whole or not. */
static_assert(PAGES_PER_SECTION % CFPH_LEAF_PAGES == 0);
#endif

/* --- the hooks --- */

static __always_inline void cfph_map_mark(struct cfph_map *map,
					  unsigned long pfn,
					  unsigned int order, bool free)
{
	unsigned long chunk = pfn >> CFPH_CHUNK_SHIFT;
	unsigned long last = (pfn + (1UL << order) - 1) >> CFPH_CHUNK_SHIFT;
	unsigned long *leaf;

	/* No leaf: not tracked, which reads as not free. */
	leaf = cfph_map_leaf(map, pfn >> CFPH_LEAF_SHIFT);
	if (unlikely(!leaf))
		return;

	cfph_bits_update(leaf, pfn % CFPH_LEAF_PAGES, order, free);

	/*
	 * Whoever clears this byte takes zone->lock after that and before it
	 * looks at the bits: see kcfphd_pass_chunk().
	 */
	for (; chunk <= last; chunk++)
		WRITE_ONCE(map->changed[chunk], 1);
}

static __always_inline void cfph_map_update(struct zone *zone,
					    struct page *page,
					    unsigned int order, bool free)
{
	struct cfph_map *map;

	lockdep_assert_held(&zone->lock);

	map = rcu_dereference_check(cfph_live_map,
				    lockdep_is_held(&zone->lock));
	/* The key is switched on after the map has come, off before it goes. */
	if (likely(map))
		cfph_map_mark(map, page_to_pfn(page), order, free);
}

/* Out-of-line body of cfph_page_freed(); the key is on. */
noinline void __cfph_page_freed(struct zone *zone, struct page *page,
				unsigned int order)
{
	cfph_map_update(zone, page, order, true);
}

/* Out-of-line body of cfph_page_allocated(); the key is on. */
noinline void __cfph_page_allocated(struct zone *zone, struct page *page,
				    unsigned int order)
{
	if (cfph_keep_on_alloc())
		return;
	cfph_map_update(zone, page, order, false);
}

/* --- making and destroying it --- */

static unsigned long *cfph_alloc_leaf(void)
{
	/*
	 * A page of its own from the page allocator: it has a guest-physical
	 * address that can be registered.  All bits 0: not free.
	 */
	return (unsigned long *)get_zeroed_page(GFP_KERNEL | __GFP_NOWARN);
}

static bool cfph_slot_online(unsigned long slot)
{
	unsigned long pfn = slot << CFPH_LEAF_SHIFT;
	unsigned long end = pfn + CFPH_LEAF_PAGES;

	/* Without sections (FLATMEM) memory may begin anywhere in the leaf. */
	for (; pfn < end; pfn += MAX_ORDER_NR_PAGES)
		if (pfn_to_online_page(pfn))
			return true;
	return false;
}

static void cfph_map_free(struct cfph_map *map)
{
	unsigned long slot;

	for (slot = 0; slot < map->slots; slot++)
		free_page((unsigned long)map->leaf[slot]);
	free_page((unsigned long)map->header);
	kvfree(map->changed);
	kvfree(map);
}

static struct cfph_map *cfph_map_alloc(void)
{
	/* SRAT's hotplug ranges count: QEMU announces there what may come. */
	unsigned long pages = max_t(u64, max_pfn, max_possible_pfn);
	unsigned long slots = DIV_ROUND_UP(pages, CFPH_LEAF_PAGES);
	struct cfph_map *map;

	/* 8 + 64 bytes per 128 MiB beside the leaf itself. */
	map = kvzalloc(struct_size(map, leaf, slots),
		       GFP_KERNEL | __GFP_NOWARN);
	if (!map)
		return NULL;

	map->slots = slots;
	map->header = (void *)get_zeroed_page(GFP_KERNEL | __GFP_NOWARN);
	map->changed = kvcalloc(slots, CFPH_LEAF_CHUNKS,
				GFP_KERNEL | __GFP_NOWARN);
	if (!map->header || !map->changed) {
		cfph_map_free(map);
		return NULL;
	}
	return map;
}

static bool cfph_map_alloc_leaves(struct cfph_map *map)
{
	unsigned long slot, *leaf;

	for (slot = 0; slot < map->slots; slot++) {
		if (!cfph_slot_online(slot))
			continue;
		leaf = cfph_alloc_leaf();
		if (!leaf)
			return false;
		map->leaf[slot] = leaf;
		map->leaves++;
		cond_resched();
	}
	return true;
}

/**
 * cfph_map_start - make a map for all online memory and switch the hooks on
 *
 * The contents are garbage until cfph_scan_leaf() has been called for each slot.
 *
 * Context: process context, may sleep.  Takes mem_hotplug_lock, then
 *	cpu_hotplug_lock, each for itself; the caller holds neither.
 * Return: the map; ERR_PTR(-ENOMEM); or ERR_PTR(-EXDEV) if two zones share a
 *	word of it.
 */
struct cfph_map *cfph_map_start(void)
{
	struct cfph_map *map;
	int err = -ENOMEM;

	map = cfph_map_alloc();
	if (!map)
		return ERR_PTR(err);

	/*
	 * No memory comes online between the allocation of the leaves and the
	 * publication: after it, the notifier takes care.
	 */
	get_online_mems();
	if (!cfph_map_alloc_leaves(map))
		goto out_put;
	if (cfph_zones_share_word()) {
		err = -EXDEV;
		goto out_put;
	}
	spin_lock(&cfph_leaf_lock);
	rcu_assign_pointer(cfph_live_map, map);
	spin_unlock(&cfph_leaf_lock);
	put_online_mems();

	/*
	 * Not under get_online_mems(): memory hotplug takes cpu_hotplug_lock,
	 * which this needs, before mem_hotplug_lock.
	 *
	 * The sites are switched one after the other, and a CPU may still be in
	 * an allocator path that it entered with the hooks off.  Both end before
	 * the scan gets the lock of the zone in question.
	 */
	static_branch_enable(&cfph_hooks);

	return map;

out_put:
	put_online_mems();
	cfph_map_free(map);
	return ERR_PTR(err);
}

/**
 * cfph_map_stop - switch the hooks off and free the map
 * @map: what cfph_map_start() has returned
 *
 * Context: process context, may sleep.  Takes cpu_hotplug_lock.  Nobody else
 *	uses @map, and the host has been told not to.
 */
void cfph_map_stop(struct cfph_map *map)
{
	static_branch_disable(&cfph_hooks);

	spin_lock(&cfph_leaf_lock);
	rcu_assign_pointer(cfph_live_map, NULL);
	spin_unlock(&cfph_leaf_lock);

	/*
	 * A hook may still run: zone->lock makes it an RCU reader, on PREEMPT_RT
	 * because rt_spin_lock() is one, elsewhere because interrupts are off.
	 */
	synchronize_rcu();
	cfph_map_free(map);
}

/* --- memory hotplug --- */

#ifdef CONFIG_MEMORY_HOTPLUG

static void cfph_map_add_leaf(struct cfph_map *map, unsigned long slot,
			      unsigned long *leaf)
{
	lockdep_assert_held(&cfph_leaf_lock);

	/* The hooks must see a zeroed leaf.  Pairs with cfph_map_leaf(). */
	smp_store_release(&map->leaf[slot], leaf);
	WRITE_ONCE(map->leaves, map->leaves + 1);
}

static bool cfph_needs_leaf(unsigned long slot)
{
	struct cfph_map *map;
	bool ret;

	rcu_read_lock();
	map = rcu_dereference(cfph_live_map);
	ret = map && !cfph_map_leaf(map, slot);
	rcu_read_unlock();

	return ret;
}

/* Return: false if the slot stays untracked although there is a map. */
static bool cfph_hotplug_leaf(unsigned long slot)
{
	struct cfph_map *map;
	unsigned long *leaf;
	bool tracked = true;

	if (!cfph_needs_leaf(slot))
		return true;

	leaf = cfph_alloc_leaf();

	spin_lock(&cfph_leaf_lock);
	map = rcu_dereference_protected(cfph_live_map,
					lockdep_is_held(&cfph_leaf_lock));
	if (map && !cfph_map_leaf(map, slot)) {
		tracked = leaf && slot < map->slots;
		if (tracked) {
			cfph_map_add_leaf(map, slot, leaf);
			leaf = NULL;
		}
	}
	spin_unlock(&cfph_leaf_lock);
	free_page((unsigned long)leaf);

	return tracked;
}

/*
 * GOING_ONLINE, because at ONLINE the pages are in the buddy lists already.  A
 * failure must not veto the onlining: memory without a leaf is not tracked,
 * which is slower and safe.
 *
 * OFFLINE needs nothing: the hook in __offline_isolated_pages() has cleared all
 * bits, and the leaf stays for the memory that may come back.
 *
 * Must not take cfph_mutex: it is taken before the locks that are held here.
 */
static int cfph_memory_notify(struct notifier_block *nb, unsigned long action,
			      void *data)
{
	const struct memory_notify *range = data;
	unsigned long slot = range->start_pfn >> CFPH_LEAF_SHIFT;
	unsigned long end = DIV_ROUND_UP(range->start_pfn + range->nr_pages,
					 CFPH_LEAF_PAGES);

	if (action != MEM_GOING_ONLINE)
		return NOTIFY_DONE;

	for (; slot < end; slot++) {
		if (cfph_hotplug_leaf(slot))
			continue;
		pr_warn("pages %#lx and up are not tracked and migrate as used: no memory for the map, or beyond what the firmware announced at boot\n",
			slot << CFPH_LEAF_SHIFT);
		break;
	}
	return NOTIFY_OK;
}

static int __init cfph_map_init(void)
{
	return hotplug_memory_notifier(cfph_memory_notify,
				       DEFAULT_CALLBACK_PRI);
}
subsys_initcall(cfph_map_init);

#endif /* CONFIG_MEMORY_HOTPLUG */

/* --- changed chunks --- */

/**
 * cfph_map_clear_changed - forget all changes
 * @map: the map
 *
 * The hooks go on setting bytes, which is why this is no memset(): each byte is
 * either cleared by this or set by one of them, whichever comes last.
 */
void cfph_map_clear_changed(struct cfph_map *map)
{
	unsigned long chunk, chunks = cfph_map_chunks(map);

	for (chunk = 0; chunk < chunks; chunk += sizeof(u64))
		WRITE_ONCE(*(u64 *)&map->changed[chunk], 0);
}

/**
 * cfph_map_next_changed - find a chunk whose changed byte is set
 * @map: the map
 * @chunk: where to begin
 *
 * Return: the first one at or after @chunk, or cfph_map_chunks().
 */
unsigned long cfph_map_next_changed(const struct cfph_map *map,
				    unsigned long chunk)
{
	unsigned long chunks = cfph_map_chunks(map);

	while (chunk < chunks) {
		/* Eight at a time: most of them are 0. */
		if (chunk % sizeof(u64) == 0 &&
		    !READ_ONCE(*(const u64 *)&map->changed[chunk])) {
			chunk += sizeof(u64);
			continue;
		}
		if (READ_ONCE(map->changed[chunk]))
			break;
		chunk++;
	}
	return chunk;
}

/**
 * cfph_map_count_changed - count the chunks whose changed byte is set
 * @map: the map
 * @chunk: where to begin
 *
 * Return: how many there are at or after @chunk.
 */
unsigned long cfph_map_count_changed(const struct cfph_map *map,
				     unsigned long chunk)
{
	unsigned long chunks = cfph_map_chunks(map);
	unsigned long count = 0;

	for (chunk = cfph_map_next_changed(map, chunk); chunk < chunks;
	     chunk = cfph_map_next_changed(map, chunk + 1))
		count++;
	return count;
}

/**
 * cfph_map_copy - read a part of a leaf
 * @map: the map
 * @pfn: first page, a multiple of BITS_PER_LONG
 * @words: how many words; they all lie in one leaf
 * @bits: where to; memory that no zone has reads as not free
 *
 * Of a part that two zones have, each one's words are copied under its lock; no
 * word belongs to two zones.  The spans of zones, but not the zones, may overlap
 * (kernelcore=mirror, interleaved nodes).  Then a word is copied once under each
 * lock, and the last copy may be older than a change made under the other one.
 * That makes a delta stale, which costs time and nothing else.
 *
 * The zones are found by their spans and not through struct page, which memory
 * offline may free at any time.
 *
 * Context: process context; takes zone->lock for the copy, 4 KiB at most.
 */
void cfph_map_copy(const struct cfph_map *map, unsigned long pfn,
		   unsigned long words, unsigned long *bits)
{
	unsigned long *leaf = cfph_map_leaf(map, pfn >> CFPH_LEAF_SHIFT);
	unsigned long last = pfn + words * BITS_PER_LONG;
	unsigned long start, end, word;
	struct zone *zone;

	memset(bits, 0, words * sizeof(*bits));
	if (!leaf)
		return;
	leaf += (pfn % CFPH_LEAF_PAGES) >> CFPH_WORD_SHIFT;

	for_each_populated_zone(zone) {
		start = max(zone->zone_start_pfn, pfn);
		end = min(zone_end_pfn(zone), last);
		if (start >= end)
			continue;

		word = (start - pfn) >> CFPH_WORD_SHIFT;
		end = DIV_ROUND_UP(end - pfn, BITS_PER_LONG);
		spin_lock_irq(&zone->lock);
		for (; word < end; word++)
			bits[word] = READ_ONCE(leaf[word]);
		spin_unlock_irq(&zone->lock);
	}
}

/* --- sums --- */

/**
 * cfph_map_tracked_pages - pages of RAM that have a leaf
 * @map: the map
 *
 * Context: process context.
 * Return: 4 KiB pages.
 */
u64 cfph_map_tracked_pages(const struct cfph_map *map)
{
	unsigned long slot, end = map->slots;
	struct zone *zone;
	u64 pages = 0;

	for_each_populated_zone(zone) {
		pages += zone->present_pages;
		end = max(end, DIV_ROUND_UP(zone_end_pfn(zone),
					    CFPH_LEAF_PAGES));
	}

	/* A leaf is missing only of memory that came online as whole sections. */
	for (slot = 0; slot < end; slot++)
		if (!cfph_map_leaf(map, slot) &&
		    pfn_to_online_page(slot << CFPH_LEAF_SHIFT))
			pages -= CFPH_LEAF_PAGES;
	return pages;
}

/**
 * cfph_map_bytes - memory that the map takes
 * @map: the map
 *
 * Return: bytes.
 */
u64 cfph_map_bytes(const struct cfph_map *map)
{
	return struct_size(map, leaf, map->slots) + cfph_map_chunks(map) +
	       (READ_ONCE(map->leaves) + 1) * PAGE_SIZE;
}

/**
 * cfph_map_free_pages - count the bits that are set
 *
 * Anybody may ask for this number, so nothing waits for it: a leaf at a time
 * under RCU, which keeps cfph_map_stop() from freeing it.
 *
 * Context: process context, no lock needed.
 * Return: 4 KiB pages.
 */
u64 cfph_map_free_pages(void)
{
	unsigned long slot, word, *leaf;
	struct cfph_map *map;
	bool more = true;
	u64 pages = 0;

	for (slot = 0; more; slot++) {
		rcu_read_lock();
		map = rcu_dereference(cfph_live_map);
		more = map && slot < map->slots;
		leaf = more ? cfph_map_leaf(map, slot) : NULL;
		for (word = 0; leaf && word < CFPH_LEAF_WORDS; word++)
			pages += hweight_long(READ_ONCE(leaf[word]));
		rcu_read_unlock();
		cond_resched();
	}
	return pages;
}

#if IS_ENABLED(CONFIG_CFPH_KUNIT_TEST)
#include "tests/map-kunit.h"
#endif
