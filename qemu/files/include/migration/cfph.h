/*
 * Continuous free-page hints: what RAM migration and a device share
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A device (the provider) knows where the guest keeps its map of free pages
 * and receives changes to it.  RAM migration (migration/cfph.c) owns the
 * bitmaps and decides what is sent.  Neither sees the other's data structures.
 *
 * Lock order: BQL, RAMState.bitmap_mutex, the provider lock of
 * migration/cfph.c, the provider's own lock.  A provider operation must not
 * take the first two.
 */
#ifndef MIGRATION_CFPH_H
#define MIGRATION_CFPH_H

#include "exec/hwaddr.h"
#include "qemu/bitops.h"
#include "qemu/thread.h"

/**
 * enum RamCfphMutant: rules that a test may break on purpose
 * @RAM_CFPH_MUTANT_STALE_FINAL: decide from the map as read at the last sync
 * @RAM_CFPH_MUTANT_NO_PUT_BACK: a sync does not put deferred pages back
 * @RAM_CFPH_MUTANT_OVERWRITE: a delta overwrites the deferred bits of its words
 * @RAM_CFPH_MUTANT_NO_HEADER_CHECK: believe any header page
 * @RAM_CFPH_MUTANT_NO_GIVE_UP: postcopy begins with pages set aside
 * @RAM_CFPH_MUTANT_KEEP_REGISTRATION: the device forgets no map
 *
 * Each of them loses memory, and a test that does not notice is no test.  The
 * values are bit numbers of RamCfphMap.mutants.
 */
typedef enum RamCfphMutant {
    RAM_CFPH_MUTANT_STALE_FINAL,
    RAM_CFPH_MUTANT_NO_PUT_BACK,
    RAM_CFPH_MUTANT_OVERWRITE,
    RAM_CFPH_MUTANT_NO_HEADER_CHECK,
    RAM_CFPH_MUTANT_NO_GIVE_UP,
    RAM_CFPH_MUTANT_KEEP_REGISTRATION,
} RamCfphMutant;

/**
 * struct RamCfphLeaf: one page of the guest's map
 * @first_pfn: first page that it describes, in units of 4 KiB
 * @addr: its guest-physical address
 */
typedef struct RamCfphLeaf {
    uint64_t first_pfn;
    hwaddr addr;
} RamCfphLeaf;

/**
 * struct RamCfphMap: a map that the guest has registered
 * @generation: what its header page must show
 * @header_addr: guest-physical address of the header page
 * @nr_leaves: number of elements in @leaves
 * @leaves: ordered by first_pfn, no duplicates
 * @look_percent: share of the migration thread's time that may go into reading
 *     the map between two syncs, 0 to 100
 * @mutants: rules that are broken on purpose, enum RamCfphMutant
 *
 * Reference counted; nothing above changes once the map has been published
 * through RamCfphProviderOps.get_map().
 */
typedef struct RamCfphMap {
    uint64_t generation;
    hwaddr header_addr;
    size_t nr_leaves;
    RamCfphLeaf *leaves;
    uint32_t look_percent;
    uint32_t mutants;

    /* private: to migration/cfph-map.c, under bitmap_mutex */
    void **stale;
} RamCfphMap;

static inline bool ram_cfph_mutant(const RamCfphMap *map, RamCfphMutant which)
{
    return map && (map->mutants & BIT(which));
}

RamCfphMap *ram_cfph_map_new(size_t nr_leaves);
RamCfphMap *ram_cfph_map_ref(RamCfphMap *map);
void ram_cfph_map_unref(RamCfphMap *map);

/**
 * ram_cfph_map_check: May this map be believed now?
 *
 * Reads the header page.  Any thread.
 *
 * Returns: NULL, or what is wrong.
 */
const char *ram_cfph_map_check(const RamCfphMap *map);

/**
 * ram_cfph_max_leaves: Upper bound of leaves, by the extent of the VM's RAM
 */
uint64_t ram_cfph_max_leaves(void);

/*
 * A list of changes is a GArray of uint64_t: { pfn, pages, kind } and, for
 * RAM_CFPH_DELTA_BITS, pages / 64 words in host byte order, bit set = free.
 */
enum {
    RAM_CFPH_DELTA_USED = 0,
    RAM_CFPH_DELTA_FREE = 1,
    RAM_CFPH_DELTA_BITS = 2,
};

#define RAM_CFPH_DELTA_WORDS 3

/**
 * struct RamCfphProviderOps: what RAM migration asks of the device
 * @start: a migration begins, the guest should register its map.  BQL held.
 *     Returns the id of the migration.
 * @round: the dirty bitmap has been synchronised.  Any thread; only notes the
 *     fact.
 * @stop: the migration has ended, either way.  BQL held.
 * @wait: block for a bounded time until the guest has answered @start, or
 *     until it is known that it cannot.  Migration thread, no lock held.
 * @get_map: a new reference to the map that belongs to the current migration,
 *     NULL if there is none.  Any thread.
 * @take_deltas: the changes since the last call, NULL if there are none; the
 *     caller frees them.  Any thread.
 */
typedef struct RamCfphProviderOps {
    uint32_t (*start)(void *opaque);
    void (*round)(void *opaque, uint32_t round);
    void (*stop)(void *opaque);
    void (*wait)(void *opaque);
    RamCfphMap *(*get_map)(void *opaque);
    GArray *(*take_deltas)(void *opaque);
} RamCfphProviderOps;

/* BQL held.  There is at most one provider; NULL removes it. */
void ram_cfph_set_provider(const RamCfphProviderOps *ops, void *opaque);

/*
 * The calls of migration/ram.c.  All of them return at once when there is no
 * provider.
 */

/**
 * ram_cfph_begin: A migration begins
 *
 * BQL held; the bitmaps exist and the first sync is over.
 */
void ram_cfph_begin(void);

/**
 * ram_cfph_pull: Before the remaining size is estimated and a slice is sent
 * @bitmap_mutex: not held
 * @dirty_pages: protected by @bitmap_mutex
 *
 * Migration thread.  Before the first slice, waits for the guest's answer;
 * then looks at the guest's map, or applies what the guest has said since the
 * last slice, whichever is cheap.
 */
void ram_cfph_pull(QemuMutex *bitmap_mutex, uint64_t *dirty_pages);

/**
 * ram_cfph_sync: The dirty log has just been merged into the dirty bitmaps
 * @last_stage: the vCPUs are stopped for good, this is the decision
 * @dirty_pages: number of bits set in the dirty bitmaps
 * @period_pages: newly dirty pages of the throttling period
 * @period_before: @period_pages before this merge
 *
 * BQL, bitmap_mutex and RCU read lock held.  Puts every deferred page back
 * and sets aside those that are free now.
 */
void ram_cfph_sync(bool last_stage, uint64_t *dirty_pages,
                   uint64_t *period_pages, uint64_t period_before);

/**
 * ram_cfph_give_up: Put every deferred page back; no more filtering
 *
 * For postcopy, whose destination asks for any page that it does not have.
 * Migration thread, BQL held, @bitmap_mutex not held.
 */
void ram_cfph_give_up(QemuMutex *bitmap_mutex, uint64_t *dirty_pages);

/**
 * ram_cfph_end: The migration has ended, either way.  BQL held.
 */
void ram_cfph_end(void);

#endif
