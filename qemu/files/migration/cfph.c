/*
 * Continuous free-page hints: leaving free pages out of RAM migration
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Owns the deferred bitmap of each RAMBlock (RAMBlock.deferred_bmap).  Knows
 * no virtqueues and no messages.
 *
 * Why this is right: QEMU never drops a dirty bit on the guest's word, it only
 * sets it aside.  Every sync puts all deferred bits back and sets aside again
 * what the guest's map shows as free now, so a stale, late, lost, reordered or
 * lying hint costs time and nothing else; no ordering against the dirty log is
 * needed.  With the vCPUs stopped the map is read once more, after its header
 * page has been checked, and only what it shows as free at that moment stays
 * unsent.  See docs/devel/migration/continuous-free-page-hints.rst.
 *
 * Invariant, whenever bitmap_mutex is free: bmap and deferred_bmap of a block
 * have no bit in common, and their union is what bmap would be without us.
 *
 * Locks: bitmap_mutex protects the bitmaps, ram_cfph.map and the statistics.
 * ram_cfph.active changes under the BQL only; it is read under the BQL, or by
 * the migration thread, which ends before ram_cfph_end() is called.
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "qemu/error-report.h"
#include "qemu/lockable.h"
#include "qemu/rcu.h"
#include "qemu/timer.h"
#include "exec/ramblock.h"
#include "exec/ramlist.h"
#include "exec/target_page.h"
#include "migration/misc.h"
#include "standard-headers/linux/virtio_balloon_cfph.h"
#include "system/runstate.h"
#include "cfph-map.h"
#include "migration-stats.h"
#include "options.h"
#include "ram.h"
#include "trace.h"

static struct {
    /* Protects ops and opaque; held while an operation runs. */
    QemuMutex provider_lock;
    const RamCfphProviderOps *ops;
    void *opaque;

    /* A migration runs and may be filtered. */
    bool active;
    /* The provider has been told that a migration runs. */
    bool started;
    /* The first slice has been waited for. */
    bool waited;
    uint32_t migration_id;

    /* The map of the last walk; only compared, and used for deltas. */
    RamCfphMap *map;
    uint64_t deferred_pages;

    /* When the last walk ended and what it cost in processor time, in ns. */
    int64_t walk_end;
    int64_t walk_cpu_ns;
} ram_cfph;

static void __attribute__((__constructor__)) ram_cfph_init(void)
{
    qemu_mutex_init(&ram_cfph.provider_lock);
}

/* --- the provider --- */

void ram_cfph_set_provider(const RamCfphProviderOps *ops, void *opaque)
{
    QEMU_LOCK_GUARD(&ram_cfph.provider_lock);
    ram_cfph.ops = ops;
    ram_cfph.opaque = opaque;
}

static RamCfphMap *ram_cfph_get_map(void)
{
    QEMU_LOCK_GUARD(&ram_cfph.provider_lock);
    return ram_cfph.ops ? ram_cfph.ops->get_map(ram_cfph.opaque) : NULL;
}

static GArray *ram_cfph_take_deltas(void)
{
    QEMU_LOCK_GUARD(&ram_cfph.provider_lock);
    return ram_cfph.ops ? ram_cfph.ops->take_deltas(ram_cfph.opaque) : NULL;
}

static uint32_t ram_cfph_round(void)
{
    return stat64_get(&mig_stats.dirty_sync_count);
}

/*
 * Processor time of this thread: unlike the clock on the wall it does not take
 * a walk that the scheduler has interrupted for an expensive one.
 */
static int64_t ram_cfph_cpu_clock(void)
{
#ifdef CLOCK_THREAD_CPUTIME_ID
    struct timespec ts;

    if (!clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts)) {
        return ts.tv_sec * NANOSECONDS_PER_SECOND + ts.tv_nsec;
    }
#endif
    return get_clock();
}

/* --- the walk over all bitmaps --- */

typedef struct RamCfphWalk {
    RamCfphView view;
    bool put_back;
    uint64_t set_aside;         /* bits moved out of a dirty bitmap */
    int64_t deferred;           /* change of the number of deferred bits */
    int64_t dirty;              /* change of the number of dirty bits */
} RamCfphWalk;

