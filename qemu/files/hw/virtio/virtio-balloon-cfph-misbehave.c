/*
 * Virtio balloon: continuous free-page hints, a host that breaks the rules
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A debugging aid: with VIRTIO_BALLOON_CFPH_MISBEHAVE_PROP=<way> the two
 * queues belong to this file, and the real device has none.  A guest's driver
 * must live with every way: stay responsive, keep its map right, and leave when
 * it is told to.  No migration is needed: the commands come from a timer.
 *
 * It is no provider of RAM migration, so migrations go without hints, and it
 * keeps no state that could be migrated: do not migrate with it.  It knows
 * nothing of what is in a message.  Everything runs in the main loop, under the
 * BQL.
 */

#include "qemu/osdep.h"
#include "qemu/iov.h"
#include "qemu/error-report.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "virtio-balloon-cfph-misbehave.h"

#define MIS_QUEUE_SIZE  128
#define MIS_TICK_NS     (2 * SCALE_MS)
/* "reorder": idle ticks after which what is held is returned, too. */
#define MIS_PATIENCE    5
/* "broken": messages before the device breaks. */
#define MIS_BREAK_AFTER 5

typedef enum MisWay {
    MIS_HOLD,           /* messages are never returned */
    MIS_REORDER,        /* messages and commands come back in another order */
    MIS_LENGTHS,        /* used lengths are lies */
    MIS_UNKNOWN,        /* commands that do not exist, or not now */
    MIS_FLOOD,          /* START, ROUND and STOP as fast as the guest listens */
    MIS_TWICE,          /* a message is returned twice */
    MIS_FOREIGN,        /* a message is returned that never was there */
    MIS_BROKEN,         /* DEVICE_NEEDS_RESET in the middle of a session */
    MIS_WAYS,
} MisWay;

static const char *const mis_names[MIS_WAYS] = {
    [MIS_HOLD] = "hold",
    [MIS_REORDER] = "reorder",
    [MIS_LENGTHS] = "lengths",
    [MIS_UNKNOWN] = "unknown",
    [MIS_FLOOD] = "flood",
    [MIS_TWICE] = "twice",
    [MIS_FOREIGN] = "foreign",
    [MIS_BROKEN] = "broken",
};

struct VirtIOBalloonCFPHMisbehave {
    MisWay way;
    VirtIOBalloon *balloon;
    VirtQueue *cmd_vq, *msg_vq;
    QEMUTimer *timer;
    /* Of the driver that drives now: 0 after a reset. */
    bool started;
    uint32_t ticks, migration_id, round, messages, idle;
    /* "reorder", "twice": elements that have been popped. */
    VirtQueueElement *held[MIS_QUEUE_SIZE];
    unsigned nr_held;
    /* Rules broken since the device was made: tests wait for it. */
    uint64_t misdeeds;
};

typedef struct VirtIOBalloonCFPHMisbehave Mis;

static VirtIODevice *mis_vdev(Mis *m)
{
    return VIRTIO_DEVICE(m->balloon);
}

static bool mis_usable(Mis *m)
{
    VirtIODevice *vdev = mis_vdev(m);

    return vdev->vm_running && !virtio_device_disabled(vdev) &&
           (vdev->status & VIRTIO_CONFIG_S_DRIVER_OK) &&
           virtio_vdev_has_feature(vdev, VIRTIO_BALLOON_F_CFPH);
}

/* --- commands --- */

/* False: the guest has posted no buffer. */
static bool mis_send(Mis *m, uint16_t version, uint16_t command, uint32_t id,
                     uint32_t round, unsigned used)
{
    const struct virtio_balloon_cfph_cmd cmd = {
        .version = cpu_to_le16(version),
        .command = cpu_to_le16(command),
        .migration_id = cpu_to_le32(id),
        .round = cpu_to_le32(round),
        .argument = cpu_to_le32(g_random_int()),
    };
    g_autofree VirtQueueElement *elem =
        virtqueue_pop(m->cmd_vq, sizeof(VirtQueueElement));

    if (!elem) {
        return false;
    }
    iov_from_buf(elem->in_sg, elem->in_num, 0, &cmd, sizeof(cmd));
    virtqueue_push(m->cmd_vq, elem, used);
    virtio_notify(mis_vdev(m), m->cmd_vq);
    return true;
}

static bool mis_good(Mis *m, uint16_t command)
{
    return mis_send(m, VIRTIO_BALLOON_CFPH_VERSION, command, m->migration_id,
                    m->round, sizeof(struct virtio_balloon_cfph_cmd));
}

