/*
 * QTest: a hostile guest and continuous free-page hints
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Rings that are broken, floods, and memory that changes while QEMU reads it.
 * After each of them QEMU answers, another device works, and a driver that
 * behaves can use the device again.  Malformed messages: -malformed.c.
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bitops.h"
#include "qemu/bswap.h"
#include "qobject/qdict.h"
#include "standard-headers/linux/virtio_ids.h"
#include "standard-headers/linux/virtio_ring.h"
#include "virtio-balloon-cfph-fixture.h"

#define TIME_LIMIT_US   (60 * G_USEC_PER_SEC)
#define RNG_SLOT        7
#define RNG             "-device virtio-rng-pci,addr=7"

/* --- another device --- */

typedef struct Rng {
    QVirtioPCIDevice *pci;
    QVirtQueue *vq;
    uint64_t buf;
} Rng;

static void rng_up(Rng *r, Guest *g)
{
    QPCIAddress addr = { .devfn = QPCI_DEVFN(RNG_SLOT, 0) };
    QVirtioDevice *dev;

    r->pci = virtio_pci_new(g->qs->pcibus, &addr);
    dev = &r->pci->vdev;
    g_assert_cmpint(dev->device_type, ==, VIRTIO_ID_RNG);
    qvirtio_pci_device_enable(r->pci);
    qvirtio_start_device(dev);
    qvirtio_set_features(dev, qvirtio_get_features(dev) &
                         ~(QVIRTIO_F_BAD_FEATURE |
                           BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC) |
                           BIT_ULL(VIRTIO_RING_F_EVENT_IDX)));
    r->vq = qvirtqueue_setup(dev, &g->qs->alloc, 0);
    qvirtio_set_driver_ok(dev);
    r->buf = guest_alloc(&g->qs->alloc, PAGE);
}

static void rng_down(Rng *r)
{
    g_free(r->vq);
    qpci_iounmap(r->pci->pdev, r->pci->bar);
    g_free(r->pci->pdev);
    g_free(r->pci);
}

/* QEMU answers, and a device next to ours still does its work. */
static void expect_alive(Guest *g, Rng *r)
{
    uint32_t head = qvirtqueue_add(g->qts, r->vq, r->buf, 64, true, false);

    qvirtqueue_kick(g->qts, &r->pci->vdev, r->vq, head);
    qvirtio_wait_used_elem(g->qts, &r->pci->vdev, r->vq, head, NULL,
                           TIME_LIMIT_US);
    qvirtqueue_reset_pool(r->vq);
    g_assert_cmpint(guest_status(g, "migration-id"), ==, g->migration_id);
}

/* --- rings --- */

static void put_desc(Guest *g, uint64_t table, unsigned i, uint64_t addr,
                     uint32_t len, uint16_t flags, uint16_t next)
{
    struct vring_desc desc = {
        .addr = cpu_to_le64(addr),
        .len = cpu_to_le32(len),
        .flags = cpu_to_le16(flags),
        .next = cpu_to_le16(next),
    };

    qtest_memwrite(g->qts, table + i * sizeof(desc), &desc, sizeof(desc));
}

static uint16_t ring_loop(Guest *g)
{
    put_desc(g, g->msg->desc, 0, g->msg_buf, 64, VRING_DESC_F_NEXT, 1);
    put_desc(g, g->msg->desc, 1, g->msg_buf, 64, VRING_DESC_F_NEXT, 0);
    return 0;
}

static uint16_t ring_loop_of_one(Guest *g)
{
    put_desc(g, g->msg->desc, 3, g->msg_buf, 64, VRING_DESC_F_NEXT, 3);
    return 3;
}

static uint16_t ring_head_outside(Guest *g)
{
    return g->msg->size;
}

static uint16_t ring_next_outside(Guest *g)
{
    put_desc(g, g->msg->desc, 0, g->msg_buf, 64, VRING_DESC_F_NEXT, 0xffff);
    return 0;
}

