// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: the map and the hooks that keep it.
 *
 * Owns the memory of the map, the directory in which the host finds it, the static
 * key of the hooks and the leaves of memory that comes online.  Must not know
 * states, sessions or messages.
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
#include <linux/io.h>
#include <linux/memblock.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/random.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>

#include <uapi/linux/virtio_balloon_cfph.h>

#include "cfph.h"
#include "internal.h"

DEFINE_STATIC_KEY_FALSE(cfph_hooks);

/*
 * What the hooks write to.  Readers: RCU; zone->lock is an RCU reader, too.  Not
 * beside what kcfphd or an interrupt writes: every hook reads it.
 */
static struct cfph_map __rcu *cfph_live_map __read_mostly;

/* Protects cfph_live_map and the adding of leaves against each other. */
static DEFINE_SPINLOCK(cfph_leaf_lock);

/* What the directory has room for: 31.5 TiB. */
#define CFPH_MAX_SLOTS		((unsigned long)VIRTIO_BALLOON_CFPH_DIRS_MAX * \
				 VIRTIO_BALLOON_CFPH_DIR_LEAVES)

static_assert(sizeof(struct virtio_balloon_cfph_map_header) == PAGE_SIZE);
static_assert(VIRTIO_BALLOON_CFPH_DIR_LEAVES * sizeof(__le64) == PAGE_SIZE);

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
	 * looks at the bits: see kcfphd_pass_chunk().  So a byte that is set
	 * needs no store, which would take the line from the other CPUs: either
	 * it is cleared before our hold of the lock, and then we see 0, or who
	 * clears it sees our bits.
	 */
	for (; chunk <= last; chunk++)
		if (!READ_ONCE(map->changed[chunk]))
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
	cfph_map_update(zone, page, order, false);
}

#ifdef CONFIG_CFPH_DEBUG
/**
 * cfph_map_calls_free - is a page of a block free in the map that the host reads?
 * @pfn: its first page
 * @order: its order
 *
 * The state word comes first: it says OFF before the first hook is off.
 *
 * Context: any.  What it says of a block that others may free or allocate is true
 *	of no moment.
 * Return: true if one is, and the map is READY.
 */
bool cfph_map_calls_free(unsigned long pfn, unsigned int order)
{
	unsigned long mask = order < CFPH_WORD_SHIFT ?
			     cfph_word_mask(pfn, order) : ~0UL;
	unsigned long end = pfn + (1UL << order);
	struct cfph_map *map;
	bool found = false;

	rcu_read_lock();
	map = rcu_dereference(cfph_live_map);
	if (map && READ_ONCE(map->header->state) ==
		   cpu_to_le32(VIRTIO_BALLOON_CFPH_STATE_READY)) {
		/* A gigantic page has more than one leaf. */
		for (; !found && pfn < end; pfn += BITS_PER_LONG) {
			unsigned long *leaf =
				cfph_map_leaf(map, pfn >> CFPH_LEAF_SHIFT);
			unsigned long word = pfn >> CFPH_WORD_SHIFT;

			found = leaf && READ_ONCE(leaf[word % CFPH_LEAF_WORDS]) &
					mask;
		}
	}
	rcu_read_unlock();
	return found;
}
#endif

/* --- leaves and the directory --- */

/* Rather no map than a process that the OOM killer ends for it. */
#define CFPH_GFP	(GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN)

/*
 * A page of its own from the page allocator: it has a guest-physical address that
 * the host can read.  As a leaf: nothing is free; as a directory: nothing is there.
 *
 * It stays as long as the map and cannot be moved, so a DIMM that it lies in could
 * not be unplugged.  Hypervisors plug memory in above 4 GiB, and what lies below
 * has been there since boot.  The leaves of 31 TiB take 1 GiB of it.
 */
static void *cfph_alloc_page(void)
{
	return (void *)get_zeroed_page(CFPH_GFP | __GFP_DMA32);
}

static __le64 *cfph_dir_entry(const struct cfph_map *map, unsigned long slot)
{
	return &map->header->dir[slot / VIRTIO_BALLOON_CFPH_DIR_LEAVES];
}

