/*
 * Continuous free-page hints: leaving free pages out of RAM migration
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the rest of migration/ calls.  All of it returns at once when no device
 * offers the feature.
 */
#ifndef QEMU_MIGRATION_CFPH_HOOKS_H
#define QEMU_MIGRATION_CFPH_HOOKS_H

#include "exec/ramblock.h"
#include "qapi/qapi-types-free-page-hints.h"
#include "qemu/bitops.h"
#include "qemu/thread.h"

/* The switchover takes as long as it takes. */
#define RAM_CFPH_NO_LIMIT   UINT64_MAX

/**
 * ram_cfph_begin: The bitmaps exist, and nothing has been sent
 * @bitmap_mutex: protects the bitmaps; not held
 * @dirty_pages: number of bits that are set in them, under @bitmap_mutex
 *
 * BQL held.  Both pointers are good until ram_cfph_end().  Sets aside what is
 * free now.  Discarded ranges (virtio-mem) have left the bitmaps before, so
 * they cannot come back from among the deferred pages.
 */
void ram_cfph_begin(QemuMutex *bitmap_mutex, uint64_t *dirty_pages);

/**
 * ram_cfph_pull: Before the remaining size is estimated and a slice is sent
 *
 * Migration thread, no lock held.  Looks at the guest's map, or applies what
 * the guest has said, if that is cheap compared with the time since it was
 * done last.
 */
void ram_cfph_pull(void);

/**
 * ram_cfph_presync: The dirty log is going to be merged into the dirty bitmaps
 *
 * BQL, bitmap_mutex and RCU read lock held.  Sets aside what is free, if
 * somebody needs to know what ram_cfph_sync() takes out of the newly dirty
 * pages.
 */
void ram_cfph_presync(void);

/**
 * ram_cfph_merged: Some pages have become dirty
 * @rb: the block
 * @start: from here on, in bytes
 * @length: this far
 *
 * Of the merge: bitmap_mutex and RCU read lock held.
 */
void ram_cfph_merged(RAMBlock *rb, ram_addr_t start, ram_addr_t length);

/**
 * ram_cfph_sync: The dirty log has just been merged into the dirty bitmaps
 * @period_pages: newly dirty pages of the throttling period
 * @period_before: @period_pages before this merge
 *
 * BQL, bitmap_mutex and RCU read lock held.  Puts every deferred page back and
 * sets aside those that are free now.
 */
void ram_cfph_sync(uint64_t *period_pages, uint64_t period_before);

/**
 * ram_cfph_switchover: The decision
 * @limit_bytes: how much may be sent before the guest runs again,
 *     RAM_CFPH_NO_LIMIT if it does not run anyway
 *
 * The vCPUs and the devices have just been stopped, for good if this returns
 * true: from now on nobody changes memory or the map.  Each sync that still
 * comes reads that map again.  BQL held.
 *
 * Returns: false if what is left is too much, because the guest has taken its
 * map back, or pages that were free when the size was estimated are not any
 * more.  Then the guest has to go on, and the migration with it.
 */
bool ram_cfph_switchover(uint64_t limit_bytes);

/**
 * ram_cfph_postcopy: The last sync before the discard bitmap is sent
 *
 * Makes marks of the deferred bits: those pages are sent as zero pages, pushed
 * or on request, so that the destination gets an answer for each page.  BQL
 * held.
 */
void ram_cfph_postcopy(void);

/**
 * ram_cfph_is_mark: May this page be sent as a zero page whatever it contains?
 * @rb: the block
 * @page: number of the page in it; its bit has just left the dirty bitmap
 */
static inline bool ram_cfph_is_mark(const RAMBlock *rb, unsigned long page)
{
    /* Without marks, a deferred page is not dirty and nobody sends it. */
    return rb->deferred_bmap && test_bit(page, rb->deferred_bmap);
}

/**
 * ram_cfph_complete: RAM is about to be sent to its end
 *
 * If nobody has decided, every deferred page is put back.  BQL held.
 */
void ram_cfph_complete(void);

/**
 * ram_cfph_end: The migration has ended, either way
 *
 * BQL held; the migration thread has left its loop and sends no more pages.
 */
void ram_cfph_end(void);

/**
 * ram_cfph_load_setup: The incoming side is going to receive RAM
 *
 * Warns of blocks that may have no memory left for a page which does not come.
 */
void ram_cfph_load_setup(void);

/**
 * ram_cfph_query: For query-migrate
 *
 * BQL held.  The caller frees the result.
 */
FreePageHintsInfo *ram_cfph_query(void);

#endif
