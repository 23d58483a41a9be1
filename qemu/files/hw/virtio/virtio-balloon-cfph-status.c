/*
 * Virtio balloon: continuous free-page hints, the status property
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What an operator, or a test, can see of the device.  Reads only; under the
 * BQL, and under the device's lock where the migration thread writes.
 */

#include "qemu/osdep.h"
#include "qemu/lockable.h"
#include "qapi/qapi-visit-virtio.h"
#include "hw/virtio/virtio-balloon.h"

static VirtioBalloonCfphSession cfph_session(VirtIOBalloon *s)
{
    VirtIOBalloonCFPH *c = &s->cfph;

    if (!c->bh) {
        return VIRTIO_BALLOON_CFPH_SESSION_OFF;
    }
    if (virtio_balloon_cfph_no_driver(s) != FREE_PAGE_HINTS_REASON_NONE) {
        return VIRTIO_BALLOON_CFPH_SESSION_NO_DRIVER;
    }
    if (!c->migrating) {
        return VIRTIO_BALLOON_CFPH_SESSION_IDLE;
    }
    return c->answered ? VIRTIO_BALLOON_CFPH_SESSION_STARTED :
           c->start_pending ? VIRTIO_BALLOON_CFPH_SESSION_ASKING :
           VIRTIO_BALLOON_CFPH_SESSION_ASKED;
}

/* Lock held. */
static FreePageHintsReason cfph_reason(VirtIOBalloon *s)
{
    FreePageHintsReason reason = virtio_balloon_cfph_no_driver(s);

    if (!s->cfph.bh) {
        return FREE_PAGE_HINTS_REASON_NO_DEVICE;
    }
    return reason != FREE_PAGE_HINTS_REASON_NONE ? reason : s->cfph.map_reason;
}

void virtio_balloon_cfph_get_status(Object *obj, Visitor *v, const char *name,
                                    void *opaque, Error **errp)
{
    VirtIOBalloon *s = VIRTIO_BALLOON(obj);
    VirtIOBalloonCFPH *c = &s->cfph;
    VirtioBalloonCfphStatus status = {
        .state = cfph_session(s),
        .session_active = c->session_active,
        .migration_id = c->migration_id,
        .round = c->round,
        .commands = c->stat.commands,
        .messages = c->stat.messages,
        .ignored = c->stat.ignored,
        .malformed = c->stat.malformed,
        .lost = c->stat.lost,
        .registrations = c->stat.registrations,
        .passes = c->stat.passes,
        .deltas = c->stat.deltas,
        .dropped_deltas = c->stat.dropped_deltas,
    }, *p = &status;

    WITH_QEMU_LOCK_GUARD(&c->lock) {
        status.registered = c->map_generation;
        status.reason = cfph_reason(s);
        status.leaves = c->leaves;
        status.bad_maps = c->stat.bad_maps;
    }
    visit_type_VirtioBalloonCfphStatus(v, name, &p, errp);
}
