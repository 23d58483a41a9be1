// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: the memory of the map.
 *
 * Owns the pages of the map, the directory in which the host finds them, the leaves
 * of memory that comes and goes, and the switching of the hooks.  Must not know what
 * the bits say, nor states, sessions or messages.
 *
 * Locks: cfph_leaf_lock nests inside everything.  Whoever makes a map holds none, least
 * of all cfph_mutex: a reboot must not wait for memory.  What the memory notifier calls
 * must not take that one, which is taken before a lock that is held there.
 */
#define pr_fmt(fmt) "cfph: " fmt

#include <linux/bitmap.h>
#include <linux/bug.h>
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/list.h>
#include <linux/memblock.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>

#include "hooks.h"
#include "common.h"

/* Protects cfph_live_map and the coming and going of leaves against each other. */
static DEFINE_SPINLOCK(cfph_leaf_lock);

static_assert(sizeof(struct virtio_balloon_cfph_map_header) == PAGE_SIZE);
static_assert(CFPH_DIR_LEAVES * sizeof(__le64) == PAGE_SIZE);
static_assert(sizeof(struct cfph_map) <= PAGE_SIZE);

#ifdef CONFIG_SPARSEMEM
/* Memory comes and goes by sections: a leaf is online as a whole or not. */
static_assert(PAGES_PER_SECTION % CFPH_LEAF_PAGES == 0);
#endif

/* --- pages --- */

/* Rather no map than a process that the OOM killer ends for it. */
#define CFPH_GFP	(GFP_KERNEL | __GFP_ZERO | __GFP_NORETRY | __GFP_NOWARN)

/*
 * What the host reads has a guest-physical address, so it comes from the page
 * allocator.  As a leaf: nothing is free; as a directory: nothing is there.
 *
 * It cannot be moved, so a DIMM that it lies in could not be unplugged.  Hypervisors
 * plug memory in above 4 GiB, and what lies below has been there since boot.
 */
static void *cfph_alloc_page(void)
{
	return (void *)__get_free_page(CFPH_GFP | __GFP_DMA32);
}

static void *cfph_alloc_pages(size_t size)
{
	return alloc_pages_exact(size, CFPH_GFP | __GFP_DMA32);
}

static bool cfph_stays(struct page *page)
{
#ifdef CONFIG_SPARSEMEM
	return early_section(__pfn_to_section(page_to_pfn(page)));
#else
	return true;
#endif
}

/*
 * The hooks write to a leaf with zone->lock held, so it had better be near their
 * CPUs; but not where memory that was plugged in would stay plugged in for it.
 */
static void *cfph_alloc_leaf(unsigned long slot)
{
	int node = pfn_to_nid(slot << CFPH_LEAF_SHIFT);
	struct page *page;

	if (node == first_online_node)
		return cfph_alloc_page();
	page = alloc_pages_node(node, CFPH_GFP | __GFP_THISNODE, 0);
	if (page && cfph_stays(page))
		return page_address(page);
	if (page)
		__free_page(page);
	return cfph_alloc_page();
}

/* --- the directory --- */

static __le64 *cfph_dir_entry(const struct cfph_map *map, unsigned long slot)
{
	return &map->header->dir[slot / CFPH_DIR_LEAVES];
}

/* Return: a directory page, or NULL if there is none for @slot. */
static __le64 *cfph_dir_page(const struct cfph_map *map, unsigned long slot)
{
	u64 addr = le64_to_cpu(READ_ONCE(*cfph_dir_entry(map, slot)));

	return addr ? phys_to_virt(addr) : NULL;
}

static __le64 *cfph_leaf_entry(const struct cfph_map *map, unsigned long slot)
{
	return cfph_dir_page(map, slot) + slot % CFPH_DIR_LEAVES;
}

/* Show the host a change of @entry: one store that it sees as a whole or not. */
static void cfph_map_publish(struct cfph_map *map, __le64 *entry, u64 addr)
{
	__le64 *changes = &map->header->changes;

	lockdep_assert_held(&cfph_leaf_lock);

	/*
	 * The zeroes before the address.  The partner is the host, which reads
	 * the address and then, through it, the page.
	 */
	virt_store_release(entry, cpu_to_le64(addr));
	/*
	 * The address before the count.  The partner is the host, which reads the
	 * count before the addresses: if it has the new count, it finds the new
	 * address.  If it stops us in between, it does not look: what has come is
	 * not free for it, and what goes has no bit that is set, and is not freed.
	 */
	virt_store_release(changes, cpu_to_le64(le64_to_cpu(*changes) + 1));
}

