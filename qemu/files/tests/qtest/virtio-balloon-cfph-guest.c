/*
 * QTest: a guest driver for continuous free-page hints, played by the test
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Owns the rings, the map and the message format; knows nothing of migration.
 * Everything waits for an event with a time limit, nothing sleeps and hopes.
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "qemu/bitops.h"
#include "qemu/bswap.h"
#include "hw/pci/pci_regs.h"
#include "qobject/qdict.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_ids.h"
#include "standard-headers/linux/virtio_pci.h"
#include "virtio-balloon-cfph-guest.h"

#define SLOT            5
#define GENERATION      0x1122334455667788ULL

/*
 * The machine wants some firmware; no CPU ever runs it.  The file is gone once
 * both QEMUs have read it.
 */
char *guest_firmware(void)
{
    g_autofree char *zeroes = g_malloc0(64 * KiB);
    char *path = NULL;
    int fd = g_file_open_tmp("cfph-test-XXXXXX", &path, NULL);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(write(fd, zeroes, 64 * KiB), ==, 64 * KiB);
    close(fd);
    return path;
}

/* Nothing but what a test says or syncs moves a page, unless @opts differ. */
static char *machine_args(const char *opts, const char *machine,
                          const char *firmware)
{
    return g_strdup_printf("-nodefaults -bios %s -m %d "
                           "-machine pc,max-ram-below-4g=%d "
                           "-device virtio-balloon-pci,id=balloon0,addr=%d,"
                           "continuous-free-page-hint=on,"
                           "cfph-look-percent=0%s %s", firmware,
                           (int)(RAM_BYTES / MiB), (int)LOW_BYTES, SLOT, opts,
                           machine);
}

Guest *guest_boot(const char *opts, const char *machine)
{
    g_autofree char *firmware = guest_firmware();
    g_autofree char *args = machine_args(opts, machine, firmware);
    Guest *g = g_new0(Guest, 1);
    QPCIAddress addr = { .devfn = QPCI_DEVFN(SLOT, 0) };

    g->qs = qtest_pc_boot("%s", args);
    g_unlink(firmware);
    g->qts = g->qs->qts;
    g->pci = virtio_pci_new(g->qs->pcibus, &addr);
    g_assert_nonnull(g->pci);
    g->dev = &g->pci->vdev;
    g_assert_cmpint(g->dev->device_type, ==, VIRTIO_ID_BALLOON);

    g->cmd_bufs = guest_alloc(&g->qs->alloc, COMMANDS * 16);
    g->msg_buf = guest_alloc(&g->qs->alloc, BUFFER_BYTES);
    g->header = guest_alloc(&g->qs->alloc, PAGE);
    g->dir = guest_alloc(&g->qs->alloc, PAGE);
    qtest_memset(g->qts, g->header, 0, PAGE);
    qtest_memset(g->qts, g->dir, 0, PAGE);
    guest_map_add_leaf(g, 0);
    guest_map_add_leaf(g, HIGH_BASE);
    qvirtio_pci_device_enable(g->pci);
    return g;
}

QTestState *guest_incoming(const char *opts, const char *machine)
{
    g_autofree char *firmware = guest_firmware();
    g_autofree char *args = machine_args(opts, machine, firmware);
    QTestState *qts = qtest_initf("%s -S -incoming defer", args);

    g_unlink(firmware);
    return qts;
}

void guest_quit(Guest *g)
{
    qvirtio_pci_device_disable(g->pci);
    qpci_iounmap(g->pci->pdev, g->pci->bar);
    g_free(g->pci->pdev);
    g_free(g->pci);
    g_free(g->cmd);
    g_free(g->msg);
    qtest_shutdown(g->qs);
    g_free(g);
}

/* --- the device --- */

void guest_driver_start(Guest *g, uint64_t features_off)
{
    uint64_t features = qvirtio_get_features(g->dev);
    int index = VIRTIO_BALLOON_F_STATS_VQ + 2;

    g_assert_true(features & BIT_ULL(VIRTIO_BALLOON_F_CFPH));
    index += !!(features & BIT_ULL(VIRTIO_BALLOON_F_REPORTING));
    features &= ~(QVIRTIO_F_BAD_FEATURE | features_off |
                  BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC) |
                  BIT_ULL(VIRTIO_RING_F_EVENT_IDX));

    qvirtio_start_device(g->dev);
    qvirtio_set_features(g->dev, features);
    g->cmd = qvirtqueue_setup(g->dev, &g->qs->alloc, index);
    g->msg = qvirtqueue_setup(g->dev, &g->qs->alloc, index + 1);
    qvirtio_set_driver_ok(g->dev);

    for (int i = 0; i < COMMANDS; i++) {
        uint32_t len = i == 0 && g->short_first ? 8 : 16;
        uint32_t head = qvirtqueue_add(g->qts, g->cmd, g->cmd_bufs + i * 16,
                                       len, true, false);

        qvirtqueue_kick(g->qts, g->dev, g->cmd, head);
    }
    g->sequence = 0;
}

