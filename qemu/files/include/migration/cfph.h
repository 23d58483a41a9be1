/*
 * Continuous free-page hints: what RAM migration and a device share
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A device (the provider) knows where the guest keeps its map of free pages
 * and receives changes to it.  RAM migration (migration/cfph.c) owns the
 * bitmaps and decides what is sent.  Neither sees the other's data structures,
 * and RAM migration knows nothing of the format in guest memory.
 *
 * Lock order: BQL, RAMState.bitmap_mutex, the provider lock of
 * migration/cfph.c, the provider's own lock.  A provider operation must not
 * take the first two.
 */
#ifndef MIGRATION_CFPH_H
#define MIGRATION_CFPH_H

#include "exec/hwaddr.h"
#include "qapi/qapi-types-free-page-hints.h"
#include "qemu/bitops.h"
#include "qemu/thread.h"

/* The unit of everything here: 4 KiB of guest-physical address space. */
#define RAM_CFPH_PAGE_BITS      12
/* One leaf of the map: a page of bits, 128 MiB of guest memory. */
#define RAM_CFPH_LEAF_PAGES     32768

/**
 * enum RamCfphMutant: rules that a test may break on purpose
 * @RAM_CFPH_MUTANT_STALE_FINAL: decide from the map as read at the last sync
 * @RAM_CFPH_MUTANT_NO_PUT_BACK: a sync does not put deferred pages back
 * @RAM_CFPH_MUTANT_OVERWRITE: a delta overwrites the deferred bits of its words
 * @RAM_CFPH_MUTANT_NO_HEADER_CHECK: believe any header page
 * @RAM_CFPH_MUTANT_KEEP_REGISTRATION: the device forgets no map
 * @RAM_CFPH_MUTANT_NO_LIMIT: send whatever is left, however long it takes
 * @RAM_CFPH_MUTANT_POSTCOPY_DROP: postcopy begins with pages set aside, which
 *     nobody ever sends
 * @RAM_CFPH_MUTANT_LATE_WITHDRAWAL: breaks no rule; the guest takes its map
 *     back between the estimate and the decision, which a test cannot time
 * @RAM_CFPH_MUTANT_LATE_USE: likewise, the guest allocates all of its memory
 * @RAM_CFPH_MUTANT_ONCE: one look at the map when the migration begins, none
 *     later: what a benchmark compares with
 * @RAM_CFPH_MUTANT_NO_DELTAS: breaks no rule; deltas are not heeded, which a
 *     benchmark compares with, too
 *
 * Only with CONFIG_CFPH_MUTANTS, a build option that is off by default.  Each
 * of them breaks a promise, and a test that does not notice is no test.  The
 * values are bit numbers of RamCfphProvider.mutants.
 */
typedef enum RamCfphMutant {
    RAM_CFPH_MUTANT_STALE_FINAL,
    RAM_CFPH_MUTANT_NO_PUT_BACK,
    RAM_CFPH_MUTANT_OVERWRITE,
    RAM_CFPH_MUTANT_NO_HEADER_CHECK,
    RAM_CFPH_MUTANT_KEEP_REGISTRATION,
    RAM_CFPH_MUTANT_NO_LIMIT,
    RAM_CFPH_MUTANT_POSTCOPY_DROP,
    RAM_CFPH_MUTANT_LATE_WITHDRAWAL,
    RAM_CFPH_MUTANT_LATE_USE,
    RAM_CFPH_MUTANT_ONCE,
    RAM_CFPH_MUTANT_NO_DELTAS,
} RamCfphMutant;

/*
 * A list of changes is a GArray of uint64_t: { pfn, pages, kind } and, for
 * RAM_CFPH_DELTA_BITS, pages / 64 words, little endian, bit set = free.
 */
enum {
    RAM_CFPH_DELTA_USED = 0,
    RAM_CFPH_DELTA_FREE = 1,
    RAM_CFPH_DELTA_BITS = 2,
};

#define RAM_CFPH_DELTA_WORDS 3

/* Where the VM's plain RAM is; see ram_cfph_host_page(). */
typedef struct RamCfphLayout RamCfphLayout;

/**
 * struct RamCfphProviderOps: what RAM migration asks of the device
 * @start: a live migration begins: changes are welcome.  BQL held.  Returns the
 *     id of the migration, not 0.
 * @round: the dirty bitmap has been synchronised.  BQL held; only notes the
 *     fact.
 * @stop: the migration that @start has announced has ended, either way.  BQL
 *     held.
 * @read_map: find the guest's map, anew at each call: fill in @leaf[i], the
 *     host address of the bits of pages [i, i + 1) * RAM_CFPH_LEAF_PAGES, for
 *     each i below @nr that has a leaf; the others are NULL on entry and stay
 *     so.  All checks of what the guest has in its memory are made here.
 *     Addresses come from ram_cfph_host_page() only.  RCU read lock held, any
 *     thread.  Returns FREE_PAGE_HINTS_REASON_NONE, or why there is no map that
 *     could be believed now; then @leaf is not looked at.
 * @take_deltas: the changes since the last call, NULL if there are none; the
 *     caller frees them.  Any thread.
 */
typedef struct RamCfphProviderOps {
    uint32_t (*start)(void *opaque);
    void (*round)(void *opaque, uint32_t round);
    void (*stop)(void *opaque);
    FreePageHintsReason (*read_map)(void *opaque, const RamCfphLayout *layout,
                                    const unsigned long **leaf, size_t nr);
    GArray *(*take_deltas)(void *opaque);
} RamCfphProviderOps;

/**
 * struct RamCfphProvider: the device
 * @ops: its operations
 * @opaque: their argument
 * @look_percent: share of the migration thread's time that may go into reading
 *     the map between two syncs, 0 to 100
 * @mutants: rules that are broken on purpose, enum RamCfphMutant
 */
typedef struct RamCfphProvider {
    const RamCfphProviderOps *ops;
    void *opaque;
    uint32_t look_percent;
    uint32_t mutants;
} RamCfphProvider;

/**
 * ram_cfph_set_provider: The device is there, or (NULL) is going away
 *
 * BQL held.  There is at most one; @provider is copied.
 */
void ram_cfph_set_provider(const RamCfphProvider *provider);

/**
 * ram_cfph_host_page: Where QEMU has a page of the guest
 * @layout: as given to RamCfphProviderOps.read_map()
 * @addr: guest-physical address
 *
 * Returns: the host address of 4 KiB, valid as long as @layout is; NULL if
 * @addr is not 4 KiB aligned, or not plain, writable, migratable RAM, or if
 * the guest sees that page at another address, too.
 */
const void *ram_cfph_host_page(const RamCfphLayout *layout, hwaddr addr);

/**
 * ram_cfph_max_pages: Pages up to the end of the VM's plain RAM
 */
uint64_t ram_cfph_max_pages(void);

#endif