/* What a new leaf needs, allocated before cfph_leaf_lock is taken. */
struct cfph_parts {
	void *leaf;
	void *page;		/* a directory page for the host, if there is none, */
	struct cfph_dir *dir;	/* and the directory that goes with it */
};

static void cfph_free_parts(struct cfph_parts *parts)
{
	free_page((unsigned long)parts->leaf);
	free_page((unsigned long)parts->page);
	if (parts->dir)
		free_pages_exact(parts->dir, sizeof(*parts->dir));
}

/*
 * Takes what it uses of @parts and leaves NULL.
 *
 * Return: false if something is missing: memory, or room in the directory.
 */
static bool cfph_map_add_leaf(struct cfph_map *map, unsigned long slot,
			      struct cfph_parts *parts)
{
	struct cfph_dir *dir;

	lockdep_assert_held(&cfph_leaf_lock);

	if (slot >= CFPH_MAX_SLOTS || !parts->leaf)
		return false;
	dir = map->dir[slot / CFPH_DIR_LEAVES];
	if (!dir) {
		if (!parts->page || !parts->dir)
			return false;
		dir = parts->dir;
		/* The zeroes before the pointer: cfph_map_dir(). */
		smp_store_release(&map->dir[slot / CFPH_DIR_LEAVES], dir);
		cfph_map_publish(map, cfph_dir_entry(map, slot),
				 virt_to_phys(parts->page));
		parts->dir = NULL;
		parts->page = NULL;
	}

	/*
	 * The zeroes before the pointer.  The partners are the hooks, which reach
	 * the leaf through it, and cfph_map_leaf().
	 */
	smp_store_release(&dir->leaf[slot % CFPH_DIR_LEAVES], parts->leaf);
	WRITE_ONCE(map->leaves, map->leaves + 1);
	WRITE_ONCE(map->slots, max(map->slots, slot + 1));
	cfph_map_publish(map, cfph_leaf_entry(map, slot),
			 virt_to_phys(parts->leaf));
	parts->leaf = NULL;
	return true;
}

/* Return: the live map, or NULL if there is none. */
static struct cfph_map *cfph_get_live(void)
{
	struct cfph_map *map =
		rcu_dereference_check(cfph_live_map,
				      lockdep_is_held(&cfph_leaf_lock));

	return map->header ? map : NULL;
}

/*
 * Have a leaf for @slot, whose memory is online or on the way, in the live map.  The
 * map may go while we allocate: then there is nothing to do.
 *
 * Return: false if the slot stays untracked although there is a map.
 */
static bool cfph_track_slot(unsigned long slot)
{
	struct cfph_parts parts = {};
	bool needed, needs_dir, tracked = true;
	struct cfph_map *map;

	rcu_read_lock();
	map = cfph_get_live();
	needed = map && !cfph_map_leaf(map, slot);
	needs_dir = needed && !cfph_map_dir(map, slot / CFPH_DIR_LEAVES);
	rcu_read_unlock();
	if (!needed)
		return true;

	parts.leaf = cfph_alloc_leaf(slot);
	if (needs_dir) {
		parts.page = cfph_alloc_page();
		parts.dir = cfph_alloc_pages(sizeof(*parts.dir));
	}

	spin_lock(&cfph_leaf_lock);
	/* Another map is going to be filled, with this slot. */
	if (cfph_get_live() == map && !cfph_map_leaf(map, slot))
		tracked = cfph_map_add_leaf(map, slot, &parts);
	spin_unlock(&cfph_leaf_lock);
	cfph_free_parts(&parts);

	return tracked;
}

/* --- making and destroying the map --- */

/**
 * cfph_map_free - free a map that has never been started, or has been stopped
 * @map: the map, or NULL
 */
