/*
 * QTest: maps and device states that are nonsense, with free-page hints
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A walk through the list "What makes a map bad" of the protocol's description
 * (Documentation/virtio/balloon-cfph.rst).  Such a map is not used, is counted,
 * is logged once in the life of a driver, and is forgotten.  Then maps that are
 * odd and good, what the guest puts into its balloon that it never told of, and
 * the same for what a stream says of the device.
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "qemu/bitops.h"
#include "qemu/bswap.h"
#include "qobject/qdict.h"
#include "virtio-balloon-cfph-fixture.h"

#define HEADER(field)   offsetof(struct virtio_balloon_cfph_map_header, field)
#define ROM             (4 * GiB - PAGE)
#define MMIO            0xfec00000ULL
#define OUTSIDE         (1ULL << 50)
#define AT_THE_END      (-PAGE)

typedef struct BadMap {
    const char *what;
    /* Where something else is written. */
    enum { FIELD32, FIELD64, ENTRY } where;
    uint64_t offset;
    uint64_t value;
    /* @value is an offset in: */
    enum { NOTHING, THE_HEADER, THE_DIR, THE_LEAF } of;
} BadMap;

static const BadMap bad_maps[] = {
    { "no magic", FIELD64, HEADER(magic), 0 },
    { "magic of version 1", FIELD64, HEADER(magic), 0x3170616d68706663ULL },
    { "version", FIELD32, HEADER(version), 1 },
    { "generation", FIELD64, HEADER(generation), 1 },
    { "generation 0", FIELD64, HEADER(generation), 0 },
    { "505 directory pages", FIELD32, HEADER(dirs), 505 },
    { "2^32 - 1 directory pages", FIELD32, HEADER(dirs), UINT32_MAX },
    { "directory page unaligned", FIELD64, HEADER(dir), 8, THE_DIR },
    { "directory page in ROM", FIELD64, HEADER(dir), ROM },
    { "directory page in MMIO", FIELD64, HEADER(dir), MMIO },
    { "directory page outside", FIELD64, HEADER(dir), OUTSIDE },
    { "directory page at the end", FIELD64, HEADER(dir), AT_THE_END },
    { "directory page is the header", FIELD64, HEADER(dir), 0, THE_HEADER },
    { "leaf unaligned", ENTRY, HIGH_BASE, 8, THE_LEAF },
    { "leaf in ROM", ENTRY, HIGH_BASE, ROM },
    { "leaf in MMIO", ENTRY, HIGH_BASE, MMIO },
    { "leaf outside", ENTRY, HIGH_BASE, OUTSIDE },
    { "leaf at the end", ENTRY, HIGH_BASE, AT_THE_END },
    { "leaf is the header", ENTRY, HIGH_BASE, 0, THE_HEADER },
    { "directory points into itself", ENTRY, HIGH_BASE, 0, THE_DIR },
    { "leaf twice", ENTRY, HIGH_BASE, 0, THE_LEAF },
    { "leaf of a hole", ENTRY, 1 * GiB, ROM },
};

static void tamper(Guest *g, const BadMap *bad)
{
    const uint64_t base[] = { 0, g->header, g->dir, g->leaf[0] };
    uint64_t value = bad->value + base[bad->of];

    if (bad->where == FIELD32) {
        qtest_writel(g->qts, g->header + bad->offset, value);
    } else if (bad->where == FIELD64) {
        qtest_writeq(g->qts, g->header + bad->offset, value);
    } else {
        guest_map_enter(g, bad->offset, value);
    }
}

/* A map that was good, and one that never was. */
static void test_bad_maps(void)
{
    Fixture f;
    Guest *g;

    fixture_up_setup(&f, &(Setup) { .opts = ",cfph-look-percent=100",
                                    .source = LOG });
    g = f.g;
    migrate_begin(&f);
    for (size_t i = 0; i < ARRAY_SIZE(bad_maps); i++) {
        g_test_message("%s", bad_maps[i].what);
        fixture_map(&f);
        wait_ram(g->qts, "free-pages-deferred", f.free_pages);
        tamper(g, &bad_maps[i]);
        wait_unregistered(g);
        g_assert_cmpint(guest_status(g, "bad-maps"), ==, 2 * i + 1);

        guest_map_init(g);
        tamper(g, &bad_maps[i]);
        guest_map(g);
        wait_unregistered(g);
        g_assert_cmpint(guest_status(g, "bad-maps"), ==, 2 * i + 2);

        guest_expect_status(g, "reason", "bad-map");
        g_assert_cmpint(guest_status(g, "leaves"), ==, 0);
        g_assert_cmpint(count_log(&f, "map of free pages is none"), ==, i + 1);
        wait_ram(g->qts, "free-pages-deferred", 0);
        guest_driver_reset(g);
        guest_driver_start(g, 0);
    }
    g_assert_cmpint(count_log(&f, "virtio-balloon: "), ==,
                    ARRAY_SIZE(bad_maps));
    g_assert_cmpint(guest_status(g, "malformed"), ==, 0);

    fixture_map(&f);
    migrate_rest(&f);
    expect_skipped(&f);
    fixture_down(&f);
}

