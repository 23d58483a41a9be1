/*
 * Virtio balloon: continuous free-page hints, the device
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Owns the two queues, the registration's life and the commands; hands the
 * registered map and the changes to it to migration/cfph.c.  Knows no dirty
 * bitmap.  Messages are decoded in virtio-balloon-cfph-msg.c, and what people
 * may see of it is in virtio-balloon-cfph-status.c.
 *
 * All work on the rings is done in the main loop, under the BQL, while the VM
 * runs: by the queues' handlers and by one bottom half.  No element is held
 * between two runs, so there is nothing to migrate but the protocol's state.
 * The migration thread meets the device in the RamCfphProviderOps alone, under
 * VirtIOBalloonCFPH.lock.
 *
 * A registration is worth nothing unless the kernel that made it is the one
 * that runs.  It is forgotten on device reset, when DRIVER_OK goes away (bus
 * master off, as on kexec), when one of our queues is reset, when a migration
 * begins or ends, at UNREGISTER and at a malformed message; a broken device
 * has none.  It is never migrated.
 */

#include "qemu/osdep.h"
#include "qemu/iov.h"
#include "qemu/lockable.h"
#include "qemu/log.h"
#include "qemu/error-report.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "hw/virtio/virtio-balloon.h"
#include "virtio-balloon-cfph-misbehave.h"
#include "migration/vmstate.h"
#include "system/system.h"
#include "trace.h"

#define CMD_QUEUE_SIZE  128
#define MSG_QUEUE_SIZE  128

/* Messages handled before the main loop gets its turn: 256 KiB at most. */
#define MESSAGES_PER_RUN 16

/* Deltas that may wait for the migration thread: 1 MiB and one message. */
#define DELTA_WORDS_MAX (MiB / sizeof(uint64_t))

static VirtIODevice *cfph_vdev(VirtIOBalloon *s)
{
    return VIRTIO_DEVICE(s);
}

/* Rings may be touched: the guest drives the device and runs. */
static bool cfph_usable(VirtIOBalloon *s)
{
    return s->cfph.ready && cfph_vdev(s)->vm_running &&
           !virtio_device_disabled(cfph_vdev(s));
}

static void cfph_set_phase(VirtIOBalloonCFPH *c, VirtIOBalloonCFPHPhase phase)
{
    QEMU_LOCK_GUARD(&c->lock);
    c->phase = phase;
    qemu_cond_broadcast(&c->answered);
}

/* --- the registration --- */

/* Lock held. */
static void cfph_drop_map(VirtIOBalloonCFPH *c)
{
    g_clear_pointer(&c->map, ram_cfph_map_unref);
    g_clear_pointer(&c->deltas, g_array_unref);
    c->delta_pages = 0;
}

void virtio_balloon_cfph_drop(VirtIOBalloon *s, const char *why)
{
    VirtIOBalloonCFPH *c = &s->cfph;

    if (c->reg || c->map) {
        trace_virtio_balloon_cfph_forget(c->migration_id, c->round, why);
        c->stat.forgotten = why;
    }
    g_clear_pointer(&c->reg, ram_cfph_map_unref);
    c->reg_leaves = 0;

    QEMU_LOCK_GUARD(&c->lock);
    cfph_drop_map(c);
}

void virtio_balloon_cfph_forget(VirtIOBalloon *s, const char *why)
{
    if (!(s->cfph.mutants & BIT(RAM_CFPH_MUTANT_KEEP_REGISTRATION))) {
        virtio_balloon_cfph_drop(s, why);
    }
}

/* --- commands --- */

