/*
 * QTest: free-page hints on machines with other memory, and snapshots
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Several RAM blocks, memory that is plugged later, memory that migration does
 * not carry, and a state that is saved and loaded.
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/bswap.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "standard-headers/linux/virtio_ids.h"
#include "standard-headers/linux/virtio_mem.h"
#include "libqos/libqos.h"
#include "virtio-balloon-cfph-fixture.h"


/* Device memory of a machine with that little RAM. */
#define PLUG_BASE       (5 * GiB)
#define PLUG_BYTES      (128 * MiB)
#define VMEM_SLOT       6

#define PRIVATE_NODE(n) "-object memory-backend-ram,id=m" #n ",size=128M " \
                        "-numa node,nodeid=" #n ",memdev=m" #n " "
#define SHARED_NODE(n)  "-object memory-backend-file,id=m" #n ",size=128M," \
                        "share=on,mem-path=@DIR@/m" #n " " \
                        "-numa node,nodeid=" #n ",memdev=m" #n " "

/* --- RAM blocks --- */

static void test_numa(void)
{
    Fixture f;

    fixture_up_setup(&f, &(Setup) {
        .machine = PRIVATE_NODE(0) PRIVATE_NODE(1),
    });
    begin_and_answer(&f);
    migrate_rest(&f);
    expect_skipped(&f);
    fixture_down(&f);
}

/* The second block is not migrated: nothing of it is set aside. */
static void test_ignore_shared(void)
{
    Fixture f;

    fixture_up_setup(&f, &(Setup) {
        .machine = PRIVATE_NODE(0) SHARED_NODE(1),
        .cap = "x-ignore-shared",
    });
    f.free_pages = FREE_PAGES;
    begin_and_answer(&f);
    guest_range(f.g, HIGH_AREA, AREA_PAGES, true);
    guest_range(f.g, HIGH_AREA, 1, false);
    /* The last one shows that the others have been applied. */
    guest_range(f.g, LOW_AREA + FREE_PAGES * PAGE, 1, true);
    wait_ram(f.g->qts, "free-pages-deferred", FREE_PAGES + 1);
    migrate_rest(&f);
    expect_skipped(&f);
    fixture_down(&f);
}

static void test_ignored_header(void)
{
    Fixture f;

    fixture_up_setup(&f, &(Setup) {
        .machine = PRIVATE_NODE(0) SHARED_NODE(1),
        .cap = "x-ignore-shared",
    });
    refuse_header(&f, HIGH_BASE + 32 * MiB);
}

/* --- memory that is plugged --- */

static void test_dimm(void)
{
    Fixture f;

    fixture_up_setup(&f, &(Setup) {
        .machine = "-m slots=2,maxmem=1G",
        .destination = "-object memory-backend-ram,id=d0,size=128M "
                       "-device pc-dimm,id=dimm0,memdev=d0,addr=0x140000000",
    });
    qtest_qmp_assert_success(f.g->qts, "{ 'execute': 'object-add',"
                             "  'arguments': { 'qom-type': "
                             "  'memory-backend-ram', 'id': 'd0',"
                             "  'size': 134217728 } }");
    qtest_qmp_assert_success(f.g->qts, "{ 'execute': 'device_add',"
                             "  'arguments': { 'driver': 'pc-dimm',"
                             "  'id': 'dimm0', 'memdev': 'd0',"
                             "  'addr': 5368709120 } }");
    fixture_third_area(&f, PLUG_BASE, PLUG_BYTES);
    begin_and_answer(&f);
    migrate_rest(&f);
    expect_skipped(&f);
    g_assert_cmpint(guest_count_filled(f.dst, f.third_area, AREA_PAGES, 0), ==,
                    AREA_PAGES - FREE_PAGES);
    fixture_down(&f);
}

