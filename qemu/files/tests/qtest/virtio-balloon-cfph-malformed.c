/*
 * QTest: malformed messages of a guest with free-page hints
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One message per rule of the wire header.  Each is counted and takes the
 * registration with it; migration goes on without hints.
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qobject/qdict.h"
#include "virtio-balloon-cfph-fixture.h"

typedef struct Malformed {
    const char *what;
    uint16_t type, count;
    uint32_t length;
    unsigned nr_words;
    uint64_t words[9];
} Malformed;

static const Malformed malformed[] = {
    { "unknown record", 7, 0, 16, 1 },
    { "type 0", 0, 0, 8, 0 },
    { "record without end", 5, 1, 24, 1, { 0 } },
    { "length 0", 5, 1, 0, 2, { 0, 1 } },
    { "length beyond", 5, 1, 0xfffffff8, 2, { 0, 1 } },
    { "length short", 5, 1, 16, 2, { 0, 1 } },
    { "RANGE empty", 5, 1, 24, 2, { 16, 0 } },
    { "RANGE overflow", 5, 1, 24, 2, { UINT64_MAX, 2 } },
    { "RANGE overflow of addresses", 5, 1, 24, 2, { 1, 1ULL << 52 } },
    { "RANGE state", 5, 2, 24, 2, { 16, 1 } },
    { "BITS without chunks", 6, 0, 16, 1, { 0 } },
    { "BITS cut off", 6, 1, 80, 2, { 0, 0 } },
    { "BITS unaligned", 6, 1, 80, 9, { 1 } },
    { "BITS overflow", 6, 1, 80, 9, { 1ULL << 52 } },
    { "REGISTER generation", 1, 0, 32, 3, { 0, 0x1000, 0 } },
    { "REGISTER address", 1, 0, 32, 3, { 1, 0x1008, 0 } },
    { "REGISTER leaves", 1, 0, 32, 3, { 1, 0x1000, 1 << 20 } },
    { "REGISTER many leaves", 1, 0, 32, 3, { 1, 0x1000, UINT64_MAX } },
    { "LEAF without REGISTER", 2, 0, 24, 2, { 0, 0x1000 } },
    { "LEAF alignment", 2, 0, 24, 2, { 1, 0x1000 } },
    { "LEAF address", 2, 0, 24, 2, { 0, 0x1001 } },
    { "STARTED unknown", 4, 0, 16, 1, { 42 } },
    { "count of UNREGISTER", 3, 1, 16, 1, { 42 } },
    { "count of REGISTER", 1, 1, 32, 3, { 1, 0x1000, 0 } },
    { "count of LEAF", 2, 1, 24, 2, { 0, 0x1000 } },
    { "count of STARTED", 4, 1, 16, 1, { 42 } },
    { "BITS with too many chunks", 6, UINT16_MAX, 80, 9, { 0 } },
    { "BITS at the end", 6, 1, 80, 9, { UINT64_MAX - 511 } },
    { "LEAF beyond the end", 2, 0, 24, 2, { 1ULL << 52, 0x1000 } },
    { "LEAF far beyond", 2, 0, 24, 2, { UINT64_MAX - 32767, 0x1000 } },
    { "record within a record", 5, 1, 48, 5, { 0, 1, 5, 0, 1 } },
};

static void malformed_send(Guest *g, const Malformed *m)
{
    guest_msg_begin(g);
    guest_msg_rec(g, m->type, m->count, m->length, 0);
    for (unsigned i = 0; i < m->nr_words; i++) {
        uint64_t word = cpu_to_le64(m->words[i]);

        guest_msg_add(g, &word, sizeof(word));
    }
    guest_msg_send(g);
}

static void malformed_header(Guest *g, size_t offset, uint32_t value,
                             unsigned bytes, size_t len)
{
    struct virtio_balloon_cfph_msg msg = {
        .version = cpu_to_le16(VIRTIO_BALLOON_CFPH_VERSION),
        .length = cpu_to_le32(sizeof(msg)),
        .migration_id = cpu_to_le32(g->migration_id),
    };

    value = cpu_to_le32(value);
    memcpy((char *)&msg + offset, &value, bytes);
    guest_msg_send_raw(g, &msg, len);
}

/* Each of them is counted, and takes the registration with it. */
static void test_malformed(void)
{
    const size_t size = sizeof(struct virtio_balloon_cfph_msg);
    const size_t length = offsetof(struct virtio_balloon_cfph_msg, length);
    uint64_t n = 0;
    Fixture f;

    fixture_up(&f, "");
    migrate_begin(&f);
    for (size_t i = 0; i < ARRAY_SIZE(malformed); i++) {
        g_test_message("%s", malformed[i].what);
        answer_start(&f);
        malformed_send(f.g, &malformed[i]);
        g_assert_cmpint(guest_status(f.g, "malformed"), ==, ++n);
        g_assert_false(guest_registered(f.g));
        /* Not heard again... */
        guest_register(f.g);
        guest_started(f.g);
        g_assert_false(guest_registered(f.g));
        wait_ram(f.g->qts, "free-pages-deferred", 0);
        /* ...before another driver comes up, which gets START once more. */
        guest_driver_reset(f.g);
        guest_driver_start(f.g, 0);
    }

    /* Headers; nothing is registered any more, but they are counted. */
    malformed_header(f.g, 0, 2, 2, size);
    malformed_header(f.g, length, 0, 4, size);
    malformed_header(f.g, length, size + 8, 4, size);
    malformed_header(f.g, length, size + 4, 4, size);
    malformed_header(f.g, length, UINT32_MAX, 4, size);
    malformed_header(f.g, length, size, 4, size - 1);
    malformed_header(f.g, length, size, 4, 1);
    g_assert_cmpint(guest_status(f.g, "malformed"), ==, n + 7);

    migrate_to_switchover(&f);
    migrate_finish(&f);
    expect_everything(&f);
    fixture_down(&f);
}

