/*
 * Virtio balloon: continuous free-page hints, the device
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Owns the two queues, the registration's life and the commands.  Knows no
 * dirty bitmap, and neither what is in a message (virtio-balloon-cfph-msg.c)
 * nor in the pages of the map (virtio-balloon-cfph-map.c).  What people may see
 * of the device is in virtio-balloon-cfph-status.c.
 *
 * All work on the rings is done in the main loop, under the BQL, while the VM
 * runs: by the queues' handlers and by one bottom half.  No element is held
 * between two runs, so there is nothing to migrate but the protocol's state.
 * The migration thread meets the device in the RamCfphProviderOps alone, under
 * VirtIOBalloonCFPH.lock.
 *
 * The registration is two numbers.  It stands from MAP until the guest takes it
 * back or it cannot be worth anything any more: the kernel that made it must be
 * the one that runs, with the memory that it had.  So it is forgotten on device
 * reset (a system reset comes as one), when DRIVER_OK goes away (bus master
 * off, as on kexec), when one of our queues is reset, when the device breaks,
 * at UNMAP, at a malformed message, when the map turns out to be none, and
 * before state is loaded.  It is not forgotten when a migration begins or ends,
 * nor when the VM stops, and it is part of the device's state: who gets the
 * memory gets the registration.  What it names is checked at each use.
 */

#include "qemu/osdep.h"
#include "qemu/iov.h"
#include "qemu/lockable.h"
#include "qemu/log.h"
#include "qemu/main-loop.h"
#include "qemu/error-report.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "hw/virtio/virtio-balloon.h"
#include "migration/vmstate.h"
#include "system/system.h"
#include "trace.h"
#ifdef CONFIG_CFPH_MUTANTS
#include "virtio-balloon-cfph-misbehave.h"
#endif

#define CMD_QUEUE_SIZE  128
#define MSG_QUEUE_SIZE  128

/*
 * Messages handled before the main loop gets its turn: 256 KiB at most, or what
 * can be done in 2 ms if that is less.
 */
#define MESSAGES_PER_RUN 16
#define RUN_NS_MAX      (2 * SCALE_MS)

/* Deltas that may wait for the migration thread, and one message more. */
#define DELTA_WORDS_MAX (MiB / sizeof(uint64_t))
#define DELTAS_MAX      8192

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

/* --- the registration --- */

/*
 * This looks at the device's status and not at cfph.ready: a destination that
 * has never run has loaded the one and knows nothing of the other yet.
 */
FreePageHintsReason virtio_balloon_cfph_no_driver(VirtIOBalloon *s)
{
    VirtIODevice *vdev = cfph_vdev(s);

    if (qatomic_read(&vdev->broken)) {
        return FREE_PAGE_HINTS_REASON_DEVICE_BROKEN;
    }
    if (!(vdev->status & VIRTIO_CONFIG_S_DRIVER_OK) ||
        !virtio_vdev_has_feature(vdev, VIRTIO_BALLOON_F_CFPH) ||
        !cfph_queues_agree(s)) {
        return FREE_PAGE_HINTS_REASON_NO_DRIVER;
    }
    return FREE_PAGE_HINTS_REASON_NONE;
}

/* Lock held. */
static void cfph_drop_deltas(VirtIOBalloonCFPH *c)
{
    g_clear_pointer(&c->deltas, g_array_unref);
    c->nr_deltas = 0;
    c->delta_pages = 0;
}

void virtio_balloon_cfph_drop(VirtIOBalloon *s, FreePageHintsReason reason,
                              const char *why)
{
    VirtIOBalloonCFPH *c = &s->cfph;

    if (c->map_generation) {
        trace_virtio_balloon_cfph_forget(c->migration_id, c->round,
                                         c->map_generation, why);
    }
    c->map_generation = 0;
    c->map_header = 0;
    c->map_reason = reason;
    c->leaves = 0;
    cfph_drop_deltas(c);
}

void virtio_balloon_cfph_forget(VirtIOBalloon *s, FreePageHintsReason reason,
                                const char *why)
{
    VirtIOBalloonCFPH *c = &s->cfph;

    if (!virtio_balloon_cfph_mutant(c, RAM_CFPH_MUTANT_KEEP_REGISTRATION)) {
        QEMU_LOCK_GUARD(&c->lock);
        virtio_balloon_cfph_drop(s, reason, why);
    }
}