void guest_driver_reset(Guest *g)
{
    qvirtio_reset(g->dev);
    g_clear_pointer(&g->cmd, g_free);
    g_clear_pointer(&g->msg, g_free);
}

QVirtQueue *guest_inflate_queue(Guest *g)
{
    return qvirtqueue_setup(g->dev, &g->qs->alloc, 0);
}

void guest_bus_master_off(Guest *g)
{
    uint16_t command = qpci_config_readw(g->pci->pdev, PCI_COMMAND);

    qpci_config_writew(g->pci->pdev, PCI_COMMAND,
                       command & ~PCI_COMMAND_MASTER);
}

/* Selective reset of a queue (VIRTIO_F_RING_RESET). */
void guest_queue_reset(Guest *g, QVirtQueue *vq)
{
    qpci_io_writew(g->pci->pdev, g->pci->bar, g->pci->common_cfg_offset +
                   VIRTIO_PCI_COMMON_Q_SELECT, vq->index);
    qpci_io_writew(g->pci->pdev, g->pci->bar, g->pci->common_cfg_offset +
                   VIRTIO_PCI_COMMON_Q_RESET, 1);
}

/* --- the map --- */

#define HEADER(field)   offsetof(struct virtio_balloon_cfph_map_header, field)

void guest_map_enter(Guest *g, uint64_t base, uint64_t leaf)
{
    uint64_t i = base / (VIRTIO_BALLOON_CFPH_LEAF_PAGES * PAGE);

    g_assert_cmpint(i, <, VIRTIO_BALLOON_CFPH_DIR_LEAVES);
    qtest_writeq(g->qts, g->dir + i * 8, leaf);
    qtest_writeq(g->qts, g->header + HEADER(changes), ++g->changes);
}

void guest_map_add_leaf(Guest *g, uint64_t base)
{
    uint64_t leaf = guest_alloc(&g->qs->alloc, PAGE);

    g_assert_cmpint(g->nr_leaves, <, LEAVES_MAX);
    qtest_memset(g->qts, leaf, 0, PAGE);
    g->leaf[g->nr_leaves] = leaf;
    g->leaf_base[g->nr_leaves++] = base;
    guest_map_enter(g, base, leaf);
}

static uint64_t guest_leaf_of(Guest *g, uint64_t addr)
{
    for (unsigned i = 0; i < g->nr_leaves; i++) {
        if (addr - g->leaf_base[i] <
            VIRTIO_BALLOON_CFPH_LEAF_PAGES * PAGE) {
            return g->leaf[i];
        }
    }
    return 0;
}

void guest_map_state(Guest *g, uint64_t magic, uint64_t generation,
                     uint32_t state)
{
    qtest_writeq(g->qts, g->header + HEADER(magic), magic);
    qtest_writeq(g->qts, g->header + HEADER(generation), generation);
    qtest_writel(g->qts, g->header + HEADER(version),
                 VIRTIO_BALLOON_CFPH_VERSION);
    qtest_writel(g->qts, g->header + HEADER(state), state);
}

void guest_map_init(Guest *g)
{
    qtest_memset(g->qts, g->dir, 0, PAGE);
    for (unsigned i = 0; i < g->nr_leaves; i++) {
        qtest_memset(g->qts, g->leaf[i], 0, PAGE);
        guest_map_enter(g, g->leaf_base[i], g->leaf[i]);
    }
    qtest_writel(g->qts, g->header + HEADER(dirs), 1);
    qtest_writeq(g->qts, g->header + HEADER(dir), g->dir);
    g->generation = GENERATION;
    guest_map_state(g, VIRTIO_BALLOON_CFPH_MAGIC, g->generation,
                    VIRTIO_BALLOON_CFPH_STATE_READY);
}

void guest_map_set(Guest *g, uint64_t addr, uint64_t pages, bool free)
{
    uint64_t leaf = guest_leaf_of(g, addr);
    uint64_t bit = addr / PAGE % VIRTIO_BALLOON_CFPH_LEAF_PAGES;
    uint8_t map[PAGE];

    g_assert_cmpint(bit + pages, <=, VIRTIO_BALLOON_CFPH_LEAF_PAGES);
    qtest_memread(g->qts, leaf, map, PAGE);
    for (; pages; pages--, bit++) {
        map[bit / 8] &= ~(1 << bit % 8);
        map[bit / 8] |= free << bit % 8;
    }
    qtest_memwrite(g->qts, leaf, map, PAGE);
}

