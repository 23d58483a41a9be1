/*
 * Continuous free-page hints: leaving free pages out of RAM migration
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Owns the life of hints in one migration, and the decision.  Knows neither
 * virtqueues nor the format of the map.
 *
 * Why this is right: QEMU never drops a dirty bit on the guest's word, it only
 * sets it aside.  Every sync puts all deferred bits back and sets aside again
 * what the guest's map shows as free now, so a stale, late, lost, reordered or
 * lying hint costs time and nothing else; no ordering against the dirty log is
 * needed.  With the vCPUs stopped the map is read once more, after its header
 * page has been checked, and only what it shows as free at that moment stays
 * unsent.  See docs/devel/migration/continuous-free-page-hints.rst.
 *
 * Locks: bitmap_mutex protects the bitmaps and the statistics.  What says how
 * far the migration is (ram_cfph.state) changes under the BQL only.
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "qemu/rcu.h"
#include "qemu/seqlock.h"
#include "qemu/timer.h"
#include "exec/target_page.h"
#include "migration/misc.h"
#include "qapi/qapi-events-free-page-hints.h"
#include "system/runstate.h"
#include "cfph-hooks.h"
#include "cfph-walk.h"
#include "migration.h"
#include "migration-stats.h"
#include "options.h"
#include "ram.h"
#include "trace.h"

/*
 * A switchover is taken back if more has to be sent than the limit allows.  The
 * limit comes from an estimate a few milliseconds old, so a quarter more is not
 * worth a second stop; nor are 64 pages, whatever the limit.
 */
#define RAM_CFPH_SLACK_DIVISOR  4
#define RAM_CFPH_SLACK_PAGES    64

/*
 * A guest that allocates and frees all the time may have more in use when it
 * has been stopped than a moment before.  It is worth trying again, but each
 * try stops the guest: after so many the hints are given up.  Tries with a
 * limit of 0 do not count: the bandwidth has not been measured yet, which takes
 * 100 ms, or the operator wants to wait until nothing is left.
 */
#define RAM_CFPH_TRIES          3

/* Share of the migration thread's time that deltas may take. */
#define RAM_CFPH_DELTA_PERCENT  10

typedef enum RamCfphState {
    /* No migration that could use hints. */
    RAM_CFPH_OFF,
    /* Free pages are set aside. */
    RAM_CFPH_ON,
    /* The vCPUs have been stopped for good: what is set aside is left out. */
    RAM_CFPH_DECIDED,
    /* Nothing is set aside until the end of this migration. */
    RAM_CFPH_GIVEN_UP,
} RamCfphState;

static struct {
    /* Protects the provider; held while one of its operations runs. */
    QemuMutex provider_lock;
    RamCfphProvider provider;

    RamCfphState state;
    /* The provider has been told that a migration runs. */
    bool started;
    uint32_t migration_id;
    /* Switchovers taken back; those that count against RAM_CFPH_TRIES. */
    uint32_t retries, tries;
    /* What became of them in the last migration. */
    FreePageHintsStatus last_status;

    /* RAMState's, from ram_cfph_begin() to ram_cfph_end(). */
    QemuMutex *bitmap_mutex;
    uint64_t *dirty_pages;

    /*
     * Of the newest walk; written under bitmap_mutex.  The counters change
     * together with *dirty_pages under this, for ram_cfph_query().
     */
    QemuSeqLock sequence;
    uint64_t deferred_pages;
    FreePageHintsReason reason;

    /* When the last walk ended and what it cost in processor time, in ns. */
    int64_t walk_end, walk_cpu_ns;
    /* Likewise, of the last deltas. */
    int64_t deltas_end, deltas_cpu_ns;
} ram_cfph;

static void __attribute__((__constructor__)) ram_cfph_init(void)
{
    qemu_mutex_init(&ram_cfph.provider_lock);
    seqlock_init(&ram_cfph.sequence);
    ram_cfph.reason = FREE_PAGE_HINTS_REASON_NO_DEVICE;
}

/* --- the provider --- */