/* Plug the first @bytes of a virtio-mem device. */
static void vmem_plug(Guest *g, uint64_t bytes)
{
    QPCIAddress addr = { .devfn = QPCI_DEVFN(VMEM_SLOT, 0) };
    QVirtioPCIDevice *pci = virtio_pci_new(g->qs->pcibus, &addr);
    QVirtioDevice *dev = &pci->vdev;
    struct virtio_mem_req req = { .type = cpu_to_le16(VIRTIO_MEM_REQ_PLUG) };
    struct virtio_mem_resp resp;
    uint64_t page = guest_alloc(&g->qs->alloc, PAGE);
    uint32_t head;
    QVirtQueue *vq;

    g_assert_cmpint(dev->device_type, ==, VIRTIO_ID_MEM);
    qvirtio_pci_device_enable(pci);
    qvirtio_start_device(dev);
    qvirtio_set_features(dev, qvirtio_get_features(dev) &
                         ~(QVIRTIO_F_BAD_FEATURE |
                           BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC) |
                           BIT_ULL(VIRTIO_RING_F_EVENT_IDX)));
    vq = qvirtqueue_setup(dev, &g->qs->alloc, 0);
    qvirtio_set_driver_ok(dev);

    req.u.plug.addr = cpu_to_le64(PLUG_BASE);
    req.u.plug.nb_blocks = cpu_to_le16(bytes / qvirtio_config_readq(dev, 0));
    qtest_memwrite(g->qts, page, &req, sizeof(req));
    head = qvirtqueue_add(g->qts, vq, page, sizeof(req), false, true);
    qvirtqueue_add(g->qts, vq, page + 64, sizeof(resp), true, false);
    qvirtqueue_kick(g->qts, dev, vq, head);
    qvirtio_wait_used_elem(g->qts, dev, vq, head, NULL, TIME_LIMIT_US);
    qtest_memread(g->qts, page + 64, &resp, sizeof(resp));
    g_assert_cmpint(le16_to_cpu(resp.type), ==, VIRTIO_MEM_RESP_ACK);

    g_free(vq);
    qpci_iounmap(pci->pdev, pci->bar);
    g_free(pci->pdev);
    g_free(pci);
}

static void vmem_up(Fixture *f)
{
    fixture_up_setup(f, &(Setup) {
        .machine = "-m maxmem=1G "
                   "-object memory-backend-ram,id=v0,size=128M "
                   "-device virtio-mem-pci,id=vmem0,memdev=v0,addr=6,"
                   "memaddr=0x140000000,requested-size=64M",
    });
    vmem_plug(f->g, PLUG_BYTES / 2);
}

/* Pages that are not plugged are neither set aside nor put back. */
static void test_virtio_mem(void)
{
    Fixture f;
    const uint64_t unplugged = PLUG_BASE + PLUG_BYTES * 3 / 4;

    vmem_up(&f);
    fixture_third_area(&f, PLUG_BASE, PLUG_BYTES / 2);
    begin_and_answer(&f);
    guest_range(f.g, unplugged, FREE_PAGES, true);
    guest_range(f.g, unplugged, FREE_PAGES, false);
    guest_map_set(f.g, unplugged, FREE_PAGES, true);
    /* The last one shows that the others have been applied. */
    guest_range(f.g, LOW_AREA + FREE_PAGES * PAGE, 1, true);
    wait_ram(f.g->qts, "free-pages-deferred", f.free_pages + 1);
    migrate_rest(&f);
    expect_skipped(&f);
    g_assert_cmpint(guest_count_filled(f.dst, f.third_area, AREA_PAGES, 0), ==,
                    AREA_PAGES - FREE_PAGES);
    fixture_down(&f);
}

static void test_unplugged_header(void)
{
    Fixture f;

    vmem_up(&f);
    refuse_header(&f, PLUG_BASE + PLUG_BYTES * 3 / 4);
}

/* --- a state that is saved and loaded --- */

static void run_job(QTestState *qts, const char *command)
{
    gint64 limit = g_get_monotonic_time() + TIME_LIMIT_US;
    bool done = false;

    qtest_qmp_assert_success(qts, "{ 'execute': %s, 'arguments': "
                             "  { 'job-id': 'job', 'tag': 'tag',"
                             "    'vmstate': 'disk0',"
                             "    'devices': [ 'disk0' ] } }", command);
    while (!done) {
        QDict *reply = qtest_qmp(qts, "{ 'execute': 'query-jobs' }");
        QDict *job = qobject_to(QDict, qlist_peek(qdict_get_qlist(reply,
                                                                  "return")));

        g_assert_nonnull(job);
        done = !strcmp(qdict_get_str(job, "status"), "concluded");
        g_assert_cmpstr(qdict_get_try_str(job, "error"), ==, NULL);
        qobject_unref(reply);
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
        g_usleep(1000);
    }
    qtest_qmp_assert_success(qts, "{ 'execute': 'job-dismiss', 'arguments': "
                             "  { 'id': 'job' } }");
}

