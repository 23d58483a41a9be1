/*
 * QTest: continuous free-page hints, every way in which memory is written out
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The guest has registered its map and says nothing more, unless a test says
 * so: nobody waits for it.  What is left out must be what the map calls free,
 * and no more; how much the guest may be stopped for is measured in bytes.
 * Snapshots that savevm makes are tested with virtio-balloon-cfph-machine.c.
 */

#include "qemu/osdep.h"
#include "qobject/qdict.h"
#include "virtio-balloon-cfph-fixture.h"

/* What may be sent with the guest stopped; the areas are four times that. */
#define SWITCHOVER_BANDWIDTH    MiB
#define DOWNTIME_MS             300
#define LIMIT_BYTES             (SWITCHOVER_BANDWIDTH * DOWNTIME_MS / 1000)

static char *hints(QTestState *qts, const char *key)
{
    g_autoptr(QDict) info = qtest_qmp_assert_success_ref(
        qts, "{ 'execute': 'query-migrate' }");
    QDict *dict = qdict_get_qdict(info, "x-free-page-hints");

    return g_strdup(dict ? qdict_get_str(dict, key) : "missing");
}

static void expect_hints(QTestState *qts, const char *status,
                         const char *reason)
{
    g_autofree char *is_status = hints(qts, "status");
    g_autofree char *is_reason = hints(qts, "reason");

    g_assert_cmpstr(is_status, ==, status);
    g_assert_cmpstr(is_reason, ==, reason);
}

static uint64_t retries(QTestState *qts)
{
    g_autoptr(QDict) info = qtest_qmp_assert_success_ref(
        qts, "{ 'execute': 'query-migrate' }");

    return qdict_get_int(qdict_get_qdict(info, "x-free-page-hints"),
                         "retries");
}

static void qmp(QTestState *qts, const char *command)
{
    qtest_qmp_assert_success(qts, "{ 'execute': %s }", command);
}

/* --- live and not --- */

/* The first sync is filtered, with no word of the guest. */
static void test_first_round(void)
{
    Fixture f;

    fixture_up(&f, "");
    fixture_map(&f);
    migrate_begin(&f);
    wait_migration(f.g->qts, "active");
    g_assert_cmpint(query_ram(f.g->qts, "free-pages-deferred"), ==,
                    f.free_pages);
    g_assert_cmpint(query_ram(f.g->qts, "transferred"), <, MiB);
    expect_hints(f.g->qts, "active", "none");
    migrate_rest(&f);
    expect_skipped(&f);
    expect_hints(f.g->qts, "decided", "none");
    fixture_down(&f);
}

/* Paused before it begins: the guest never even hears of it. */
static void do_paused(const char *cap)
{
    Fixture f;

    fixture_up_with(&f, "", cap);
    fixture_map(&f);
    qmp(f.g->qts, "stop");
    migrate_begin(&f);
    migrate_rest(&f);
    g_assert_false(guest_has_command(f.g, f.g->qts));
    expect_skipped(&f);
    fixture_down(&f);
}

static void test_paused(void)
{
    do_paused(NULL);
}

static void test_paused_mapped_ram(void)
{
    do_paused("mapped-ram");
}

static void test_paused_multifd(void)
{
    do_paused("multifd");
}

static void test_paused_in_the_middle(void)
{
    Fixture f;

    fixture_up(&f, "");
    begin_and_answer(&f);
    qmp(f.g->qts, "stop");
    migrate_rest(&f);
    expect_skipped(&f);
    fixture_down(&f);
}

static void test_resumed_in_the_middle(void)
{
    Fixture f;

    fixture_up(&f, "");
    fixture_map(&f);
    qmp(f.g->qts, "stop");
    migrate_begin(&f);
    wait_migration(f.g->qts, "active");
    g_assert_cmpint(query_ram(f.g->qts, "free-pages-deferred"), ==,
                    f.free_pages);
    qmp(f.g->qts, "cont");
    answer_start(&f);
    migrate_rest(&f);
    expect_skipped(&f);
    fixture_down(&f);
}