/* Where a header page cannot be. */
static void test_bad_headers(void)
{
    static const uint64_t headers[] = { ROM, MMIO, OUTSIDE, AT_THE_END };
    Fixture f;

    for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
        fixture_up(&f, "");
        refuse_header(&f, headers[i]);
    }
}

/* More than one directory page counts from 64 GiB on. */
static void test_directories(void)
{
    Fixture f = { .uri = (char *)"exec:cat >/dev/null" };
    uint64_t more[2];
    Guest *g;

    if (!fixture_can_huge()) {
        return;
    }
    g = f.g = guest_boot(",cfph-look-percent=100", HUGE_RAM);
    more[0] = guest_alloc(&g->qs->alloc, PAGE);
    more[1] = guest_alloc(&g->qs->alloc, PAGE);
    qtest_memset(g->qts, more[0], 0, PAGE);
    qtest_memset(g->qts, more[1], 0, PAGE);
    guest_driver_start(g, 0);
    set_capability(g->qts, "events");
    set_parameter(g->qts, "max-bandwidth", 4096);
    guest_map_init(g);
    /* Of the 64 GiB from 192 GiB on: a leaf for the last 128 MiB. */
    qtest_writeq(g->qts, more[0] + 511 * 8, more[1]);
    qtest_writeq(g->qts, more[1], 0xff);
    qtest_writeq(g->qts, g->header + HEADER(dir) + 3 * 8, more[0]);
    qtest_writel(g->qts, g->header + HEADER(dirs), 4);
    guest_map(g);
    migrate_begin(&f);
    wait_ram(g->qts, "free-pages-deferred", 8);
    g_assert_cmpint(guest_status(g, "leaves"), ==, 3);

    /* The same directory page twice. */
    qtest_writeq(g->qts, g->header + HEADER(dir) + 2 * 8, more[0]);
    wait_unregistered(g);
    g_assert_cmpint(guest_status(g, "bad-maps"), ==, 1);

    qtest_qmp_assert_success(g->qts, "{ 'execute': 'migrate_cancel' }");
    wait_migration(g->qts, "cancelled");
    guest_quit(g);
}

/* Odd, and nobody's fault. */
static void test_odd_maps(void)
{
    Fixture f;
    Guest *g;

    fixture_up_setup(&f, &(Setup) { .opts = ",cfph-look-percent=100",
                                    .source = LOG });
    g = f.g;
    begin_and_answer(&f);

    /* Given back, and there again: it need not be registered anew. */
    qtest_writel(g->qts, g->header + HEADER(state),
                 VIRTIO_BALLOON_CFPH_STATE_OFF);
    wait_ram(g->qts, "free-pages-deferred", 0);
    g_assert_true(guest_registered(g));
    guest_expect_status(g, "reason", "withdrawn");
    qtest_writel(g->qts, g->header + HEADER(state), 77);
    qtest_writel(g->qts, g->header + HEADER(state),
                 VIRTIO_BALLOON_CFPH_STATE_READY);
    wait_ram(g->qts, "free-pages-deferred", f.free_pages);

    /* One leaf less, one that describes no RAM, and one beyond it. */
    guest_map_enter(g, HIGH_BASE, 0);
    wait_ram(g->qts, "free-pages-deferred", FREE_PAGES);
    g_assert_cmpint(guest_status(g, "leaves"), ==, 1);
    guest_map_enter(g, 1 * GiB, g->leaf[1]);
    guest_map_enter(g, 40 * GiB, ROM + 1);
    guest_map_set(g, LOW_AREA, 1, false);
    wait_ram(g->qts, "free-pages-deferred", FREE_PAGES - 1);
    g_assert_cmpint(guest_status(g, "leaves"), ==, 2);
    guest_map_enter(g, 1 * GiB, 0);
    guest_map_enter(g, HIGH_BASE, g->leaf[1]);
    f.free_pages--;
    wait_ram(g->qts, "free-pages-deferred", f.free_pages);

    /* All the directory pages that there can be, most of them nowhere. */
    for (int i = 1; i < VIRTIO_BALLOON_CFPH_DIRS_MAX; i++) {
        qtest_writeq(g->qts, g->header + HEADER(dir) + i * 8, ROM + i);
    }
    qtest_writel(g->qts, g->header + HEADER(dirs),
                 VIRTIO_BALLOON_CFPH_DIRS_MAX);
    guest_map_set(g, LOW_AREA, 1, true);
    f.free_pages++;
    wait_ram(g->qts, "free-pages-deferred", f.free_pages);

    /* None at all. */
    qtest_writel(g->qts, g->header + HEADER(dirs), 0);
    wait_ram(g->qts, "free-pages-deferred", 0);
    guest_expect_status(g, "reason", "none");
    qtest_writel(g->qts, g->header + HEADER(dirs), 1);
    wait_ram(g->qts, "free-pages-deferred", f.free_pages);

    g_assert_cmpint(guest_status(g, "bad-maps"), ==, 0);
    g_assert_cmpint(guest_status(g, "registrations"), ==, 1);
    g_assert_cmpint(count_log(&f, "virtio-balloon: "), ==, 0);
    migrate_rest(&f);
    expect_skipped(&f);
    fixture_down(&f);
}

