/*
 * QTest: malformed messages of a guest with free-page hints
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A walk through the list "What makes a message malformed" of the protocol's
 * description (Documentation/virtio/balloon-cfph.rst), in its order.  Each of
 * them is counted, is logged once in the life of a driver, counts for nothing
 * itself, and takes the registration with it; the next MAP is heard.  Then what
 * is odd but well-formed.
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qobject/qdict.h"
#include "virtio-balloon-cfph-fixture.h"

#define MAP         VIRTIO_BALLOON_CFPH_REC_MAP
#define UNMAP       VIRTIO_BALLOON_CFPH_REC_UNMAP
#define STARTED     VIRTIO_BALLOON_CFPH_REC_STARTED
#define RANGE       VIRTIO_BALLOON_CFPH_REC_RANGE
#define BITS        VIRTIO_BALLOON_CFPH_REC_BITS
#define PFN_END     (1ULL << 52)
/* As many RANGE records as fit into a message. */
#define RANGES_MAX  ((MESSAGE_BYTES - 24) / 24)

typedef struct Row {
    const char *what;
    /* One record, what it says of itself and what it has; none: type 0. */
    uint16_t type, count;
    uint32_t length;
    unsigned nr_words;
    uint64_t words[9];
    /* The record so many times, not once. */
    unsigned repeat;
    /* What differs from what the message should be; 0: nothing. */
    uint16_t version, flags;
    int32_t msg_length, size;
    bool writable;
} Row;

static const Row malformed[] = {
    /* the buffer */
    { "part for the device to write to", .writable = true },
    { "one byte short of a header", .size = -1 },
    { "one byte", .size = -23 },
    /* the header */
    { "version 1", .version = 1 },
    { "version 3", .version = 3 },
    { "length below the header's", .msg_length = -8 },
    { "length 0", .msg_length = -24 },
    { "length above the maximum", RANGE, 1, 24, 2, { 0, 1 },
      .repeat = RANGES_MAX + 1 },
    { "length no multiple of 8", .msg_length = 4, .size = 8 },
    { "length above the buffer's", .msg_length = 8 },
    { "length far above", .msg_length = INT32_MAX },
    /* any record */
    { "type 0", 0, 0, 8, 0, .repeat = 1 },
    { "unknown type", 6, 0, 16, 1 },
    { "the highest type", UINT16_MAX, 0, 8, 0 },
    { "record of length 0", RANGE, 1, 0, 2, { 0, 1 } },
    { "record shorter than it is", RANGE, 1, 16, 2, { 0, 1 } },
    { "record longer than it is", RANGE, 1, 32, 3, { 0, 1 } },
    { "record that wraps", RANGE, 1, 0xfffffff8, 2, { 0, 1 } },
    { "record within a record", RANGE, 1, 48, 5, { 0, 1, 4, 0, 1 } },
    { "record beyond the message", RANGE, 1, 24, 1, { 0 } },
    { "head of a record alone", MAP, 0, 24, 0 },
    { "BITS cut off", BITS, 1, 80, 8, { 0 } },
    { "BITS with more chunks than there are", BITS, 2, 80, 9, { 0 } },
    { "BITS with far too many chunks", BITS, UINT16_MAX, 80, 9, { 0 } },
    { "BITS with fewer chunks", BITS, 1, 144, 9, { 0 } },
    /* counts */
    { "count of MAP", MAP, 1, 24, 2, { 1, 0x1000 } },
    { "count of UNMAP", UNMAP, 1, 16, 1, { 1 } },
    { "count of STARTED", STARTED, 1, 8, 0 },
    { "count of RANGE", RANGE, 2, 24, 2, { 16, 1 } },
    { "count of BITS", BITS, 0, 16, 1, { 0 } },
    /* MAP */
    { "MAP with generation 0", MAP, 0, 24, 2, { 0, 0x1000 } },
    { "MAP without a header page", MAP, 0, 24, 2, { 1, 0 } },
    { "MAP with an unaligned header page", MAP, 0, 24, 2, { 1, 0x1008 } },
    /* RANGE */
    { "RANGE of nothing", RANGE, 1, 24, 2, { 16, 0 } },
    { "RANGE up to one page beyond", RANGE, 1, 24, 2, { 1, PFN_END } },
    { "RANGE from the end on", RANGE, 1, 24, 2, { PFN_END, 1 } },
    { "RANGE that wraps", RANGE, 1, 24, 2, { UINT64_MAX, 2 } },
    /* BITS */
    { "BITS unaligned", BITS, 1, 80, 9, { 1 } },
    { "BITS from the end on", BITS, 1, 80, 9, { PFN_END } },
    { "BITS up to one chunk beyond", BITS, 1, 80, 9, { PFN_END - 256 } },
    { "BITS that wraps", BITS, 1, 80, 9, { UINT64_MAX - 511 } },
};