static uint16_t ring_indirect_loop(Guest *g)
{
    put_desc(g, g->msg->desc, 0, g->msg_buf, 4 * 16, VRING_DESC_F_INDIRECT, 0);
    for (int i = 0; i < 4; i++) {
        put_desc(g, g->msg_buf, i, g->msg_buf, 64, VRING_DESC_F_NEXT,
                 (i + 1) % 4);
    }
    return 0;
}

static uint16_t ring_indirect_length(Guest *g)
{
    put_desc(g, g->msg->desc, 0, g->msg_buf, 17, VRING_DESC_F_INDIRECT, 0);
    return 0;
}

static uint16_t ring_indirect_nested(Guest *g)
{
    put_desc(g, g->msg->desc, 0, g->msg_buf, 16, VRING_DESC_F_INDIRECT, 0);
    put_desc(g, g->msg_buf, 0, g->msg_buf, 16, VRING_DESC_F_INDIRECT, 0);
    return 0;
}

static uint16_t ring_outside_ram(Guest *g)
{
    put_desc(g, g->msg->desc, 0, 1ULL << 50, 64, 0, 0);
    return 0;
}

static uint16_t ring_overflow(Guest *g)
{
    put_desc(g, g->msg->desc, 0, UINT64_MAX - 15, 64, 0, 0);
    return 0;
}

static uint16_t ring_empty(Guest *g)
{
    put_desc(g, g->msg->desc, 0, g->msg_buf, 0, 0, 0);
    return 0;
}

/* A buffer for the device to write to: a message of no bytes. */
static uint16_t ring_wrong_direction(Guest *g)
{
    put_desc(g, g->msg->desc, 0, g->msg_buf, 64, VRING_DESC_F_WRITE, 0);
    return 0;
}

/* All descriptors, the whole of the low RAM each. */
static uint16_t ring_huge(Guest *g)
{
    for (unsigned i = 0; i < g->msg->size; i++) {
        put_desc(g, g->msg->desc, i, MiB, LOW_BYTES - MiB,
                 i + 1 < g->msg->size ? VRING_DESC_F_NEXT : 0, i + 1);
    }
    return 0;
}

/* 4 GiB less a byte, most of it no RAM. */
static uint16_t ring_long(Guest *g)
{
    put_desc(g, g->msg->desc, 0, g->msg_buf, UINT32_MAX, 0, 0);
    return 0;
}

static void test_rings(void)
{
    static const struct {
        const char *what;
        uint16_t (*make)(Guest *g);
    } rings[] = {
        { "loop", ring_loop },
        { "loop of one", ring_loop_of_one },
        { "head outside", ring_head_outside },
        { "next outside", ring_next_outside },
        { "indirect loop", ring_indirect_loop },
        { "indirect length", ring_indirect_length },
        { "nested indirect", ring_indirect_nested },
        { "outside RAM", ring_outside_ram },
        { "overflow", ring_overflow },
        { "empty", ring_empty },
        { "wrong direction", ring_wrong_direction },
        { "huge", ring_huge },
        { "long", ring_long },
    };
    Fixture f;
    Rng rng;

    fixture_up_setup(&f, &(Setup) { .machine = RNG });
    rng_up(&rng, f.g);
    migrate_begin(&f);
    for (size_t i = 0; i < ARRAY_SIZE(rings); i++) {
        g_test_message("%s", rings[i].what);
        answer_start(&f);
        qvirtqueue_kick(f.g->qts, f.g->dev, f.g->msg, rings[i].make(f.g));
        wait_unregistered(f.g);
        wait_ram(f.g->qts, "free-pages-deferred", 0);
        expect_alive(f.g, &rng);
        guest_driver_reset(f.g);
        guest_driver_start(f.g, 0);
    }
    answer_start(&f);
    migrate_rest(&f);
    expect_skipped(&f);
    rng_down(&rng);
    fixture_down(&f);
}