/* False: the guest has posted no (usable) buffer. */
static bool cfph_send(VirtIOBalloon *s, uint16_t command, uint32_t id,
                      uint32_t round)
{
    VirtIOBalloonCFPH *c = &s->cfph;
    const struct virtio_balloon_cfph_cmd cmd = {
        .version = cpu_to_le16(VIRTIO_BALLOON_CFPH_VERSION),
        .command = cpu_to_le16(command),
        .migration_id = cpu_to_le32(id),
        .round = cpu_to_le32(round),
    };

    /* A buffer can be too short at most as often as the ring has elements. */
    for (int i = 0; i < CMD_QUEUE_SIZE; i++) {
        g_autofree VirtQueueElement *elem =
            virtqueue_pop(c->cmd_vq, sizeof(VirtQueueElement));
        size_t n;

        if (!elem) {
            return false;
        }
        n = iov_size(elem->in_sg, elem->in_num) < sizeof(cmd) ? 0 :
            iov_from_buf(elem->in_sg, elem->in_num, 0, &cmd, sizeof(cmd));
        virtqueue_push(c->cmd_vq, elem, n);
        virtio_notify(cfph_vdev(s), c->cmd_vq);
        if (n) {
            c->stat.commands++;
            trace_virtio_balloon_cfph_command(id, round, command);
            return true;
        }
        if (!c->short_cmd_logged) {
            c->short_cmd_logged = true;
            qemu_log_mask(LOG_GUEST_ERROR, "virtio-balloon: buffer for a "
                          "free-page command is shorter than %zu bytes\n",
                          sizeof(cmd));
        }
    }
    return false;
}

/* Send what is pending, as far as the guest has posted buffers. */
static void cfph_flush_commands(VirtIOBalloon *s)
{
    VirtIOBalloonCFPH *c = &s->cfph;

    if (cfph_usable(s)) {
        if (c->stop_pending &&
            cfph_send(s, VIRTIO_BALLOON_CFPH_CMD_STOP, c->stop_id, 0)) {
            c->stop_pending = false;
            c->session_active = false;
        }
        if (!c->stop_pending && c->start_pending &&
            cfph_send(s, VIRTIO_BALLOON_CFPH_CMD_START, c->migration_id, 0)) {
            c->start_pending = false;
            c->session_active = true;
            cfph_set_phase(c, VIRTIO_BALLOON_CFPH_SENT);
        }
        if (!c->stop_pending && !c->start_pending && c->round_pending &&
            cfph_send(s, VIRTIO_BALLOON_CFPH_CMD_ROUND, c->migration_id,
                      c->round)) {
            c->round_pending = false;
        }
    }
    if (c->start_pending) {
        /* It stays pending, but nobody has to wait for an answer. */
        cfph_set_phase(c, VIRTIO_BALLOON_CFPH_UNSENT);
    }
}

/* --- messages --- */

/* Is there room for what one more message can say? */
static bool cfph_has_room(VirtIOBalloonCFPH *c)
{
    QEMU_LOCK_GUARD(&c->lock);
    return !c->deltas || (c->deltas->len < DELTA_WORDS_MAX &&
                          c->delta_pages <= c->page_budget);
}

static bool cfph_receive_one(VirtIOBalloon *s, void *buf)
{
    VirtIOBalloonCFPH *c = &s->cfph;
    g_autofree VirtQueueElement *elem =
        virtqueue_pop(c->msg_vq, sizeof(VirtQueueElement));
    size_t size;

    if (!elem) {
        return false;
    }
    /* Copied once, then checked; what is longer than allowed is cut off. */
    size = iov_to_buf(elem->out_sg, elem->out_num, 0, buf,
                      VIRTIO_BALLOON_CFPH_MESSAGE_MAX);
    virtio_balloon_cfph_message(s, buf, size);
    virtqueue_push(c->msg_vq, elem, 0);
    return true;
}

static void cfph_receive(VirtIOBalloon *s)
{
    VirtIOBalloonCFPH *c = &s->cfph;
    g_autofree void *buf = NULL;
    int n;

    if (!cfph_usable(s)) {
        return;
    }
    buf = g_malloc(VIRTIO_BALLOON_CFPH_MESSAGE_MAX);
    for (n = 0; n < MESSAGES_PER_RUN; n++) {
        /* When it is full: ops->take_deltas() schedules us again. */
        if (!cfph_has_room(c) || !cfph_receive_one(s, buf)) {
            break;
        }
    }
    if (n) {
        virtio_notify(cfph_vdev(s), c->msg_vq);
    }
    if (n == MESSAGES_PER_RUN) {
        qemu_bh_schedule(c->bh);
    }
    if (cfph_vdev(s)->broken) {
        virtio_balloon_cfph_forget(s, "the device is broken");
    }
}

static void cfph_handle_cmd_vq(VirtIODevice *vdev, VirtQueue *vq)
{
    cfph_flush_commands(VIRTIO_BALLOON(vdev));
}