/*
 * Free pages among the BITS_PER_LONG pages of a block from @page on.  @seg is
 * a cursor: the first of the block's segments that ends behind @page.
 */
static unsigned long ram_cfph_block_bits(RamCfphWalk *walk,
                                         const RamCfphSeg **seg,
                                         const RamCfphSeg *end, uint64_t page)
{
    unsigned long free = 0;

    while (*seg < end && (*seg)->page + (*seg)->npages <= page) {
        (*seg)++;
    }
    for (const RamCfphSeg *s = *seg;
         s < end && s->page < page + BITS_PER_LONG; s++) {
        uint64_t lo = MAX(page, s->page);
        uint64_t hi = MIN(page + BITS_PER_LONG, s->page + s->npages);
        unsigned long bits = ram_cfph_view_bits(&walk->view,
                                                s->pfn + (lo - s->page));

        free |= (bits & BITMAP_LAST_WORD_MASK(hi - lo)) << (lo - page);
    }
    return free;
}

/* Words are mostly empty or full, and counting takes longer than all else. */
static inline int64_t ram_cfph_weight(unsigned long word)
{
    return !word ? 0 : word == ~0UL ? BITS_PER_LONG : ctpopl(word);
}

static void ram_cfph_walk_block(RamCfphWalk *walk, RAMBlock *rb,
                                const RamCfphLayout *layout)
{
    uint64_t npages = rb->used_length >> VIRTIO_BALLOON_CFPH_PFN_SHIFT;
    size_t nr, first = ram_cfph_layout_block(layout, rb, &nr);
    const RamCfphSeg *seg = &layout->by_block[first], *end = seg + nr;

    if (!rb->deferred_bmap) {
        if (!walk->view.map) {
            return;
        }
        rb->deferred_bmap = bitmap_new(rb->max_length >>
                                       VIRTIO_BALLOON_CFPH_PFN_SHIFT);
    }

    for (uint64_t page = 0; page < npages; page += BITS_PER_LONG) {
        unsigned long *bmap = &rb->bmap[BIT_WORD(page)];
        unsigned long *deferred = &rb->deferred_bmap[BIT_WORD(page)];
        unsigned long old = *bmap, old_deferred = *deferred;
        unsigned long all = old | (walk->put_back ? old_deferred : 0);
        unsigned long d, out, back;

        if (!all) {
            continue;
        }
        /* bmap is all ones up to max_length: leave what is behind the end. */
        d = all & ram_cfph_block_bits(walk, &seg, end, page);
        if (npages - page < BITS_PER_LONG) {
            d &= BITMAP_LAST_WORD_MASK(npages - page);
        }
        out = old & d;
        back = all & ~d & ~old;
        *bmap = all & ~d;
        *deferred = walk->put_back ? d : old_deferred | d;
        /* What was deferred and is dirty again has been in both bitmaps. */
        walk->set_aside += ram_cfph_weight(out);
        walk->dirty += ram_cfph_weight(back) - ram_cfph_weight(out);
        walk->deferred += ram_cfph_weight(*deferred & ~old_deferred) -
                          ram_cfph_weight(old_deferred & ~*deferred);
    }
}

/*
 * The core operation: put everything back, set aside what @map shows as free.
 * Without a map everything stays back.  bitmap_mutex and RCU read lock held.
 * Returns the number of bits that it has moved out of the dirty bitmaps.
 */
