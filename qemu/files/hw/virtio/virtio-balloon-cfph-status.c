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
#include "qapi/visitor.h"
#include "hw/virtio/virtio-balloon.h"

static const char *cfph_state_name(VirtIOBalloon *s)
{
    VirtIOBalloonCFPH *c = &s->cfph;

    if (!c->bh) {
        return "off";
    }
    if (!c->ready) {
        return "no-driver";
    }
    if (c->distrusted && c->migrating) {
        return "distrusted";
    }
    switch (c->phase) {
    case VIRTIO_BALLOON_CFPH_ASKED:
    case VIRTIO_BALLOON_CFPH_UNSENT:
        return "asking";
    case VIRTIO_BALLOON_CFPH_SENT:
        return "asked";
    case VIRTIO_BALLOON_CFPH_STARTED:
        return c->map ? "started" : "withdrawn";
    default:
        return "idle";
    }
}

void virtio_balloon_cfph_get_status(Object *obj, Visitor *v, const char *name,
                                    void *opaque, Error **errp)
{
    VirtIOBalloon *s = VIRTIO_BALLOON(obj);
    VirtIOBalloonCFPH *c = &s->cfph;
    struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        { "migration-id", c->migration_id },
        { "round", c->round },
        { "leaves", 0 },
        { "commands", c->stat.commands },
        { "messages", c->stat.messages },
        { "ignored", c->stat.ignored },
        { "malformed", c->stat.malformed },
        { "lost", c->stat.lost },
        { "registrations", c->stat.registrations },
        { "passes", c->stat.passes },
        { "deltas", c->stat.deltas },
        { "dropped-deltas", c->stat.dropped_deltas },
        { "start-wait-us", 0 },
    };
    char *state, *wait, *forgotten;
    bool registered, ok = true;

    WITH_QEMU_LOCK_GUARD(&c->lock) {
        registered = c->map;
        numbers[2].value = c->map ? c->map->nr_leaves : 0;
        numbers[ARRAY_SIZE(numbers) - 1].value = c->stat.wait_us;
        wait = (char *)(c->stat.wait ?: "none");
        state = (char *)cfph_state_name(s);
        forgotten = (char *)(c->stat.forgotten ?: "");
    }

    if (!visit_start_struct(v, name, NULL, 0, errp)) {
        return;
    }
    ok = visit_type_str(v, "state", &state, errp) &&
         visit_type_bool(v, "registered", &registered, errp) &&
         visit_type_bool(v, "session-active", &c->session_active, errp) &&
         visit_type_str(v, "start-wait", &wait, errp) &&
         visit_type_str(v, "forgotten", &forgotten, errp);
    for (size_t i = 0; ok && i < ARRAY_SIZE(numbers); i++) {
        ok = visit_type_uint64(v, numbers[i].name, &numbers[i].value, errp);
    }
    if (ok) {
        visit_check_struct(v, errp);
    }
    visit_end_struct(v, NULL);
}