/* --- floods --- */

/* More than the device keeps: it returns the buffers as it gets room. */
static void test_flood_deltas(void)
{
    Fixture f;
    Guest *g;
    uint8_t chunks[200 * VIRTIO_BALLOON_CFPH_CHUNK_BYTES] = { 0 };

    fixture_up(&f, "");
    g = f.g;
    begin_and_answer(&f);

    guest_msg_begin(g);
    guest_msg_rec(g, VIRTIO_BALLOON_CFPH_REC_BITS, 200, 16 + sizeof(chunks), 1,
                  HIGH_BASE / PAGE);
    guest_msg_add(g, chunks, sizeof(chunks));
    guest_msg_flood(g, 120);
    g_assert_cmpint(guest_status(g, "deltas"), ==, 120);
    g_assert_cmpint(guest_status(g, "dropped-deltas"), ==, 0);
    wait_ram(g->qts, "free-pages-deferred", FREE_PAGES);

    /* The whole RAM, as often as fits into one message. */
    guest_msg_begin(g);
    for (int i = 0; i < 680; i++) {
        guest_msg_rec(g, VIRTIO_BALLOON_CFPH_REC_RANGE, 0, 24, 2, (uint64_t)0,
                      1ULL << 52);
    }
    guest_msg_send(g);
    g_assert_cmpint(guest_status(g, "dropped-deltas"), >, 600);
    wait_ram(g->qts, "free-pages-deferred", 0);
    g_assert_cmpint(guest_status(g, "malformed"), ==, 0);

    migrate_to_switchover(&f);
    migrate_finish(&f);
    expect_consistent(&f);
    fixture_down(&f);
}

/* Messages that are as expensive as can be, while others want something. */
static void flood_with(Fixture *f, Rng *rng, unsigned nr_words, uint16_t type,
                       const uint64_t *words)
{
    Guest *g = f->g;
    uint32_t length = 8 + nr_words * 8;

    for (int i = 0; i < 3; i++) {
        guest_msg_begin(g);
        while (g->len + length <= MESSAGE_BYTES) {
            guest_msg_rec(g, type, 0, length, 0);
            for (unsigned w = 0; w < nr_words; w++) {
                uint64_t word = cpu_to_le64(words[w]);

                guest_msg_add(g, &word, sizeof(word));
            }
        }
        guest_msg_post(g, 100);
        /* Before they are all read. */
        expect_alive(g, rng);
        guest_msg_wait(g, 100);
    }
}

static void test_flood_others(void)
{
    const uint64_t everything[] = { 0, 1ULL << 52 };
    const uint64_t reg[] = { 1, 0x1000, 30 };
    const uint64_t unreg[] = { 1 };
    const uint64_t leaf[] = { 0, 0x1000 };
    uint64_t malformed;
    Fixture f;
    Rng rng;

    fixture_up_setup(&f, &(Setup) { .machine = RNG });
    rng_up(&rng, f.g);
    begin_and_answer(&f);
    flood_with(&f, &rng, 2, VIRTIO_BALLOON_CFPH_REC_RANGE, everything);
    flood_with(&f, &rng, 1, VIRTIO_BALLOON_CFPH_REC_UNREGISTER, unreg);
    /* Each of them looks for the end of RAM. */
    flood_with(&f, &rng, 3, VIRTIO_BALLOON_CFPH_REC_REGISTER, reg);
    g_assert_cmpint(guest_status(f.g, "malformed"), ==, 0);
    flood_with(&f, &rng, 2, VIRTIO_BALLOON_CFPH_REC_LEAF, leaf);
    malformed = guest_status(f.g, "malformed");
    g_assert_cmpint(malformed, >, 0);

    guest_driver_reset(f.g);
    guest_driver_start(f.g, 0);
    answer_start(&f);
    migrate_rest(&f);
    expect_skipped(&f);
    rng_down(&rng);
    fixture_down(&f);
}

