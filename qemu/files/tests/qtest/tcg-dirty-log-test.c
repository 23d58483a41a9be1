/*
 * QTest: TCG's dirty log sees every write to every RAMBlock
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A guest of a few instructions, in its own firmware, counts up in the first
 * word of each of HOT_PAGES pages without pause.  There are so few of them
 * that their TLB entries stay: a write that is not logged because the entry
 * was not reset is not logged ever after.  The guest is migrated, and the
 * memory of both sides compared.
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "libqtest.h"
#include "qobject/qdict.h"

#define ROM_BYTES       65536
#define HOT_START       0x10000
#define HOT_END         0x70000
#define PAGE            4096
#define TIME_LIMIT_US   (60 * G_USEC_PER_SEC)

static const uint8_t loop[] = {
    0xfa,                               /*    cli                      */
    0xb8, HOT_START >> 4 & 0xff, HOT_START >> 12,
                                        /* 1: mov    $HOT_START>>4, %ax */
    0x8e, 0xd8,                         /* 2: mov    %ax, %ds          */
    0x66, 0xff, 0x06, 0x00, 0x00,       /*    incl   0                 */
    0x05, PAGE >> 4 & 0xff, PAGE >> 12, /*    add    $PAGE>>4, %ax     */
    0x3d, HOT_END >> 4 & 0xff, HOT_END >> 12,
                                        /*    cmp    $HOT_END>>4, %ax  */
    0x75, 0xf1,                         /*    jne    2b                */
    0xeb, 0xec,                         /*    jmp    1b                */
};

/* The reset vector, 16 bytes below the end: jmp to the start of the ROM. */
static const uint8_t vector[] = { 0xe9, 0x0d, 0x00 };

static char *make_rom(void)
{
    g_autofree uint8_t *rom = g_malloc0(ROM_BYTES);
    char *path = NULL;
    int fd = g_file_open_tmp("tcg-dirty-log-XXXXXX", &path, NULL);

    g_assert_cmpint(fd, >=, 0);
    memcpy(rom, loop, sizeof(loop));
    memcpy(rom + ROM_BYTES - 16, vector, sizeof(vector));
    g_assert_cmpint(write(fd, rom, ROM_BYTES), ==, ROM_BYTES);
    close(fd);
    return path;
}

static void wait_status(QTestState *qts, const char *goal)
{
    bool done = false;

    while (!done) {
        QDict *event = qtest_qmp_eventwait_ref(qts, "MIGRATION");
        const char *status = qdict_get_str(qdict_get_qdict(event, "data"),
                                           "status");

        g_assert_cmpstr(status, !=, "failed");
        done = !strcmp(status, goal);
        qobject_unref(event);
    }
}

static void enable_events(QTestState *qts)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'migrate-set-capabilities',"
                             "  'arguments': { 'capabilities': "
                             "    [ { 'capability': 'events',"
                             "        'state': true } ] } }");
}

/* The last page is hot: the guest has gone round at least once. */
static void wait_guest(QTestState *qts)
{
    gint64 limit = g_get_monotonic_time() + TIME_LIMIT_US;

    while (!qtest_readl(qts, HOT_END - PAGE)) {
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
        g_usleep(1000);
    }
}

static unsigned count_differences(QTestState *a, QTestState *b)
{
    uint8_t x[PAGE], y[PAGE];
    unsigned n = 0;

    for (uint64_t addr = HOT_START; addr < HOT_END; addr += PAGE) {
        qtest_memread(a, addr, x, PAGE);
        qtest_memread(b, addr, y, PAGE);
        n += !!memcmp(x, y, PAGE);
    }
    return n;
}

/* Wait until the dirty log has been read @syncs times. */
static void wait_syncs(QTestState *qts, int syncs)
{
    gint64 limit = g_get_monotonic_time() + TIME_LIMIT_US;
    int now = 0;

    while (now < syncs) {
        QDict *info = qtest_qmp_assert_success_ref(
            qts, "{ 'execute': 'query-migrate' }");

        if (qdict_haskey(info, "ram")) {
            now = qdict_get_int(qdict_get_qdict(info, "ram"),
                                "dirty-sync-count");
        }
        qobject_unref(info);
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
        g_usleep(1000);
    }
}