/* --- what the guest puts into the balloon --- */

/* The host takes the page away; who reads it again finds zeros. */
static void inflate(Guest *g, QVirtQueue *vq, uint64_t page)
{
    uint64_t buf = guest_alloc(&g->qs->alloc, sizeof(uint32_t));
    uint32_t head;

    qtest_writel(g->qts, buf, page / PAGE);
    head = qvirtqueue_add(g->qts, vq, buf, sizeof(uint32_t), false, false);
    qvirtqueue_kick(g->qts, g->dev, vq, head);
    qvirtio_wait_used_elem(g->qts, g->dev, vq, head, NULL, TIME_LIMIT_US);
    guest_free(&g->qs->alloc, buf);
}

/* Pages that no map calls free, and what is no page of RAM. */
static void test_inflate_untold(void)
{
    const uint64_t used = LOW_AREA + FREE_PAGES * PAGE;
    const uint64_t pages[] = { ROM, MMIO, 1 * GiB, UINT32_MAX * PAGE, used };
    QVirtQueue *vq;
    Fixture f;

    fixture_up(&f, ",cfph-look-percent=100");
    vq = guest_inflate_queue(f.g);
    for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
        inflate(f.g, vq, pages[i]);
    }
    g_assert_cmpint(guest_count_filled(f.g->qts, used, 1, 0), ==, 0);
    begin_and_answer(&f);
    for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
        inflate(f.g, vq, pages[i]);
    }
    migrate_rest(&f);
    expect_skipped(&f);
    g_assert_cmpint(arrived(&f), ==, AREAS_PAGES - f.free_pages - 1);
    g_assert_true(guest_registered(f.g));
    g_free(vq);
    fixture_down(&f);
}

/* The map's own pages: a header of zeros is none, no directory: no leaves. */
static void test_inflate_map(void)
{
    QVirtQueue *vq;
    Fixture f;
    Guest *g;

    fixture_up(&f, ",cfph-look-percent=100");
    g = f.g;
    vq = guest_inflate_queue(g);
    begin_and_answer(&f);
    /* Nobody writes to what the host takes away. */
    f.unlogged[0] = g->header;
    f.unlogged[1] = g->leaf[0];
    f.unlogged[2] = g->dir;
    inflate(g, vq, g->leaf[0]);
    /* Another bit makes the host read all of them. */
    guest_map_set(g, HIGH_AREA, 1, false);
    wait_ram(g->qts, "free-pages-deferred", FREE_PAGES - 1);
    inflate(g, vq, g->dir);
    wait_ram(g->qts, "free-pages-deferred", 0);
    g_assert_true(guest_registered(g));
    inflate(g, vq, g->header);
    wait_unregistered(g);
    guest_expect_status(g, "reason", "bad-map");
    migrate_rest(&f);
    expect_everything(&f);
    g_free(vq);
    fixture_down(&f);
}

/* --- what a stream says of the device --- */

#define SECTION     "virtio-balloon-device/cfph"

typedef struct BadState {
    const char *what;
    /* What the destination's log says, NULL: nothing is wrong. */
    const char *log;
    uint32_t id;
    uint8_t session;
    uint64_t generation, header;
    /* More properties of the destination's device. */
    const char *opts;
} BadState;

