/*
 * QTest: continuous free-page hints, device and migration
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The test plays the guest driver and migrates between two QEMUs without a
 * CPU, so it can do what a guest does at any moment that it likes: between the
 * last running sync and the final read (pause-before-switchover holds the
 * migration there), after a reset, out of order.
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "qemu/bitops.h"
#include "qemu/bswap.h"
#include "qobject/qdict.h"
#include "virtio-balloon-cfph-fixture.h"

#define TIME_LIMIT_US   (60 * G_USEC_PER_SEC)

/* --- tests: what is left out --- */

/* Free pages are left out, all others arrive; the destination says STOP. */
static void do_hints(const char *opts, const char *cap)
{
    Fixture f;

    fixture_up_with(&f, opts, cap);
    begin_and_answer(&f);
    migrate_to_switchover(&f);
    migrate_finish(&f);

    g_assert_cmpint(query_ram(f.g->qts, "free-pages-skipped"), ==,
                    2 * FREE_PAGES);
    g_assert_cmpint(arrived(&f), ==, AREAS_PAGES - 2 * FREE_PAGES);
    g_assert_cmpint(guest_count_filled(f.dst, LOW_AREA, FREE_PAGES, 0), ==, 0);
    g_assert_cmpint(guest_count_filled(f.dst, HIGH_AREA, FREE_PAGES, 0), ==, 0);

    qtest_qmp_assert_success(f.dst, "{ 'execute': 'cont' }");
    wait_stop(&f, f.dst, f.g->migration_id);
    fixture_down(&f);
}

static void test_hints(void)
{
    do_hints("", NULL);
}

static void test_hints_reporting(void)
{
    do_hints(",free-page-reporting=on", NULL);
}

static void test_hints_multifd(void)
{
    do_hints("", "multifd");
}

static void test_hints_mapped_ram(void)
{
    do_hints("", "mapped-ram");
}

/* Nobody waits for an answer, and there need not be one. */
static void test_hints_no_answer(void)
{
    Fixture f;

    fixture_up(&f, "");
    fixture_map(&f);
    migrate_begin(&f);
    wait_ram(f.g->qts, "free-pages-deferred", f.free_pages);
    migrate_rest(&f);
    expect_skipped(&f);
    fixture_down(&f);
}

/* A map that is registered in the middle of a round counts from the next. */
static void test_hints_late(void)
{
    Fixture f;

    fixture_up(&f, "");
    migrate_begin(&f);
    answer_start(&f);
    g_assert_cmpint(query_ram(f.g->qts, "free-pages-deferred"), ==, 0);
    guest_expect_status(f.g, "reason", "no-map");
    fixture_map(&f);
    migrate_rest(&f);
    g_assert_cmpint(query_ram(f.g->qts, "free-pages-skipped"), <=,
                    f.free_pages);
    fixture_down(&f);
}

/* Deltas of each kind, with edges in the middle of words. */
static void test_deltas(void)
{
    Fixture f;
    Guest *g;
    uint64_t words[16] = { 0 };

    fixture_up(&f, "");
    g = f.g;
    begin_and_answer(&f);

    /* 100 more, beginning one page before the word boundary. */
    guest_range(g, LOW_AREA + (FREE_PAGES - 1) * PAGE, 101, true);
    wait_ram(g->qts, "free-pages-deferred", 2 * FREE_PAGES + 100);
    guest_range(g, LOW_AREA + (FREE_PAGES - 1) * PAGE, 101, true);
    guest_range(g, HIGH_AREA + 7 * PAGE, 3, false);
    wait_ram(g->qts, "free-pages-deferred", 2 * FREE_PAGES + 97);

    /* Two chunks that cover the high area: all used but 5 and 70 pages. */
    words[0] = 0x1fULL << 3;
    words[8] = ~0ULL;
    words[9] = 0x3f;
    guest_msg_begin(g);
    guest_msg_rec(g, VIRTIO_BALLOON_CFPH_REC_BITS, 2, 16 + sizeof(words), 1,
                  HIGH_AREA / PAGE);
    for (int i = 0; i < 16; i++) {
        words[i] = cpu_to_le64(words[i]);
    }
    guest_msg_add(g, words, sizeof(words));
    guest_msg_send(g);
    wait_ram(g->qts, "free-pages-deferred", FREE_PAGES + 100 + 5 + 70);

    /* Nonsense that is well-formed: no RAM there, or far too much. */
    guest_range(g, 3 * GiB, 1000, true);
    guest_range(g, 1ULL << 60, 1, true);
    guest_range(g, HIGH_BASE - PAGE, 1, true);
    guest_range(g, 0, 1ULL << 52, false);
    wait_ram(g->qts, "free-pages-deferred", 0);
    g_assert_cmpint(guest_status(g, "malformed"), ==, 0);
    g_assert_cmpint(guest_status(g, "lost"), ==, 0);

    /* What was put back is sent, unless a sync reads the map before that. */
    migrate_to_switchover(&f);
    migrate_finish(&f);
    expect_consistent(&f);
    fixture_down(&f);
}

