/*
 * Continuous free-page hints: merging the dirty log in pieces
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * For migration/ram.c: needs to be compiled for the target.
 */
#ifndef QEMU_MIGRATION_CFPH_MERGE_H
#define QEMU_MIGRATION_CFPH_MERGE_H

#include "qemu/units.h"
#include "exec/ram_addr.h"
#include "cfph-hooks.h"

/*
 * 8 leaves.  Each piece that has something new in it is a flush of what TCG
 * knows, and an eighth of it may be all that is looked at in vain.
 */
#define RAM_CFPH_MERGE_BYTES    GiB

/* Merge the log of a block.  Returns how many pages have become dirty. */
static inline uint64_t ram_cfph_merge(RAMBlock *rb)
{
    uint64_t all = 0;

    for (ram_addr_t start = 0; start < rb->used_length;
         start += RAM_CFPH_MERGE_BYTES) {
        ram_addr_t length = MIN(rb->used_length - start, RAM_CFPH_MERGE_BYTES);
        uint64_t n = cpu_physical_memory_sync_dirty_bitmap(rb, start, length);

        if (n) {
            ram_cfph_merged(rb, start, length);
        }
        all += n;
    }
    return all;
}

#endif
