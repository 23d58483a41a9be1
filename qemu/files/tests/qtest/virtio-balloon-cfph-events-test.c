/*
 * QTest: continuous free-page hints, and what else can happen meanwhile
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Events of the device, of migration and of the machine, each in the middle of
 * a migration with hints.  What they have in common is the end: the memory of
 * both sides is compared page by page, in migrate_finish().
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "virtio-balloon-cfph-fixture.h"


/* --- the registration is lost --- */

static void do_forget(void (*forget)(Guest *g))
{
    Fixture f;

    fixture_up(&f, ",cfph-look-percent=100");
    begin_and_answer(&f);
    forget(f.g);
    wait_unregistered(f.g);
    /* The next look puts everything back. */
    wait_ram(f.g->qts, "free-pages-deferred", 0);
    migrate_rest(&f);
    expect_everything(&f);
    fixture_down(&f);
}

static void forget_unmap(Guest *g)
{
    guest_unmap(g);
    guest_expect_status(g, "reason", "withdrawn");
}

static void forget_message_queue(Guest *g)
{
    guest_queue_reset(g, g->msg);
}

static void forget_command_queue(Guest *g)
{
    guest_queue_reset(g, g->cmd);
}

/* A descriptor that the ring does not have: the device breaks. */
static void forget_broken(Guest *g)
{
    qvirtqueue_kick(g->qts, g->dev, g->msg, g->msg->size);
}

static void forget_system_reset(Guest *g)
{
    qtest_qmp_assert_success(g->qts, "{ 'execute': 'system_reset' }");
    qtest_qmp_eventwait(g->qts, "RESET");
}

static void test_reset(void)
{
    do_forget(guest_driver_reset);
}

static void test_bus_master(void)
{
    do_forget(guest_bus_master_off);
}

static void test_message_queue_reset(void)
{
    do_forget(forget_message_queue);
}

static void test_command_queue_reset(void)
{
    do_forget(forget_command_queue);
}

static void test_unmap(void)
{
    do_forget(forget_unmap);
}

static void test_broken(void)
{
    do_forget(forget_broken);
}

static void test_system_reset(void)
{
    do_forget(forget_system_reset);
}

/* Broken through a queue that is not ours: nobody tells our code. */
static void test_broken_elsewhere(void)
{
    Fixture f;
    QVirtQueue *inflate;

    fixture_up(&f, ",cfph-look-percent=100");
    inflate = guest_inflate_queue(f.g);
    begin_and_answer(&f);
    qvirtqueue_kick(f.g->qts, f.g->dev, inflate, inflate->size);
    guest_expect_status(f.g, "reason", "device-broken");
    wait_ram(f.g->qts, "free-pages-deferred", 0);
    migrate_rest(&f);
    expect_everything(&f);
    g_free(inflate);
    fixture_down(&f);
}

/* A guest that reboots in the middle of a migration is asked once more. */
static void test_reset_and_return(void)
{
    Fixture f;
    uint32_t id;

    fixture_up(&f, "");
    begin_and_answer(&f);
    id = f.g->migration_id;
    guest_driver_reset(f.g);
    guest_driver_start(f.g, 0);
    fixture_map(&f);
    answer_start(&f);
    g_assert_cmpint(f.g->migration_id, ==, id);
    migrate_rest(&f);
    expect_skipped(&f);
    fixture_down(&f);
}

/* --- the migration ends or pauses --- */

static void test_stop_cont(void)
{
    Fixture f;

    fixture_up(&f, "");
    begin_and_answer(&f);
    qtest_qmp_assert_success(f.g->qts, "{ 'execute': 'stop' }");
    /* The vCPUs stand still, but not for good: nothing is decided. */
    g_assert_cmpint(query_ram(f.g->qts, "free-pages-deferred"), ==,
                    f.free_pages);
    g_assert_true(guest_registered(f.g));
    qtest_qmp_assert_success(f.g->qts, "{ 'execute': 'cont' }");
    guest_map_set(f.g, LOW_AREA, 1, false);
    guest_fill(f.g, LOW_AREA, 1, 1);
    migrate_rest(&f);
    g_assert_cmpint(query_ram(f.g->qts, "free-pages-skipped"), ==,
                    f.free_pages - 1);
    g_assert_cmpint(guest_count_filled(f.dst, LOW_AREA, 1, 1), ==, 1);
    fixture_down(&f);
}