/* Return: a directory page, or NULL if there is none for @slot. */
static __le64 *cfph_dir_page(const struct cfph_map *map, unsigned long slot)
{
	u64 addr = le64_to_cpu(READ_ONCE(*cfph_dir_entry(map, slot)));

	return addr ? phys_to_virt(addr) : NULL;
}

/* Show @page to the host: one store that it sees as a whole or not at all. */
static void cfph_map_publish(struct cfph_map *map, __le64 *entry, void *page)
{
	__le64 *changes = &map->header->changes;

	lockdep_assert_held(&cfph_leaf_lock);

	/*
	 * The zeroes before the address.  The partner is the host, which reads
	 * the address and then, through it, the page.
	 */
	virt_store_release(entry, cpu_to_le64(virt_to_phys(page)));
	/*
	 * The address before the count.  The partner is the host, which reads the
	 * count before the addresses: if it has the new count, it finds the new
	 * address.  If it stops us in between, it does not look, and what it does
	 * not know is not free.
	 */
	virt_store_release(changes, cpu_to_le64(le64_to_cpu(*changes) + 1));
}

/*
 * Takes what it uses of @leaf and @dir and leaves NULL.
 *
 * Return: false if something is missing: memory, or room in the directory.
 */
static bool cfph_map_add_leaf(struct cfph_map *map, unsigned long slot,
			      void **leaf, void **dir)
{
	__le64 *entries;

	lockdep_assert_held(&cfph_leaf_lock);

	if (slot >= map->slots || !*leaf)
		return false;
	if (!cfph_dir_page(map, slot)) {
		if (!*dir)
			return false;
		cfph_map_publish(map, cfph_dir_entry(map, slot), *dir);
		*dir = NULL;
	}

	/*
	 * The zeroes before the pointer.  The partners are the hooks, which reach
	 * the leaf through it: cfph_map_leaf().
	 */
	smp_store_release(&map->leaf[slot], *leaf);
	WRITE_ONCE(map->leaves, map->leaves + 1);
	entries = cfph_dir_page(map, slot);
	cfph_map_publish(map, entries + slot % VIRTIO_BALLOON_CFPH_DIR_LEAVES,
			 *leaf);
	*leaf = NULL;
	return true;
}

/* Return: false if there is nothing to do for @slot. */
static bool cfph_needs_leaf(unsigned long slot, bool *needs_dir)
{
	struct cfph_map *map;
	bool ret;

	rcu_read_lock();
	map = rcu_dereference(cfph_live_map);
	ret = map && !cfph_map_leaf(map, slot);
	*needs_dir = ret && slot < map->slots && !cfph_dir_page(map, slot);
	rcu_read_unlock();

	return ret;
}

/*
 * Have a leaf for @slot in the live map.
 *
 * Return: false if the slot stays untracked although there is a map.
 */
static bool cfph_track_slot(unsigned long slot)
{
	bool needs_dir, tracked = true;
	struct cfph_map *map;
	void *leaf, *dir;

	if (!cfph_needs_leaf(slot, &needs_dir))
		return true;

	leaf = cfph_alloc_page();
	dir = needs_dir ? cfph_alloc_page() : NULL;

	spin_lock(&cfph_leaf_lock);
	map = rcu_dereference_protected(cfph_live_map,
					lockdep_is_held(&cfph_leaf_lock));
	if (map && !cfph_map_leaf(map, slot))
		tracked = cfph_map_add_leaf(map, slot, &leaf, &dir);
	spin_unlock(&cfph_leaf_lock);
	free_page((unsigned long)leaf);
	free_page((unsigned long)dir);

	return tracked;
}

/* --- making and destroying the map --- */

static void cfph_map_free(struct cfph_map *map)
{
	unsigned long slot;

	for (slot = 0; slot < map->slots; slot++)
		free_page((unsigned long)map->leaf[slot]);
	if (map->header)
		for (slot = 0; slot < map->slots;
		     slot += VIRTIO_BALLOON_CFPH_DIR_LEAVES)
			free_page((unsigned long)cfph_dir_page(map, slot));
	free_page((unsigned long)map->header);
	kvfree(map->changed);
	kvfree(map);
}