void ram_cfph_set_provider(const RamCfphProvider *provider)
{
    QEMU_LOCK_GUARD(&ram_cfph.provider_lock);
    /* A migration that goes on has to look again, to see that it has gone. */
    ram_cfph.provider = provider ? *provider : (RamCfphProvider) {
        .look_percent = ram_cfph.provider.look_percent,
    };
}

static bool ram_cfph_has_provider(void)
{
    QEMU_LOCK_GUARD(&ram_cfph.provider_lock);
    return ram_cfph.provider.ops;
}

static bool ram_cfph_mutant(RamCfphMutant which)
{
#ifdef CONFIG_CFPH_MUTANTS
    return ram_cfph.provider.mutants & BIT(which);
#else
    return false;
#endif
}

/* The mutant is content with the walk that there has been. */
static bool ram_cfph_enough(void)
{
    return ram_cfph_mutant(RAM_CFPH_MUTANT_ONCE) && ram_cfph.walk_cpu_ns;
}

static FreePageHintsReason ram_cfph_read_map(const RamCfphLayout *layout,
                                             RamCfphView *view)
{
    const RamCfphProvider *p = &ram_cfph.provider;

    QEMU_LOCK_GUARD(&ram_cfph.provider_lock);
    return p->ops ? p->ops->read_map(p->opaque, layout, view->leaf, view->nr) :
                    FREE_PAGE_HINTS_REASON_NO_DEVICE;
}