static const Row well_formed[] = {
    { "no record" },
    { "unknown flags", .flags = 0xfffe },
    { "buffer longer than the message", .size = 100 },
    { "buffer longer than any message", .size = BUFFER_BYTES - 24 },
    { "as many records as fit", RANGE, 1, 24, 2, { 0, 1 },
      .repeat = RANGES_MAX },
    { "STARTED without a migration", STARTED, 0, 8, 0 },
    { "RANGE of everything", RANGE, 0, 24, 2, { 0, PFN_END } },
    { "RANGE of the last page", RANGE, 1, 24, 2, { PFN_END - 1, 1 } },
    { "BITS of the last chunk", BITS, 1, 80, 9, { PFN_END - 512 } },
    { "UNMAP of another map", UNMAP, 0, 16, 1, { 42 } },
    { "UNMAP of generation 0", UNMAP, 0, 16, 1, { 0 } },
    { "the map once more", MAP, 0, 24, 2, { 0, 0 } },
};

/* The message of @row, with another MAP in front if it is to be malformed. */
static void send_row(Guest *g, const Row *row, bool map_first)
{
    struct virtio_balloon_cfph_msg msg;
    unsigned n = row->repeat ?: row->type ? 1 : 0;
    size_t len;

    guest_msg_begin(g);
    if (map_first && n == 1) {
        guest_msg_rec(g, MAP, 0, 24, 2, g->generation + 1, g->header);
    }
    for (unsigned r = 0; r < n; r++) {
        guest_msg_rec(g, row->type, row->count, row->length, 0);
        for (unsigned i = 0; i < row->nr_words; i++) {
            uint64_t word = cpu_to_le64(row->words[i]);

            if (row->type == MAP && !map_first) {
                word = cpu_to_le64(i ? g->header : g->generation);
            }
            guest_msg_add(g, &word, sizeof(word));
        }
    }

    memset(&msg, 0, sizeof(msg));
    msg.version = cpu_to_le16(row->version ?: VIRTIO_BALLOON_CFPH_VERSION);
    msg.flags = cpu_to_le16(row->flags);
    msg.length = cpu_to_le32(g->len + row->msg_length);
    memcpy(g->buf, &msg, sizeof(msg));
    len = g->len + row->size;
    if (row->writable) {
        guest_msg_send_writable(g, g->buf, len);
    } else {
        guest_msg_send_raw(g, g->buf, len);
    }
}

static void test_malformed(void)
{
    uint64_t registrations = 0, n = 0;
    Fixture f;
    Guest *g;

    fixture_up_setup(&f, &(Setup) { .source = LOG });
    g = f.g;
    for (size_t i = 0; i < ARRAY_SIZE(malformed); i++) {
        g_test_message("%s", malformed[i].what);
        for (int times = 0; times < 2; times++) {
            uint64_t messages;

            fixture_map(&f);
            messages = guest_status(g, "messages");
            send_row(g, &malformed[i], true);
            g_assert_cmpint(guest_status(g, "malformed"), ==, ++n);
            g_assert_cmpint(guest_status(g, "messages"), ==, messages);
            g_assert_false(guest_registered(g));
            guest_expect_status(g, "reason", "no-map");
            /* Of a message that is dropped, nothing counts. */
            g_assert_cmpint(guest_status(g, "registrations"), ==,
                            ++registrations);
            g_assert_cmpint(count_log(&f, "malformed free-page message"), ==,
                            i + 1);
        }
        guest_driver_reset(g);
        guest_driver_start(g, 0);
    }
    g_assert_cmpint(count_log(&f, "virtio-balloon: "), ==,
                    ARRAY_SIZE(malformed));

    migrate_begin(&f);
    migrate_rest(&f);
    expect_everything(&f);
    fixture_down(&f);
}

/* In the middle of a session, with changes that nobody has looked at yet. */
static void test_malformed_session(void)
{
    Fixture f;
    Guest *g;

    fixture_up_setup(&f, &(Setup) { .opts = ",cfph-look-percent=100" });
    g = f.g;
    begin_and_answer(&f);
    guest_range(g, LOW_AREA, AREA_PAGES, true);
    send_row(g, &malformed[0], true);
    g_assert_false(guest_registered(g));
    wait_ram(g->qts, "free-pages-deferred", 0);

    /* The session goes on: with another map it is as it was. */
    fixture_map(&f);
    wait_ram(g->qts, "free-pages-deferred", f.free_pages);
    guest_expect_status(g, "state", "started");
    migrate_rest(&f);
    expect_skipped(&f);
    fixture_down(&f);
}

static void test_well_formed(void)
{
    Fixture f;
    Guest *g;

    fixture_up_setup(&f, &(Setup) { .source = LOG });
    g = f.g;
    fixture_map(&f);
    for (size_t i = 0; i < ARRAY_SIZE(well_formed); i++) {
        g_test_message("%s", well_formed[i].what);
        send_row(g, &well_formed[i], false);
        g_assert_cmpint(guest_status(g, "messages"), ==, i + 2);
        g_assert_cmpint(guest_status(g, "malformed"), ==, 0);
        g_assert_true(guest_registered(g));
    }
    g_assert_cmpint(guest_status(g, "registrations"), ==, 1);
    g_assert_cmpint(count_log(&f, "virtio-balloon: "), ==, 0);
    begin_and_answer(&f);
    migrate_rest(&f);
    expect_skipped(&f);
    fixture_down(&f);
}

void cfph_add_malformed_tests(void)
{
    static const FixtureTest tests[] = {
        { "malformed/list", test_malformed },
        { "malformed/session", test_malformed_session },
        { "malformed/well-formed", test_well_formed },
    };

    fixture_add_tests("virtio-balloon-cfph-hostile", tests, ARRAY_SIZE(tests));
}