/* A migration that is stopped by the user and never continued. */
static void test_stop_for_good(void)
{
    Fixture f;

    fixture_up(&f, "");
    begin_and_answer(&f);
    qtest_qmp_assert_success(f.g->qts, "{ 'execute': 'stop' }");
    migrate_rest(&f);
    expect_skipped(&f);
    fixture_down(&f);
}

/*
 * The source runs again: it says STOP.  The map stands, so that the next
 * migration has it from the first sync on.
 */
static void retry(Fixture *f, uint32_t id)
{
    uint64_t ignored = guest_status(f->g, "ignored");

    wait_stop(f, f->g->qts, id);
    guest_expect_status(f->g, "state", "idle");
    g_assert_true(guest_registered(f->g));

    /* What the guest still says about the old one is not heard. */
    guest_range(f->g, LOW_AREA, AREA_PAGES, true);
    guest_started(f->g);
    g_assert_cmpint(guest_status(f->g, "ignored"), ==, ignored + 2);

    /* Meanwhile it has used a page that it had called free. */
    guest_fill(f->g, LOW_AREA, 1, 1);
    guest_map_set(f->g, LOW_AREA, 1, false);
    f->free_pages--;
    set_parameter(f->g->qts, "max-bandwidth", 4096);
    begin_and_answer(f);
    g_assert_cmpint(f->g->migration_id, ==, id + 1);
    g_assert_cmpint(guest_status(f->g, "registrations"), ==, 1);
    migrate_rest(f);
    g_assert_cmpint(query_ram(f->g->qts, "free-pages-skipped"), ==,
                    f->free_pages);
    g_assert_cmpint(guest_count_filled(f->dst, LOW_AREA, 1, 1), ==, 1);
    fixture_down(f);
}

static void do_cancel(bool late)
{
    Fixture f;

    fixture_up(&f, "");
    begin_and_answer(&f);
    if (late) {
        migrate_to_switchover(&f);
    }
    qtest_qmp_assert_success(f.g->qts, "{ 'execute': 'migrate_cancel' }");
    wait_migration(f.g->qts, "cancelled");
    fixture_next_destination(&f);
    retry(&f, f.g->migration_id);
}

static void test_cancel_retry(void)
{
    do_cancel(false);
}

static void test_cancel_late(void)
{
    do_cancel(true);
}

static void do_destination_dies(bool late)
{
    Fixture f;

    fixture_up(&f, "");
    begin_and_answer(&f);
    if (late) {
        migrate_to_switchover(&f);
    }
    qtest_quit(f.dst);
    if (late) {
        qtest_qmp_assert_success(f.g->qts, "{ 'execute': 'migrate-continue',"
                                 "  'arguments': "
                                 "  { 'state': 'pre-switchover' } }");
    }
    wait_migration(f.g->qts, "failed");
    fixture_new_destination(&f);
    retry(&f, f.g->migration_id);
}

static void test_destination_dies(void)
{
    do_destination_dies(false);
}

static void test_destination_dies_late(void)
{
    do_destination_dies(true);
}

/*
 * Auto-converge syncs from a timer, in the main loop, while the migration
 * thread is in the middle of a round.  Nothing but that sync reads the map
 * here.
 */