/* The driver, or its memory, is another one from now on. */
static void cfph_forget_driver(VirtIOBalloon *s, const char *why)
{
    VirtIOBalloonCFPH *c = &s->cfph;

    virtio_balloon_cfph_forget(s, FREE_PAGE_HINTS_REASON_NO_MAP, why);
    /* The next driver knows nothing of this one's session. */
    c->session_active = false;
    c->answered = false;
    c->stop_pending = false;
    c->round_pending = false;
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

    if (!cfph_usable(s)) {
        return;
    }
    if (c->stop_pending &&
        cfph_send(s, VIRTIO_BALLOON_CFPH_CMD_STOP, c->stop_id, 0)) {
        c->stop_pending = false;
        c->session_active = false;
    }
    if (!c->stop_pending && c->start_pending &&
        cfph_send(s, VIRTIO_BALLOON_CFPH_CMD_START, c->migration_id, 0)) {
        c->start_pending = false;
        c->session_active = true;
    }
    if (!c->stop_pending && !c->start_pending && c->round_pending &&
        cfph_send(s, VIRTIO_BALLOON_CFPH_CMD_ROUND, c->migration_id,
                  c->round)) {
        c->round_pending = false;
    }
}

/* --- messages --- */

/* Is there room for what one more message can say? */
static bool cfph_has_room(VirtIOBalloonCFPH *c)
{
    QEMU_LOCK_GUARD(&c->lock);
    return !c->deltas || (c->deltas->len < DELTA_WORDS_MAX &&
                          c->nr_deltas < DELTAS_MAX &&
                          c->delta_pages < c->page_budget / 2);
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
    virtio_balloon_cfph_message(s, buf, size, elem->in_num);
    virtqueue_push(c->msg_vq, elem, 0);
    return true;
}