/* The disk that snapshots go to. */
static void add_disk(Fixture *f)
{
    g_autofree char *path = g_build_filename(f->dir, "disk", NULL);

    mkqcow2(path, 16);
    qtest_qmp_assert_success(f->g->qts, "{ 'execute': 'blockdev-add', "
                             "  'arguments': { 'driver': 'qcow2',"
                             "  'node-name': 'disk0', 'file': "
                             "  { 'driver': 'file', 'filename': %s } } }",
                             path);
}

/* Back to a snapshot: to the rings as they were then, too. */
static void load_snapshot(Guest *g, const QVirtQueue *cmd,
                          const QVirtQueue *msg)
{
    run_job(g->qts, "snapshot-load");
    *g->cmd = *cmd;
    *g->msg = *msg;
}

/*
 * A snapshot has the registration of its memory: what the map calls free is not
 * in it, and the guest that was loaded is migrated at once, without a new MAP.
 */
static void test_snapshot(void)
{
    const uint64_t used = FREE_PAGES * PAGE;
    Fixture f;
    QVirtQueue cmd, msg;
    uint64_t commands;
    Guest *g;

    if (!have_qemu_img()) {
        g_test_skip("No qemu-img");
        return;
    }
    fixture_up(&f, "");
    g = f.g;
    add_disk(&f);
    fixture_map(&f);
    commands = guest_status(g, "commands");
    cmd = *g->cmd;
    msg = *g->msg;
    run_job(g->qts, "snapshot-save");
    g_assert_cmpint(guest_status(g, "commands"), ==, commands);
    g_assert_false(guest_has_command(g, g->qts));

    /* Afterwards it is another guest, without a map. */
    guest_unmap(g);
    guest_fill(g, LOW_AREA, AREA_PAGES, 1);
    guest_fill(g, HIGH_AREA, AREA_PAGES, 1);
    load_snapshot(g, &cmd, &msg);
    g_assert_true(guest_registered(g));
    guest_expect_status(g, "reason", "none");
    g_assert_cmpint(guest_count_filled(g->qts, LOW_AREA + used,
                                       AREA_PAGES - FREE_PAGES, 0), ==,
                    AREA_PAGES - FREE_PAGES);
    g_assert_cmpint(guest_count_filled(g->qts, HIGH_AREA + used,
                                       AREA_PAGES - FREE_PAGES, 0), ==,
                    AREA_PAGES - FREE_PAGES);

    begin_and_answer(&f);
    g_assert_cmpint(guest_status(g, "registrations"), ==, 1);
    migrate_rest(&f);
    expect_skipped(&f);
    fixture_down(&f);
}

/* A snapshot of a guest without a map leaves none, whatever was registered. */
static void test_snapshot_without(void)
{
    Fixture f;
    QVirtQueue cmd, msg;
    Guest *g;

    if (!have_qemu_img()) {
        g_test_skip("No qemu-img");
        return;
    }
    fixture_up(&f, "");
    g = f.g;
    add_disk(&f);
    cmd = *g->cmd;
    msg = *g->msg;
    run_job(g->qts, "snapshot-save");
    fixture_map(&f);
    load_snapshot(g, &cmd, &msg);
    g_assert_false(guest_registered(g));
    guest_expect_status(g, "reason", "no-map");
    migrate_begin(&f);
    migrate_rest(&f);
    expect_everything(&f);
    fixture_down(&f);
}

void cfph_add_machine_tests(void)
{
    static const FixtureTest tests[] = {
        { "numa", test_numa },
        { "ignore-shared/plain", test_ignore_shared },
        { "ignore-shared/header", test_ignored_header },
        { "dimm", test_dimm },
        { "virtio-mem/plain", test_virtio_mem },
        { "virtio-mem/header", test_unplugged_header },
        { "snapshot/with-map", test_snapshot },
        { "snapshot/without", test_snapshot_without },
    };

    fixture_add_tests("virtio-balloon-cfph-events", tests, ARRAY_SIZE(tests));
}
