/*
 * Continuous free-page hints: what QEMU gives to the code that is fuzzed
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Stands in for the machine: a flat view with every kind of memory, virtqueues
 * that hold what the fuzzer has put into them, migration's options.  Knows no
 * message.  The device and migration/cfph*.c are the real ones.
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "exec/address-spaces.h"
#include "exec/page-vary.h"
#include "exec/ramlist.h"
#include "migration/misc.h"
#include "qapi/qapi-events-migration.h"
#include "migration/vmstate.h"
#include "standard-headers/linux/virtio_balloon_cfph.h"
#include "hw/virtio/virtio-balloon-cfph-misbehave.h"
#include "system/runstate.h"
#include "migration/migration.h"
#include "migration/migration-stats.h"
#include "migration/options.h"
#include "migration/ram.h"
#include "world.h"

#define LEAF VIRTIO_BALLOON_CFPH_LEAF_PAGES

enum { LOW, HIGH, ROM, TWICE, IGNORED, PLUGGED };

/* Odd sizes and offsets: nothing begins or ends where a bitmap word does. */
static const uint16_t block_pages[NR_BLOCKS] = { 261, 60, 16, 24, 16, 70 };

typedef struct Piece {
    uint64_t pfn;
    uint16_t npages, page;
    int block;                  /* -1: MMIO */
} Piece;

static const Piece ranges[] = {
    { 0, 100, 0, LOW },
    { 256, 156, 100, LOW },
    { LEAF - 30, 60, 0, HIGH },
    { 2 * LEAF, 16, 0, ROM },
    { 2 * LEAF + 64, 16, 0, TWICE },
    { 2 * LEAF + 128, 16, 8, TWICE },
    { 3 * LEAF, 16, 0, IGNORED },
    { 3 * LEAF + 32, 1, 0, -1 },
    { 4 * LEAF + 3, 70, 0, PLUGGED },
};

static uint8_t memory[NR_BLOCKS][261 * PAGE] QEMU_ALIGNED(PAGE);
static unsigned long written[NR_BLOCKS][BITS_TO_LONGS(261)];

World world;

/* --- memory --- */

RAMList ram_list;
AddressSpace address_space_memory;
MigrationAtomicStats mig_stats;

void flatview_for_each_range(FlatView *fv, flatview_cb cb, void *opaque)
{
    static MemoryRegion mmio;

    for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
        const Piece *r = &ranges[i];
        MemoryRegion *mr = r->block < 0 ? &mmio : &world.blocks[r->block].mr;

        cb(int128_make64(r->pfn * PAGE), int128_make64(r->npages * PAGE), mr,
           (hwaddr)r->page * PAGE, opaque);
    }
    /* Less than a page, and the end of the address space. */
    cb(int128_make64(0xfe000000), int128_make64(0x800),
       &world.blocks[LOW].mr, 0, opaque);
    cb(int128_make64(UINT64_MAX - PAGE + 1), int128_make64(PAGE), &mmio, 0,
       opaque);
}

bool memory_region_is_ram_device(MemoryRegion *mr)
{
    return false;
}

bool migrate_ram_is_ignored(RAMBlock *rb)
{
    return container_of(rb, Block, rb)->ignored;
}

/* As of a virtio-mem device: pieces of 8 pages, every other one unplugged. */
bool ramblock_page_is_discarded(RAMBlock *rb, ram_addr_t start)
{
    return rb == &world.blocks[PLUGGED].rb && start / PAGE & 8;
}

uint8_t *world_page(uint64_t pfn)
{
    for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
        const Piece *r = &ranges[i];

        if (pfn >= r->pfn && pfn < r->pfn + r->npages) {
            uint64_t page = r->page + (pfn - r->pfn);

            return r->block == LOW || r->block == HIGH ||
                   (r->block == PLUGGED && !(page & 8)) ?
                   memory[r->block] + page * PAGE : NULL;
        }
    }
    return NULL;
}

bool world_pfn(Block *b, uint64_t page, uint64_t *pfn)
{
    int block = b - world.blocks;

    if (block != LOW && block != HIGH && block != PLUGGED) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
        const Piece *r = &ranges[i];

        if (r->block == block && page >= r->page &&
            page < r->page + r->npages) {
            *pfn = r->pfn + (page - r->page);
            return true;
        }
    }
    return false;
}

void world_write(uint64_t pfn, unsigned offset, const void *data, size_t len)
{
    for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
        const Piece *r = &ranges[i];
        uint64_t page = r->page + (pfn - r->pfn);

        if (pfn >= r->pfn && pfn < r->pfn + r->npages && r->block >= 0) {
            offset %= PAGE;
            memcpy(memory[r->block] + page * PAGE + offset, data,
                   MIN(len, PAGE - offset));
            set_bit(page, written[r->block]);
        }
    }
}

