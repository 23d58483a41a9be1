/*
 * Continuous free-page hints: moving bits between the two bitmaps of a block
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Internal to migration/cfph*.c.  bitmap_mutex and the RCU read lock are held
 * for all of it.
 */
#ifndef QEMU_MIGRATION_CFPH_WALK_H
#define QEMU_MIGRATION_CFPH_WALK_H

#include "cfph-map.h"

/**
 * struct RamCfphMoved: what has been done to the bitmaps, in pages
 * @set_aside: moved out of a dirty bitmap
 * @dirty: by how much the number of dirty pages has changed
 * @deferred: by how much the number of deferred pages has changed
 */
typedef struct RamCfphMoved {
    uint64_t set_aside;
    int64_t dirty;
    int64_t deferred;
} RamCfphMoved;

/**
 * ram_cfph_walk: Set aside what the map shows as free
 * @layout: where RAM is; not looked at without @view
 * @view: the map; NULL: no page is free
 * @put_back: first put every deferred page back
 * @stopped: the guest stands still and waits: use several processors
 */
RamCfphMoved ram_cfph_walk(const RamCfphLayout *layout, const RamCfphView *view,
                           bool put_back, bool stopped);

/**
 * ram_cfph_walk_know: Find out which leaves are as they were at the last sync
 * @layout: where RAM is
 * @view: the map, in which view->same is filled in
 * @synced: the dirty log has just been merged; false: none of them is known to
 *     be the same
 *
 * Each view that is walked is shown to this once before, in turn.
 */
void ram_cfph_walk_know(const RamCfphLayout *layout, RamCfphView *view,
                        bool synced);
/* There is no map, or no migration: from now on, nothing is as it was. */
void ram_cfph_walk_forget(void);

/*
 * The mutant "once": what is set aside neither comes back nor is left out in
 * the end, it is clean.  CONFIG_CFPH_MUTANTS only.
 */
void ram_cfph_walk_drop(void);

/**
 * ram_cfph_walk_mark: Make marks of the deferred bits
 *
 * For postcopy: each deferred page becomes dirty and so will be sent, but its
 * bit stays as the mark that no contents need to be sent.
 *
 * Returns: by how much the number of dirty pages has grown.
 */
uint64_t ram_cfph_walk_mark(void);

/**
 * ram_cfph_walk_deltas: Do what the guest has said
 * @layout: where RAM is
 * @deltas: see RAM_CFPH_DELTA_*
 * @overwrite: the mutant
 */
RamCfphMoved ram_cfph_walk_deltas(const RamCfphLayout *layout,
                                  const GArray *deltas, bool overwrite);

#endif
