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

    fixture_up_setup(&f, &(Setup) { .machine = RNG,
                                    .opts = ",cfph-look-percent=100" });
    rng_up(&rng, f.g);
    migrate_begin(&f);
    for (size_t i = 0; i < ARRAY_SIZE(rings); i++) {
        g_test_message("%s", rings[i].what);
        fixture_map(&f);
        answer_start(&f);
        wait_ram(f.g->qts, "free-pages-deferred", f.free_pages);
        qvirtqueue_kick(f.g->qts, f.g->dev, f.g->msg, rings[i].make(f.g));
        wait_unregistered(f.g);
        wait_ram(f.g->qts, "free-pages-deferred", 0);
        expect_alive(f.g, &rng);
        guest_driver_reset(f.g);
        guest_driver_start(f.g, 0);
    }
    fixture_map(&f);
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
    const uint64_t map[] = { 1, 0x1000 };
    const uint64_t unmap[] = { 1 };
    Fixture f;
    Rng rng;

    fixture_up_setup(&f, &(Setup) { .machine = RNG,
                                    .opts = ",cfph-look-percent=100" });
    rng_up(&rng, f.g);
    begin_and_answer(&f);
    flood_with(&f, &rng, 2, VIRTIO_BALLOON_CFPH_REC_RANGE, everything);
    flood_with(&f, &rng, 0, VIRTIO_BALLOON_CFPH_REC_STARTED, NULL);
    flood_with(&f, &rng, 1, VIRTIO_BALLOON_CFPH_REC_UNMAP, unmap);
    flood_with(&f, &rng, 2, VIRTIO_BALLOON_CFPH_REC_MAP, map);
    g_assert_cmpint(guest_status(f.g, "malformed"), ==, 0);
    flood_with(&f, &rng, 2, VIRTIO_BALLOON_CFPH_REC_BITS, map);
    g_assert_cmpint(guest_status(f.g, "malformed"), ==, 300);

    guest_driver_reset(f.g);
    guest_driver_start(f.g, 0);
    fixture_map(&f);
    answer_start(&f);
    wait_ram(f.g->qts, "free-pages-deferred", f.free_pages);
    migrate_rest(&f);
    expect_skipped(&f);
    rng_down(&rng);
    fixture_down(&f);
}

/*
 * The same on a machine with 1 TiB of RAM, which the host need not have.  QMP
 * answers in between, and a driver that behaves is heard.
 */
static void expect_qmp_answers(Guest *g, gint64 *longest)
{
    gint64 begin = g_get_monotonic_time();

    qtest_qmp_assert_success(g->qts, "{ 'execute': 'query-migrate' }");
    *longest = MAX(*longest, g_get_monotonic_time() - begin);
}

/* @n at a time, and each time a question before they can all be read. */
static void flood_huge(Guest *g, unsigned n, gint64 *longest)
{
    for (unsigned i = 0; i < 20; i++) {
        guest_msg_post(g, n);
        expect_qmp_answers(g, longest);
        guest_msg_wait(g, n);
    }
}

