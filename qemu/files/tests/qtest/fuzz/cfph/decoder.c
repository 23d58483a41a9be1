/*
 * Fuzzer of continuous free-page hints: the device and the filter
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An input is a list of steps: messages, changes of guest memory, what happens
 * to a device, what migration does.  After each step the bitmaps are compared
 * with what they would be without hints, and after each sync with a reading of
 * the guest's map that is as simple as can be.  So it finds not only a message
 * that makes the decoder read too far, but also one that makes it lose a page.
 *
 * tests/qtest/fuzz/ has the other fuzzer, of the whole device over PCI; it has
 * no migration, so most of what a message says does nothing there.
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "qemu/bswap.h"
#include "qemu/lockable.h"
#include "qemu/units.h"
#include "exec/ramlist.h"
#include "migration/migration-stats.h"
#include "world.h"

#define MESSAGE_MAX     VIRTIO_BALLOON_CFPH_MESSAGE_MAX
#define LEAF            VIRTIO_BALLOON_CFPH_LEAF_PAGES
/* Steps of one input: what comes behind is not looked at. */
#define STEPS_MAX       400

/* --- the input --- */

static const uint8_t *in, *in_end;

static uint64_t take(unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes && in < in_end; i++) {
        value |= (uint64_t)*in++ << 8 * i;
    }
    return value;
}

/* The next @len bytes, or as many as there are. */
static const uint8_t *take_bytes(size_t *len)
{
    const uint8_t *p = in;

    *len = MIN(*len, in_end - in);
    in += *len;
    return p;
}

/* --- what must be true --- */

static bool header_ok(const RamCfphMap *map)
{
    const struct virtio_balloon_cfph_map_header *h =
        (void *)world_page(map->header_addr / PAGE);

    return h && !(map->header_addr % PAGE) &&
           h->magic == VIRTIO_BALLOON_CFPH_MAGIC &&
           h->generation == map->generation &&
           h->state == VIRTIO_BALLOON_CFPH_STATE_READY &&
           h->version == VIRTIO_BALLOON_CFPH_VERSION;
}

static bool map_free(const RamCfphMap *map, uint64_t pfn)
{
    for (size_t i = 0; i < map->nr_leaves; i++) {
        const RamCfphLeaf *leaf = &map->leaves[i];
        const uint8_t *bits;

        if (leaf->first_pfn == pfn / LEAF * LEAF && !(leaf->addr % PAGE)) {
            bits = world_page(leaf->addr / PAGE);
            return bits && bits[pfn % LEAF / 8] >> pfn % 8 & 1;
        }
    }
    return false;
}

/* Nothing is in two bitmaps, nothing is lost, and all of it is counted. */
static void check_bitmaps(void)
{
    uint64_t dirty = 0, deferred = 0;

    for (int i = 0; i < NR_BLOCKS; i++) {
        Block *b = &world.blocks[i];

        for (uint64_t page = 0; b->rb.bmap && page < b->npages; page++) {
            bool d = b->rb.deferred_bmap && test_bit(page, b->rb.deferred_bmap);
            uint64_t pfn;

            g_assert_false(d && test_bit(page, b->rb.bmap));
            g_assert_true((d || test_bit(page, b->rb.bmap)) ==
                          test_bit(page, b->truth));
            g_assert_true(!d || world_pfn(b, page, &pfn));
            dirty += test_bit(page, b->rb.bmap);
            deferred += d;
        }
    }
    g_assert_cmpint(dirty, ==, world.dirty_pages);
    g_assert_cmpint(deferred, ==, stat64_get(&mig_stats.free_pages_deferred));
}

/* After a sync: set aside is what is dirty and free in the map, no more. */
static void check_sync(bool last_stage)
{
    VirtIOBalloonCFPH *c = &world.s->cfph;
    const RamCfphMap *map = c->map;
    bool believe = map && header_ok(map) && !world.s->parent_obj.broken &&
                   !(last_stage && world.running);

    for (int i = 0; i < NR_BLOCKS; i++) {
        Block *b = &world.blocks[i];

        for (uint64_t page = 0; b->rb.bmap && page < b->npages; page++) {
            bool d = b->rb.deferred_bmap && test_bit(page, b->rb.deferred_bmap);
            uint64_t pfn;

            g_assert_true(d == (believe && test_bit(page, b->truth) &&
                                world_pfn(b, page, &pfn) &&
                                map_free(map, pfn)));
        }
    }
}

/* --- steps: the guest's messages --- */

static bool listening(void)
{
    VirtIODevice *vdev = &world.s->parent_obj;

    return world.s->cfph.ready && vdev->vm_running && !vdev->broken;
}

/* The decoder alone: one byte read too far is one byte behind the heap. */
static void step_message(void)
{
    size_t len = take(2) % (MESSAGE_MAX + 1);
    const uint8_t *data = take_bytes(&len);
    g_autofree uint8_t *copy = g_memdup2(data, len);

    if (len && listening()) {
        virtio_balloon_cfph_message(world.s, copy, len);
    }
}