void cfph_map_free(struct cfph_map *map)
{
	unsigned long slot, i;

	for (slot = 0; map && slot < CFPH_MAX_SLOTS; slot += CFPH_DIR_LEAVES) {
		struct cfph_parts parts = {
			.page = cfph_dir_page(map, slot),
			.dir = map->dir[slot / CFPH_DIR_LEAVES],
		};

		for (i = 0; parts.dir && i < CFPH_DIR_LEAVES; i++)
			free_page((unsigned long)parts.dir->leaf[i]);
		cfph_free_parts(&parts);
	}
	if (map)
		free_page((unsigned long)map->header);
	free_page((unsigned long)map);
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
	header->dirs = cpu_to_le32(CFPH_DIRS);
}

/**
 * cfph_map_alloc - make a map in which nothing is
 *
 * Context: process context, no lock held; may wait for memory.
 * Return: the map, or NULL if there is no memory.
 */
struct cfph_map *cfph_map_alloc(void)
{
	struct cfph_map *map;

	lockdep_assert_none_held_once();

	map = cfph_alloc_page();
	if (!map)
		return NULL;
	map->header = cfph_alloc_page();
	if (!map->header) {
		free_page((unsigned long)map);
		return NULL;
	}
	cfph_map_init_header(map);
	return map;
}