static uint64_t ram_cfph_walk(RamCfphMap *map, RamCfphWhen when,
                              uint64_t *dirty_pages)
{
    RamCfphWalk walk = {
        .put_back = !ram_cfph_mutant(map, RAM_CFPH_MUTANT_NO_PUT_BACK),
    };
    int64_t t0 = get_clock(), cpu0 = ram_cfph_cpu_clock();
    RamCfphLayout layout;
    RAMBlock *rb;

    if (!map && !ram_cfph.deferred_pages) {
        return 0;
    }

    ram_cfph_layout_init(&layout);
    ram_cfph_view_init(&walk.view, map, &layout, when);
    RAMBLOCK_FOREACH_NOT_IGNORED(rb) {
        if (rb->bmap) {
            ram_cfph_walk_block(&walk, rb, &layout);
        }
    }
    ram_cfph_view_destroy(&walk.view);
    ram_cfph_layout_destroy(&layout);

    *dirty_pages += walk.dirty;
    ram_cfph.deferred_pages += walk.deferred;
    stat64_set(&mig_stats.free_pages_deferred, ram_cfph.deferred_pages);
    ram_cfph.walk_end = get_clock();
    ram_cfph.walk_cpu_ns = ram_cfph_cpu_clock() - cpu0;
    trace_ram_cfph_walk(ram_cfph.migration_id, ram_cfph_round(),
                        when == RAM_CFPH_FINAL, map ? map->nr_leaves : 0,
                        walk.set_aside, ram_cfph.deferred_pages, *dirty_pages,
                        ram_cfph.walk_end - t0, ram_cfph.walk_cpu_ns);
    return walk.set_aside;
}

/* --- deltas --- */

typedef struct RamCfphApply {
    bool overwrite;             /* the mutant */
    uint64_t freed;
    uint64_t used;
    int64_t dirty;
} RamCfphApply;

/* BITS_PER_LONG bits of @bits from bit @pos on; @nr bits are there. */
static unsigned long ram_cfph_delta_bits(const uint64_t *bits, uint64_t nr,
                                         uint64_t pos)
{
    unsigned shift = pos % 64;
    uint64_t word = bits[pos / 64] >> shift;

    if (shift && (pos / 64 + 1) * 64 < nr) {
        word |= bits[pos / 64 + 1] << (64 - shift);
    }
    return word;
}

/* Pages [lo, hi) of a block; @pos is where page @lo is in the delta. */
static void ram_cfph_apply_block(RamCfphApply *apply, RAMBlock *rb, uint64_t lo,
                                 uint64_t hi, const uint64_t *delta,
                                 uint64_t pos)
{
    while (lo < hi) {
        unsigned shift = lo % BITS_PER_LONG;
        unsigned n = MIN(hi - lo, BITS_PER_LONG - shift);
        unsigned long mask = BITMAP_LAST_WORD_MASK(n) << shift;
        unsigned long *bmap = &rb->bmap[BIT_WORD(lo)];
        unsigned long *deferred = &rb->deferred_bmap[BIT_WORD(lo)];
        unsigned long free, d, u;

        if (delta[2] == RAM_CFPH_DELTA_BITS) {
            free = ram_cfph_delta_bits(delta + RAM_CFPH_DELTA_WORDS, delta[1],
                                       pos) << shift;
        } else {
            free = delta[2] == RAM_CFPH_DELTA_FREE ? ~0UL : 0;
        }

        d = *bmap & free & mask;
        u = *deferred & ~free & mask;
        apply->dirty += ctpopl(u & ~*bmap) - ctpopl(d);
        apply->freed += ctpopl(d);
        apply->used += ctpopl(u);
        /* OR: what an earlier sync or delta has deferred stays deferred. */
        *bmap = (*bmap & ~d) | u;
        *deferred = (apply->overwrite ? 0 : *deferred & ~u) | d;

        lo += n;
        pos += n;
    }
}

static void ram_cfph_apply(RamCfphApply *apply, const RamCfphLayout *layout,
                           const uint64_t *delta)
{
    uint64_t pfn = delta[0], end = pfn + delta[1];

    for (size_t i = ram_cfph_layout_find(layout, pfn);
         i < layout->nr && layout->by_pfn[i].pfn < end; i++) {
        const RamCfphSeg *seg = &layout->by_pfn[i];
        uint64_t lo = MAX(pfn, seg->pfn);
        uint64_t hi = MIN(end, seg->pfn + seg->npages);
        uint64_t npages = seg->rb->used_length >>
                          VIRTIO_BALLOON_CFPH_PFN_SHIFT;
        uint64_t page = seg->page + (lo - seg->pfn);

        if (!seg->rb->bmap || !seg->rb->deferred_bmap) {
            continue;
        }
        ram_cfph_apply_block(apply, seg->rb, page,
                             MIN(page + (hi - lo), npages), delta, lo - pfn);
    }
}