static void deliver(const uint8_t *data, size_t len, unsigned parts)
{
    world.msg = data;
    world.msg_len = len;
    world.msg_parts = parts;
    world.handle_msg(&world.s->parent_obj, world.msg_vq);
    world_run_bh();
    world.msg = NULL;
}

/* Records with a header that is right, through the queue or to the decoder. */
static void step_records(void)
{
    unsigned parts = take(1) % 8;
    uint16_t flags = take(1);
    size_t len = take(2) % (MESSAGE_MAX + 64);
    const uint8_t *data = take_bytes(&len);
    struct virtio_balloon_cfph_msg msg = {
        .version = VIRTIO_BALLOON_CFPH_VERSION,
        .flags = flags,
        .length = sizeof(msg) + len,
        .sequence = world.s->cfph.next_sequence,
        .migration_id = world.s->cfph.migration_id,
    };
    g_autofree uint8_t *whole = g_malloc(sizeof(msg) + len);

    memcpy(whole, &msg, sizeof(msg));
    memcpy(whole + sizeof(msg), data, len);
    if (parts) {
        deliver(whole, sizeof(msg) + len, parts);
    } else if (listening()) {
        virtio_balloon_cfph_message(world.s, whole, sizeof(msg) + len);
    }
}

/* What a good driver says to START; its pages are of the fuzzer's choice. */
static void step_answer(void)
{
    uint64_t generation = 1 + take(1), header = take(2);
    unsigned nr_leaves = take(1) % 6;
    g_autoptr(GByteArray) msg = g_byte_array_new();
    struct virtio_balloon_cfph_msg head = {
        .version = VIRTIO_BALLOON_CFPH_VERSION,
        .length = sizeof(head) + 32 + nr_leaves * 24 + 16,
        .sequence = world.s->cfph.next_sequence,
        .migration_id = world.s->cfph.migration_id,
    };
    struct virtio_balloon_cfph_rec_register reg = {
        { VIRTIO_BALLOON_CFPH_REC_REGISTER, 0, sizeof(reg) },
        generation, header * PAGE, nr_leaves
    };
    struct virtio_balloon_cfph_rec_started started = {
        { VIRTIO_BALLOON_CFPH_REC_STARTED, 0, sizeof(started) }, generation
    };
    struct virtio_balloon_cfph_map_header map = {
        VIRTIO_BALLOON_CFPH_MAGIC, generation,
        VIRTIO_BALLOON_CFPH_STATE_READY, VIRTIO_BALLOON_CFPH_VERSION
    };

    g_byte_array_append(msg, (void *)&head, sizeof(head));
    g_byte_array_append(msg, (void *)&reg, sizeof(reg));
    for (unsigned i = 0; i < nr_leaves; i++) {
        struct virtio_balloon_cfph_rec_leaf leaf = {
            { VIRTIO_BALLOON_CFPH_REC_LEAF, 0, sizeof(leaf) },
            i * LEAF, take(2) * PAGE
        };

        g_byte_array_append(msg, (void *)&leaf, sizeof(leaf));
    }
    g_byte_array_append(msg, (void *)&started, sizeof(started));
    world_write(header, 0, &map, sizeof(map));
    deliver(msg->data, msg->len, 1);
}

static void step_write(void)
{
    uint64_t pfn = take(3);
    unsigned offset = take(2);
    size_t len = take(1);
    const uint8_t *data = take_bytes(&len);

    world_write(pfn, offset, data, len);
}

/* --- steps: what happens to the device --- */

static void step_status(void)
{
    unsigned what = take(1);
    VirtIODevice *vdev = &world.s->parent_obj;

    switch (what % 8) {
    case 0:
        virtio_balloon_cfph_reset(world.s);
        g_assert_null(world.s->cfph.map);
        break;
    case 1:
        virtio_balloon_cfph_queue_reset(vdev, what / 8 % 5);
        g_assert_true(!world.s->cfph.map || (what / 8 % 5) < 2 ||
                      (what / 8 % 5) == 4);
        break;
    case 2:
        vdev->broken = what & 8;
        break;
    case 3:
        world.running = vdev->vm_running = what & 8;
        virtio_balloon_cfph_set_status(world.s, VIRTIO_CONFIG_S_DRIVER_OK);
        break;
    default:
        virtio_balloon_cfph_set_status(world.s, VIRTIO_CONFIG_S_DRIVER_OK);
        break;
    }
    world_run_bh();
}

static void step_commands(void)
{
    world.cmd_bufs = take(1) % 130;
    world.cmd_len = take(1) % 32 ?: sizeof(struct virtio_balloon_cfph_cmd);
    world.handle_cmd(&world.s->parent_obj, world.cmd_vq);
    world_run_bh();
}

/* --- steps: migration --- */

