/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Continuous free-page hinting: the map, as the rest of mm/cfph sees it.
 *
 * A leaf has the bits of 128 MiB, and a directory the leaves of 64 GiB; there is
 * one of either only where there is memory, so that what a hypervisor announces
 * (maxmem=) costs nothing.  map.c has the hooks and the readers, leaf.c the memory.
 */
#ifndef _MM_CFPH_MAP_H
#define _MM_CFPH_MAP_H

#include <linux/compiler.h>
#include <linux/mmzone.h>
#include <linux/types.h>

#include <uapi/linux/virtio_balloon_cfph.h>

#include "mask.h"

#define CFPH_DIR_LEAVES		VIRTIO_BALLOON_CFPH_DIR_LEAVES
#define CFPH_DIR_CHUNKS		(CFPH_DIR_LEAVES * CFPH_LEAF_CHUNKS)
/* log2 of the pages of a directory: 64 GiB */
#define CFPH_DIR_SHIFT		24
#define CFPH_DIRS		VIRTIO_BALLOON_CFPH_DIRS_MAX
/* 31.5 TiB */
#define CFPH_MAX_SLOTS		((unsigned long)CFPH_DIRS * CFPH_DIR_LEAVES)

static_assert(1UL << CFPH_DIR_SHIFT == CFPH_DIR_LEAVES * CFPH_LEAF_PAGES);

/**
 * struct cfph_dir - 64 GiB of the map
 * @leaf: by pfn / CFPH_LEAF_PAGES; one page each, NULL = not tracked.  One comes
 *	and goes with its memory, under cfph_leaf_lock; readers are under RCU, or
 *	keep the memory online
 * @changed: one byte per chunk, 1 = a bit may have changed since the byte was last
 *	cleared; written with WRITE_ONCE() and no lock
 */
struct cfph_dir {
	unsigned long *leaf[CFPH_DIR_LEAVES];
	u8 changed[CFPH_DIR_CHUNKS];
};

/**
 * struct cfph_map - the running bitmap of free pages
 * @dir: by pfn >> CFPH_DIR_SHIFT, NULL = nothing there.  Appears when the first of
 *	its leaves does, and stays as long as the map
 * @header: the page that tells the host whether to believe the map, and where to
 *	find its directory pages; leaves are entered there under cfph_leaf_lock
 * @leaves: how many there are; changes under cfph_leaf_lock
 * @slots: behind the last one that has ever been; grows under cfph_leaf_lock
 */
struct cfph_map {
	struct cfph_dir *dir[CFPH_DIRS];	/* at 0: saves the hooks an addition */
	struct virtio_balloon_cfph_map_header *header;
	unsigned long leaves;
	unsigned long slots;
};

/* leaf.c */
struct cfph_map *cfph_map_alloc(void);
void cfph_map_free(struct cfph_map *map);
void cfph_map_start(struct cfph_map *map);
int cfph_map_fill(unsigned long *slot);
void cfph_map_stop(struct cfph_map *map);
u64 cfph_map_tracked_pages(const struct cfph_map *map);
u64 cfph_map_bytes(const struct cfph_map *map);

/* map.c; the map that the hooks keep is never NULL, but it may be no map */
extern struct cfph_map cfph_no_map;
extern struct cfph_map __rcu *cfph_live_map;

void cfph_map_clear_changed(struct cfph_map *map);
void cfph_map_flag(struct cfph_map *map, unsigned long chunk, bool changed);
unsigned long cfph_map_next_changed(const struct cfph_map *map,
				    unsigned long chunk);
unsigned long cfph_map_count_changed(const struct cfph_map *map,
				     unsigned long chunk);
void cfph_map_copy(const struct cfph_map *map, unsigned long pfn,
		   unsigned long words, unsigned long *bits);
u64 cfph_map_free_pages(void);
struct cfph_map *cfph_ready_map(void);
bool cfph_map_calls_free(unsigned long pfn, unsigned int order);

static __always_inline struct cfph_dir *
cfph_map_dir(const struct cfph_map *map, unsigned long dir)
{
	/* Pairs with smp_store_release() in cfph_map_add_leaf(). */
	return dir < CFPH_DIRS ? READ_ONCE(map->dir[dir]) : NULL;
}

/**
 * cfph_map_leaf - the bits of 128 MiB
 * @map: the map
 * @slot: first pfn / CFPH_LEAF_PAGES
 *
 * Context: under RCU, or its memory cannot go offline.
 * Return: CFPH_LEAF_WORDS words, or NULL if that memory is not tracked.
 */
static __always_inline unsigned long *
cfph_map_leaf(const struct cfph_map *map, unsigned long slot)
{
	struct cfph_dir *dir = cfph_map_dir(map, slot / CFPH_DIR_LEAVES);

	/* Pairs with smp_store_release() in cfph_map_add_leaf(), too. */
	return dir ? READ_ONCE(dir->leaf[slot % CFPH_DIR_LEAVES]) : NULL;
}

/* --- what the hooks do; here for their tests --- */

static __always_inline void cfph_flag(struct cfph_dir *dir, unsigned long chunk)
{
	/*
	 * A byte that is set already needs no store, which would take its line
	 * from the other CPUs.  If kcfphd clears it meanwhile and does not see our
	 * bits yet, a delta is stale until the next change: see cfph_map_copy().
	 */
	if (!READ_ONCE(dir->changed[chunk]))
		WRITE_ONCE(dir->changed[chunk], 1);
}

/* Every instruction counts: this runs for each page that the buddy lists give. */
static __always_inline void cfph_map_mark(struct cfph_map *map,
					  unsigned long pfn,
					  unsigned int order, bool free)
{
	struct cfph_dir *dir = cfph_map_dir(map, pfn >> CFPH_DIR_SHIFT);
	unsigned long *leaf, chunk;

	/* No directory, no leaf: not tracked, which reads as not free. */
	if (unlikely(!dir))
		return;
	leaf = READ_ONCE(dir->leaf[(pfn >> CFPH_LEAF_SHIFT) % CFPH_DIR_LEAVES]);
	if (unlikely(!leaf))
		return;

	cfph_bits_update(leaf, pfn % CFPH_LEAF_PAGES, order, free);

	chunk = (pfn >> CFPH_CHUNK_SHIFT) % CFPH_DIR_CHUNKS;
	cfph_flag(dir, chunk);
	if (unlikely(order > CFPH_CHUNK_SHIFT)) {
		unsigned long end = chunk + (1UL << (order - CFPH_CHUNK_SHIFT));

		while (++chunk < end)
			cfph_flag(dir, chunk);
	}
}

/* --- for kcfphd and people --- */

static inline unsigned long cfph_map_chunks(const struct cfph_map *map)
{
	return READ_ONCE(map->slots) * CFPH_LEAF_CHUNKS;
}

static inline void cfph_map_copy_chunk(const struct cfph_map *map,
				       unsigned long chunk,
				       unsigned long bits[CFPH_CHUNK_WORDS])
{
	cfph_map_copy(map, chunk << CFPH_CHUNK_SHIFT, CFPH_CHUNK_WORDS, bits);
}

#endif /* _MM_CFPH_MAP_H */