/* What is free at the stop is not in the snapshot, the rest is as it was. */
static void test_background_snapshot(void)
{
    Fixture f;

    if (!fixture_can("background-snapshot")) {
        return;
    }
    fixture_up_setup(&f, &(Setup) { .source_cap = "background-snapshot",
                                    .no_pause = true });
    fixture_map(&f);
    set_parameter(f.g->qts, "max-bandwidth", 16 * GiB);
    migrate_begin(&f);
    wait_migration(f.g->qts, "completed");
    wait_migration(f.dst, "completed");
    g_assert_false(guest_has_command(f.g, f.g->qts));
    expect_same_memory(&f);
    expect_skipped(&f);
    fixture_down(&f);
}

/*
 * The guest writes to pages that were free when it began: nobody has to save
 * them, and all others are saved all the same.  These are at the end of RAM:
 * behind them nothing is left to be saved, so that a search which goes on there
 * could take itself to be through.
 */
static void test_background_snapshot_writes(void)
{
    const uint64_t pages = 1024, addr = HIGH_BASE + 128 * MiB - pages * PAGE;
    g_autofree uint8_t *page = g_malloc0(PAGE);
    Fixture f;

    if (!fixture_can("background-snapshot")) {
        return;
    }
    fixture_up_setup(&f, &(Setup) { .source_cap = "background-snapshot",
                                    .no_pause = true });
    fixture_map(&f);
    guest_map_set(f.g, addr, pages, true);
    f.free_pages += pages;
    migrate_begin(&f);
    wait_migration(f.g->qts, "active");
    for (unsigned i = 0; i < pages; i++) {
        qtest_bufwrite(f.g->qts, addr + i * PAGE, page, PAGE);
    }
    wait_migration(f.g->qts, "completed");
    wait_migration(f.dst, "completed");
    expect_same_memory(&f);
    expect_skipped(&f);
    g_assert_cmpint(arrived(&f), ==, AREAS_PAGES - 2 * FREE_PAGES);
    fixture_down(&f);
}

/* A destination that has never run has the map, and is migrated on. */
static void test_second_hop(void)
{
    g_autofree char *uri = NULL;
    QTestState *third;
    Fixture f;

    fixture_up(&f, "");
    fixture_map(&f);
    migrate_begin(&f);
    migrate_rest(&f);
    expect_skipped(&f);

    third = guest_incoming("", "");
    set_capability(third, "events");
    uri = g_strdup_printf("%s-2", f.uri);
    qtest_qmp_assert_success(third, "{ 'execute': 'migrate-incoming',"
                             "  'arguments': { 'uri': %s } }", uri);
    set_parameter(f.dst, "max-bandwidth", 16 * GiB);
    qtest_qmp_assert_success(f.dst, "{ 'execute': 'migrate',"
                             "  'arguments': { 'uri': %s } }", uri);
    wait_migration(f.dst, "completed");
    wait_migration(third, "completed");
    g_assert_cmpint(query_ram(f.dst, "free-pages-skipped"), ==, f.free_pages);
    expect_hints(f.dst, "decided", "none");

    qtest_quit(f.dst);
    f.dst = third;
    expect_same_memory(&f);
    g_assert_cmpint(arrived(&f), ==, AREAS_PAGES - f.free_pages);
    fixture_down(&f);
}

/* --- postcopy --- */

static uint64_t count_zero(QTestState *qts, uint64_t addr, uint64_t pages)
{
    g_autofree uint8_t *buf = g_malloc(pages * PAGE);
    uint64_t n = 0;

    qtest_bufread(qts, addr, buf, pages * PAGE);
    for (uint64_t i = 0; i < pages; i++) {
        const uint8_t *page = buf + i * PAGE;

        n += !page[0] && !memcmp(page, page + 1, PAGE - 1);
    }
    return n;
}