static void cfph_handle_msg_vq(VirtIODevice *vdev, VirtQueue *vq)
{
    cfph_receive(VIRTIO_BALLOON(vdev));
}

static void cfph_bh(void *opaque)
{
    VirtIOBalloon *s = opaque;

    cfph_flush_commands(s);
    cfph_receive(s);
}

/* --- what RAM migration asks --- */

static uint32_t cfph_op_start(void *opaque)
{
    VirtIOBalloon *s = opaque;
    VirtIOBalloonCFPH *c = &s->cfph;

    virtio_balloon_cfph_forget(s, "a migration begins");
    c->start_pending = true;
    c->round_pending = false;
    c->round = 0;
    c->distrusted = false;
    c->next_sequence = 0;
    /* As much as two walks over all bitmaps. */
    c->page_budget = 2 * (ram_cfph_max_leaves() *
                          VIRTIO_BALLOON_CFPH_LEAF_PAGES);

    WITH_QEMU_LOCK_GUARD(&c->lock) {
        c->migration_id = c->migration_id == UINT32_MAX ?
                          1 : c->migration_id + 1;
        c->migrating = true;
        c->phase = cfph_usable(s) ? VIRTIO_BALLOON_CFPH_ASKED :
                                    VIRTIO_BALLOON_CFPH_UNSENT;
        c->stat.wait = "none";
        c->stat.wait_us = 0;
    }
    qemu_bh_schedule(c->bh);
    return c->migration_id;
}

static void cfph_op_round(void *opaque, uint32_t round)
{
    VirtIOBalloon *s = opaque;
    VirtIOBalloonCFPH *c = &s->cfph;

    /* Every sync that is filtered holds the BQL; START says round 0 itself. */
    c->round = round;
    c->round_pending = true;
    qemu_bh_schedule(c->bh);
}

static void cfph_op_stop(void *opaque)
{
    VirtIOBalloon *s = opaque;
    VirtIOBalloonCFPH *c = &s->cfph;

    virtio_balloon_cfph_forget(s, "the migration has ended");
    /* A guest that has not seen START need not hear STOP. */
    c->start_pending = false;
    c->round_pending = false;
    c->stop_pending = c->session_active;
    c->stop_id = c->migration_id;

    WITH_QEMU_LOCK_GUARD(&c->lock) {
        c->migrating = false;
        c->phase = VIRTIO_BALLOON_CFPH_IDLE;
        qemu_cond_broadcast(&c->answered);
    }
    qemu_bh_schedule(c->bh);
}

static void cfph_op_wait(void *opaque)
{
    VirtIOBalloon *s = opaque;
    VirtIOBalloonCFPH *c = &s->cfph;
    int64_t t0 = get_clock(), left_ns;
    int64_t limit_ns = (int64_t)c->start_wait_ms * SCALE_MS;

    QEMU_LOCK_GUARD(&c->lock);
    while (c->phase == VIRTIO_BALLOON_CFPH_ASKED ||
           c->phase == VIRTIO_BALLOON_CFPH_SENT) {
        left_ns = limit_ns - (get_clock() - t0);
        if (left_ns <= 0) {
            break;
        }
        qemu_cond_timedwait(&c->answered, &c->lock,
                            DIV_ROUND_UP(left_ns, SCALE_MS));
    }

    c->stat.wait_us = (get_clock() - t0) / SCALE_US;
    c->stat.wait = c->phase == VIRTIO_BALLOON_CFPH_STARTED ? "answered" :
                   c->phase == VIRTIO_BALLOON_CFPH_UNSENT ? "unsent" :
                   c->phase == VIRTIO_BALLOON_CFPH_IDLE ? "ended" : "timeout";
    trace_virtio_balloon_cfph_wait(c->migration_id, 1, c->stat.wait,
                                   c->stat.wait_us);
    if (!strcmp(c->stat.wait, "timeout") && limit_ns) {
        info_report("virtio-balloon: the guest has not answered within "
                    "%" PRIu32 " ms (" VIRTIO_BALLOON_CFPH_START_WAIT_PROP
                    "), migrating without its free-page hints until it does",
                    c->start_wait_ms);
    }
}

static RamCfphMap *cfph_op_get_map(void *opaque)
{
    VirtIOBalloon *s = opaque;
    VirtIOBalloonCFPH *c = &s->cfph;

    QEMU_LOCK_GUARD(&c->lock);
    return cfph_vdev(s)->broken ? NULL : ram_cfph_map_ref(c->map);
}

