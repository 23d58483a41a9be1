/*
 * Continuous free-page hints: what QEMU gives to code that runs without it
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Migration's options, the state of the VM, virtqueues that hold what the
 * caller has put into them.  Where RAM is, and how much, is the caller's: the
 * fuzzer's world.c or the benchmark's cfph-scale.c.
 */

#include "qemu/osdep.h"
#include "exec/address-spaces.h"
#include "exec/page-vary.h"
#include "exec/ramlist.h"
#include "migration/misc.h"
#include "qapi/qapi-events-free-page-hints.h"
#include "migration/vmstate.h"
#include "standard-headers/linux/virtio_balloon_cfph.h"
#include "hw/virtio/virtio-balloon-cfph-misbehave.h"
#include "system/runstate.h"
#include "migration/migration.h"
#include "migration/migration-stats.h"
#include "migration/options.h"
#include "migration/ram.h"
#include "world.h"

World world;

RAMList ram_list;
AddressSpace address_space_memory;
MigrationAtomicStats mig_stats;

bool memory_region_is_ram_device(MemoryRegion *mr)
{
    return false;
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

/* --- the device --- */

void world_device_up(unsigned look_percent)
{
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

void world_device_down(void)
{
    virtio_balloon_cfph_unrealize(world.s);
    virtio_balloon_cfph_instance_finalize((Object *)world.s);
    g_free(world.s);
    qemu_mutex_destroy(&world.bitmap_mutex);
}