static void step_begin(void)
{
    unsigned flags = take(1);

    if (world.stage != STAGE_IDLE) {
        return;
    }
    world.colo = flags % 16 == 1;
    world.background_snapshot = flags % 16 == 2;
    world.save_vm = flags % 16 == 3;
    world.cpr = flags % 16 == 4;
    world.s->cfph.look_percent = flags & 128 ? 100 : 0;
    world.dirty_pages = 0;
    stat64_set(&mig_stats.free_pages_deferred, 0);
    for (int i = 0; i < NR_BLOCKS; i++) {
        Block *b = &world.blocks[i];

        if (!b->ignored) {
            b->rb.bmap = bitmap_new(b->rb.max_length / PAGE);
            bitmap_set(b->rb.bmap, 0, b->rb.max_length / PAGE);
            b->truth = bitmap_new(b->npages);
            bitmap_set(b->truth, 0, b->npages);
            world.dirty_pages += b->npages;
        }
    }
    ram_cfph_begin();
    world.stage = flags % 16 && flags % 16 < 5 ? STAGE_GATED : STAGE_ACTIVE;
    g_assert_true(world.s->cfph.migrating == (world.stage == STAGE_ACTIVE));
    g_assert_null(world.s->cfph.map);
    world_run_bh();
}

static void step_pull(void)
{
    ram_cfph_pull(&world.bitmap_mutex, &world.dirty_pages);
    world_run_bh();
}

/* Some pages become dirty, then the log is merged. */
static void step_sync(bool last_stage)
{
    unsigned n = take(1) % 32;
    uint64_t period = 0;

    if (world.stage != STAGE_ACTIVE) {
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        Block *b = &world.blocks[take(1) % NR_BLOCKS];
        uint64_t page = take(1) % b->npages;

        if (b->rb.bmap && !test_and_set_bit(page, b->rb.bmap)) {
            world.dirty_pages++;
            period++;
        }
        if (b->rb.bmap) {
            set_bit(page, b->truth);
        }
    }
    if (last_stage) {
        world.running = world.s->parent_obj.vm_running = take(1) & 1;
        world.stage = STAGE_DECIDED;
    }
    WITH_QEMU_LOCK_GUARD(&world.bitmap_mutex) {
        WITH_RCU_READ_LOCK_GUARD() {
            uint64_t period_after = period;

            ram_cfph_sync(last_stage, &world.dirty_pages, &period_after, 0);
            g_assert_cmpint(period_after, <=, period);
        }
    }
    check_sync(last_stage);
    world_run_bh();
}

/* A slice: some pages are sent. */
static void step_send(void)
{
    Block *b = &world.blocks[take(1) % NR_BLOCKS];
    uint64_t page = take(1), n = take(1);

    for (; b->rb.bmap && n; n--, page++) {
        if (page < b->npages && test_and_clear_bit(page, b->rb.bmap)) {
            clear_bit(page, b->truth);
            world.dirty_pages--;
        }
    }
}

static void step_give_up(void)
{
    if (world.stage == STAGE_ACTIVE) {
        ram_cfph_give_up(&world.bitmap_mutex, &world.dirty_pages);
        world.stage = STAGE_DECIDED;
        g_assert_cmpint(stat64_get(&mig_stats.free_pages_deferred), ==, 0);
    }
}

static void step_end(void)
{
    if (world.stage == STAGE_IDLE) {
        return;
    }
    ram_cfph_end();
    g_assert_null(world.s->cfph.map);
    g_assert_null(world.s->cfph.deltas);
    for (int i = 0; i < NR_BLOCKS; i++) {
        Block *b = &world.blocks[i];

        g_clear_pointer(&b->rb.bmap, g_free);
        g_clear_pointer(&b->rb.deferred_bmap, g_free);
        g_clear_pointer(&b->truth, g_free);
    }
    stat64_set(&mig_stats.free_pages_deferred, 0);
    world.dirty_pages = 0;
    world.stage = STAGE_IDLE;
    world_run_bh();
}

static void step_sync_running(void)
{
    step_sync(false);
}

static void step_sync_last(void)
{
    step_sync(true);
}

/* The numbers are part of the corpus: only append. */
static void (*const steps[])(void) = {
    step_message, step_records, step_answer, step_write,
    step_status, step_commands, step_begin, step_pull,
    step_sync_running, step_sync_last, step_send, step_give_up, step_end,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    in = data;
    in_end = data + size;
    world_up();
    for (int n = 0; in < in_end && n < STEPS_MAX; n++) {
        steps[take(1) % ARRAY_SIZE(steps)]();
        check_bitmaps();
        /* Never more than the documented bound, whatever the guest sends. */
        g_assert_true(!world.s->cfph.deltas || world.s->cfph.deltas->len <
                      MiB / 8 + MESSAGE_MAX / 8);
    }
    step_end();
    world_down();
    return 0;
}