static GArray *cfph_op_take_deltas(void *opaque)
{
    VirtIOBalloon *s = opaque;
    VirtIOBalloonCFPH *c = &s->cfph;
    GArray *deltas;

    WITH_QEMU_LOCK_GUARD(&c->lock) {
        deltas = g_steal_pointer(&c->deltas);
        c->delta_pages = 0;
    }
    if (deltas) {
        /* The handler may have stopped for want of room. */
        qemu_bh_schedule(c->bh);
    }
    return deltas;
}

static const RamCfphProviderOps cfph_provider_ops = {
    .start = cfph_op_start,
    .round = cfph_op_round,
    .stop = cfph_op_stop,
    .wait = cfph_op_wait,
    .get_map = cfph_op_get_map,
    .take_deltas = cfph_op_take_deltas,
};

/* --- the device's life --- */

/*
 * Which index has a queue?  Linux counts the features that were negotiated,
 * QEMU those that were offered.  When the guest has turned down a feature that
 * has a queue below ours, the two disagree about ours: leave them alone.
 */
static bool cfph_queues_agree(VirtIOBalloon *s)
{
    const uint64_t below = BIT_ULL(VIRTIO_BALLOON_F_STATS_VQ) |
                           BIT_ULL(VIRTIO_BALLOON_F_FREE_PAGE_HINT) |
                           BIT_ULL(VIRTIO_BALLOON_F_REPORTING);
    VirtIODevice *vdev = cfph_vdev(s);

    return !(vdev->host_features & ~vdev->guest_features & below);
}

void virtio_balloon_cfph_set_status(VirtIOBalloon *s, uint8_t status)
{
    VirtIOBalloonCFPH *c = &s->cfph;
    bool ready = (status & VIRTIO_CONFIG_S_DRIVER_OK) &&
                 virtio_vdev_has_feature(cfph_vdev(s), VIRTIO_BALLOON_F_CFPH);

    if (c->misbehave) {
        virtio_balloon_cfph_misbehave_set_status(s, status);
    }
    if (!c->bh) {
        return;
    }
    if (ready && !cfph_queues_agree(s)) {
        ready = false;
        if (!c->rule_logged) {
            c->rule_logged = true;
            qemu_log_mask(LOG_GUEST_ERROR, "virtio-balloon: "
                          VIRTIO_BALLOON_CFPH_PROP " is ignored, because the "
                          "guest has turned down a feature with a queue "
                          "before its own\n");
        }
    }

    if (!ready) {
        virtio_balloon_cfph_forget(s, "the driver is gone");
        /* The next driver knows nothing of this one's session. */
        c->session_active = false;
        c->stop_pending = false;
        c->round_pending = false;
    } else if (!c->ready && c->migrating && !c->session_active) {
        /* A driver that arrives in the middle of a migration. */
        c->distrusted = false;
        c->next_sequence = 0;
        c->start_pending = true;
    }
    c->ready = ready;

    if (cfph_usable(s)) {
        /* Without ioeventfd nobody else looks at the queues after a stop. */
        qemu_bh_schedule(c->bh);
    }
}

void virtio_balloon_cfph_reset(VirtIOBalloon *s)
{
    virtio_balloon_cfph_set_status(s, 0);
}

void virtio_balloon_cfph_queue_reset(VirtIODevice *vdev, uint32_t queue_index)
{
    VirtIOBalloon *s = VIRTIO_BALLOON(vdev);
    VirtIOBalloonCFPH *c = &s->cfph;

    if (c->bh && (queue_index == virtio_get_queue_index(c->cmd_vq) ||
                  queue_index == virtio_get_queue_index(c->msg_vq))) {
        virtio_balloon_cfph_forget(s, "a queue was reset");
    }
}