void guest_map_get(Guest *g, uint64_t addr, uint64_t pages, uint8_t *bits)
{
    const uint64_t leaf_pages = VIRTIO_BALLOON_CFPH_LEAF_PAGES;
    uint64_t pfn = addr / PAGE, end = pfn + pages;

    g_assert_cmpint(pfn % 8, ==, 0);
    while (pfn < end) {
        uint64_t n = MIN(end - pfn, leaf_pages - pfn % leaf_pages);
        uint64_t leaf = guest_leaf_of(g, pfn * PAGE);
        size_t bytes = DIV_ROUND_UP(n, 8);

        if (leaf) {
            qtest_bufread(g->qts, leaf + pfn % leaf_pages / 8, bits, bytes);
        } else {
            memset(bits, 0, bytes);
        }
        bits += bytes;
        pfn += n;
    }
}

/* --- messages --- */

void guest_msg_begin(Guest *g)
{
    g->len = sizeof(struct virtio_balloon_cfph_msg);
    memset(g->buf, 0, sizeof(g->buf));
}

void guest_msg_add(Guest *g, const void *data, size_t len)
{
    g_assert_cmpint(g->len + len, <=, sizeof(g->buf));
    memcpy(g->buf + g->len, data, len);
    g->len += len;
}

/* @length is what the record says of itself, not how long it is. */
void guest_msg_rec(Guest *g, uint16_t type, uint16_t count, uint32_t length,
                   unsigned nr_words, ...)
{
    struct virtio_balloon_cfph_rec rec = {
        .type = cpu_to_le16(type),
        .count = cpu_to_le16(count),
        .length = cpu_to_le32(length),
    };
    va_list ap;

    guest_msg_add(g, &rec, sizeof(rec));
    va_start(ap, nr_words);
    while (nr_words--) {
        uint64_t word = cpu_to_le64(va_arg(ap, uint64_t));

        guest_msg_add(g, &word, sizeof(word));
    }
    va_end(ap);
}

static void guest_msg_send_buffer(Guest *g, const void *data, size_t len,
                                  bool writable)
{
    uint32_t head;

    g_assert_cmpint(len, <=, BUFFER_BYTES);
    qtest_bufwrite(g->qts, g->msg_buf, data, len);
    head = qvirtqueue_add(g->qts, g->msg, g->msg_buf, len, false, writable);
    if (writable) {
        qvirtqueue_add(g->qts, g->msg, g->cmd_bufs, 16, true, false);
    }
    qvirtqueue_kick(g->qts, g->dev, g->msg, head);
    qvirtio_wait_used_elem(g->qts, g->dev, g->msg, head, NULL, TIME_LIMIT_US);
    qvirtqueue_reset_pool(g->msg);
}

void guest_msg_send_raw(Guest *g, const void *data, size_t len)
{
    guest_msg_send_buffer(g, data, len, false);
}

void guest_msg_send_writable(Guest *g, const void *data, size_t len)
{
    guest_msg_send_buffer(g, data, len, true);
}

static void guest_msg_seal(Guest *g)
{
    struct virtio_balloon_cfph_msg *msg = (void *)g->buf;

    msg->version = cpu_to_le16(VIRTIO_BALLOON_CFPH_VERSION);
    msg->length = cpu_to_le32(g->len);
    msg->sequence = cpu_to_le64(g->sequence++);
    msg->migration_id = cpu_to_le32(g->migration_id);
}

void guest_msg_send(Guest *g)
{
    guest_msg_seal(g);
    guest_msg_send_raw(g, g->buf, g->len);
}

void guest_msg_post(Guest *g, unsigned n)
{
    guest_msg_seal(g);
    qtest_bufwrite(g->qts, g->msg_buf, g->buf, g->len);
    for (unsigned i = 0; i < n; i++) {
        uint32_t head = qvirtqueue_add(g->qts, g->msg, g->msg_buf, g->len,
                                       false, false);

        qvirtqueue_kick(g->qts, g->dev, g->msg, head);
    }
}

void guest_msg_wait(Guest *g, unsigned n)
{
    gint64 limit = g_get_monotonic_time() + TIME_LIMIT_US;

    for (unsigned i = 0; i < n; i++) {
        while (!qvirtqueue_get_buf(g->qts, g->msg, NULL, NULL)) {
            g_assert_cmpint(g_get_monotonic_time(), <, limit);
            g_usleep(1000);
        }
    }
    qvirtqueue_reset_pool(g->msg);
}

void guest_msg_flood(Guest *g, unsigned n)
{
    guest_msg_post(g, n);
    guest_msg_wait(g, n);
}

