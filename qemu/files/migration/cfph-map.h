/*
 * Continuous free-page hints: reading the guest's map
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where RAM is, and the bits of the map: internal to migration/cfph*.c.
 */
#ifndef QEMU_MIGRATION_CFPH_MAP_H
#define QEMU_MIGRATION_CFPH_MAP_H

#include "migration/cfph.h"

/**
 * struct RamCfphSeg: a piece of guest-physical address space that is RAM
 * @pfn: first page, guest-physical
 * @npages: number of pages
 * @rb: the RAMBlock behind it
 * @page: first page, within @rb
 */
typedef struct RamCfphSeg {
    uint64_t pfn;
    uint64_t npages;
    RAMBlock *rb;
    uint64_t page;
} RamCfphSeg;

/**
 * struct RamCfphLayout: where the VM's plain RAM is now
 * @by_pfn: segments ordered by guest-physical address
 * @by_block: the same ones ordered by RAMBlock, then by page
 * @nr: number of segments
 *
 * A page of a RAMBlock is in at most one segment.
 */
struct RamCfphLayout {
    RamCfphSeg *by_pfn;
    RamCfphSeg *by_block;
    size_t nr;
};

/* RCU read lock held until ram_cfph_layout_destroy(). */
void ram_cfph_layout_init(RamCfphLayout *layout);
void ram_cfph_layout_destroy(RamCfphLayout *layout);
/* First segment that ends behind @pfn, layout->nr if none. */
size_t ram_cfph_layout_find(const RamCfphLayout *layout, uint64_t pfn);
/* The segments of @rb in by_block: from the returned index, *@nr of them. */
size_t ram_cfph_layout_block(const RamCfphLayout *layout, const RAMBlock *rb,
                             size_t *nr);

/* The page of the guest at @host is neither dirty nor deferred. */
bool ram_cfph_page_clean(const RamCfphLayout *layout, const void *host);

/* Tell the operator which blocks may lack memory when the guest wants it. */
void ram_cfph_warn_unreserved(void);

/**
 * struct RamCfphView: the guest's map, as it was found for one walk
 * @leaf: host address of each leaf, NULL: none of its pages is free
 * @same: which of them are as they were at the last sync, NULL: none
 * @nr: number of elements
 */
typedef struct RamCfphView {
    const unsigned long **leaf;
    bool *same;
    size_t nr;
} RamCfphView;

/**
 * enum RamCfphWhen: what the map is read for
 * @RAM_CFPH_LOOK: between two slices
 * @RAM_CFPH_SYNC: at a sync of the dirty log
 * @RAM_CFPH_FINAL: from the decision on, with the vCPUs stopped
 */
typedef enum RamCfphWhen {
    RAM_CFPH_LOOK,
    RAM_CFPH_SYNC,
    RAM_CFPH_FINAL,
} RamCfphWhen;

/* As many leaves as can describe RAM, all of them NULL. */
void ram_cfph_view_init(RamCfphView *view, const RamCfphLayout *layout);
void ram_cfph_view_destroy(RamCfphView *view);

/*
 * Mutants that give another view than the true one; CONFIG_CFPH_MUTANTS only.
 * bitmap_mutex held.  Without a view: forget what has been kept.
 */
FreePageHintsReason ram_cfph_view_mutate(RamCfphView *view, RamCfphWhen when,
                                         FreePageHintsReason reason,
                                         uint32_t mutants);

/* The leaf that has the bit of @pfn, NULL if there is none. */
const unsigned long *ram_cfph_view_leaf(const RamCfphView *view, uint64_t pfn);

/**
 * ram_cfph_view_bits: BITS_PER_LONG bits of the map
 * @view: the map
 * @pfn: page of bit 0, any alignment
 *
 * Returns: bit set = free.  Pages without a leaf are not free.
 */
unsigned long ram_cfph_view_bits(const RamCfphView *view, uint64_t pfn);

#endif