static void cfph_receive(VirtIOBalloon *s)
{
    VirtIOBalloonCFPH *c = &s->cfph;
    g_autofree void *buf = NULL;
    int64_t end = get_clock() + RUN_NS_MAX;
    int n = 0;
    bool more;

    if (!cfph_usable(s)) {
        return;
    }
    buf = g_malloc(VIRTIO_BALLOON_CFPH_MESSAGE_MAX);
    do {
        /* When it is full: ops->take_deltas() schedules us again. */
        more = cfph_has_room(c) && cfph_receive_one(s, buf);
        n += more;
    } while (more && n < MESSAGES_PER_RUN && get_clock() < end);
    if (n) {
        virtio_notify(cfph_vdev(s), c->msg_vq);
    }
    if (more) {
        qemu_bh_schedule(c->bh);
    }
    if (cfph_vdev(s)->broken) {
        virtio_balloon_cfph_forget(s, FREE_PAGE_HINTS_REASON_NO_MAP,
                                   "the device is broken");
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

    assert(bql_locked());
    c->migration_id = c->migration_id == UINT32_MAX ? 1 : c->migration_id + 1;
    c->migrating = true;
    c->start_pending = true;
    c->round_pending = false;
    c->answered = false;
    c->round = 0;
    c->next_sequence = 0;
    /*
     * As much as two walks over all bitmaps; when one is used up, messages
     * wait.
     */
    c->page_budget = 2 * ram_cfph_max_pages();

    WITH_QEMU_LOCK_GUARD(&c->lock) {
        cfph_drop_deltas(c);
    }
    qemu_bh_schedule(c->bh);
    return c->migration_id;
}

static void cfph_op_round(void *opaque, uint32_t round)
{
    VirtIOBalloon *s = opaque;
    VirtIOBalloonCFPH *c = &s->cfph;

    assert(bql_locked());
    /* START says round 0 itself. */
    c->round = round;
    c->round_pending = true;
    qemu_bh_schedule(c->bh);
}

static void cfph_op_stop(void *opaque)
{
    VirtIOBalloon *s = opaque;
    VirtIOBalloonCFPH *c = &s->cfph;

    assert(bql_locked());
    /* A guest that has not seen START need not hear STOP. */
    c->migrating = false;
    c->start_pending = false;
    c->round_pending = false;
    c->answered = false;
    c->stop_pending = c->session_active;
    c->stop_id = c->migration_id;

    WITH_QEMU_LOCK_GUARD(&c->lock) {
        cfph_drop_deltas(c);
    }
    qemu_bh_schedule(c->bh);
}

static GArray *cfph_op_take_deltas(void *opaque)
{
    VirtIOBalloon *s = opaque;
    VirtIOBalloonCFPH *c = &s->cfph;
    GArray *deltas;

    WITH_QEMU_LOCK_GUARD(&c->lock) {
        deltas = g_steal_pointer(&c->deltas);
        cfph_drop_deltas(c);
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
    .read_map = virtio_balloon_cfph_read_map,
    .take_deltas = cfph_op_take_deltas,
};

/* --- what another QEMU has to know before anything else --- */

static bool cfph_needed(void *opaque)
{
    VirtIOBalloon *s = opaque;

    return virtio_vdev_has_feature(cfph_vdev(s), VIRTIO_BALLOON_F_CFPH);
}

/*
 * Features are part of the device's state, which follows all of the RAM.  This
 * is empty, goes ahead of the RAM, and is there if the guest has the feature: a
 * QEMU that does not have it on, or does not know it, ends at once and names
 * the property, because that is what the section is called.
 */
static const VMStateDescription vmstate_cfph_in_use = {
    .name = VIRTIO_BALLOON_CFPH_PROP,
    .version_id = 1,
    .minimum_version_id = 1,
    .early_setup = true,
    .needed = cfph_needed,
    .fields = (const VMStateField[]) {
        VMSTATE_END_OF_LIST()
    }
};

/* --- the device's life --- */

void virtio_balloon_cfph_set_status(VirtIOBalloon *s, uint8_t status)
{
    VirtIOBalloonCFPH *c = &s->cfph;
    bool driver_ok = status & VIRTIO_CONFIG_S_DRIVER_OK;
    bool ready = driver_ok &&
                 virtio_vdev_has_feature(cfph_vdev(s), VIRTIO_BALLOON_F_CFPH);

#ifdef CONFIG_CFPH_MUTANTS
    virtio_balloon_cfph_misbehave_set_status(s, status);
#endif
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
        cfph_forget_driver(s, "the driver is gone");
    } else if (!c->ready && c->migrating && !c->session_active) {
        /* A driver that arrives in the middle of a migration. */
        c->answered = false;
        c->next_sequence = 0;
        c->start_pending = true;
    }
    if (!driver_ok) {
        c->rule_logged = false;
        c->malformed_logged = false;
        c->short_cmd_logged = false;
        QEMU_LOCK_GUARD(&c->lock);
        c->bad_map_logged = false;
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
        virtio_balloon_cfph_forget(s, FREE_PAGE_HINTS_REASON_NO_MAP,
                                   "a queue was reset");
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
    if (s->cfph.look_percent > VIRTIO_BALLOON_CFPH_LOOK_MAX_PERCENT) {
        error_setg(errp, "'" VIRTIO_BALLOON_CFPH_LOOK_PROP "' is %" PRIu32
                   ", it must be 0 to %d", s->cfph.look_percent,
                   VIRTIO_BALLOON_CFPH_LOOK_MAX_PERCENT);
        return false;
    }
#ifdef CONFIG_CFPH_MUTANTS
    if (s->cfph.mutants) {
        warn_report("virtio-balloon: '" VIRTIO_BALLOON_CFPH_MUTANT_PREFIX "*' "
                    "corrupts the memory of a guest that is migrated; it is "
                    "there to test the tests");
    }
    if (!virtio_balloon_cfph_misbehave_check(s, errp)) {
        return false;
    }
#endif
    return true;
}

void virtio_balloon_cfph_realize(VirtIOBalloon *s)
{
    VirtIODevice *vdev = cfph_vdev(s);
    VirtIOBalloonCFPH *c = &s->cfph;

    if (!virtio_has_feature(s->host_features, VIRTIO_BALLOON_F_CFPH)) {
        return;
    }
#ifdef CONFIG_CFPH_MUTANTS
    if (virtio_balloon_cfph_misbehave_realize(s)) {
        return;
    }
#endif
    vmstate_register_any(NULL, &vmstate_cfph_in_use, s);
    c->cmd_vq = virtio_add_queue(vdev, CMD_QUEUE_SIZE, cfph_handle_cmd_vq);
    c->msg_vq = virtio_add_queue(vdev, MSG_QUEUE_SIZE, cfph_handle_msg_vq);
    c->bh = virtio_bh_new_guarded(DEVICE(s), cfph_bh, s);
    c->checked = g_array_new(false, false, sizeof(uint64_t));
    ram_cfph_set_provider(&(RamCfphProvider) {
        .ops = &cfph_provider_ops,
        .opaque = s,
        .look_percent = c->look_percent,
#ifdef CONFIG_CFPH_MUTANTS
        .mutants = c->mutants,
#endif
    });
}

void virtio_balloon_cfph_unrealize(VirtIOBalloon *s)
{
    VirtIOBalloonCFPH *c = &s->cfph;

#ifdef CONFIG_CFPH_MUTANTS
    virtio_balloon_cfph_misbehave_unrealize(s);
#endif
    if (!c->bh) {
        return;
    }
    vmstate_unregister(NULL, &vmstate_cfph_in_use, s);
    ram_cfph_set_provider(NULL);
    WITH_QEMU_LOCK_GUARD(&c->lock) {
        virtio_balloon_cfph_drop(s, FREE_PAGE_HINTS_REASON_NO_DEVICE,
                                 "the device is unplugged");
    }
    g_clear_pointer(&c->checked, g_array_unref);
    g_clear_pointer(&c->bh, qemu_bh_delete);
    virtio_delete_queue(c->cmd_vq);
    virtio_delete_queue(c->msg_vq);
}

int virtio_balloon_cfph_pre_load(void *opaque)
{
    /*
     * Memory has been replaced, or will be; a state that has no section of
     * ours leaves nothing registered.
     */
    cfph_forget_driver(opaque, "state is loaded");
    return 0;
}

/* What is wrong with a state that was loaded, NULL if nothing is. */
static const char *cfph_check_loaded(VirtIOBalloon *s)
{
    VirtIOBalloonCFPH *c = &s->cfph;

    if (!c->map_generation != !c->map_header) {
        return "half a map";
    }
    if (c->map_header & (VIRTIO_BALLOON_CFPH_LEAF_BYTES - 1)) {
        return "an unaligned header page";
    }
    if (c->session_active && !c->migration_id) {
        return "a session without a migration";
    }
    if ((c->map_generation || c->session_active) && !cfph_queues_agree(s)) {
        return "a map or a session of a guest that has turned down a feature "
               "with a queue before our own";
    }
    return NULL;
}

static int cfph_post_load(void *opaque, int version_id)
{
    VirtIOBalloon *s = opaque;
    VirtIOBalloonCFPH *c = &s->cfph;
    const char *reason;

    WITH_QEMU_LOCK_GUARD(&c->lock) {
        reason = cfph_check_loaded(s);
        if (reason) {
            /* The guest is right all the same, it does without hints. */
            virtio_balloon_cfph_drop(s, FREE_PAGE_HINTS_REASON_NO_MAP,
                                     "nonsense in the state that was loaded");
            c->session_active = false;
        } else if (c->map_generation) {
            c->map_reason = FREE_PAGE_HINTS_REASON_NONE;
        }
    }
    if (reason) {
        qemu_log_mask(LOG_GUEST_ERROR, "virtio-balloon: the state of free-page "
                      "hints that was loaded has %s; it is ignored\n", reason);
    }

    /*
     * The guest that has just arrived believes in a migration that is over.
     * STOP is the first thing that it hears, as soon as it runs: the rings
     * cannot be touched here, in postcopy their pages may be missing still.
     */
    c->stop_pending = c->session_active;
    c->stop_id = c->migration_id;
    return 0;
}

const VMStateDescription vmstate_virtio_balloon_cfph = {
    .name = "virtio-balloon-device/cfph",
    .version_id = 2,
    .minimum_version_id = 2,
    .needed = cfph_needed,
    .post_load = cfph_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(cfph.migration_id, VirtIOBalloon),
        VMSTATE_BOOL(cfph.session_active, VirtIOBalloon),
        VMSTATE_UINT64(cfph.map_generation, VirtIOBalloon),
        VMSTATE_UINT64(cfph.map_header, VirtIOBalloon),
        VMSTATE_END_OF_LIST()
    }
};

void virtio_balloon_cfph_instance_init(Object *obj)
{
    VirtIOBalloonCFPH *c = &VIRTIO_BALLOON(obj)->cfph;

    qemu_mutex_init(&c->lock);
    c->map_reason = FREE_PAGE_HINTS_REASON_NO_MAP;
    object_property_add(obj, VIRTIO_BALLOON_CFPH_STATUS_PROP,
                        "VirtioBalloonCfphStatus",
                        virtio_balloon_cfph_get_status, NULL, NULL, NULL);
}

void virtio_balloon_cfph_instance_finalize(Object *obj)
{
    qemu_mutex_destroy(&VIRTIO_BALLOON(obj)->cfph.lock);
}