void guest_map(Guest *g)
{
    guest_msg_begin(g);
    guest_msg_rec(g, VIRTIO_BALLOON_CFPH_REC_MAP, 0, 24, 2, g->generation,
                  g->header);
    guest_msg_send(g);
}

void guest_unmap(Guest *g)
{
    guest_msg_begin(g);
    guest_msg_rec(g, VIRTIO_BALLOON_CFPH_REC_UNMAP, 0, 16, 1, g->generation);
    guest_msg_send(g);
}

void guest_started(Guest *g)
{
    guest_msg_begin(g);
    guest_msg_rec(g, VIRTIO_BALLOON_CFPH_REC_STARTED, 0, 8, 0);
    guest_msg_send(g);
}

void guest_range(Guest *g, uint64_t addr, uint64_t pages, bool free)
{
    guest_msg_begin(g);
    guest_msg_rec(g, VIRTIO_BALLOON_CFPH_REC_RANGE, free, 24, 2,
                  addr / PAGE, pages);
    guest_msg_send(g);
}

/* --- commands --- */

bool guest_has_command(Guest *g, QTestState *qts)
{
    return qtest_readw(qts, g->cmd->used + 2) != g->cmd->last_used_idx;
}

Command guest_wait_command(Guest *g, QTestState *qts)
{
    gint64 limit = g_get_monotonic_time() + TIME_LIMIT_US;
    struct virtio_balloon_cfph_cmd cmd;
    Command c;
    uint32_t head;

    while (!qvirtqueue_get_buf(qts, g->cmd, &head, &c.used_len)) {
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
        g_usleep(100);
    }
    qtest_memread(qts, g->cmd_bufs + head * 16, &cmd, sizeof(cmd));
    c.version = le16_to_cpu(cmd.version);
    c.command = le16_to_cpu(cmd.command);
    c.migration_id = le32_to_cpu(cmd.migration_id);
    c.round = le32_to_cpu(cmd.round);
    c.argument = le32_to_cpu(cmd.argument);
    g_assert_cmpint(c.version, ==, VIRTIO_BALLOON_CFPH_VERSION);
    g_assert_cmpint(c.used_len, ==, sizeof(cmd));
    g_assert_cmpint(c.argument, ==, 0);
    return c;
}

/* --- status --- */

QDict *guest_status_of(QTestState *qts)
{
    return qtest_qmp_assert_success_ref(qts,
        "{ 'execute': 'qom-get', 'arguments': "
        "{ 'path': '/machine/peripheral/balloon0',"
        "  'property': 'cfph-status' } }");
}

uint64_t guest_status(Guest *g, const char *key)
{
    QDict *dict = guest_status_of(g->qts);
    uint64_t value = qdict_get_int(dict, key);

    qobject_unref(dict);
    return value;
}

bool guest_registered(Guest *g)
{
    QDict *dict = guest_status_of(g->qts);
    bool value = qdict_get_bool(dict, "registered");

    qobject_unref(dict);
    return value;
}

char *guest_status_str(Guest *g, const char *key)
{
    QDict *dict = guest_status_of(g->qts);
    char *value = g_strdup(qdict_get_str(dict, key));

    qobject_unref(dict);
    return value;
}

void guest_expect_status(Guest *g, const char *key, const char *value)
{
    g_autofree char *is = guest_status_str(g, key);

    g_assert_cmpstr(is, ==, value);
}

/* --- contents --- */

static void page_pattern(uint8_t *page, uint64_t addr, uint8_t salt)
{
    for (int i = 0; i < PAGE; i += 8) {
        stq_le_p(page + i, (addr + i) * 0x9e3779b97f4a7c15ULL + salt + 1);
    }
}

void guest_fill(Guest *g, uint64_t addr, uint64_t pages, uint8_t salt)
{
    g_autofree uint8_t *buf = g_malloc(pages * PAGE);

    for (uint64_t i = 0; i < pages; i++) {
        page_pattern(buf + i * PAGE, addr + i * PAGE, salt);
    }
    qtest_bufwrite(g->qts, addr, buf, pages * PAGE);
}

uint64_t guest_count_filled(QTestState *qts, uint64_t addr, uint64_t pages,
                            uint8_t salt)
{
    g_autofree uint8_t *buf = g_malloc(pages * PAGE);
    uint64_t n = 0;

    qtest_bufread(qts, addr, buf, pages * PAGE);
    for (uint64_t i = 0; i < pages; i++) {
        uint8_t page[PAGE];

        page_pattern(page, addr + i * PAGE, salt);
        n += !memcmp(page, buf + i * PAGE, PAGE);
    }
    return n;
}