static GArray *ram_cfph_take_deltas(void)
{
    const RamCfphProvider *p = &ram_cfph.provider;

    QEMU_LOCK_GUARD(&ram_cfph.provider_lock);
    return p->ops ? p->ops->take_deltas(p->opaque) : NULL;
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

/* --- the core operations; bitmap_mutex and RCU read lock held --- */

static void ram_cfph_account(const RamCfphMoved *moved)
{
    seqlock_write_begin(&ram_cfph.sequence);
    *ram_cfph.dirty_pages += moved->dirty;
    ram_cfph.deferred_pages += moved->deferred;
    seqlock_write_end(&ram_cfph.sequence);
    stat64_set(&mig_stats.free_pages_deferred, ram_cfph.deferred_pages);
}

/* Put everything back, and set nothing aside. */
static void ram_cfph_put_back(FreePageHintsReason reason)
{
    RamCfphMoved moved;

    qatomic_set(&ram_cfph.reason, reason);
    ram_cfph_walk_forget();
    if (!ram_cfph.deferred_pages) {
        return;
    }
    trace_ram_cfph_put_back(ram_cfph.migration_id, ram_cfph_round(),
                            FreePageHintsReason_str(reason),
                            ram_cfph.deferred_pages);
    moved = ram_cfph_walk(NULL, NULL, true, !runstate_is_running());
    ram_cfph_account(&moved);
}

/*
 * Read the map, put everything back and set aside what is free.  If there is no
 * map to be believed, everything stays back.  Returns the number of bits that
 * were moved out of the dirty bitmaps.  @synced: the dirty log has just been
 * merged, so it says where nothing can have changed.
 */
static uint64_t ram_cfph_refilter(RamCfphWhen when, bool synced)
{
    bool put_back = !ram_cfph_mutant(RAM_CFPH_MUTANT_NO_PUT_BACK);
    int64_t t0 = get_clock(), cpu0 = ram_cfph_cpu_clock();
    RamCfphMoved moved = { 0 };
    FreePageHintsReason reason;
    RamCfphLayout layout;
    RamCfphView view;

    if (ram_cfph_enough()) {
        return 0;
    }
    ram_cfph_layout_init(&layout);
    ram_cfph_view_init(&view, &layout);
    reason = ram_cfph_read_map(&layout, &view);
    if (when == RAM_CFPH_FINAL && runstate_is_running()) {
        reason = FREE_PAGE_HINTS_REASON_GUEST_RUNNING;
    }
#ifdef CONFIG_CFPH_MUTANTS
    reason = ram_cfph_view_mutate(&view, when, reason,
                                  ram_cfph.provider.mutants);
#endif
    if (reason == FREE_PAGE_HINTS_REASON_NONE) {
        ram_cfph_walk_know(&layout, &view, synced);
        moved = ram_cfph_walk(&layout, &view, put_back,
                              when == RAM_CFPH_FINAL);
        ram_cfph_account(&moved);
        qatomic_set(&ram_cfph.reason, reason);
    } else {
        ram_cfph_put_back(reason);
    }
#ifdef CONFIG_CFPH_MUTANTS
    if (ram_cfph_mutant(RAM_CFPH_MUTANT_ONCE)) {
        ram_cfph_walk_drop();
    }
#endif
    ram_cfph_view_destroy(&view);
    ram_cfph_layout_destroy(&layout);

    ram_cfph.walk_end = get_clock();
    ram_cfph.walk_cpu_ns = ram_cfph_cpu_clock() - cpu0;
    trace_ram_cfph_walk(ram_cfph.migration_id, ram_cfph_round(),
                        when == RAM_CFPH_FINAL, FreePageHintsReason_str(reason),
                        moved.set_aside, ram_cfph.deferred_pages,
                        *ram_cfph.dirty_pages, ram_cfph.walk_end - t0,
                        ram_cfph.walk_cpu_ns);
    return moved.set_aside;
}

static void ram_cfph_apply(const GArray *deltas)
{
    int64_t cpu0 = ram_cfph_cpu_clock();
    RamCfphMoved moved;
    RamCfphLayout layout;

    if (ram_cfph_mutant(RAM_CFPH_MUTANT_NO_DELTAS)) {
        return;
    }
    ram_cfph_layout_init(&layout);
    moved = ram_cfph_walk_deltas(&layout, deltas,
                                 ram_cfph_mutant(RAM_CFPH_MUTANT_OVERWRITE));
    ram_cfph_layout_destroy(&layout);
    ram_cfph_account(&moved);

    ram_cfph.deltas_end = get_clock();
    ram_cfph.deltas_cpu_ns = ram_cfph_cpu_clock() - cpu0;
    trace_ram_cfph_deltas(ram_cfph.migration_id, ram_cfph_round(), deltas->len,
                          moved.set_aside, moved.set_aside - moved.deferred,
                          ram_cfph.deferred_pages, ram_cfph.deltas_cpu_ns);
}

/* Is it cheap compared with the time since it was done last? */
static bool ram_cfph_due(int64_t end, int64_t cpu_ns, uint32_t percent)
{
    return percent && get_clock() - end >= cpu_ns * 100 / percent;
}

/* --- from begin to end --- */

/* Why this migration must not be filtered. */
static FreePageHintsReason ram_cfph_gate(void)
{
    if (!ram_cfph_has_provider()) {
        return FREE_PAGE_HINTS_REASON_NO_DEVICE;
    }
    if (!migrate_x_free_page_hints()) {
        return FREE_PAGE_HINTS_REASON_PARAMETER;
    }
    if (migrate_colo()) {
        return FREE_PAGE_HINTS_REASON_COLO;
    }
    if (migrate_mode() != MIG_MODE_NORMAL) {
        return FREE_PAGE_HINTS_REASON_MODE;
    }
    if (qemu_target_page_bits() != RAM_CFPH_PAGE_BITS) {
        return FREE_PAGE_HINTS_REASON_PAGE_SIZE;
    }
    /* Its free pages are evidence. */
    if (runstate_check(RUN_STATE_GUEST_PANICKED)) {
        return FREE_PAGE_HINTS_REASON_GUEST_PANICKED;
    }
    return FREE_PAGE_HINTS_REASON_NONE;
}

/* Changes are of use only to a migration that goes on while the guest runs. */
static void ram_cfph_start_session(void)
{
    if (migrate_background_snapshot() || runstate_check(RUN_STATE_SAVE_VM)) {
        return;
    }
    QEMU_LOCK_GUARD(&ram_cfph.provider_lock);
    ram_cfph.migration_id =
        ram_cfph.provider.ops->start(ram_cfph.provider.opaque);
    ram_cfph.started = true;
}

void ram_cfph_begin(QemuMutex *bitmap_mutex, uint64_t *dirty_pages)
{
    FreePageHintsReason reason;

    assert(bql_locked());
    ram_cfph.deferred_pages = 0;
    ram_cfph.retries = 0;
    ram_cfph.tries = 0;
    ram_cfph.migration_id = 0;
    ram_cfph.last_status = FREE_PAGE_HINTS_STATUS_OFF;
    reason = ram_cfph_gate();
    ram_cfph.reason = reason;
    if (reason != FREE_PAGE_HINTS_REASON_NONE) {
        trace_ram_cfph_refuse(FreePageHintsReason_str(reason));
        return;
    }

    ram_cfph.bitmap_mutex = bitmap_mutex;
    ram_cfph.dirty_pages = dirty_pages;
    ram_cfph.walk_cpu_ns = 0;
    ram_cfph.deltas_cpu_ns = 0;
    ram_cfph.state = RAM_CFPH_ON;
    ram_cfph_start_session();
    trace_ram_cfph_begin(ram_cfph.migration_id);

    QEMU_LOCK_GUARD(bitmap_mutex);
    RCU_READ_LOCK_GUARD();
    ram_cfph_refilter(RAM_CFPH_SYNC, true);
}

void ram_cfph_pull(void)
{
    g_autoptr(GArray) deltas = NULL;
    bool walk;

    if (ram_cfph.state != RAM_CFPH_ON || ram_cfph_enough()) {
        return;
    }
    walk = ram_cfph_due(ram_cfph.walk_end, ram_cfph.walk_cpu_ns,
                        ram_cfph.provider.look_percent);
    if (!walk && !ram_cfph_due(ram_cfph.deltas_end, ram_cfph.deltas_cpu_ns,
                               RAM_CFPH_DELTA_PERCENT)) {
        return;
    }
    /* Before the walk, which is then newer than all of them. */
    deltas = ram_cfph_take_deltas();

    QEMU_LOCK_GUARD(ram_cfph.bitmap_mutex);
    RCU_READ_LOCK_GUARD();
    if (walk) {
        ram_cfph_refilter(RAM_CFPH_LOOK, false);
    } else if (deltas) {
        ram_cfph_apply(deltas);
    }
}

static FreePageHintsStatus ram_cfph_status(void)
{
    bool used = qatomic_read(&ram_cfph.reason) == FREE_PAGE_HINTS_REASON_NONE;

    switch (ram_cfph.state) {
    case RAM_CFPH_ON:
        return used ? FREE_PAGE_HINTS_STATUS_ACTIVE :
                      FREE_PAGE_HINTS_STATUS_WAITING;
    case RAM_CFPH_DECIDED:
        /* Without a map, nobody has had to give anything up. */
        return used ? FREE_PAGE_HINTS_STATUS_DECIDED :
                      FREE_PAGE_HINTS_STATUS_OFF;
    case RAM_CFPH_GIVEN_UP:
        return FREE_PAGE_HINTS_STATUS_GIVEN_UP;
    default:
        return ram_cfph.last_status;
    }
}

static void ram_cfph_tell(FreePageHintsReason reason)
{
    qapi_event_send_x_migration_free_page_hints(ram_cfph_status(), reason);
}

/* Until the end of this migration.  bitmap_mutex and RCU read lock held. */
static void ram_cfph_give_up(FreePageHintsReason reason)
{
    ram_cfph_put_back(reason);
    ram_cfph.state = RAM_CFPH_GIVEN_UP;
    ram_cfph_tell(reason);
}

/*
 * A sync after the decision.  The guest stands still, so that it finds the same
 * map, unless the VM has been reset meanwhile (pause-before-switchover): then
 * there is none, and all has to be sent.
 */
static void ram_cfph_confirm(void)
{
    bool lost = stat64_get(&mig_stats.free_pages_skipped) &&
                ram_cfph.reason != FREE_PAGE_HINTS_REASON_NONE;

    stat64_set(&mig_stats.free_pages_skipped, ram_cfph.deferred_pages);
    if (lost) {
        ram_cfph_give_up(ram_cfph.reason);
    }
}

void ram_cfph_presync(void)
{
    /*
     * Auto-converge must not slow the guest down for pages that nobody sends.
     * What is dirty and free goes out before the merge, so that all that the
     * walk after it takes out has come with the merge.
     */
    if (ram_cfph.state == RAM_CFPH_ON && migrate_auto_converge()) {
        ram_cfph_refilter(RAM_CFPH_LOOK, false);
    }
}

void ram_cfph_sync(uint64_t *period_pages, uint64_t period_before)
{
    g_autoptr(GArray) outdated = NULL;
    uint64_t set_aside;

    if (ram_cfph.state != RAM_CFPH_ON && ram_cfph.state != RAM_CFPH_DECIDED) {
        return;
    }
    assert(bql_locked());

    /* Whatever is queued is older than the map that is read now. */
    outdated = ram_cfph_take_deltas();
    set_aside = ram_cfph_refilter(ram_cfph.state == RAM_CFPH_DECIDED ?
                                  RAM_CFPH_FINAL : RAM_CFPH_SYNC, true);
    *period_pages -= MIN(set_aside, *period_pages - period_before);

    if (ram_cfph.state == RAM_CFPH_DECIDED) {
        ram_cfph_confirm();
        return;
    }
    QEMU_LOCK_GUARD(&ram_cfph.provider_lock);
    if (ram_cfph.started && ram_cfph.provider.ops) {
        ram_cfph.provider.ops->round(ram_cfph.provider.opaque,
                                     ram_cfph_round());
    }
}

/* --- the decision --- */

static bool ram_cfph_within(uint64_t limit_bytes)
{
    uint64_t left = *ram_cfph.dirty_pages, limit;

    if (limit_bytes == RAM_CFPH_NO_LIMIT ||
        ram_cfph_mutant(RAM_CFPH_MUTANT_NO_LIMIT)) {
        return true;
    }
    limit = limit_bytes >> RAM_CFPH_PAGE_BITS;
    limit += MAX(limit / RAM_CFPH_SLACK_DIVISOR, RAM_CFPH_SLACK_PAGES);
    return left <= limit;
}

/* The map of a guest that had panicked when it was stopped is evidence, too. */
static bool ram_cfph_panicked(void)
{
    return migrate_get_current()->vm_old_state == RUN_STATE_GUEST_PANICKED;
}

/*
 * The map as it is now, with the vCPUs stopped.  Returns how many pages more
 * are left to send than before: those that were set aside, and are not free.
 */
static uint64_t ram_cfph_decide(void)
{
    uint64_t before = *ram_cfph.dirty_pages;

    ram_cfph.state = RAM_CFPH_DECIDED;
    if (ram_cfph_panicked()) {
        ram_cfph_put_back(FREE_PAGE_HINTS_REASON_GUEST_PANICKED);
    } else {
        ram_cfph_refilter(RAM_CFPH_FINAL, false);
    }
    stat64_set(&mig_stats.free_pages_skipped, ram_cfph.deferred_pages);
    trace_ram_cfph_decide(ram_cfph.migration_id, ram_cfph_round(),
                          FreePageHintsReason_str(ram_cfph.reason),
                          ram_cfph.deferred_pages, *ram_cfph.dirty_pages);
    return *ram_cfph.dirty_pages - MIN(before, *ram_cfph.dirty_pages);
}

/* The guest goes on: is it worth another try with hints? */
static void ram_cfph_take_back(uint64_t more, uint64_t limit_bytes)
{
    FreePageHintsReason reason = ram_cfph.reason;

    stat64_set(&mig_stats.free_pages_skipped, 0);
    ram_cfph.retries++;
    ram_cfph.tries += !!limit_bytes;
    if (reason == FREE_PAGE_HINTS_REASON_NONE &&
        ram_cfph.tries <= RAM_CFPH_TRIES) {
        ram_cfph.state = RAM_CFPH_ON;
        ram_cfph_tell(FREE_PAGE_HINTS_REASON_DOWNTIME);
    } else {
        ram_cfph_give_up(reason ?: FREE_PAGE_HINTS_REASON_DOWNTIME);
    }
    trace_ram_cfph_take_back(ram_cfph.migration_id, ram_cfph_round(),
                             FreePageHintsReason_str(ram_cfph.reason), more,
                             *ram_cfph.dirty_pages, limit_bytes,
                             ram_cfph.retries);
    info_report("migration: the guest goes on, because %" PRIu64 " pages that "
                "were free are not any more, and sending them would break the "
                "downtime limit; %s", more,
                ram_cfph.state == RAM_CFPH_ON ? "it is tried again" :
                "no free-page hints until the end of this migration");
}

bool ram_cfph_switchover(uint64_t limit_bytes)
{
    uint64_t more;

    assert(bql_locked());
    if (ram_cfph.state != RAM_CFPH_ON) {
        return true;
    }

    QEMU_LOCK_GUARD(ram_cfph.bitmap_mutex);
    RCU_READ_LOCK_GUARD();
    more = ram_cfph_decide();
    if (more && !ram_cfph_within(limit_bytes)) {
        ram_cfph_take_back(more, limit_bytes);
        return false;
    }
    if (more && ram_cfph.reason != FREE_PAGE_HINTS_REASON_NONE) {
        ram_cfph_give_up(ram_cfph.reason);
    }
    return true;
}

void ram_cfph_postcopy(void)
{
    RamCfphMoved moved = { 0 };

    if (ram_cfph.state != RAM_CFPH_DECIDED) {
        return;
    }
    assert(bql_locked());
    QEMU_LOCK_GUARD(ram_cfph.bitmap_mutex);
    RCU_READ_LOCK_GUARD();
    if (ram_cfph_mutant(RAM_CFPH_MUTANT_POSTCOPY_DROP)) {
        return;
    }
    moved.dirty = ram_cfph_walk_mark();
    moved.deferred = -ram_cfph.deferred_pages;
    trace_ram_cfph_postcopy(ram_cfph.migration_id, moved.dirty);
    ram_cfph_account(&moved);
}

void ram_cfph_complete(void)
{
    if (ram_cfph.state != RAM_CFPH_ON) {
        return;
    }
    QEMU_LOCK_GUARD(ram_cfph.bitmap_mutex);
    RCU_READ_LOCK_GUARD();
    ram_cfph_give_up(FREE_PAGE_HINTS_REASON_NOT_DECIDED);
}

void ram_cfph_end(void)
{
    if (ram_cfph.state == RAM_CFPH_OFF) {
        return;
    }
    trace_ram_cfph_end(ram_cfph.migration_id, ram_cfph_round());
#ifdef CONFIG_CFPH_MUTANTS
    ram_cfph_view_mutate(NULL, RAM_CFPH_LOOK, ram_cfph.reason, 0);
#endif
    ram_cfph_walk_forget();
    ram_cfph.last_status = ram_cfph_status();
    ram_cfph.state = RAM_CFPH_OFF;
    ram_cfph.dirty_pages = NULL;
    ram_cfph.bitmap_mutex = NULL;

    QEMU_LOCK_GUARD(&ram_cfph.provider_lock);
    if (ram_cfph.started && ram_cfph.provider.ops) {
        ram_cfph.provider.ops->stop(ram_cfph.provider.opaque);
    }
    ram_cfph.started = false;
}

/* --- for people --- */

void ram_cfph_load_setup(void)
{
    if (ram_cfph_has_provider()) {
        ram_cfph_warn_unreserved();
    }
}

FreePageHintsInfo *ram_cfph_query(void)
{
    FreePageHintsInfo *info = g_new0(FreePageHintsInfo, 1);
    unsigned start;
    uint64_t pages;

    do {
        start = seqlock_read_begin(&ram_cfph.sequence);
        pages = ram_bytes_remaining() >> RAM_CFPH_PAGE_BITS;
        if (ram_cfph.state == RAM_CFPH_ON) {
            pages += ram_cfph.deferred_pages;
        }
    } while (seqlock_read_retry(&ram_cfph.sequence, start));

    info->status = ram_cfph_status();
    info->reason = qatomic_read(&ram_cfph.reason);
    info->unsent_bytes = pages << RAM_CFPH_PAGE_BITS;
    info->retries = ram_cfph.retries;
    return info;
}