/* bitmap_mutex and RCU read lock held; a walk with a map has been made. */
static void ram_cfph_apply_all(const GArray *deltas, uint64_t *dirty_pages)
{
    const uint64_t *word = (const uint64_t *)deltas->data;
    const uint64_t *end = word + deltas->len;
    int64_t t0 = get_clock();
    RamCfphApply apply = {
        .overwrite = ram_cfph_mutant(ram_cfph.map, RAM_CFPH_MUTANT_OVERWRITE),
    };
    RamCfphLayout layout;

    ram_cfph_layout_init(&layout);
    while (word < end) {
        ram_cfph_apply(&apply, &layout, word);
        word += RAM_CFPH_DELTA_WORDS +
                (word[2] == RAM_CFPH_DELTA_BITS ? word[1] / 64 : 0);
    }
    ram_cfph_layout_destroy(&layout);

    *dirty_pages += apply.dirty;
    ram_cfph.deferred_pages += apply.freed - apply.used;
    stat64_set(&mig_stats.free_pages_deferred, ram_cfph.deferred_pages);
    trace_ram_cfph_deltas(ram_cfph.migration_id, ram_cfph_round(),
                          deltas->len, apply.freed, apply.used,
                          ram_cfph.deferred_pages, get_clock() - t0);
}

/* --- the calls of ram.c --- */

/* Why this migration must not be filtered, NULL if it may. */
static const char *ram_cfph_gate(void)
{
    if (migrate_colo()) {
        return "COLO keeps sending RAM after the switchover";
    }
    if (migrate_background_snapshot()) {
        return "a background snapshot has no dirty log";
    }
    if (migrate_mode() != MIG_MODE_NORMAL) {
        return "CPR does not stop the guest in time";
    }
    if (runstate_check(RUN_STATE_SAVE_VM)) {
        return "the guest cannot answer while its state is saved";
    }
    if (qemu_target_page_bits() != VIRTIO_BALLOON_CFPH_PFN_SHIFT) {
        return "target pages are not 4 KiB";
    }
    return NULL;
}

void ram_cfph_begin(void)
{
    const char *reason = ram_cfph_gate();

    QEMU_LOCK_GUARD(&ram_cfph.provider_lock);
    if (!ram_cfph.ops) {
        return;
    }
    if (reason) {
        trace_ram_cfph_refuse(reason);
        return;
    }

    ram_cfph.migration_id = ram_cfph.ops->start(ram_cfph.opaque);
    ram_cfph.deferred_pages = 0;
    ram_cfph.waited = false;
    ram_cfph.started = true;
    ram_cfph.active = true;
    trace_ram_cfph_begin(ram_cfph.migration_id);
}

/* bitmap_mutex held; takes over the reference. */
static void ram_cfph_remember(RamCfphMap *map)
{
    ram_cfph_map_unref(ram_cfph.map);
    ram_cfph.map = map;
}

/* Why @map must not be used, NULL if it may. */
static const char *ram_cfph_distrust(const RamCfphMap *map, bool last_stage)
{
    if (!map) {
        return "the guest has no map registered any more";
    }
    if (last_stage && runstate_is_running()) {
        return "the guest is still running";
    }
    return ram_cfph_map_check(map);
}

/*
 * May the whole map be read again between two slices?  A guest that frees and
 * allocates without pause has little in use for moments only, and the remaining
 * size that is compared with the downtime limit should be that of the moment.
 * In all but very large guests a walk costs less than a millisecond, so that a
 * small share of the time is enough; deltas serve in between.
 */
static bool ram_cfph_walk_due(const RamCfphMap *map)
{
    int64_t rest_ns = get_clock() - ram_cfph.walk_end;

    return map->look_percent &&
           rest_ns >= ram_cfph.walk_cpu_ns * 100 / map->look_percent;
}