/* A session without a migration: START now and then, ROUNDs in between. */
static void mis_session(Mis *m)
{
    if (m->started && m->ticks % 512 == 0) {
        mis_good(m, VIRTIO_BALLOON_CFPH_CMD_STOP);
        m->started = false;
    }
    if (!m->started) {
        m->migration_id++;
        m->round = 0;
        m->started = mis_good(m, VIRTIO_BALLOON_CFPH_CMD_START);
    } else if (m->ticks % 16 == 0) {
        m->round++;
        mis_good(m, VIRTIO_BALLOON_CFPH_CMD_ROUND);
    }
}

/* Each is to be ignored by the guest, and to be counted. */
static void mis_unknown(Mis *m)
{
    const uint16_t good = VIRTIO_BALLOON_CFPH_VERSION;
    const unsigned all = sizeof(struct virtio_balloon_cfph_cmd);
    uint16_t any = g_random_int_range(VIRTIO_BALLOON_CFPH_CMD_STOP + 1,
                                      UINT16_MAX + 1);
    uint32_t id = g_random_int() | 1;
    bool sent;

    switch (m->ticks % 6) {
    case 0:
        sent = mis_send(m, good, any, id, g_random_int(), all);
        break;
    case 1:     /* no such command */
        sent = mis_send(m, good, 0, id, 0, all);
        break;
    case 2:     /* another version */
        sent = mis_send(m, good + 1 + g_random_int_range(0, 1000),
                        VIRTIO_BALLOON_CFPH_CMD_START, id, 0, all);
        break;
    case 3:     /* the id that no migration has */
        sent = mis_send(m, good, VIRTIO_BALLOON_CFPH_CMD_START, 0, 0, all);
        break;
    case 4:     /* a migration that the guest has not heard of */
        sent = mis_send(m, good, VIRTIO_BALLOON_CFPH_CMD_ROUND, id, 1, all);
        break;
    default:    /* too short, though what is behind it would do */
        sent = mis_send(m, good, VIRTIO_BALLOON_CFPH_CMD_START, id, 0,
                        g_random_int_range(0, all));
        break;
    }
    m->misdeeds += sent;
}

/* Good commands with a length that is a lie. */
static void mis_lengths(Mis *m)
{
    static const unsigned lies[] = {
        sizeof(struct virtio_balloon_cfph_cmd) + 1, 4096, 65536, INT_MAX,
        (unsigned)INT_MAX + 1, UINT_MAX,
    };
    unsigned lie = lies[m->ticks / 16 % ARRAY_SIZE(lies)];

    uint16_t command = m->started ? VIRTIO_BALLOON_CFPH_CMD_ROUND :
                                    VIRTIO_BALLOON_CFPH_CMD_START;

    if (m->ticks % 16) {
        return;
    }
    if (mis_send(m, VIRTIO_BALLOON_CFPH_VERSION, command, 1, m->round, lie)) {
        m->started = true;
        m->round++;
        m->misdeeds++;
    }
}

static void mis_flood(Mis *m)
{
    static const uint16_t commands[] = {
        VIRTIO_BALLOON_CFPH_CMD_START, VIRTIO_BALLOON_CFPH_CMD_ROUND,
        VIRTIO_BALLOON_CFPH_CMD_STOP, VIRTIO_BALLOON_CFPH_CMD_START,
        VIRTIO_BALLOON_CFPH_CMD_START, VIRTIO_BALLOON_CFPH_CMD_ROUND,
        VIRTIO_BALLOON_CFPH_CMD_ROUND, VIRTIO_BALLOON_CFPH_CMD_STOP,
        VIRTIO_BALLOON_CFPH_CMD_STOP,
    };

    for (;;) {
        uint16_t command = commands[m->round % ARRAY_SIZE(commands)];

        if (command == VIRTIO_BALLOON_CFPH_CMD_START) {
            /* Not 0, or it would not count. */
            m->migration_id = m->migration_id % UINT32_MAX + 1;
        }
        if (!mis_good(m, command)) {
            break;
        }
        m->round++;
        m->misdeeds++;
    }
}

/* Return all command buffers in the wrong order, each with a good command. */
static void mis_reorder_commands(Mis *m)
{
    VirtQueueElement *elems[MIS_QUEUE_SIZE];
    struct virtio_balloon_cfph_cmd cmd = {
        .version = cpu_to_le16(VIRTIO_BALLOON_CFPH_VERSION),
        .command = cpu_to_le16(VIRTIO_BALLOON_CFPH_CMD_ROUND),
        .migration_id = cpu_to_le32(m->migration_id),
    };
    unsigned n = 0;

    while (n < ARRAY_SIZE(elems) &&
           (elems[n] = virtqueue_pop(m->cmd_vq, sizeof(VirtQueueElement)))) {
        n++;
    }
    m->misdeeds += n > 1;
    while (n) {
        cmd.round = cpu_to_le32(m->round++);
        n--;
        iov_from_buf(elems[n]->in_sg, elems[n]->in_num, 0, &cmd, sizeof(cmd));
        virtqueue_push(m->cmd_vq, elems[n], sizeof(cmd));
        g_free(elems[n]);
    }
    virtio_notify(mis_vdev(m), m->cmd_vq);
}