/* Once: a DIMM has many blocks. */
static void cfph_say_untracked(unsigned long slot)
{
	pr_warn_once("pages %#lx and up are not tracked and migrate as used: no memory for the map, or its directory ends there\n",
		     slot << CFPH_LEAF_SHIFT);
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

static void cfph_set_live(struct cfph_map *map)
{
	spin_lock(&cfph_leaf_lock);
	rcu_assign_pointer(cfph_live_map, map);
	spin_unlock(&cfph_leaf_lock);
}

/**
 * cfph_map_start - switch the hooks on
 * @map: what cfph_map_alloc() has returned
 *
 * From here on memory that comes online gets a leaf.  That of other memory, and
 * what is free in either, is up to cfph_map_fill().
 *
 * Context: process context, may sleep.  Takes cpu_hotplug_lock.
 */
void cfph_map_start(struct cfph_map *map)
{
	cfph_set_live(map);
	/*
	 * The sites are switched one after the other, and a CPU may still be in
	 * an allocator path that it entered with the hooks off.  Both end before
	 * the scan gets the lock of the zone in question.
	 */
	static_branch_enable(&cfph_hooks);
}

/**
 * cfph_map_fill - have the next leaf of online memory, and what is free there
 * @slot: where to look; set to where to look after that
 *
 * The live map's, which may go at any moment: then nothing happens.
 *
 * Context: kcfphd, no lock held; may wait for memory.  Takes mem_hotplug_lock.
 * Return: 1; 0 if there is no such leaf any more; -ENOMEM.
 */
int cfph_map_fill(unsigned long *slot)
{
	unsigned long end = DIV_ROUND_UP(READ_ONCE(max_pfn), CFPH_LEAF_PAGES);
	int ret = 0;

	lockdep_assert_none_held_once();

	if (end > CFPH_MAX_SLOTS) {
		cfph_say_untracked(CFPH_MAX_SLOTS);
		end = CFPH_MAX_SLOTS;
	}

	/* Neither the memory nor its leaf goes; what comes later, the notifier sees. */
	get_online_mems();
	while (*slot < end && !cfph_slot_online(*slot)) {
		++*slot;
		cond_resched();
	}
	if (*slot < end) {
		ret = cfph_track_slot(*slot) ? 1 : -ENOMEM;
		cfph_scan_leaf((*slot)++);
	}
	put_online_mems();

	return ret;
}

/**
 * cfph_map_stop - switch the hooks off and free the map
 * @map: what cfph_map_start() was given
 *
 * Context: process context, may sleep.  Takes cpu_hotplug_lock.  Nobody else
 *	uses @map but under RCU, and the host has been told not to.
 */
void cfph_map_stop(struct cfph_map *map)
{
	static_branch_disable(&cfph_hooks);
	cfph_set_live(&cfph_no_map);
	/* A hook may still run, and is an RCU reader: cfph_map_update(). */
	synchronize_rcu();
	cfph_map_free(map);
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
	unsigned long slot, end = READ_ONCE(map->slots);
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
	/* this one, the header, the leaves */
	u64 bytes = (2 + READ_ONCE(map->leaves)) * PAGE_SIZE;
	unsigned int i;

	for (i = 0; i < CFPH_DIRS; i++)
		if (cfph_map_dir(map, i))
			bytes += sizeof(struct cfph_dir) + PAGE_SIZE;
	return bytes;
}

/* --- memory hotplug --- */

#ifdef CONFIG_MEMORY_HOTPLUG

/*
 * GOING_ONLINE, because at ONLINE the pages are in the buddy lists already.  A
 * failure must not veto the onlining: memory without a leaf is not tracked,
 * which is slower and safe.  The host need not be told: it finds the leaf in the
 * directory.
 */
static void cfph_track_range(unsigned long slot, unsigned long end)
{
	for (; slot < end; slot++) {
		if (cfph_track_slot(slot))
			continue;
		cfph_say_untracked(slot);
		break;
	}
}

/* What a forgotten hook would leave: see __offline_isolated_pages(). */
static void cfph_check_clear(const unsigned long *leaf, unsigned long slot)
{
	unsigned long bit = CFPH_LEAF_PAGES;

	if (IS_ENABLED(CONFIG_CFPH_DEBUG))
		bit = find_first_bit(leaf, CFPH_LEAF_PAGES);
	WARN(bit < CFPH_LEAF_PAGES,
	     "cfph: page %#lx is free in the map, but its memory is offline\n",
	     (slot << CFPH_LEAF_SHIFT) + bit);
}

/* The live map without the leaf of @slot; it is put on @leaves. */
static void cfph_take_leaf(unsigned long slot, struct list_head *leaves)
{
	struct cfph_map *map;
	unsigned long *leaf;

	spin_lock(&cfph_leaf_lock);
	map = cfph_get_live();
	leaf = map ? cfph_map_leaf(map, slot) : NULL;
	if (leaf) {
		cfph_check_clear(leaf, slot);
		cfph_map_publish(map, cfph_leaf_entry(map, slot), 0);
		WRITE_ONCE(map->dir[slot / CFPH_DIR_LEAVES]->leaf[slot % CFPH_DIR_LEAVES],
			   NULL);
		WRITE_ONCE(map->leaves, map->leaves - 1);
		list_add(&virt_to_page(leaf)->lru, leaves);
	}
	spin_unlock(&cfph_leaf_lock);
}

/*
 * The bits are clear: the hook in __offline_isolated_pages() has seen to that, or
 * the memory has never been online.  No hook comes here any more, and the host has
 * been told; who still reads, does so under RCU, or keeps memory from going.
 */
static void cfph_untrack_range(unsigned long slot, unsigned long end)
{
	struct page *page, *next;
	LIST_HEAD(leaves);

	for (; slot < end; slot++)
		cfph_take_leaf(slot, &leaves);
	if (list_empty(&leaves))
		return;
	synchronize_rcu();
	list_for_each_entry_safe(page, next, &leaves, lru)
		__free_page(page);
}

static int cfph_memory_notify(struct notifier_block *nb, unsigned long action,
			      void *data)
{
	const struct memory_notify *range = data;
	unsigned long slot = range->start_pfn >> CFPH_LEAF_SHIFT;
	unsigned long end = DIV_ROUND_UP(range->start_pfn + range->nr_pages,
					 CFPH_LEAF_PAGES);

	switch (action) {
	case MEM_GOING_ONLINE:
		cfph_track_range(slot, end);
		return NOTIFY_OK;
	case MEM_CANCEL_ONLINE:
	case MEM_OFFLINE:
		cfph_untrack_range(slot, end);
		return NOTIFY_OK;
	default:
		return NOTIFY_DONE;
	}
}

static int __init cfph_leaf_init(void)
{
	return hotplug_memory_notifier(cfph_memory_notify,
				       DEFAULT_CALLBACK_PRI);
}
subsys_initcall(cfph_leaf_init);

#endif /* CONFIG_MEMORY_HOTPLUG */

#if IS_ENABLED(CONFIG_CFPH_KUNIT_TEST)
#include "tests/leaf-kunit.c"
#endif
