// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: the hooks that keep the map, and its readers.
 *
 * Owns the bits and the changed bytes.  Must not know where the memory of the map
 * comes from, nor states, sessions or messages.
 *
 * The invariant, true whenever zone->lock is not held and the hooks have been
 * on since the page's block was scanned (or came online):
 *
 *	a bit is set if and only if the page lies in a block on a buddy free
 *	list of the zone, in a guard block of debug_pagealloc, or in the balloon.
 *
 * The free lists change in three primitives of mm/page_alloc.c only; the seven
 * hooks there cover the net effect of each hold of zone->lock that uses them.
 * Splits, merges and moves between lists have none.  The balloon has two more
 * hooks: balloon.c.
 *
 * Locks: bits are written under zone->lock of the page's zone, so the hooks take
 * no lock and allocate nothing.  Readers take none either: RCU keeps the leaf.
 */
#include <linux/bitops.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "hooks.h"
#include "map.h"

DEFINE_STATIC_KEY_FALSE(cfph_hooks);

/* So that the hooks find something whenever they look. */
struct cfph_map cfph_no_map;

/*
 * What the hooks write to.  Readers: RCU; zone->lock is an RCU reader, too.  Not
 * beside what kcfphd or an interrupt writes: every hook reads it.
 */
struct cfph_map __rcu *cfph_live_map __read_mostly =
	RCU_INITIALIZER(&cfph_no_map);

/* --- the hooks --- */

/*
 * zone->lock makes the hooks RCU readers: on PREEMPT_RT because rt_spin_lock() is
 * one, elsewhere because interrupts are off.
 */
static __always_inline void cfph_map_update(struct page *page,
					    unsigned int order, bool free)
{
	cfph_map_mark(rcu_dereference_raw(cfph_live_map), page_to_pfn(page),
		      order, free);
}

/* Out-of-line body of cfph_page_freed(); the key is on, and zone->lock held. */
noinline void __cfph_page_freed(struct page *page, unsigned int order)
{
	cfph_map_update(page, order, true);
}

/* Out-of-line body of cfph_page_allocated(); likewise. */
noinline void __cfph_page_allocated(struct page *page, unsigned int order)
{
	cfph_map_update(page, order, false);
}

#ifdef CONFIG_CFPH_DEBUG
/**
 * cfph_ready_map - the live map, if the host may read it
 *
 * The state word tells: it says OFF before the first hook is off.
 *
 * Context: under RCU.
 * Return: a map in which nothing is if there is none, or it is not READY.
 */
struct cfph_map *cfph_ready_map(void)
{
	struct cfph_map *map = rcu_dereference_raw(cfph_live_map);

	if (map->header && READ_ONCE(map->header->state) ==
			   cpu_to_le32(VIRTIO_BALLOON_CFPH_STATE_READY))
		return map;
	return &cfph_no_map;
}

/**
 * cfph_map_calls_free - is a page of a block free in the map that the host reads?
 * @pfn: its first page
 * @order: its order
 *
 * Context: any.  What it says of a block that others may free or allocate is true
 *	of no moment.
 * Return: true if one is, and the map is READY.
 */
bool cfph_map_calls_free(unsigned long pfn, unsigned int order)
{
	unsigned long mask = order < CFPH_WORD_SHIFT ?
			     cfph_word_mask(pfn, order) : ~0UL;
	unsigned long *leaf, end = pfn + (1UL << order);
	bool found = false;

	rcu_read_lock();
	/* A gigantic page has more than one leaf. */
	for (; !found && pfn < end; pfn += BITS_PER_LONG) {
		unsigned long word = pfn >> CFPH_WORD_SHIFT;

		leaf = cfph_map_leaf(cfph_ready_map(), pfn >> CFPH_LEAF_SHIFT);
		found = leaf && READ_ONCE(leaf[word % CFPH_LEAF_WORDS]) & mask;
	}
	rcu_read_unlock();
	return found;
}
#endif