/* The destination gets each page; a free one costs some bytes. */
static void test_postcopy(void)
{
    uint64_t remaining;
    Fixture f;

    if (!fixture_can("postcopy-ram")) {
        return;
    }
    fixture_up_with(&f, "", "postcopy-ram");
    begin_and_answer(&f);
    remaining = query_ram(f.g->qts, "remaining");
    qmp(f.g->qts, "migrate-start-postcopy");
    migrate_to_switchover(&f);
    migrate_finish(&f);
    g_assert_cmpint(query_ram(f.g->qts, "free-pages-skipped"), ==,
                    f.free_pages);
    g_assert_cmpint(query_ram(f.g->qts, "postcopy-bytes"), <=,
                    remaining + remaining / 50 + 16 * f.free_pages);
    g_assert_cmpint(arrived(&f), ==, AREAS_PAGES - f.free_pages);
    g_assert_cmpint(count_zero(f.dst, LOW_AREA, FREE_PAGES), ==, FREE_PAGES);
    g_assert_cmpint(count_zero(f.dst, HIGH_AREA, FREE_PAGES), ==, FREE_PAGES);
    fixture_down(&f);
}

/* The map is taken back before the switch: all of it arrives as it was. */
static void test_postcopy_withdrawn(void)
{
    Fixture f;

    if (!fixture_can("postcopy-ram")) {
        return;
    }
    fixture_up_with(&f, ",x-cfph-debug-late-withdrawal=on", "postcopy-ram");
    begin_and_answer(&f);
    qmp(f.g->qts, "migrate-start-postcopy");
    migrate_to_switchover(&f);
    migrate_finish(&f);
    expect_everything(&f);
    expect_hints(f.g->qts, "given-up", "withdrawn");
    fixture_down(&f);
}

/* --- the downtime limit --- */

static void limit_up(Fixture *f, const char *opts, bool no_pause)
{
    fixture_up_setup(f, &(Setup) { .opts = opts, .no_pause = no_pause });
    set_parameter(f->g->qts, "avail-switchover-bandwidth",
                  SWITCHOVER_BANDWIDTH);
    set_parameter(f->g->qts, "downtime-limit", DOWNTIME_MS);
}

static void wait_hints_event(Fixture *f, const char *status, const char *reason)
{
    QDict *event = qtest_qmp_eventwait_ref(f->g->qts,
                                           "X_MIGRATION_FREE_PAGE_HINTS");
    QDict *data = qdict_get_qdict(event, "data");

    g_assert_cmpstr(qdict_get_str(data, "status"), ==, status);
    g_assert_cmpstr(qdict_get_str(data, "reason"), ==, reason);
    qobject_unref(event);
}

static void limit_run(Fixture *f)
{
    begin_and_answer(f);
    set_parameter(f->g->qts, "max-bandwidth", 16 * GiB);
}

static void limit_end(Fixture *f)
{
    if (f->setup.no_pause) {
        wait_migration(f->g->qts, "completed");
        wait_migration(f->dst, "completed");
        expect_same_memory(f);
    } else {
        wait_migration(f->g->qts, "pre-switchover");
        migrate_finish(f);
    }
}

static bool within_limit(Fixture *f)
{
    return query_ram(f->g->qts, "downtime-bytes") <= LIMIT_BYTES * 3 / 2;
}

/* The guest takes its map back at the last moment, and has to go on. */
static void do_withdrawn(bool no_pause)
{
    Fixture f;

    limit_up(&f, ",x-cfph-debug-late-withdrawal=on", no_pause);
    limit_run(&f);
    wait_hints_event(&f, "given-up", "withdrawn");
    limit_end(&f);
    g_assert_true(within_limit(&f));
    expect_everything(&f);
    expect_hints(f.g->qts, "given-up", "withdrawn");
    g_assert_cmpint(retries(f.g->qts), ==, 1);
    fixture_down(&f);
}

static void test_limit_withdrawn(void)
{
    do_withdrawn(true);
}

static void test_limit_withdrawn_pause(void)
{
    do_withdrawn(false);
}