static const BadState bad_states[] = {
    { "all is well", NULL, 3, 1, 5, 0x1000 },
    { "no map", NULL, 3, 1, 0, 0 },
    { "nothing ever", NULL, 0, 0, 0, 0 },
    { "generation alone", "half a map", 3, 1, 5, 0 },
    { "header alone", "half a map", 3, 1, 0, 0x1000 },
    { "header unaligned", "an unaligned header page", 3, 1, 5, 0x1001 },
    { "session without a migration", "a session without a migration",
      0, 1, 5, 0x1000 },
    { "map of a guest that breaks the queue rule", "a feature with a queue",
      3, 0, 5, 0x1000, ",free-page-reporting=on" },
    { "session of a guest that breaks the queue rule",
      "a feature with a queue", 3, 1, 0, 0, ",free-page-reporting=on" },
    { "nothing, and it breaks the queue rule", NULL, 3, 0, 0, 0,
      ",free-page-reporting=on" },
};

/* A stream with another section for the device; @good has a whole machine. */
static void write_stream(const BadState *bad, const char *good, gsize len,
                         const char *path)
{
    g_autofree char *stream = g_memdup2(good, len);
    /* Subsection: its type, the length of its name, the name, a version. */
    const char head[] = "\x05\x1a" SECTION;
    char *p = memmem(stream, len, head, sizeof(head) - 1);

    g_assert_nonnull(p);
    p += sizeof(head) - 1;
    g_assert_cmpint(ldl_be_p(p), ==, 2);
    stl_be_p(p + 4, bad->id);
    p[8] = bad->session;
    stq_be_p(p + 9, bad->generation);
    stq_be_p(p + 17, bad->header);
    g_assert_true(g_file_set_contents(path, stream, len, NULL));
}

/* The destination runs whatever the section says. */
static void load_stream(const BadState *bad, const char *dir, const char *path)
{
    g_autofree char *log_path = g_build_filename(dir, "log", NULL);
    g_autofree char *uri = g_strdup_printf("file:%s", path);
    g_autofree char *args = g_strdup_printf("-d guest_errors -D %s", log_path);
    g_autofree char *log = NULL;
    QTestState *qts = guest_incoming(bad->opts ?: "", args);
    QDict *status;

    set_capability(qts, "events");
    qtest_qmp_assert_success(qts, "{ 'execute': 'migrate-incoming',"
                             "  'arguments': { 'uri': %s } }", uri);
    wait_migration(qts, "completed");

    status = guest_status_of(qts);
    g_assert_true(qdict_get_bool(status, "registered") ==
                  (!bad->log && bad->generation));
    g_assert_true(qdict_get_bool(status, "session-active") ==
                  (!bad->log && bad->session));
    g_assert_cmpstr(qdict_get_str(status, "reason"), ==,
                    bad->opts ? "no-driver" :
                    bad->log || !bad->generation ? "no-map" : "none");
    qobject_unref(status);

    qtest_qmp_assert_success(qts, "{ 'execute': 'cont' }");
    qtest_qmp_assert_success(qts, "{ 'execute': 'query-status' }");
    qtest_quit(qts);

    g_file_get_contents(log_path, &log, NULL, NULL);
    if (bad->log) {
        const char *line = strstr(log, "free-page hints that was loaded");

        g_assert_nonnull(line);
        g_assert_nonnull(strstr(line, bad->log));
        g_assert_null(strstr(line + 1, "free-page hints that was loaded"));
    } else {
        g_assert_true(!log || !strstr(log, "that was loaded"));
    }
    g_unlink(log_path);
}

static void test_bad_states(void)
{
    g_autofree char *dir = g_dir_make_tmp("cfph-test-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "stream", NULL);
    g_autofree char *uri = g_strdup_printf("file:%s", path);
    g_autofree char *good = NULL;
    Guest *g = guest_boot("", "");
    gsize len;

    guest_driver_start(g, 0);
    guest_map_init(g);
    guest_map(g);
    set_capability(g->qts, "events");
    qtest_qmp_assert_success(g->qts, "{ 'execute': 'migrate',"
                             "  'arguments': { 'uri': %s } }", uri);
    wait_migration(g->qts, "completed");
    guest_quit(g);
    g_assert_true(g_file_get_contents(path, &good, &len, NULL));

    for (size_t i = 0; i < ARRAY_SIZE(bad_states); i++) {
        g_test_message("%s", bad_states[i].what);
        write_stream(&bad_states[i], good, len, path);
        load_stream(&bad_states[i], dir, path);
    }
    g_unlink(path);
    g_rmdir(dir);
}

void cfph_add_badmap_tests(void)
{
    static const FixtureTest tests[] = {
        { "map/bad", test_bad_maps },
        { "map/header", test_bad_headers },
        { "map/directories", test_directories },
        { "map/odd", test_odd_maps },
        { "inflate/untold", test_inflate_untold },
        { "inflate/map", test_inflate_map },
        { "state", test_bad_states },
    };

    fixture_add_tests("virtio-balloon-cfph-hostile", tests, ARRAY_SIZE(tests));
}