/* --- messages --- */

static void mis_return(Mis *m, VirtQueueElement *elem, unsigned used)
{
    virtqueue_push(m->msg_vq, elem, used);
    g_free(elem);
}

/* The guest's pool is empty, or it has nothing more to say: give all back. */
static void mis_reorder_messages(Mis *m)
{
    if (!m->nr_held) {
        return;
    }
    m->misdeeds += m->nr_held > 1;
    while (m->nr_held) {
        unsigned i = g_random_int_range(0, m->nr_held);

        mis_return(m, m->held[i], 0);
        m->held[i] = m->held[--m->nr_held];
    }
    virtio_notify(mis_vdev(m), m->msg_vq);
}

/*
 * Return the buffer @id, which may be none.  An element without segments, so
 * that nothing is unmapped; one popped element that is never returned makes up
 * for it, because QEMU counts, too.
 */
static void mis_return_id(Mis *m, unsigned id)
{
    VirtQueueElement none = { .index = id, .ndescs = 1 };

    virtqueue_push(m->msg_vq, &none, 0);
    m->misdeeds++;
}

static void mis_twice(Mis *m, VirtQueueElement *elem)
{
    unsigned id = elem->index;

    m->messages++;
    if (m->messages % 2 && m->nr_held < ARRAY_SIZE(m->held)) {
        m->held[m->nr_held++] = elem;
        return;
    }
    if (m->way == MIS_FOREIGN) {
        /* Not in the ring at all, or not in use. */
        mis_return_id(m, m->misdeeds % 2 ? MIS_QUEUE_SIZE - 1 : 0xfffff);
        mis_return(m, elem, 0);
        return;
    }
    mis_return(m, elem, 0);
    mis_return_id(m, id);
}

/* Does the driver know which buffers it has got back? */
static void mis_check_unheld(Mis *m, const VirtQueueElement *elem)
{
    for (unsigned i = 0; i < m->nr_held; i++) {
        if (elem->out_num && m->held[i]->out_num &&
            elem->out_addr[0] == m->held[i]->out_addr[0]) {
            error_report("virtio-balloon: the driver sends buffer 0x%" PRIx64
                         ", which it has not got back", elem->out_addr[0]);
        }
    }
}

static void mis_message(Mis *m, VirtQueueElement *elem)
{
    m->idle = 0;
    switch (m->way) {
    case MIS_REORDER:
        mis_check_unheld(m, elem);
        m->held[m->nr_held++] = elem;
        if (m->nr_held == ARRAY_SIZE(m->held)) {
            mis_reorder_messages(m);
        }
        return;
    case MIS_TWICE:
    case MIS_FOREIGN:
        mis_twice(m, elem);
        break;
    case MIS_LENGTHS:
        /* A buffer that the device must not write to: any length is a lie. */
        mis_return(m, elem, g_random_int() | 1);
        m->misdeeds++;
        break;
    default:
        mis_return(m, elem, 0);
        break;
    }
    virtio_notify(mis_vdev(m), m->msg_vq);

    if (m->way == MIS_BROKEN && ++m->messages == MIS_BREAK_AFTER) {
        m->misdeeds++;
        virtio_error(mis_vdev(m), "virtio-balloon: broken on purpose ("
                     VIRTIO_BALLOON_CFPH_MISBEHAVE_PROP ")");
    }
}

static void mis_handle_msg_vq(VirtIODevice *vdev, VirtQueue *vq)
{
    Mis *m = VIRTIO_BALLOON(vdev)->cfph.misbehave;
    VirtQueueElement *elem;

    if (m->way == MIS_HOLD) {
        m->misdeeds++;          /* as good as any way to see that one came */
        return;
    }
    while (mis_usable(m) &&
           (elem = virtqueue_pop(vq, sizeof(VirtQueueElement)))) {
        mis_message(m, elem);
    }
}

/*
 * The driver has posted buffers.  Without ioeventfd this runs within its kick:
 * a driver that takes what it finds until it finds nothing never gets out.
 */