/* --- memory that changes while it is read --- */

/* The source's RAM in a file, so that the test can write to it at any time. */
#define FILE_RAM "-object memory-backend-file,id=ram0,size=256M,share=on," \
                 "mem-path=@DIR@/ram -machine memory-backend=ram0"
#define PLAIN_RAM "-object memory-backend-ram,id=ram0,size=256M " \
                  "-machine memory-backend=ram0"

typedef struct Writer {
    uint8_t *ram;
    Guest *g;
    GThread *thread;
    int stop;
} Writer;

static void writer_up(Writer *w, Fixture *f, GThreadFunc func)
{
    g_autofree char *path = g_build_filename(f->dir, "ram", NULL);
    int fd = open(path, O_RDWR);

    g_assert_cmpint(fd, >=, 0);
    w->ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    g_assert_true(w->ram != MAP_FAILED);
    close(fd);
    w->g = f->g;
    w->stop = 0;
    w->thread = g_thread_new("writer", func, w);
}

static void writer_down(Writer *w)
{
    qatomic_set(&w->stop, 1);
    g_thread_join(w->thread);
    munmap(w->ram, RAM_BYTES);
}

/* Good and bad values of each field of a message with one RANGE, in turn. */
static void *write_message(void *opaque)
{
    static const struct {
        unsigned offset;
        uint32_t values[4];
    } fields[] = {
        { 0, { 1, 1, 1, 2 } },
        { 4, { 48, 48, 24, UINT32_MAX } },
        { 24, { 0x10005, 0x00005, 0x10006, 0x7 } },
        { 28, { 24, 24, 80, 0xfffffff8 } },
        { 44, { 0, 0, UINT32_MAX, 0x100000 } },
    };
    Writer *w = opaque;
    uint8_t *msg = w->ram + w->g->msg_buf;

    for (unsigned i = 0; !qatomic_read(&w->stop); i++) {
        for (size_t n = 0; n < ARRAY_SIZE(fields); n++) {
            /* Now and then all are good for a while. */
            unsigned which = i & 0x400 ? 0 : (i >> 2 * n) % 4;

            qatomic_set((uint32_t *)(msg + fields[n].offset),
                        cpu_to_le32(fields[n].values[which]));
        }
    }
    return NULL;
}

static void test_message_changes(void)
{
    gint64 limit = g_get_monotonic_time() + TIME_LIMIT_US;
    uint64_t messages, malformed;
    Fixture f;
    Writer w;

    fixture_up_setup(&f, &(Setup) { .source = FILE_RAM,
                                    .destination = PLAIN_RAM });
    begin_and_answer(&f);
    guest_msg_begin(f.g);
    guest_msg_rec(f.g, VIRTIO_BALLOON_CFPH_REC_RANGE, 1, 24, 2,
                  LOW_AREA / PAGE, (uint64_t)1);
    writer_up(&w, &f, write_message);
    do {
        guest_msg_flood(f.g, 100);
        messages = guest_status(f.g, "messages");
        malformed = guest_status(f.g, "malformed");
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
    } while (messages < 3000 || malformed < 100 || messages - malformed < 100);
    writer_down(&w);

    guest_driver_reset(f.g);
    guest_driver_start(f.g, 0);
    answer_start(&f);
    migrate_rest(&f);
    expect_skipped(&f);
    fixture_down(&f);
}

/* The header and the map change all the time, with the vCPUs stopped, too. */
static void *write_map(void *opaque)
{
    Writer *w = opaque;
    uint32_t *state = (uint32_t *)(w->ram + w->g->header + 16);
    uint64_t *magic = (uint64_t *)(w->ram + w->g->header);
    uint64_t *bits = (uint64_t *)(w->ram + w->g->leaf[0] +
                                  LOW_AREA / PAGE / 8);
    uint64_t good = *magic;

    for (unsigned i = 0; !qatomic_read(&w->stop); i++) {
        qatomic_set(state, cpu_to_le32(!(i & 0x1000)));
        qatomic_set(magic, i % 0x3000 ? good : 0);
        qatomic_set(&bits[i % (FREE_PAGES / 64)],
                    i * 0x9e3779b97f4a7c15ULL);
    }
    qatomic_set(state, cpu_to_le32(1));
    qatomic_set(magic, good);
    /* For the comparison: any of them may have been free. */
    memset(bits, 0xff, FREE_PAGES / 8);
    return NULL;
}

