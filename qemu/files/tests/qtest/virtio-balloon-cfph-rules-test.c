/*
 * QTest: the rules of free-page hints, each kept and each broken
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A rule is a scenario in which nothing but that rule saves a page, and the
 * property of the device that breaks it (enum RamCfphMutant).  Kept, all that
 * is in use arrives; broken, it must not: a scenario in which it arrives
 * nevertheless proves nothing of the rule.
 */

#include "qemu/osdep.h"
#include "qobject/qdict.h"
#include "virtio-balloon-cfph-fixture.h"

typedef struct Rule {
    const char *name;
    /* Property that breaks it. */
    const char *mutant;
    /* Returns whether all pages that are in use have arrived. */
    bool (*scenario)(Fixture *f);
    /* Capability of both sides. */
    const char *cap;
    /* The map knows that the pages are in use. */
    bool by_map;
} Rule;

/*
 * Between the last sync and the stop the guest allocates two pages: one it
 * writes to, the other it does not.
 */
static bool allocate_before_stop(Fixture *f)
{
    bool all;

    begin_and_answer(f);
    migrate_to_switchover(f);
    guest_map_set(f->g, LOW_AREA, 1, false);
    guest_fill(f->g, LOW_AREA, 1, 1);
    guest_map_set(f->g, HIGH_AREA, 1, false);
    migrate_continue(f);
    all = guest_count_filled(f->dst, LOW_AREA, 1, 1) &&
          guest_count_filled(f->dst, HIGH_AREA, 1, 0);
    if (all) {
        /* These two and no other; one of them is not as it was filled. */
        g_assert_cmpint(query_ram(f->g->qts, "free-pages-skipped"), ==,
                        f->free_pages - 2);
        g_assert_cmpint(arrived(f), ==, AREAS_PAGES - f->free_pages + 1);
    }
    return all;
}

/* A hint is out of date when it arrives: the page is in use and dirty. */
static bool late_hint(Fixture *f)
{
    const uint64_t page = LOW_AREA + FREE_PAGES * PAGE;

    begin_and_answer(f);
    guest_range(f->g, page, 1, true);
    wait_ram(f->g->qts, "free-pages-deferred", f->free_pages + 1);
    migrate_to_switchover(f);
    migrate_continue(f);
    return guest_count_filled(f->dst, page, 1, 0);
}

/*
 * A page is used and freed again, which is two deltas, and then its neighbour
 * is used, which nobody tells of: the neighbour was deferred long before.
 */
static bool use_neighbour(Fixture *f)
{
    begin_and_answer(f);
    guest_range(f->g, LOW_AREA, 1, false);
    wait_ram(f->g->qts, "free-pages-deferred", f->free_pages - 1);
    guest_range(f->g, LOW_AREA, 1, true);
    wait_ram(f->g->qts, "free-pages-deferred", f->free_pages);
    migrate_to_switchover(f);
    guest_map_set(f->g, LOW_AREA + PAGE, 1, false);
    migrate_continue(f);
    return guest_count_filled(f->dst, LOW_AREA + PAGE, 1, 0);
}

/* At the last moment the guest gives the map up: its bits mean nothing. */
static bool withdraw_before_stop(Fixture *f)
{
    begin_and_answer(f);
    migrate_to_switchover(f);
    guest_map_state(f->g, VIRTIO_BALLOON_CFPH_MAGIC, f->g->generation,
                    VIRTIO_BALLOON_CFPH_STATE_OFF);
    migrate_continue(f);
    return arrived(f) == AREAS_PAGES;
}

/* The page with the header is what it was, but the driver is gone. */
static bool reset(Fixture *f)
{
    begin_and_answer(f);
    guest_driver_reset(f->g);
    migrate_to_switchover(f);
    migrate_continue(f);
    return arrived(f) == AREAS_PAGES;
}

static const Rule rules[] = {
    { "final-read", "stale-final", allocate_before_stop, .by_map = true },
    { "put-back", "no-put-back", late_hint, .by_map = true },
    { "or", "overwrite", use_neighbour, .by_map = true },
    { "header", "no-header-check", withdraw_before_stop },
    { "forget-at-reset", "keep-registration", reset },
};

static bool all_arrive(const Rule *rule, const char *opts)
{
    bool broken = *opts, all;
    Fixture f;

    fixture_up_with(&f, opts, rule->cap);
    f.loses_pages = broken && rule->by_map;
    all = rule->scenario(&f);
    if (!broken || rule->by_map) {
        expect_same_memory(&f);
    }
    fixture_down(&f);
    return all;
}

static void test_kept(const void *data)
{
    const Rule *rule = data;

    if (!rule->cap || fixture_can(rule->cap)) {
        g_assert_true(all_arrive(rule, ""));
    }
}

static void test_broken(const void *data)
{
    const Rule *rule = data;
    g_autofree char *opts = g_strdup_printf(",x-cfph-debug-%s=on",
                                            rule->mutant);

    if (!rule->cap || fixture_can(rule->cap)) {
        g_assert_false(all_arrive(rule, opts));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        const Rule *rule = &rules[i];
        g_autofree char *kept = g_strdup_printf(
            "virtio-balloon-cfph-rules/%s/kept", rule->name);
        g_autofree char *broken = g_strdup_printf(
            "virtio-balloon-cfph-rules/%s/broken-%s", rule->name,
            rule->mutant);

        qtest_add_data_func(kept, rule, test_kept);
        qtest_add_data_func(broken, rule, test_broken);
    }
    return g_test_run();
}
