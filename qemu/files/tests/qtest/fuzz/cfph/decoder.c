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
#include "migration/cfph-hooks.h"
#include "migration/migration-stats.h"
#include "world.h"

#define MESSAGE_MAX     VIRTIO_BALLOON_CFPH_MESSAGE_MAX
#define LEAF            VIRTIO_BALLOON_CFPH_LEAF_PAGES
/* Steps of one input: what comes behind is not looked at. */
#define STEPS_MAX       400
/* Up to the end of the RAM of world.c. */
#define LEAVES          5

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

/* The map as a reading of the guest's memory, as simple as can be, finds it. */
static struct {
    bool good, bad;
    const uint8_t *leaf[LEAVES];
} expected;

static const void *map_page(uint64_t *used, unsigned *nr_used, uint64_t addr)
{
    for (unsigned i = 0; i < *nr_used; i++) {
        if (used[i] == addr) {
            return NULL;
        }
    }
    used[(*nr_used)++] = addr;
    return addr % PAGE ? NULL : world_page(addr / PAGE);
}

static bool directory_ok(const struct virtio_balloon_cfph_map_header *h)
{
    uint64_t used[LEAVES + 2] = { world.s->cfph.map_header };
    unsigned nr_used = 1;
    const uint64_t *dir;

    if (h->dirs > 504) {
        return false;
    }
    /* One directory page reaches beyond the end of the RAM. */
    if (!h->dirs || !h->dir[0]) {
        return true;
    }
    dir = map_page(used, &nr_used, h->dir[0]);
    for (int i = 0; dir && i < LEAVES; i++) {
        if (dir[i]) {
            expected.leaf[i] = map_page(used, &nr_used, dir[i]);
            if (!expected.leaf[i]) {
                return false;
            }
        }
    }
    return dir;
}

/* Before QEMU reads the map: what should it find? */
static void expect_map(void)
{
    VirtIOBalloonCFPH *c = &world.s->cfph;
    VirtIODevice *vdev = &world.s->parent_obj;
    const struct virtio_balloon_cfph_map_header *h;

    memset(&expected, 0, sizeof(expected));
    if (!c->map_generation || vdev->broken ||
        !(vdev->status & VIRTIO_CONFIG_S_DRIVER_OK)) {
        return;
    }
    h = (void *)world_page(c->map_header / PAGE);
    if (!h || h->magic != VIRTIO_BALLOON_CFPH_MAGIC ||
        h->generation != c->map_generation ||
        h->version != VIRTIO_BALLOON_CFPH_VERSION) {
        expected.bad = true;
    } else if (h->state == VIRTIO_BALLOON_CFPH_STATE_READY) {
        expected.good = directory_ok(h);
        expected.bad = !expected.good;
    }
}

/* Afterwards: a bad map has been forgotten, and no other. */
static void check_map(bool registered)
{
    VirtIOBalloonCFPH *c = &world.s->cfph;

    g_assert_true(!c->map_generation == !c->map_header);
    g_assert_true(!!c->map_generation == (registered && !expected.bad));
}

static bool map_free(uint64_t pfn)
{
    const uint8_t *bits = pfn / LEAF < LEAVES ? expected.leaf[pfn / LEAF] :
                                                NULL;

    return bits && bits[pfn % LEAF / 8] >> pfn % 8 & 1;
}

static bool given_up(void)
{
    g_autoptr(FreePageHintsInfo) info = ram_cfph_query();

    return info->status == FREE_PAGE_HINTS_STATUS_GIVEN_UP;
}

/*
 * Nothing is in two bitmaps, nothing is lost, and all of it is counted.  In
 * postcopy what was deferred is dirty again, and its bit there is a mark.
 */
static void check_bitmaps(void)
{
    bool marks = world.stage == STAGE_POSTCOPY;
    uint64_t dirty = 0, deferred = 0;

    for (int i = 0; i < NR_BLOCKS; i++) {
        Block *b = &world.blocks[i];

        for (uint64_t page = 0; b->rb.bmap && page < b->npages; page++) {
            bool d = b->rb.deferred_bmap && test_bit(page, b->rb.deferred_bmap);
            uint64_t pfn;

            g_assert_false(d && test_bit(page, b->rb.bmap) && !marks);
            g_assert_true(((d && !marks) || test_bit(page, b->rb.bmap)) ==
                          test_bit(page, b->truth));
            g_assert_true(!d || world_pfn(b, page, &pfn));
            dirty += test_bit(page, b->rb.bmap);
            deferred += d && !marks;
        }
    }
    g_assert_cmpint(dirty, ==, world.dirty_pages);
    g_assert_cmpint(deferred, ==, stat64_get(&mig_stats.free_pages_deferred));
}

