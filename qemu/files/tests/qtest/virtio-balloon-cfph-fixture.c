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

/* --- migration --- */

void set_parameter(QTestState *qts, const char *name, uint64_t value)
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

bool fixture_can(const char *cap)
{
    QTestState *qts = guest_incoming("", "");
    QDict *reply = qtest_qmp(qts, "{ 'execute': 'migrate-set-capabilities',"
                             "  'arguments': { 'capabilities': "
                             "    [ { 'capability': %s, 'state': true } ] } }",
                             cap);
    bool error = qdict_haskey(reply, "error");

    qobject_unref(reply);
    qtest_quit(qts);
    if (error) {
        g_test_skip("This QEMU or this host cannot do it");
    }
    return !error;
}

bool fixture_can_huge(void)
{
    /* Address space is all that it takes. */
    void *p = mmap(NULL, 1 * TiB, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED) {
        g_test_skip("The host does not let 1 TiB of memory be mapped");
        return false;
    }
    munmap(p, 1 * TiB);
    return true;
}

/* While a migration is set up there are no numbers yet. */
uint64_t query_ram(QTestState *qts, const char *key)
{
    gint64 limit = g_get_monotonic_time() + TIME_LIMIT_US;

    for (;;) {
        g_autoptr(QDict) info = qtest_qmp_assert_success_ref(
            qts, "{ 'execute': 'query-migrate' }");
        QDict *ram = qdict_get_qdict(info, "ram");

        if (ram) {
            return qdict_get_int(ram, key);
        }
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
        g_usleep(1000);
    }
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

/* --- up and down --- */

static char *fixture_machine(Fixture *f, const char *side)
{
    g_autofree char *args = g_strdup_printf("%s %s", f->setup.machine,
                                            side ?: "");
    g_auto(GStrv) parts = g_strsplit(args, "@DIR@", -1);

    return g_strjoinv(f->dir, parts);
}

void fixture_new_destination(Fixture *f)
{
    g_autofree char *machine = fixture_machine(f, f->setup.destination);

    f->dst = guest_incoming(f->setup.opts, machine);
    set_capability(f->dst, "events");
    if (f->setup.cap) {
        set_capability(f->dst, f->setup.cap);
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
    fixture_new_destination(f);
}

void fixture_up_setup(Fixture *f, const Setup *setup)
{
    g_autofree char *machine = NULL;

    *f = (Fixture) { .setup = *setup, .free_pages = 2 * FREE_PAGES };
    f->setup.opts = setup->opts ?: "";
    f->setup.machine = setup->machine ?: "";
    f->dir = g_dir_make_tmp("cfph-test-XXXXXX", NULL);
    g_assert_nonnull(f->dir);
    f->path = g_build_filename(f->dir, "migration", NULL);
    f->file = setup->cap && !strcmp(setup->cap, "mapped-ram");
    f->uri = g_strdup_printf("%s:%s", f->file ? "file" : "unix", f->path);
    machine = fixture_machine(f, setup->source);
    f->g = guest_boot(f->setup.opts, machine);
    set_capability(f->g->qts, "events");
    if (!setup->no_pause) {
        set_capability(f->g->qts, "pause-before-switchover");
    }
    if (setup->cap) {
        set_capability(f->g->qts, setup->cap);
    }
    if (setup->source_cap) {
        set_capability(f->g->qts, setup->source_cap);
    }
    set_parameter(f->g->qts, "max-bandwidth", SLOW_BANDWIDTH);
    fixture_new_destination(f);
    guest_driver_start(f->g, 0);
    qtest_memset(f->g->qts, FILLER, 0xa5, FILLER_BYTES);
    guest_fill(f->g, LOW_AREA, AREA_PAGES, 0);
    guest_fill(f->g, HIGH_AREA, AREA_PAGES, 0);
}

void fixture_up_with(Fixture *f, const char *opts, const char *cap)
{
    fixture_up_setup(f, &(Setup) { .opts = opts, .cap = cap });
}

void fixture_up(Fixture *f, const char *opts)
{
    fixture_up_with(f, opts, NULL);
}

void fixture_third_area(Fixture *f, uint64_t base, uint64_t bytes)
{
    f->third_base = base;
    f->third_bytes = bytes;
    f->third_area = base + 16 * MiB;
    f->free_pages += FREE_PAGES;
    guest_map_add_leaf(f->g, base);
    guest_fill(f->g, f->third_area, AREA_PAGES, 0);
}

void fixture_down(Fixture *f)
{
    GDir *dir = g_dir_open(f->dir, 0, NULL);
    const char *name;

    guest_quit(f->g);
    qtest_quit(f->dst);
    while ((name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(f->dir, name, NULL);

        g_unlink(path);
    }
    g_dir_close(dir);
    g_rmdir(f->dir);
    g_free(f->path);
    g_free(f->uri);
    g_free(f->dir);
}

/* --- both sides are alike --- */

/* Small enough to stay in the processor's cache. */
#define PIECE_BYTES     (2 * MiB)

static void read_piece(Fixture *f, QTestState *qts, uint64_t addr,
                       uint8_t *data, uint64_t bytes)
{
    g_autofree char *path = g_build_filename(f->dir, "memory", NULL);
    int fd;

    qtest_qmp_assert_success(qts, "{ 'execute': 'pmemsave', 'arguments': "
                             "{ 'val': %" PRIu64 ", 'size': %" PRIu64 ","
                             "  'filename': %s } }", addr, bytes, path);
    fd = open(path, O_RDONLY);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(read(fd, data, bytes), ==, bytes);
    close(fd);
}

/* Pages that differ: @lost are in use, @missing are free. */
static void compare(Fixture *f, uint64_t addr, uint64_t bytes, uint64_t *lost,
                    uint64_t *missing)
{
    static uint8_t src[PIECE_BYTES], dst[PIECE_BYTES];
    static uint8_t bits[PIECE_BYTES / PAGE / 8];

    while (bytes) {
        uint64_t n = MIN(bytes, PIECE_BYTES);

        read_piece(f, f->g->qts, addr, src, n);
        read_piece(f, f->dst, addr, dst, n);
        guest_map_get(f->g, addr, n / PAGE, bits);
        for (uint64_t i = 0; i < n / PAGE; i++) {
            uint64_t page = addr + i * PAGE;

            if (!memcmp(src + i * PAGE, dst + i * PAGE, PAGE) ||
                (page && (page == f->unlogged[0] || page == f->unlogged[1] ||
                          page == f->unlogged[2]))) {
                continue;
            }
            if (bits[i / 8] >> i % 8 & 1) {
                ++*missing;
                continue;
            }
            g_test_message("page 0x%" PRIx64 " is lost", page);
            ++*lost;
        }
        addr += n;
        bytes -= n;
    }
}

void expect_same_memory(Fixture *f)
{
    uint64_t lost = 0, missing = 0;

    compare(f, 0, LOW_BYTES, &lost, &missing);
    compare(f, HIGH_BASE, RAM_BYTES - LOW_BYTES, &lost, &missing);
    compare(f, f->third_base, f->third_bytes, &lost, &missing);
    g_assert_true(f->loses_pages ? lost > 0 : lost == 0);
    g_assert_cmpint(missing, <=, query_ram(f->g->qts, "free-pages-skipped"));
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

void migrate_continue(Fixture *f)
{
    qtest_qmp_assert_success(f->g->qts, "{ 'execute': 'migrate-continue',"
                             "  'arguments': { 'state': 'pre-switchover' } }");
    wait_migration(f->g->qts, "completed");
    if (f->file) {
        incoming(f);
    }
    wait_migration(f->dst, "completed");
}

void migrate_finish(Fixture *f)
{
    migrate_continue(f);
    expect_same_memory(f);
}

void migrate_rest(Fixture *f)
{
    migrate_to_switchover(f);
    migrate_finish(f);
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

void expect_skipped(Fixture *f)
{
    g_assert_cmpint(query_ram(f->g->qts, "free-pages-skipped"), ==,
                    f->free_pages);
    g_assert_cmpint(guest_count_filled(f->dst, LOW_AREA, FREE_PAGES, 0), ==, 0);
}

void wait_stop(Fixture *f, QTestState *qts, uint32_t id)
{
    Command c;

    do {
        c = guest_wait_command(f->g, qts);
        g_assert_cmpint(c.migration_id, ==, id);
    } while (c.command == VIRTIO_BALLOON_CFPH_CMD_ROUND);
    g_assert_cmpint(c.command, ==, VIRTIO_BALLOON_CFPH_CMD_STOP);
}

void fixture_map(Fixture *f)
{
    Guest *g = f->g;

    guest_map_init(g);
    guest_map_set(g, LOW_AREA, FREE_PAGES, true);
    guest_map_set(g, HIGH_AREA, FREE_PAGES, true);
    if (f->third_area) {
        guest_map_set(g, f->third_area, FREE_PAGES, true);
    }
    guest_map(g);
    g_assert_true(guest_registered(g));
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
    guest_expect_status(g, "state", "asked");
    guest_started(g);
    guest_expect_status(g, "state", "started");
}

void begin_and_answer(Fixture *f)
{
    if (!guest_registered(f->g)) {
        fixture_map(f);
    }
    migrate_begin(f);
    answer_start(f);
    wait_ram(f->g->qts, "free-pages-deferred", f->free_pages);
    g_assert_cmpint(guest_status(f->g, "leaves"), ==, f->g->nr_leaves);
}

void wait_unregistered(Guest *g)
{
    gint64 limit = g_get_monotonic_time() + TIME_LIMIT_US;

    while (guest_registered(g)) {
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
        g_usleep(1000);
    }
}

unsigned count_log(Fixture *f, const char *text)
{
    g_autofree char *path = g_build_filename(f->dir, "log", NULL);
    g_autofree char *log = NULL;
    unsigned n = 0;

    if (g_file_get_contents(path, &log, NULL, NULL)) {
        for (const char *p = log; (p = strstr(p, text)); p++) {
            n++;
        }
    }
    return n;
}

void refuse_header(Fixture *f, uint64_t header)
{
    Guest *g = f->g;

    g->header = header;
    guest_map_init(g);
    guest_map_set(g, LOW_AREA, FREE_PAGES, true);
    guest_map(g);
    /* What the pages are is seen when they are used. */
    g_assert_true(guest_registered(g));
    guest_expect_status(g, "reason", "none");
    migrate_begin(f);
    wait_unregistered(g);
    guest_expect_status(g, "reason", "bad-map");
    g_assert_cmpint(guest_status(g, "bad-maps"), ==, 1);
    g_assert_cmpint(guest_status(g, "malformed"), ==, 0);
    migrate_rest(f);
    g_assert_cmpint(query_ram(g->qts, "free-pages-skipped"), ==, 0);
    fixture_down(f);
}

void fixture_add_tests(const char *prefix, const FixtureTest *tests, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        g_autofree char *path = g_strdup_printf("%s/%s", prefix,
                                                tests[i].name);

        qtest_add_func(path, tests[i].func);
    }
}