/* --- changed chunks --- */

/**
 * cfph_map_flag - say that a chunk has changed, or that its change is known
 * @map: the map
 * @chunk: which one; nothing happens where there is no memory
 * @changed: what to say
 */
void cfph_map_flag(struct cfph_map *map, unsigned long chunk, bool changed)
{
	struct cfph_dir *dir = cfph_map_dir(map, chunk / CFPH_DIR_CHUNKS);

	if (dir)
		WRITE_ONCE(dir->changed[chunk % CFPH_DIR_CHUNKS], changed);
}

/**
 * cfph_map_clear_changed - forget all changes
 * @map: the map
 *
 * The hooks go on setting bytes, which is why this is no memset(): each byte is
 * either cleared by this or set by one of them, whichever comes last.  One that
 * has just seen a byte set leaves it to be cleared, and its change is in no delta;
 * this is for the begin of a session, where the host looks at the map itself.
 */
void cfph_map_clear_changed(struct cfph_map *map)
{
	unsigned long i, chunk;

	for (i = 0; i < CFPH_DIRS; i++) {
		struct cfph_dir *dir = cfph_map_dir(map, i);

		for (chunk = 0; dir && chunk < CFPH_DIR_CHUNKS; chunk += sizeof(u64))
			WRITE_ONCE(*(u64 *)&dir->changed[chunk], 0);
	}
}

/* Return: the first changed chunk of @dir at or after @chunk, or CFPH_DIR_CHUNKS. */
static unsigned long cfph_dir_next_changed(const struct cfph_dir *dir,
					   unsigned long chunk)
{
	while (chunk < CFPH_DIR_CHUNKS) {
		/* Eight at a time: most of them are 0. */
		if (chunk % sizeof(u64) == 0 &&
		    !READ_ONCE(*(const u64 *)&dir->changed[chunk])) {
			chunk += sizeof(u64);
			continue;
		}
		if (READ_ONCE(dir->changed[chunk]))
			break;
		chunk++;
	}
	return chunk;
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
		unsigned long first = round_down(chunk, CFPH_DIR_CHUNKS);
		struct cfph_dir *dir = cfph_map_dir(map, chunk / CFPH_DIR_CHUNKS);
		unsigned long next = CFPH_DIR_CHUNKS;

		if (dir)
			next = cfph_dir_next_changed(dir, chunk - first);
		chunk = first + next;
		if (next < CFPH_DIR_CHUNKS)
			break;
	}
	return min(chunk, chunks);
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

/* --- reading --- */

/**
 * cfph_map_copy - read a part of a leaf
 * @map: the map
 * @pfn: first page, a multiple of BITS_PER_LONG
 * @words: how many words; they all lie in one leaf
 * @bits: where to; memory that is not tracked reads as not free
 *
 * Without zone->lock: each word is what it was at some moment, and one that changes
 * meanwhile may be old.  That makes a delta stale, which costs time and nothing
 * else: the host looks at the map itself when it decides.
 *
 * Context: any.
 */
void cfph_map_copy(const struct cfph_map *map, unsigned long pfn,
		   unsigned long words, unsigned long *bits)
{
	unsigned long word, *leaf;

	rcu_read_lock();
	leaf = cfph_map_leaf(map, pfn >> CFPH_LEAF_SHIFT);
	if (leaf)
		leaf += (pfn % CFPH_LEAF_PAGES) >> CFPH_WORD_SHIFT;
	for (word = 0; word < words; word++)
		bits[word] = leaf ? READ_ONCE(leaf[word]) : 0;
	rcu_read_unlock();
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
		more = slot < READ_ONCE(map->slots);
		leaf = more ? cfph_map_leaf(map, slot) : NULL;
		for (word = 0; leaf && word < CFPH_LEAF_WORDS; word++)
			pages += hweight_long(READ_ONCE(leaf[word]));
		rcu_read_unlock();
		cond_resched();
	}
	return pages;
}