static void test_flood_huge(void)
{
    gint64 longest = 0;
    Fixture f = { .uri = (char *)"exec:cat >/dev/null" };
    Guest *g;

    if (!fixture_can_huge()) {
        return;
    }
    g = f.g = guest_boot(",cfph-look-percent=100", HUGE_RAM);
    guest_driver_start(g, 0);
    set_parameter(g->qts, "max-bandwidth", 4096);
    set_capability(g->qts, "events");

    for (int pass = 0; pass < 2; pass++) {
        /* MAP and UNMAP in turn, as many as fit into a message. */
        guest_map_init(g);
        guest_msg_begin(g);
        while (g->len + 40 <= MESSAGE_BYTES) {
            guest_msg_rec(g, VIRTIO_BALLOON_CFPH_REC_MAP, 0, 24, 2,
                          g->generation, g->header);
            guest_msg_rec(g, VIRTIO_BALLOON_CFPH_REC_UNMAP, 0, 16, 1,
                          g->generation);
        }
        flood_huge(g, 100, &longest);

        guest_map(g);
        g_assert_true(guest_registered(g));
        if (pass == 0) {
            migrate_begin(&f);
            answer_start(&f);
        }
        /* All of the RAM, over and over; the migration thread looks, too. */
        guest_msg_begin(g);
        while (g->len + 24 <= MESSAGE_BYTES) {
            guest_msg_rec(g, VIRTIO_BALLOON_CFPH_REC_RANGE, 0, 24, 2,
                          (uint64_t)0, 1ULL << 52);
        }
        flood_huge(g, 4, &longest);
        g_assert_cmpint(guest_status(g, "malformed"), ==, 0);
    }
    g_test_message("QMP answered after %d ms at most", (int)(longest / 1000));
    g_assert_cmpint(longest, <, G_USEC_PER_SEC);

    qtest_qmp_assert_success(g->qts, "{ 'execute': 'migrate_cancel' }");
    wait_migration(g->qts, "cancelled");
    guest_quit(g);
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
        { 0, { 2, 2, 2, 1 } },
        { 4, { 48, 48, 24, UINT32_MAX } },
        { 24, { 0x10004, 0x00004, 0x10005, 0x7 } },
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
    fixture_map(&f);
    answer_start(&f);
    migrate_rest(&f);
    expect_skipped(&f);
    fixture_down(&f);
}

/*
 * The state and the map change all the time, with the vCPUs stopped, too.  A
 * leaf is taken out and comes back elsewhere, as the rules want it: it is never
 * the guest's fault if that is seen half done.
 */
static void *write_map(void *opaque)
{
    Writer *w = opaque;
    uint8_t *header = w->ram + w->g->header;
    uint32_t *state = (uint32_t *)(header + 16);
    uint64_t *changes = (uint64_t *)(header + 24);
    uint64_t *entry = (uint64_t *)(w->ram + w->g->dir) +
                      HIGH_BASE / (128 * MiB);
    uint64_t *other = entry + 1;
    uint64_t *bits = (uint64_t *)(w->ram + w->g->leaf[0] +
                                  LOW_AREA / PAGE / 8);
    uint64_t good = *entry;

    for (unsigned i = 0; !qatomic_read(&w->stop); i++) {
        uint64_t *from = i & 64 ? entry : other;
        uint64_t *to = i & 64 ? other : entry;

        qatomic_set(state, cpu_to_le32(!(i & 0x1000)));
        qatomic_set(&bits[i % (FREE_PAGES / 64)],
                    i * 0x9e3779b97f4a7c15ULL);
        if (i % 64) {
            continue;
        }
        qatomic_set(from, 0);
        /* Out, counted... */
        smp_wmb();
        qatomic_set(changes, *changes + 1);
        /* ...in elsewhere... */
        smp_wmb();
        qatomic_set(to, good);
        /* ...counted. */
        smp_wmb();
        qatomic_set(changes, *changes + 1);
    }
    qatomic_set(other, 0);
    qatomic_set(entry, good);
    qatomic_set(state, cpu_to_le32(1));
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
    f.unlogged[2] = f.g->dir;
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
    g_assert_cmpint(guest_status(f.g, "bad-maps"), ==, 0);
    expect_same_memory(&f);
    expect_consistent(&f);
    fixture_down(&f);
}

int main(int argc, char **argv)
{
    static const FixtureTest tests[] = {
        { "rings", test_rings },
        { "flood/deltas", test_flood_deltas },
        { "flood/others", test_flood_others },
        { "flood/huge", test_flood_huge },
        { "changes/message", test_message_changes },
        { "changes/map", test_map_changes },
    };

    g_test_init(&argc, &argv, NULL);
    fixture_add_tests("virtio-balloon-cfph-hostile", tests, ARRAY_SIZE(tests));
    cfph_add_malformed_tests();
    cfph_add_badmap_tests();
    return g_test_run();
}