static void test_map_changes(void)
{
    gint64 limit = g_get_monotonic_time() + TIME_LIMIT_US;
    bool none = false, some = false;
    Fixture f;
    Writer w;

    fixture_up_setup(&f, &(Setup) { .opts = ",cfph-look-percent=100",
                                    .source = FILE_RAM,
                                    .destination = PLAIN_RAM });
    begin_and_answer(&f);
    f.unlogged[0] = f.g->header;
    f.unlogged[1] = f.g->leaf[0];
    writer_up(&w, &f, write_map);
    while (!none || !some) {
        uint64_t deferred = query_ram(f.g->qts, "free-pages-deferred");

        g_assert_cmpint(deferred, <=, f.free_pages);
        none |= !deferred;
        some |= deferred > FREE_PAGES;
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
    }
    migrate_to_switchover(&f);
    migrate_continue(&f);
    writer_down(&w);
    expect_same_memory(&f);
    expect_consistent(&f);
    fixture_down(&f);
}

/* --- a map in odd places --- */

static void do_header(uint64_t header)
{
    Fixture f;

    fixture_up(&f, "");
    refuse_header(&f, header);
}

static void test_header_rom(void)
{
    do_header(4 * GiB - PAGE);
}

static void test_header_mmio(void)
{
    do_header(0xfec00000);
}

static void test_header_outside(void)
{
    do_header(1ULL << 50);
}

static void test_header_end(void)
{
    do_header(-PAGE);
}

/* Pages whose leaf cannot be read are not free. */
static void do_leaf(uint64_t leaf)
{
    Fixture f;

    fixture_up(&f, "");
    migrate_begin(&f);
    f.g->migration_id = guest_wait_command(f.g, f.g->qts).migration_id;
    guest_map_init(f.g);
    guest_map_set(f.g, LOW_AREA, FREE_PAGES, true);
    f.g->leaf[1] = leaf;
    guest_register(f.g);
    guest_started(f.g);
    g_assert_true(guest_registered(f.g));
    wait_ram(f.g->qts, "free-pages-deferred", FREE_PAGES);
    f.g->leaf[1] = 0;
    migrate_rest(&f);
    g_assert_cmpint(query_ram(f.g->qts, "free-pages-skipped"), ==, FREE_PAGES);
    fixture_down(&f);
}

static void test_leaf_rom(void)
{
    do_leaf(4 * GiB - PAGE);
}

static void test_leaf_mmio(void)
{
    do_leaf(0xfec00000);
}

static void test_leaf_outside(void)
{
    do_leaf(-PAGE);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*func)(void);
    } tests[] = {
        { "rings", test_rings },
        { "flood/deltas", test_flood_deltas },
        { "flood/others", test_flood_others },
        { "changes/message", test_message_changes },
        { "changes/map", test_map_changes },
        { "header/rom", test_header_rom },
        { "header/mmio", test_header_mmio },
        { "header/outside", test_header_outside },
        { "header/end", test_header_end },
        { "leaf/rom", test_leaf_rom },
        { "leaf/mmio", test_leaf_mmio },
        { "leaf/outside", test_leaf_outside },
    };

    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
        g_autofree char *path = g_strdup_printf("virtio-balloon-cfph-hostile/"
                                                "%s", tests[i].name);

        qtest_add_func(path, tests[i].func);
    }
    cfph_add_malformed_tests();
    return g_test_run();
}