void ram_cfph_pull(QemuMutex *bitmap_mutex, uint64_t *dirty_pages)
{
    g_autoptr(GArray) deltas = NULL;
    RamCfphMap *map;

    if (!ram_cfph.active) {
        return;
    }
    if (!ram_cfph.waited) {
        ram_cfph.waited = true;
        WITH_QEMU_LOCK_GUARD(&ram_cfph.provider_lock) {
            if (ram_cfph.ops) {
                ram_cfph.ops->wait(ram_cfph.opaque);
            }
        }
    }

    /*
     * The map first: a delta that is taken after it cannot belong to an older
     * registration.
     */
    map = ram_cfph_get_map();
    deltas = ram_cfph_take_deltas();

    QEMU_LOCK_GUARD(bitmap_mutex);
    RCU_READ_LOCK_GUARD();
    if (map != ram_cfph.map || (map && ram_cfph_walk_due(map))) {
        /*
         * Just registered, or forgotten, or cheap: look at the whole map now.
         * The deltas are older than that look.
         */
        ram_cfph_remember(map);
        ram_cfph_walk(ram_cfph_distrust(map, false) ? NULL : map,
                      RAM_CFPH_LOOK, dirty_pages);
        return;
    }
    ram_cfph_map_unref(map);
    if (map && deltas) {
        ram_cfph_apply_all(deltas, dirty_pages);
    }
}

void ram_cfph_sync(bool last_stage, uint64_t *dirty_pages,
                   uint64_t *period_pages, uint64_t period_before)
{
    g_autoptr(GArray) outdated = NULL;
    uint64_t set_aside;
    RamCfphMap *map;
    const char *reason;

    if (!ram_cfph.active) {
        return;
    }

    map = ram_cfph_get_map();
    ram_cfph_remember(map);
    /* Whatever is queued is older than the map that is read now. */
    outdated = ram_cfph_take_deltas();

    reason = ram_cfph_distrust(map, last_stage);
    if (reason && ram_cfph.deferred_pages) {
        info_report("migration: %" PRIu64 " free pages that were set aside "
                    "are sent after all: %s", ram_cfph.deferred_pages, reason);
    }
    set_aside = ram_cfph_walk(reason ? NULL : map,
                              last_stage ? RAM_CFPH_FINAL : RAM_CFPH_SYNC,
                              dirty_pages);

    /*
     * Auto-converge must not slow the guest down for pages that are not sent.
     * What this sync has newly found is an upper bound of what it may take
     * back: the rest was dirty before.
     */
    *period_pages -= MIN(set_aside, *period_pages - period_before);

    if (last_stage) {
        ram_cfph.active = false;
        stat64_set(&mig_stats.free_pages_skipped, ram_cfph.deferred_pages);
        trace_ram_cfph_decide(ram_cfph.migration_id, ram_cfph_round(),
                              reason ? reason : "", ram_cfph.deferred_pages);
        return;
    }

    QEMU_LOCK_GUARD(&ram_cfph.provider_lock);
    if (ram_cfph.ops) {
        ram_cfph.ops->round(ram_cfph.opaque, ram_cfph_round());
    }
}

void ram_cfph_give_up(QemuMutex *bitmap_mutex, uint64_t *dirty_pages)
{
    if (!ram_cfph.active) {
        return;
    }
    ram_cfph.active = false;

    QEMU_LOCK_GUARD(bitmap_mutex);
    RCU_READ_LOCK_GUARD();
    trace_ram_cfph_give_up(ram_cfph.migration_id, ram_cfph_round(),
                           ram_cfph.deferred_pages);
    if (ram_cfph_mutant(ram_cfph.map, RAM_CFPH_MUTANT_NO_GIVE_UP)) {
        return;
    }
    ram_cfph_walk(NULL, RAM_CFPH_LOOK, dirty_pages);
}

void ram_cfph_end(void)
{
    if (!ram_cfph.started) {
        return;
    }
    ram_cfph.active = false;
    ram_cfph.started = false;
    /* Nobody walks any more, the bitmaps are about to be freed. */
    ram_cfph_remember(NULL);
    trace_ram_cfph_end(ram_cfph.migration_id, ram_cfph_round());

    QEMU_LOCK_GUARD(&ram_cfph.provider_lock);
    if (ram_cfph.ops) {
        ram_cfph.ops->stop(ram_cfph.opaque);
    }
}