/*
 * The hot set (384 KiB) is sent again and again while the limit is 1 ms, and
 * fits once it is 2 s.  A first round of less than 100 ms would end migration
 * before QEMU has looked at the limit; zero pages alone take longer here.
 */
static void set_downtime(QTestState *qts, int ms)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'migrate-set-parameters',"
                             "  'arguments': { 'downtime-limit': %d,"
                             "                 'max-bandwidth': 2097152 } }",
                             ms);
}

/*
 * Track dirty pages for another reason: then migration does not begin with a
 * flush of all TLBs.  The trace event says when that is so.
 */
static void start_tracking(QTestState *qts, const char *log)
{
    gint64 limit = g_get_monotonic_time() + TIME_LIMIT_US;
    bool done = false;

    qtest_qmp_assert_success(qts, "{ 'execute': 'calc-dirty-rate',"
                             "  'arguments': { 'calc-time': 60, "
                             "                 'mode': 'dirty-bitmap' } }");
    while (!done) {
        g_autofree char *text = NULL;

        g_assert_true(g_file_get_contents(log, &text, NULL, NULL));
        done = strstr(text, "global_dirty_changed");
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
        g_usleep(1000);
    }
}

static void do_migrate(const char *opts, bool tracking)
{
    g_autofree char *rom = make_rom();
    g_autofree char *dir = g_dir_make_tmp("tcg-dirty-log-XXXXXX", NULL);
    g_autofree char *uri = g_strdup_printf("unix:%s/socket", dir);
    g_autofree char *log = g_strdup_printf("%s/log", dir);
    g_autofree char *args = g_strdup_printf("-accel tcg -nodefaults -bios %s "
                                            "%s", rom, opts);
    QTestState *src = qtest_initf("%s -trace global_dirty_changed -D %s", args,
                                  log);
    QTestState *dst = qtest_initf("%s -S -incoming %s", args, uri);

    enable_events(src);
    set_downtime(src, 1);
    wait_guest(src);
    if (tracking) {
        start_tracking(src, log);
    }
    qtest_qmp_assert_success(src, "{ 'execute': 'migrate',"
                             "  'arguments': { 'uri': %s } }", uri);
    if (!tracking) {
        wait_syncs(src, 4);
    }
    set_downtime(src, 2000);
    wait_status(src, "completed");
    g_assert_cmpint(qtest_readl(dst, HOT_START), !=, 0);
    g_assert_cmpint(count_differences(src, dst), ==, 0);

    qtest_quit(src);
    qtest_quit(dst);
    g_unlink(rom);
    g_unlink(uri + strlen("unix:"));
    g_unlink(log);
    g_rmdir(dir);
}

static void test_plain(void)
{
    do_migrate("-machine pc -m 128M", false);
}

/* The main RAM is not at ram offset 0. */
static void test_backend(void)
{
    do_migrate("-machine pc -m 128M "
               "-object memory-backend-ram,id=dummy,size=128M", false);
}

/* ...and what is there is smaller. */
static void test_small_backend(void)
{
    do_migrate("-machine pc -m 256M "
               "-object memory-backend-ram,id=dummy,size=128M", false);
}

/* Pages that are dirty and unsent when the log is read. */
static void test_tracking(void)
{
    do_migrate("-machine pc -m 128M", true);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    if (!qtest_has_accel("tcg")) {
        g_test_skip("No TCG");
        return 0;
    }
    qtest_add_func("tcg-dirty-log/plain", test_plain);
    qtest_add_func("tcg-dirty-log/backend", test_backend);
    qtest_add_func("tcg-dirty-log/small-backend", test_small_backend);
    qtest_add_func("tcg-dirty-log/tracking", test_tracking);
    return g_test_run();
}