static void mis_handle_cmd_vq(VirtIODevice *vdev, VirtQueue *vq)
{
    Mis *m = VIRTIO_BALLOON(vdev)->cfph.misbehave;

    if (mis_usable(m) && m->way == MIS_FLOOD) {
        mis_flood(m);
    }
}

/* --- life --- */

/*
 * The driver is gone.  What QEMU counts as in use may be wrong after this, when
 * buffers were returned that never were there; a reset sets it right.
 */
static void mis_forget(Mis *m)
{
    while (m->nr_held) {
        virtqueue_detach_element(m->msg_vq, m->held[--m->nr_held], 0);
        g_free(m->held[m->nr_held]);
    }
    m->started = false;
    m->ticks = m->migration_id = m->round = m->messages = m->idle = 0;
}

void virtio_balloon_cfph_misbehave_set_status(VirtIOBalloon *s, uint8_t status)
{
    if (s->cfph.misbehave && !(status & VIRTIO_CONFIG_S_DRIVER_OK)) {
        mis_forget(s->cfph.misbehave);
    }
}

static void mis_tick(void *opaque)
{
    Mis *m = opaque;

    timer_mod(m->timer, qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + MIS_TICK_NS);
    if (!mis_usable(m)) {
        return;
    }
    switch (m->way) {
    case MIS_UNKNOWN:
        mis_unknown(m);
        break;
    case MIS_LENGTHS:
        mis_lengths(m);
        break;
    case MIS_FLOOD:
        mis_flood(m);
        break;
    case MIS_REORDER:
        if (m->started && m->ticks % 8 == 4) {
            mis_reorder_commands(m);
        } else {
            mis_session(m);
        }
        if (++m->idle > MIS_PATIENCE) {
            mis_reorder_messages(m);
        }
        break;
    default:
        mis_session(m);
        break;
    }
    m->ticks++;
}

static void mis_get_misdeeds(Object *obj, Visitor *v, const char *name,
                             void *opaque, Error **errp)
{
    visit_type_uint64(v, name, &VIRTIO_BALLOON(obj)->cfph.misbehave->misdeeds,
                      errp);
}

static int mis_way(const char *name)
{
    for (int i = 0; i < MIS_WAYS; i++) {
        if (!strcmp(name, mis_names[i])) {
            return i;
        }
    }
    return -1;
}

bool virtio_balloon_cfph_misbehave_check(VirtIOBalloon *s, Error **errp)
{
    const char *name = s->cfph.debug_misbehave;
    g_autofree char *ways = NULL;

    if (!name) {
        return true;
    }
    if (mis_way(name) < 0) {
        const char *all[MIS_WAYS + 1] = { NULL };

        memcpy(all, mis_names, sizeof(mis_names));
        ways = g_strjoinv(", ", (char **)all);
        error_setg(errp, "'" VIRTIO_BALLOON_CFPH_MISBEHAVE_PROP "' is '%s', it "
                   "must be one of %s", name, ways);
        return false;
    }
    warn_report("virtio-balloon: '" VIRTIO_BALLOON_CFPH_MISBEHAVE_PROP "=%s' "
                "breaks the rules of virtio; it is there to test drivers",
                name);
    return true;
}

bool virtio_balloon_cfph_misbehave_realize(VirtIOBalloon *s)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(s);
    Mis *m;

    if (!s->cfph.debug_misbehave) {
        return false;
    }
    m = g_new0(Mis, 1);
    s->cfph.misbehave = m;
    m->balloon = s;
    m->way = mis_way(s->cfph.debug_misbehave);
    m->cmd_vq = virtio_add_queue(vdev, MIS_QUEUE_SIZE, mis_handle_cmd_vq);
    m->msg_vq = virtio_add_queue(vdev, MIS_QUEUE_SIZE, mis_handle_msg_vq);
    m->timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, mis_tick, m);
    timer_mod(m->timer, qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + MIS_TICK_NS);
    object_property_add(OBJECT(s), VIRTIO_BALLOON_CFPH_MISDEEDS_PROP, "uint64",
                        mis_get_misdeeds, NULL, NULL, NULL);
    return true;
}

void virtio_balloon_cfph_misbehave_unrealize(VirtIOBalloon *s)
{
    Mis *m = s->cfph.misbehave;

    if (!m) {
        return;
    }
    object_property_del(OBJECT(s), VIRTIO_BALLOON_CFPH_MISDEEDS_PROP);
    timer_free(m->timer);
    mis_forget(m);
    virtio_delete_queue(m->cmd_vq);
    virtio_delete_queue(m->msg_vq);
    g_free(m);
    s->cfph.misbehave = NULL;
}