/* After a sync: set aside is what is dirty and free in the map, no more. */
static void check_sync(bool final)
{
    bool believe = expected.good && !(final && world.running) && !given_up();

    for (int i = 0; i < NR_BLOCKS; i++) {
        Block *b = &world.blocks[i];

        for (uint64_t page = 0; b->rb.bmap && page < b->npages; page++) {
            bool d = b->rb.deferred_bmap && test_bit(page, b->rb.deferred_bmap);
            uint64_t pfn;

            g_assert_true(d == (believe && test_bit(page, b->truth) &&
                                world_pfn(b, page, &pfn) && map_free(pfn)));
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
        virtio_balloon_cfph_message(world.s, copy, len, false);
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
    world.msg_writable = false;
}

/* Records with a header that is right, through the queue or to the decoder. */
static void step_records(void)
{
    unsigned how = take(1), parts = how % 8;
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
        world.msg_writable = how & 128;
        deliver(whole, sizeof(msg) + len, parts);
    } else if (listening()) {
        virtio_balloon_cfph_message(world.s, whole, sizeof(msg) + len,
                                    how & 128);
    }
}

/* What a good driver says; its pages are of the fuzzer's choice. */
static void step_answer(void)
{
    uint64_t generation = 1 + take(1), header = take(3), dir = take(3);
    unsigned nr_leaves = take(1) % (LEAVES + 1);
    uint64_t leaves[LEAVES] = { 0 };
    struct {
        struct virtio_balloon_cfph_msg head;
        struct virtio_balloon_cfph_rec_map map;
        struct virtio_balloon_cfph_rec_started started;
    } msg = {
        .head = {
            .version = VIRTIO_BALLOON_CFPH_VERSION,
            .length = sizeof(msg),
            .sequence = world.s->cfph.next_sequence,
            .migration_id = world.s->cfph.migration_id,
        },
        .map = {
            { VIRTIO_BALLOON_CFPH_REC_MAP, 0, sizeof(msg.map) },
            generation, header * PAGE
        },
        .started = {
            { VIRTIO_BALLOON_CFPH_REC_STARTED, 0, sizeof(msg.started) }
        },
    };
    struct virtio_balloon_cfph_map_header map = {
        .magic = VIRTIO_BALLOON_CFPH_MAGIC,
        .generation = generation,
        .state = VIRTIO_BALLOON_CFPH_STATE_READY,
        .version = VIRTIO_BALLOON_CFPH_VERSION,
        .dirs = 1,
        .dir = { dir * PAGE },
    };

    for (unsigned i = 0; i < nr_leaves; i++) {
        leaves[i] = take(3) * PAGE;
    }
    world_write(dir, 0, leaves, sizeof(leaves));
    world_write(header, 0, &map, offsetof(typeof(map), dir[1]));
    deliver((void *)&msg, sizeof(msg), 1);
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
        world_set_status(0);
        g_assert_cmpint(world.s->cfph.map_generation, ==, 0);
        break;
    case 1:
        virtio_balloon_cfph_queue_reset(vdev, what / 8 % 5);
        g_assert_true(!world.s->cfph.map_generation || (what / 8 % 5) < 2 ||
                      (what / 8 % 5) == 4);
        break;
    case 2:
        vdev->broken = what & 8;
        break;
    case 3:
        world.running = vdev->vm_running = what & 8;
        world_set_status(vdev->status);
        break;
    default:
        world_set_status(VIRTIO_CONFIG_S_DRIVER_OK);
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

/* A state is loaded, whatever it says. */
static void step_load(void)
{
    VirtIOBalloonCFPH *c = &world.s->cfph;
    unsigned what = take(1);
    uint64_t generation = take(1), header = take(4);

    if (world.stage != STAGE_IDLE || !world.s->parent_obj.status) {
        return;
    }
    virtio_balloon_cfph_pre_load(world.s);
    g_assert_cmpint(c->map_generation, ==, 0);
    g_assert_false(c->session_active);
    if (what & 1) {
        c->migration_id = what / 4;
        c->session_active = what & 2;
        c->map_generation = generation;
        c->map_header = header;
        vmstate_virtio_balloon_cfph.post_load(world.s, 2);
        g_assert_true(!c->map_generation == !c->map_header);
        g_assert_cmpint(c->map_header % PAGE, ==, 0);
        g_assert_true(!c->session_active || c->migration_id);
    }
    virtio_balloon_cfph_set_status(world.s, world.s->parent_obj.status);
    world_run_bh();
}

/* --- steps: migration --- */

static void step_begin(void)
{
    unsigned flags = take(1);
    bool registered = world.s->cfph.map_generation, session;

    if (world.stage != STAGE_IDLE) {
        return;
    }
    world.colo = flags % 16 == 1;
    world.background_snapshot = flags % 16 == 2;
    world.save_vm = flags % 16 == 3;
    world.cpr = flags % 16 == 4;
    world.parameter_off = flags % 16 == 5;
    world.panicked = flags % 16 == 6;
    session = !world.background_snapshot && !world.save_vm;
    world.dirty_pages = 0;
    stat64_set(&mig_stats.free_pages_deferred, 0);
    /* The log begins here; there is nothing yet that it could go into. */
    world_merge();
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
    expect_map();
    ram_cfph_begin(&world.bitmap_mutex, &world.dirty_pages);
    world.stage = world.colo || world.cpr || world.parameter_off ||
                  world.panicked ? STAGE_GATED : STAGE_ACTIVE;
    world.panicked = false;
    g_assert_true(world.s->cfph.migrating ==
                  (world.stage == STAGE_ACTIVE && session));
    if (world.stage == STAGE_ACTIVE) {
        check_map(registered);
        check_sync(false);
    }
    world_run_bh();
}

static void step_pull(void)
{
    ram_cfph_pull();
    world_run_bh();
}

/* Some pages become dirty, then the log is merged. */
static void sync_log(bool final)
{
    bool registered = world.s->cfph.map_generation, off = given_up();
    unsigned n = take(1) % 32;
    uint64_t period;

    for (unsigned i = 0; i < n; i++) {
        Block *b = &world.blocks[take(1) % NR_BLOCKS];

        world_log(b, take(1) % b->npages);
    }
    expect_map();
    WITH_QEMU_LOCK_GUARD(&world.bitmap_mutex) {
        WITH_RCU_READ_LOCK_GUARD() {
            uint64_t period_after;

            ram_cfph_presync();
            period = period_after = world_merge();
            world.dirty_pages += period;
            ram_cfph_sync(&period_after, 0);
            g_assert_cmpint(period_after, <=, period);
        }
    }
    if (!off) {
        check_map(registered);
    }
    check_sync(final);
    world_run_bh();
}

static void step_sync(void)
{
    if (world.stage == STAGE_ACTIVE || world.stage == STAGE_DECIDED) {
        sync_log(world.stage == STAGE_DECIDED);
    }
}

/* The VM stops, and may have to run on. */
static void step_switchover(void)
{
    bool registered = world.s->cfph.map_generation, off = given_up(), done;
    unsigned how = take(1), limit = take(1);

    if (world.stage != STAGE_ACTIVE) {
        return;
    }
    /* A caller that does not stop it does not get anything left out. */
    world.running = world.s->parent_obj.vm_running = how & 1;
    expect_map();
    done = ram_cfph_switchover(limit == 255 ? RAM_CFPH_NO_LIMIT : limit * PAGE);
    if (!off) {
        check_map(registered);
    }
    check_sync(true);
    if (done) {
        world.stage = STAGE_DECIDED;
        sync_log(true);
    } else {
        g_assert_cmpint(limit, !=, 255);
        world.running = world.s->parent_obj.vm_running = true;
        virtio_balloon_cfph_set_status(world.s, world.s->parent_obj.status);
    }
    world_run_bh();
}

static void step_postcopy(void)
{
    if (world.stage == STAGE_DECIDED && !given_up()) {
        ram_cfph_postcopy();
        world.stage = STAGE_POSTCOPY;
    }
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

/* RAM is sent to its end, though nobody has decided. */
static void step_complete(void)
{
    if (world.stage == STAGE_ACTIVE) {
        ram_cfph_complete();
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
    g_assert_null(world.s->cfph.deltas);
    g_assert_false(world.s->cfph.migrating);
    for (int i = 0; i < NR_BLOCKS; i++) {
        Block *b = &world.blocks[i];

        g_clear_pointer(&b->rb.bmap, g_free);
        g_clear_pointer(&b->rb.deferred_bmap, g_free);
        g_clear_pointer(&b->rb.deferred_slices, g_free);
        g_clear_pointer(&b->truth, g_free);
    }
    stat64_set(&mig_stats.free_pages_deferred, 0);
    world.dirty_pages = 0;
    world.stage = STAGE_IDLE;
    world_run_bh();
}

/* The numbers are part of the corpus: only append. */
static void (*const steps[])(void) = {
    step_message, step_records, step_answer, step_write,
    step_status, step_commands, step_begin, step_pull,
    step_sync, step_switchover, step_send, step_complete, step_end,
    step_postcopy, step_load,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    in = data;
    in_end = data + size;
    world_up(take(1) & 1 ? 100 : 0);
    for (int n = 0; in < in_end && n < STEPS_MAX; n++) {
        steps[take(1) % ARRAY_SIZE(steps)]();
        check_bitmaps();
        /* Never more than the documented bound, whatever the guest sends. */
        g_assert_true(!world.s->cfph.deltas || world.s->cfph.deltas->len <
                      MiB / 8 + MESSAGE_MAX / 4);
    }
    step_end();
    world_down();
    return 0;
}