/* Memory comes into use: the map still stands, so the hints do. */
static void test_limit_used(void)
{
    Fixture f;

    limit_up(&f, ",x-cfph-debug-late-use=on", true);
    limit_run(&f);
    wait_hints_event(&f, "active", "downtime");
    limit_end(&f);
    g_assert_true(within_limit(&f));
    expect_everything(&f);
    expect_hints(f.g->qts, "decided", "none");
    g_assert_cmpint(retries(f.g->qts), ==, 1);
    fixture_down(&f);
}

/* A guest that stands still anyway has no downtime. */
static void test_limit_paused(void)
{
    Fixture f;

    limit_up(&f, ",x-cfph-debug-late-withdrawal=on", true);
    begin_and_answer(&f);
    qmp(f.g->qts, "stop");
    set_parameter(f.g->qts, "max-bandwidth", 16 * GiB);
    wait_hints_event(&f, "given-up", "withdrawn");
    limit_end(&f);
    expect_everything(&f);
    g_assert_cmpint(retries(f.g->qts), ==, 0);
    fixture_down(&f);
}

/* With the rule broken, all of it is sent while the guest stands still. */
static void test_limit_broken(void)
{
    Fixture f;

    limit_up(&f, ",x-cfph-debug-late-withdrawal=on,x-cfph-debug-no-limit=on",
             true);
    limit_run(&f);
    limit_end(&f);
    g_assert_false(within_limit(&f));
    expect_everything(&f);
    fixture_down(&f);
}

/* --- the operator --- */

static void test_parameter(void)
{
    g_autofree char *text = NULL;
    Fixture f;

    fixture_up(&f, "");
    fixture_map(&f);
    qtest_qmp_assert_success(f.g->qts, "{ 'execute': 'migrate-set-parameters',"
                             "  'arguments': { 'x-free-page-hints': false } }");
    migrate_begin(&f);
    migrate_rest(&f);
    g_assert_false(guest_has_command(f.g, f.g->qts));
    expect_everything(&f);
    expect_hints(f.g->qts, "off", "parameter");
    /* Nothing was saved, which is when somebody asks. */
    text = qtest_hmp(f.g->qts, "info migrate");
    g_assert_nonnull(strstr(text, "free page hints: off (reason: parameter"));
    g_assert_nonnull(strstr(text, "free pages skipped: 0 pages"));
    fixture_down(&f);
}

/* A guest without a map: hints would be used if there was one. */
static void test_no_map(void)
{
    Fixture f;

    fixture_up(&f, "");
    migrate_begin(&f);
    wait_migration(f.g->qts, "active");
    expect_hints(f.g->qts, "waiting", "no-map");
    migrate_rest(&f);
    expect_everything(&f);
    expect_hints(f.g->qts, "off", "no-map");
    fixture_down(&f);
}

int main(int argc, char **argv)
{
    static const FixtureTest tests[] = {
        { "first-round", test_first_round },
        { "paused/plain", test_paused },
        { "paused/mapped-ram", test_paused_mapped_ram },
        { "paused/multifd", test_paused_multifd },
        { "paused/in-the-middle", test_paused_in_the_middle },
        { "paused/resumed-in-the-middle", test_resumed_in_the_middle },
        { "background-snapshot/plain", test_background_snapshot },
        { "background-snapshot/writes", test_background_snapshot_writes },
        { "second-hop", test_second_hop },
        { "postcopy/zeroes", test_postcopy },
        { "postcopy/withdrawn", test_postcopy_withdrawn },
        { "limit/withdrawn", test_limit_withdrawn },
        { "limit/withdrawn-pause", test_limit_withdrawn_pause },
        { "limit/used", test_limit_used },
        { "limit/paused", test_limit_paused },
        { "limit/broken-no-limit", test_limit_broken },
        { "parameter", test_parameter },
        { "no-map", test_no_map },
    };

    g_test_init(&argc, &argv, NULL);
    fixture_add_tests("virtio-balloon-cfph-ways", tests, ARRAY_SIZE(tests));
    return g_test_run();
}