/* Changes of the map that nobody tells of are seen between two syncs, too. */
static void test_look(void)
{
    Fixture f;

    fixture_up(&f, ",cfph-look-percent=100");
    begin_and_answer(&f);

    guest_map_set(f.g, LOW_AREA + FREE_PAGES * PAGE, 100, true);
    wait_ram(f.g->qts, "free-pages-deferred", 2 * FREE_PAGES + 100);
    guest_map_set(f.g, LOW_AREA, FREE_PAGES + 100, false);
    wait_ram(f.g->qts, "free-pages-deferred", FREE_PAGES);

    migrate_to_switchover(&f);
    migrate_finish(&f);
    expect_consistent(&f);
    fixture_down(&f);
}

/* A command buffer that is too short is returned, the next one is used. */
static void test_short_command(void)
{
    Fixture f;
    uint32_t len;

    fixture_up(&f, "");
    guest_driver_reset(f.g);
    f.g->short_first = true;
    guest_driver_start(f.g, 0);
    fixture_map(&f);
    migrate_begin(&f);
    qvirtio_wait_used_elem(f.g->qts, f.g->dev, f.g->cmd, 0, &len,
                           TIME_LIMIT_US);
    g_assert_cmpint(len, ==, 0);
    answer_start(&f);
    migrate_to_switchover(&f);
    migrate_finish(&f);
    g_assert_cmpint(arrived(&f), ==, AREAS_PAGES - 2 * FREE_PAGES);
    fixture_down(&f);
}

/* --- tests: a map that is not to be believed --- */

static void do_bad_header(uint64_t magic, uint64_t generation, uint32_t state)
{
    Fixture f;

    fixture_up(&f, "");
    begin_and_answer(&f);
    migrate_to_switchover(&f);
    guest_map_state(f.g, magic, generation ?: f.g->generation, state);
    migrate_finish(&f);
    expect_everything(&f);
    fixture_down(&f);
}

static void test_bad_magic(void)
{
    do_bad_header(0, 0, VIRTIO_BALLOON_CFPH_STATE_READY);
}

static void test_bad_generation(void)
{
    do_bad_header(VIRTIO_BALLOON_CFPH_MAGIC, 1,
                  VIRTIO_BALLOON_CFPH_STATE_READY);
}

static void test_bad_state(void)
{
    do_bad_header(VIRTIO_BALLOON_CFPH_MAGIC, 0, VIRTIO_BALLOON_CFPH_STATE_OFF);
}

/* A driver that has turned down a feature with a queue before ours. */
static void test_queue_rule(void)
{
    Fixture f;

    fixture_up(&f, ",free-page-reporting=on");
    guest_driver_reset(f.g);
    guest_driver_start(f.g, BIT_ULL(VIRTIO_BALLOON_F_REPORTING));
    guest_expect_status(f.g, "state", "no-driver");
    guest_expect_status(f.g, "reason", "no-driver");
    migrate_begin(&f);
    migrate_to_switchover(&f);
    migrate_finish(&f);
    g_assert_false(guest_has_command(f.g, f.g->qts));
    expect_everything(&f);
    fixture_down(&f);
}

/* --- tests: properties --- */

static void test_properties(void)
{
    g_autofree char *firmware = guest_firmware();
    QTestState *qts = qtest_initf("-nodefaults -machine pc -bios %s", firmware);
    QDict *error;

    g_unlink(firmware);
    error = qtest_qmp_assert_failure_ref(qts,
        "{ 'execute': 'device_add', 'arguments': {"
        "  'driver': 'virtio-balloon-pci', 'id': 'b', "
        "  'continuous-free-page-hint': true, 'free-page-hint': true } }");
    g_assert_nonnull(strstr(qdict_get_str(error, "desc"),
                            "'continuous-free-page-hint' and "
                            "'free-page-hint' exclude each other"));
    qobject_unref(error);

    error = qtest_qmp_assert_failure_ref(qts,
        "{ 'execute': 'device_add', 'arguments': {"
        "  'driver': 'virtio-balloon-pci', 'id': 'b', "
        "  'continuous-free-page-hint': true, "
        "  'cfph-look-percent': 101 } }");
    g_assert_nonnull(strstr(qdict_get_str(error, "desc"),
                            "'cfph-look-percent' is 101, "
                            "it must be 0 to 100"));
    qobject_unref(error);
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    static const FixtureTest tests[] = {
        { "hints/plain", test_hints },
        { "hints/with-reporting", test_hints_reporting },
        { "hints/multifd", test_hints_multifd },
        { "hints/mapped-ram", test_hints_mapped_ram },
        { "hints/no-answer", test_hints_no_answer },
        { "hints/late", test_hints_late },
        { "short-command", test_short_command },
        { "deltas", test_deltas },
        { "look", test_look },
        { "header/magic", test_bad_magic },
        { "header/generation", test_bad_generation },
        { "header/state", test_bad_state },
        { "queue-rule", test_queue_rule },
        { "properties", test_properties },
    };

    g_test_init(&argc, &argv, NULL);
    fixture_add_tests("virtio-balloon-cfph", tests, ARRAY_SIZE(tests));
    return g_test_run();
}