/* All but the state word, which says that the map is not to be believed yet. */
static void cfph_map_init_header(struct cfph_map *map)
{
	struct virtio_balloon_cfph_map_header *header = map->header;
	u64 generation;

	/* The host tells one map from another by it, and 0 is none. */
	do {
		generation = get_random_u64();
	} while (!generation);

	header->magic = cpu_to_le64(VIRTIO_BALLOON_CFPH_MAGIC);
	header->version = cpu_to_le32(VIRTIO_BALLOON_CFPH_VERSION);
	header->generation = cpu_to_le64(generation);
	header->dirs = cpu_to_le32(DIV_ROUND_UP(map->slots,
						VIRTIO_BALLOON_CFPH_DIR_LEAVES));
}

static struct cfph_map *cfph_map_alloc(unsigned long slots)
{
	struct cfph_map *map;

	/* 8 + 64 bytes per 128 MiB beside the leaf itself. */
	map = kvzalloc(struct_size(map, leaf, slots),
		       GFP_KERNEL | __GFP_NOWARN);
	if (!map)
		return NULL;

	map->slots = slots;
	map->header = cfph_alloc_page();
	map->changed = kvcalloc(slots, CFPH_LEAF_CHUNKS,
				GFP_KERNEL | __GFP_NOWARN);
	if (!map->header || !map->changed) {
		cfph_map_free(map);
		return NULL;
	}
	cfph_map_init_header(map);
	return map;
}

/* How many leaves may there ever be, holes included? */
static unsigned long cfph_possible_slots(void)
{
	/* SRAT's hotplug ranges count: QEMU announces there what may come. */
	unsigned long pages = max_t(u64, max_pfn, max_possible_pfn);
	unsigned long slots = DIV_ROUND_UP(pages, CFPH_LEAF_PAGES);

	if (slots <= CFPH_MAX_SLOTS)
		return slots;
	pr_warn_once("pages %#lx and up are not tracked and migrate as used: the directory ends there\n",
		     CFPH_MAX_SLOTS << CFPH_LEAF_SHIFT);
	return CFPH_MAX_SLOTS;
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

static bool cfph_track_online(unsigned long slots)
{
	unsigned long slot;

	for (slot = 0; slot < slots; slot++) {
		if (cfph_slot_online(slot) && !cfph_track_slot(slot))
			return false;
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
	int err = 0;

	map = cfph_map_alloc(cfph_possible_slots());
	if (!map)
		return ERR_PTR(-ENOMEM);

	/* No memory comes online meanwhile; later, the notifier takes care. */
	get_online_mems();
	spin_lock(&cfph_leaf_lock);
	rcu_assign_pointer(cfph_live_map, map);
	spin_unlock(&cfph_leaf_lock);
	if (!cfph_track_online(map->slots))
		err = -ENOMEM;
	else if (cfph_zones_share_word())
		err = -EXDEV;
	put_online_mems();
	if (err) {
		cfph_map_stop(map);
		return ERR_PTR(err);
	}

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

/*
 * GOING_ONLINE, because at ONLINE the pages are in the buddy lists already.  A
 * failure must not veto the onlining: memory without a leaf is not tracked,
 * which is slower and safe.  The host need not be told: it finds the leaf in the
 * directory.
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
		if (cfph_track_slot(slot))
			continue;
		/* For the first of the many blocks of a DIMM. */
		pr_warn_once("pages %#lx and up are not tracked and migrate as used: no memory for the map, or beyond what the firmware announced at boot\n",
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
 * either cleared by this or set by one of them, whichever comes last.  One that
 * has just seen a byte set leaves it to be cleared, and its change is in no delta;
 * this is for the begin of a session, where the host looks at the map itself.
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
	u64 slot, pages = READ_ONCE(map->leaves) + 1;

	for (slot = 0; slot < map->slots; slot += VIRTIO_BALLOON_CFPH_DIR_LEAVES)
		pages += !!cfph_dir_page(map, slot);
	return struct_size(map, leaf, map->slots) + cfph_map_chunks(map) +
	       pages * PAGE_SIZE;
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
