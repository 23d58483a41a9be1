/*
 * Continuous free-page hints: reading the guest's map
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Internal to migration/cfph*.c.
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
typedef struct RamCfphLayout {
    RamCfphSeg *by_pfn;
    RamCfphSeg *by_block;
    size_t nr;
} RamCfphLayout;

/* RCU read lock held until ram_cfph_layout_destroy(). */
void ram_cfph_layout_init(RamCfphLayout *layout);
void ram_cfph_layout_destroy(RamCfphLayout *layout);
/* First segment that ends behind @pfn, layout->nr if none. */
size_t ram_cfph_layout_find(const RamCfphLayout *layout, uint64_t pfn);
/* The segments of @rb in by_block: from the returned index, *@nr of them. */
size_t ram_cfph_layout_block(const RamCfphLayout *layout, const RAMBlock *rb,
                             size_t *nr);

/**
 * struct RamCfphView: the guest's map, mapped for one walk
 * @map: NULL = no page is free
 * @words: host address of each leaf, NULL if it is not in plain RAM
 * @hint: leaf of the last lookup
 */
typedef struct RamCfphView {
    RamCfphMap *map;
    const unsigned long **words;
    size_t hint;
} RamCfphView;

/**
 * enum RamCfphWhen: what the map is read for
 * @RAM_CFPH_LOOK: between two slices
 * @RAM_CFPH_SYNC: at a sync of the dirty log
 * @RAM_CFPH_FINAL: the decision, with the vCPUs stopped
 */
typedef enum RamCfphWhen {
    RAM_CFPH_LOOK,
    RAM_CFPH_SYNC,
    RAM_CFPH_FINAL,
} RamCfphWhen;

/* RCU read lock and bitmap_mutex held until ram_cfph_view_destroy(). */
void ram_cfph_view_init(RamCfphView *view, RamCfphMap *map,
                        const RamCfphLayout *layout, RamCfphWhen when);
void ram_cfph_view_destroy(RamCfphView *view);

/**
 * ram_cfph_view_bits: BITS_PER_LONG bits of the map
 * @view: the map
 * @pfn: page of bit 0, any alignment
 *
 * Returns: bit set = free.  Pages without a readable leaf are not free.
 */
unsigned long ram_cfph_view_bits(RamCfphView *view, uint64_t pfn);

#endif