/* Order and number of LEAF records. */
static void do_bad_leaves(uint64_t first, uint64_t second, uint64_t promised)
{
    Fixture f;
    Guest *g;

    fixture_up(&f, "");
    g = f.g;
    migrate_begin(&f);
    g->migration_id = guest_wait_command(g, g->qts).migration_id;
    guest_map_init(g);
    guest_msg_begin(g);
    guest_msg_rec(g, VIRTIO_BALLOON_CFPH_REC_REGISTER, 0, 32, 3,
                  g->generation, g->header, promised);
    guest_msg_rec(g, VIRTIO_BALLOON_CFPH_REC_LEAF, 0, 24, 2, first, g->leaf[0]);
    guest_msg_rec(g, VIRTIO_BALLOON_CFPH_REC_LEAF, 0, 24, 2, second,
                  g->leaf[1]);
    guest_msg_send(g);
    guest_started(g);
    g_assert_false(guest_registered(g));
    g_assert_cmpint(guest_status(g, "malformed"), ==, 1);
    migrate_to_switchover(&f);
    migrate_finish(&f);
    expect_everything(&f);
    fixture_down(&f);
}

static void test_leaf_order(void)
{
    do_bad_leaves(HIGH_BASE / PAGE, 0, 2);
}

static void test_leaf_twice(void)
{
    do_bad_leaves(0, 0, 2);
}

static void test_leaf_surplus(void)
{
    do_bad_leaves(0, HIGH_BASE / PAGE, 1);
}

static void test_leaf_missing(void)
{
    do_bad_leaves(0, HIGH_BASE / PAGE, 3);
}

#define PREFIX "virtio-balloon-cfph-hostile/"

void cfph_add_malformed_tests(void)
{
    qtest_add_func(PREFIX "malformed", test_malformed);
    qtest_add_func(PREFIX "leaves/order", test_leaf_order);
    qtest_add_func(PREFIX "leaves/twice", test_leaf_twice);
    qtest_add_func(PREFIX "leaves/surplus", test_leaf_surplus);
    qtest_add_func(PREFIX "leaves/missing", test_leaf_missing);
}
