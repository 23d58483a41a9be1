/*
 * QTest: two QEMUs and a migration between them, for free-page hints
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The migration is kept slow until the test has said what it wants to say, and
 * then stops once more before the final sync.  With SLOW_BANDWIDTH, QEMU sends
 * 32 pages in 100 ms (it does not count what it has not flushed), so the filler
 * keeps it away from the areas for almost a minute.
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "qobject/qdict.h"
#include "virtio-balloon-cfph-fixture.h"

#define SLOW_BANDWIDTH  4096
#define TIME_LIMIT_US   (60 * G_USEC_PER_SEC)

/* --- migration --- */

static void set_parameter(QTestState *qts, const char *name, uint64_t value)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'migrate-set-parameters',"
                             "  'arguments': { %s: %" PRIu64 " } }",
                             name, value);
}

void set_capability(QTestState *qts, const char *name)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'migrate-set-capabilities',"
                             "  'arguments': { 'capabilities': "
                             "    [ { 'capability': %s, 'state': true } ] } }",
                             name);
}

uint64_t query_ram(QTestState *qts, const char *key)
{
    QDict *info = qtest_qmp_assert_success_ref(
        qts, "{ 'execute': 'query-migrate' }");
    uint64_t value = qdict_get_int(qdict_get_qdict(info, "ram"), key);

    qobject_unref(info);
    return value;
}

void wait_ram(QTestState *qts, const char *key, uint64_t value)
{
    gint64 limit = g_get_monotonic_time() + TIME_LIMIT_US;

    while (query_ram(qts, key) != value) {
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
        g_usleep(1000);
    }
}

void wait_migration(QTestState *qts, const char *goal)
{
    bool done = false;

    while (!done) {
        QDict *event = qtest_qmp_eventwait_ref(qts, "MIGRATION");
        const char *status = qdict_get_str(qdict_get_qdict(event, "data"),
                                           "status");

        done = !strcmp(status, goal);
        if (!done && strcmp(goal, "failed")) {
            g_assert_cmpstr(status, !=, "failed");
        }
        qobject_unref(event);
    }
}

static void incoming(Fixture *f)
{
    qtest_qmp_assert_success(f->dst, "{ 'execute': 'migrate-incoming',"
                             "  'arguments': { 'uri': %s } }", f->uri);
}

static void fixture_incoming(Fixture *f, const char *opts, const char *cap)
{
    f->dst = guest_incoming(opts);
    set_capability(f->dst, "events");
    if (cap) {
        set_capability(f->g->qts, cap);
        set_capability(f->dst, cap);
    }
    if (!f->file) {
        incoming(f);
    }
}

void fixture_next_destination(Fixture *f)
{
    qtest_set_expected_status(f->dst, EXIT_FAILURE);
    qtest_wait_qemu(f->dst);
    qtest_quit(f->dst);
    fixture_incoming(f, "", NULL);
}

void fixture_up_with(Fixture *f, const char *opts, const char *cap)
{
    f->dir = g_dir_make_tmp("cfph-test-XXXXXX", NULL);
    g_assert_nonnull(f->dir);
    f->path = g_build_filename(f->dir, "migration", NULL);
    f->file = cap && !strcmp(cap, "mapped-ram");
    f->uri = g_strdup_printf("%s:%s", f->file ? "file" : "unix", f->path);
    f->g = guest_boot(opts);
    set_capability(f->g->qts, "events");
    set_capability(f->g->qts, "pause-before-switchover");
    set_parameter(f->g->qts, "max-bandwidth", SLOW_BANDWIDTH);
    fixture_incoming(f, opts, cap);
    guest_driver_start(f->g, 0);
    qtest_memset(f->g->qts, FILLER, 0xa5, FILLER_BYTES);
    guest_fill(f->g, LOW_AREA, AREA_PAGES, 0);
    guest_fill(f->g, HIGH_AREA, AREA_PAGES, 0);
}

void fixture_up(Fixture *f, const char *opts)
{
    fixture_up_with(f, opts, NULL);
}

void fixture_down(Fixture *f)
{
    guest_quit(f->g);
    qtest_quit(f->dst);
    g_unlink(f->path);
    g_rmdir(f->dir);
    g_free(f->path);
    g_free(f->uri);
    g_free(f->dir);
}

void migrate_begin(Fixture *f)
{
    qtest_qmp_assert_success(f->g->qts, "{ 'execute': 'migrate',"
                             "  'arguments': { 'uri': %s } }", f->uri);
}

void migrate_to_switchover(Fixture *f)
{
    set_parameter(f->g->qts, "max-bandwidth", 16 * GiB);
    wait_migration(f->g->qts, "pre-switchover");
}

void migrate_finish(Fixture *f)
{
    qtest_qmp_assert_success(f->g->qts, "{ 'execute': 'migrate-continue',"
                             "  'arguments': { 'state': 'pre-switchover' } }");
    wait_migration(f->g->qts, "completed");
    if (f->file) {
        incoming(f);
    }
    wait_migration(f->dst, "completed");
}

uint64_t arrived(Fixture *f)
{
    return guest_count_filled(f->dst, LOW_AREA, AREA_PAGES, 0) +
           guest_count_filled(f->dst, HIGH_AREA, AREA_PAGES, 0);
}

void expect_consistent(Fixture *f)
{
    uint64_t skipped = query_ram(f->g->qts, "free-pages-skipped");

    g_assert_cmpint(skipped, <=, 2 * FREE_PAGES);
    g_assert_cmpint(arrived(f), ==, AREAS_PAGES - skipped);
}

void expect_everything(Fixture *f)
{
    g_assert_cmpint(query_ram(f->g->qts, "free-pages-skipped"), ==, 0);
    g_assert_cmpint(arrived(f), ==, AREAS_PAGES);
}

void answer_start(Fixture *f)
{
    Guest *g = f->g;
    Command c = guest_wait_command(g, g->qts);

    g_assert_cmpint(c.command, ==, VIRTIO_BALLOON_CFPH_CMD_START);
    g_assert_cmpint(c.migration_id, !=, 0);
    g_assert_cmpint(c.round, ==, 0);
    g->migration_id = c.migration_id;
    g->sequence = 0;

    guest_map_init(g);
    guest_map_set(g, LOW_AREA, FREE_PAGES, true);
    guest_map_set(g, HIGH_AREA, FREE_PAGES, true);
    guest_register(g);
    g_assert_false(guest_registered(g));
    guest_started(g);
    g_assert_true(guest_registered(g));
    g_assert_cmpint(guest_status(g, "leaves"), ==, 2);
    wait_ram(g->qts, "free-pages-deferred", 2 * FREE_PAGES);
}

void begin_and_answer(Fixture *f)
{
    migrate_begin(f);
    answer_start(f);
}