/* --- migration --- */

const TargetPageBits target_page = {
    .decided = true,
    .bits = 12,
    .mask = -(vaddr)PAGE,
};

bool migrate_colo(void)
{
    return world.colo;
}

bool migrate_background_snapshot(void)
{
    return world.background_snapshot;
}

MigMode migrate_mode(void)
{
    return world.cpr ? MIG_MODE_CPR_REBOOT : MIG_MODE_NORMAL;
}

bool migrate_auto_converge(void)
{
    return false;
}

bool migrate_x_free_page_hints(void)
{
    return !world.parameter_off;
}

MigrationState *migrate_get_current(void)
{
    static MigrationState state = { .vm_old_state = RUN_STATE_RUNNING };

    return &state;
}

uint64_t ram_bytes_remaining(void)
{
    return world.dirty_pages * PAGE;
}

void qapi_event_send_x_migration_free_page_hints(FreePageHintsStatus status,
                                                 FreePageHintsReason reason)
{
}

bool bql_locked(void)
{
    return true;
}

bool runstate_check(RunState state)
{
    return state == (world.panicked ? RUN_STATE_GUEST_PANICKED :
                     world.save_vm ? RUN_STATE_SAVE_VM :
                     world.running ? RUN_STATE_RUNNING :
                     RUN_STATE_FINISH_MIGRATE);
}

bool runstate_is_running(void)
{
    return world.running;
}

/* Named by the device's vmstate, which nobody saves. */
const VMStateInfo vmstate_info_uint32, vmstate_info_uint64, vmstate_info_bool;

/* The compiler was told to call this instead: nobody reads so much. */
void fuzz_info_report(const char *fmt, ...)
{
}

/* --- virtio --- */

#ifdef CONFIG_CFPH_MUTANTS
bool virtio_balloon_cfph_misbehave_realize(VirtIOBalloon *s)
{
    return false;
}

void virtio_balloon_cfph_misbehave_unrealize(VirtIOBalloon *s)
{
}

void virtio_balloon_cfph_misbehave_set_status(VirtIOBalloon *s, uint8_t status)
{
}
#endif

Object *object_dynamic_cast_assert(Object *obj, const char *type,
                                   const char *file, int line, const char *func)
{
    return obj;
}

ObjectProperty *object_property_add(Object *obj, const char *name,
                                    const char *type,
                                    ObjectPropertyAccessor *get,
                                    ObjectPropertyAccessor *set,
                                    ObjectPropertyRelease *release,
                                    void *opaque)
{
    return NULL;
}

VirtQueue *virtio_add_queue(VirtIODevice *vdev, int size,
                            VirtIOHandleOutput handler)
{
    VirtQueue *vq = g_malloc(1);

    if (!world.cmd_vq) {
        world.cmd_vq = vq;
        world.handle_cmd = handler;
    } else {
        world.msg_vq = vq;
        world.handle_msg = handler;
    }
    return vq;
}

void virtio_delete_queue(VirtQueue *vq)
{
    g_free(vq);
}

uint16_t virtio_get_queue_index(VirtQueue *vq)
{
    return vq == world.cmd_vq ? 2 : 3;
}

QEMUBH *virtio_bh_new_guarded_full(DeviceState *dev, QEMUBHFunc *cb,
                                   void *opaque, const char *name)
{
    world.bh = cb;
    return g_malloc(1);
}

void qemu_bh_schedule(QEMUBH *bh)
{
    world.bh_scheduled = true;
}

void qemu_bh_delete(QEMUBH *bh)
{
    world.bh_scheduled = false;
    g_free(bh);
}

void world_set_status(uint8_t status)
{
    virtio_balloon_cfph_set_status(world.s, status);
    world.s->parent_obj.status = status;
    /* As virtio_reset() does. */
    world.s->parent_obj.broken &= status != 0;
}

void world_run_bh(void)
{
    for (int i = 0; world.bh_scheduled; i++) {
        /* A device that never comes to rest would stop the main loop. */
        g_assert_cmpint(i, <, 1000);
        world.bh_scheduled = false;
        world.bh(world.s);
    }
}

/* The element and its vectors are one piece, as the real one's are. */
static VirtQueueElement *element(unsigned parts)
{
    VirtQueueElement *elem = g_malloc0(sizeof(*elem) +
                                       parts * sizeof(struct iovec));

    elem->in_sg = elem->out_sg = (struct iovec *)(elem + 1);
    return elem;
}