bool virtio_balloon_cfph_check(VirtIOBalloon *s, Error **errp)
{
    if (!virtio_has_feature(s->host_features, VIRTIO_BALLOON_F_CFPH)) {
        return true;
    }
    if (virtio_has_feature(s->host_features, VIRTIO_BALLOON_F_FREE_PAGE_HINT)) {
        error_setg(errp, "'" VIRTIO_BALLOON_CFPH_PROP "' and 'free-page-hint' "
                   "exclude each other: set one of them to 'off'");
        return false;
    }
    if (s->cfph.start_wait_ms > VIRTIO_BALLOON_CFPH_START_WAIT_MAX_MS) {
        error_setg(errp, "'" VIRTIO_BALLOON_CFPH_START_WAIT_PROP "' is %" PRIu32
                   ", it must be 0 to %d", s->cfph.start_wait_ms,
                   VIRTIO_BALLOON_CFPH_START_WAIT_MAX_MS);
        return false;
    }
    if (s->cfph.look_percent > VIRTIO_BALLOON_CFPH_LOOK_MAX_PERCENT) {
        error_setg(errp, "'" VIRTIO_BALLOON_CFPH_LOOK_PROP "' is %" PRIu32
                   ", it must be 0 to %d", s->cfph.look_percent,
                   VIRTIO_BALLOON_CFPH_LOOK_MAX_PERCENT);
        return false;
    }
    if (s->cfph.mutants) {
        warn_report("virtio-balloon: '" VIRTIO_BALLOON_CFPH_MUTANT_PREFIX "*' "
                    "corrupts the memory of a guest that is migrated; it is "
                    "there to test the tests");
    }
    return virtio_balloon_cfph_misbehave_check(s, errp);
}

void virtio_balloon_cfph_realize(VirtIOBalloon *s)
{
    VirtIODevice *vdev = cfph_vdev(s);
    VirtIOBalloonCFPH *c = &s->cfph;

    if (!virtio_has_feature(s->host_features, VIRTIO_BALLOON_F_CFPH)) {
        return;
    }
    if (c->debug_misbehave) {
        virtio_balloon_cfph_misbehave_realize(s);
        return;
    }
    c->cmd_vq = virtio_add_queue(vdev, CMD_QUEUE_SIZE, cfph_handle_cmd_vq);
    c->msg_vq = virtio_add_queue(vdev, MSG_QUEUE_SIZE, cfph_handle_msg_vq);
    c->bh = virtio_bh_new_guarded(DEVICE(s), cfph_bh, s);
    ram_cfph_set_provider(&cfph_provider_ops, s);
}

void virtio_balloon_cfph_unrealize(VirtIOBalloon *s)
{
    VirtIOBalloonCFPH *c = &s->cfph;

    if (c->misbehave) {
        virtio_balloon_cfph_misbehave_unrealize(s);
    }
    if (!c->bh) {
        return;
    }
    ram_cfph_set_provider(NULL, NULL);
    virtio_balloon_cfph_drop(s, "the device is unplugged");
    g_clear_pointer(&c->bh, qemu_bh_delete);
    virtio_delete_queue(c->cmd_vq);
    virtio_delete_queue(c->msg_vq);
}

static bool cfph_needed(void *opaque)
{
    VirtIOBalloon *s = opaque;

    return virtio_vdev_has_feature(cfph_vdev(s), VIRTIO_BALLOON_F_CFPH);
}

static int cfph_post_load(void *opaque, int version_id)
{
    VirtIOBalloon *s = opaque;

    /*
     * The guest that has just arrived believes in a migration that is over.
     * STOP is the first thing that it hears, as soon as it runs: the rings
     * cannot be touched here, in postcopy their pages may be missing still.
     */
    s->cfph.stop_pending = s->cfph.session_active;
    s->cfph.stop_id = s->cfph.migration_id;
    return 0;
}

const VMStateDescription vmstate_virtio_balloon_cfph = {
    .name = "virtio-balloon-device/cfph",
    .version_id = 1,
    .minimum_version_id = 1,
    .needed = cfph_needed,
    .post_load = cfph_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(cfph.migration_id, VirtIOBalloon),
        VMSTATE_BOOL(cfph.session_active, VirtIOBalloon),
        VMSTATE_END_OF_LIST()
    }
};

void virtio_balloon_cfph_instance_init(Object *obj)
{
    VirtIOBalloonCFPH *c = &VIRTIO_BALLOON(obj)->cfph;

    qemu_mutex_init(&c->lock);
    qemu_cond_init(&c->answered);
    object_property_add(obj, VIRTIO_BALLOON_CFPH_STATUS_PROP, "struct",
                        virtio_balloon_cfph_get_status, NULL, NULL, NULL);
}