static void test_timer_sync(void)
{
    const uint64_t pages = 100;
    gint64 limit = g_get_monotonic_time() + TIME_LIMIT_US;
    Fixture f;
    QTestState *qts;

    fixture_up_setup(&f, &(Setup) { .source_cap = "auto-converge" });
    qts = f.g->qts;
    set_parameter(qts, "downtime-limit", 1);
    begin_and_answer(&f);

    /* Make the second round long: what was sent in the first is dirty. */
    set_parameter(qts, "max-bandwidth", 64 * MiB);
    while (query_ram(qts, "transferred") < FILLER_BYTES / 2) {
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
        g_usleep(1000);
    }
    qtest_memset(qts, FILLER, 0x5a, FILLER_BYTES / 4);
    while (query_ram(qts, "dirty-sync-count") < 2) {
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
        g_usleep(1000);
    }
    set_parameter(qts, "max-bandwidth", 4096);

    guest_fill(f.g, LOW_AREA + FREE_PAGES * PAGE, pages, 1);
    guest_map_set(f.g, LOW_AREA + FREE_PAGES * PAGE, pages, true);
    wait_ram(qts, "free-pages-deferred", f.free_pages + pages);
    g_assert_cmpint(query_ram(qts, "dirty-sync-count"), >, 2);

    migrate_rest(&f);
    g_assert_cmpint(query_ram(qts, "free-pages-skipped"), ==,
                    f.free_pages + pages);
    fixture_down(&f);
}

/* --- migrations that are not filtered --- */

static void expect_not_asked(Fixture *f)
{
    g_assert_false(guest_has_command(f->g, f->g->qts));
    g_assert_cmpint(guest_status(f->g, "migration-id"), ==, 0);
}

/* COLO never completes: it is enough that the guest is not asked. */
static void test_colo(void)
{
    Fixture f;

    if (!fixture_can("x-colo")) {
        return;
    }
    fixture_up_setup(&f, &(Setup) { .cap = "x-colo", .no_pause = true });
    fixture_map(&f);
    migrate_begin(&f);
    wait_migration(f.g->qts, "active");
    /* The first slice has been sent, so START would have been, too. */
    while (query_ram(f.g->qts, "transferred") < 64 * KiB) {
        g_usleep(1000);
    }
    expect_not_asked(&f);
    qtest_qmp_assert_success(f.g->qts, "{ 'execute': 'migrate_cancel' }");
    wait_migration(f.g->qts, "cancelled");
    fixture_next_destination(&f);
    fixture_down(&f);
}

static void test_cpr(void)
{
    Fixture f;

    fixture_up_setup(&f, &(Setup) { .no_pause = true });
    fixture_map(&f);
    qtest_qmp_assert_success(f.g->qts, "{ 'execute': 'migrate-set-parameters',"
                             "  'arguments': { 'mode': 'cpr-reboot' } }");
    qtest_qmp_assert_success(f.dst, "{ 'execute': 'migrate-set-parameters',"
                             "  'arguments': { 'mode': 'cpr-reboot' } }");
    set_parameter(f.g->qts, "max-bandwidth", 16 * GiB);
    migrate_begin(&f);
    wait_migration(f.g->qts, "completed");
    wait_migration(f.dst, "completed");
    expect_not_asked(&f);
    expect_same_memory(&f);
    expect_everything(&f);
    fixture_down(&f);
}

int main(int argc, char **argv)
{
    static const FixtureTest tests[] = {
        { "forget/reset", test_reset },
        { "forget/bus-master", test_bus_master },
        { "forget/message-queue-reset", test_message_queue_reset },
        { "forget/command-queue-reset", test_command_queue_reset },
        { "forget/unmap", test_unmap },
        { "forget/broken", test_broken },
        { "forget/broken-elsewhere", test_broken_elsewhere },
        { "forget/system-reset", test_system_reset },
        { "forget/reset-and-return", test_reset_and_return },
        { "stop/cont", test_stop_cont },
        { "stop/for-good", test_stop_for_good },
        { "cancel/in-a-round", test_cancel_retry },
        { "cancel/before-the-end", test_cancel_late },
        { "destination-dies/in-a-round", test_destination_dies },
        { "destination-dies/before-the-end", test_destination_dies_late },
        { "timer-sync", test_timer_sync },
        { "gate/colo", test_colo },
        { "gate/cpr", test_cpr },
    };

    g_test_init(&argc, &argv, NULL);
    fixture_add_tests("virtio-balloon-cfph-events", tests, ARRAY_SIZE(tests));
    cfph_add_machine_tests();
    return g_test_run();
}