void *virtqueue_pop(VirtQueue *vq, size_t size)
{
    VirtQueueElement *elem;

    g_assert_true(world.running && world.s->cfph.ready);
    if (world.s->parent_obj.broken) {
        return NULL;
    }
    if (vq == world.cmd_vq) {
        if (!world.cmd_bufs) {
            return NULL;
        }
        world.cmd_bufs--;
        elem = element(1);
        elem->in_num = 1;
        elem->in_sg[0].iov_len = world.cmd_len;
        elem->in_sg[0].iov_base = g_malloc(world.cmd_len);
        return elem;
    }
    if (!world.msg) {
        return NULL;
    }
    elem = element(world.msg_parts);
    elem->out_num = world.msg_parts;
    for (unsigned i = 0; i < world.msg_parts; i++) {
        size_t begin = world.msg_len * i / world.msg_parts;
        size_t end = world.msg_len * (i + 1) / world.msg_parts;

        elem->out_sg[i].iov_base = (uint8_t *)world.msg + begin;
        elem->out_sg[i].iov_len = end - begin;
    }
    elem->in_num = world.msg_writable;
    world.msg = NULL;
    return elem;
}

void virtqueue_push(VirtQueue *vq, const VirtQueueElement *elem,
                    unsigned int len)
{
    const struct virtio_balloon_cfph_cmd *cmd;

    if (vq != world.cmd_vq) {
        g_assert_cmpint(len, ==, 0);
        return;
    }
    g_assert_true(len == 0 || len == sizeof(*cmd));
    g_assert_cmpint(len, <=, elem->in_sg[0].iov_len);
    cmd = elem->in_sg[0].iov_base;
    if (len && cmd->command == VIRTIO_BALLOON_CFPH_CMD_START) {
        g_assert_true(world.s->cfph.migrating);
        g_assert_cmpint(cmd->migration_id, ==, world.s->cfph.migration_id);
    }
    g_free(elem->in_sg[0].iov_base);
}

void virtio_notify(VirtIODevice *vdev, VirtQueue *vq)
{
}

/* --- up and down --- */

static void block_up(int i)
{
    static const char names[NR_BLOCKS][8] = {
        "low", "high", "rom", "twice", "ignored", "plugged"
    };
    Block *b = &world.blocks[i];

    b->npages = block_pages[i];
    b->ignored = i == IGNORED;
    b->mr.ram = true;
    b->mr.readonly = i == ROM;
    b->mr.ram_block = &b->rb;
    b->rb.mr = &b->mr;
    b->rb.host = memory[i];
    b->rb.page_size = PAGE;
    b->rb.used_length = b->npages * PAGE;
    /* A block that can grow: its bitmap is longer than it is. */
    b->rb.max_length = b->rb.used_length + (i == LOW ? 9 * PAGE : 0);
    memcpy(b->rb.idstr, names[i], sizeof(names[i]));
    QLIST_INSERT_HEAD_RCU(&ram_list.blocks, &b->rb, next);
}

void world_up(unsigned look_percent)
{
    memset(&world, 0, sizeof(world));
    memset(&mig_stats, 0, sizeof(mig_stats));
    QLIST_INIT(&ram_list.blocks);
    for (int i = 0; i < NR_BLOCKS; i++) {
        block_up(i);
    }
    qemu_mutex_init(&world.bitmap_mutex);
    world.running = true;
    world.cmd_len = sizeof(struct virtio_balloon_cfph_cmd);
    world.s = g_new0(VirtIOBalloon, 1);
    world.s->parent_obj.vm_running = true;
    world.s->host_features = BIT_ULL(VIRTIO_BALLOON_F_CFPH);
    world.s->parent_obj.guest_features = BIT_ULL(VIRTIO_BALLOON_F_CFPH);
    world.s->cfph.look_percent = look_percent;
    virtio_balloon_cfph_instance_init((Object *)world.s);
    virtio_balloon_cfph_realize(world.s);
}

void world_down(void)
{
    virtio_balloon_cfph_unrealize(world.s);
    virtio_balloon_cfph_instance_finalize((Object *)world.s);
    g_free(world.s);
    qemu_mutex_destroy(&world.bitmap_mutex);
    for (int i = 0; i < NR_BLOCKS; i++) {
        for (unsigned long page = find_first_bit(written[i], 261); page < 261;
             page = find_next_bit(written[i], 261, page + 1)) {
            memset(memory[i] + page * PAGE, 0, PAGE);
        }
        bitmap_zero(written[i], 261);
    }
}
