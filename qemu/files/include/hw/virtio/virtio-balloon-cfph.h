/*
 * Virtio balloon: continuous free-page hints
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What virtio-balloon.c embeds and calls.  The rest of the device knows
 * nothing of it.
 */
#ifndef QEMU_VIRTIO_BALLOON_CFPH_H
#define QEMU_VIRTIO_BALLOON_CFPH_H

#include "hw/virtio/virtio.h"
#include "migration/cfph.h"
#include "standard-headers/linux/virtio_balloon_cfph.h"

#define VIRTIO_BALLOON_CFPH_PROP            "continuous-free-page-hint"
#define VIRTIO_BALLOON_CFPH_START_WAIT_PROP "cfph-start-wait-ms"
#define VIRTIO_BALLOON_CFPH_LOOK_PROP       "cfph-look-percent"
#define VIRTIO_BALLOON_CFPH_STATUS_PROP     "cfph-status"
#define VIRTIO_BALLOON_CFPH_MUTANT_PREFIX   "x-cfph-debug-"
#define VIRTIO_BALLOON_CFPH_MISBEHAVE_PROP  "x-cfph-debug-misbehave"
#define VIRTIO_BALLOON_CFPH_MISDEEDS_PROP   "x-cfph-debug-misdeeds"

#define VIRTIO_BALLOON_CFPH_START_WAIT_MAX_MS 1000
#define VIRTIO_BALLOON_CFPH_LOOK_MAX_PERCENT  100

/* A property that breaks a rule; enum RamCfphMutant. */
#define DEFINE_VIRTIO_BALLOON_CFPH_MUTANT(_name, _mutant)               \
    DEFINE_PROP_BIT(VIRTIO_BALLOON_CFPH_MUTANT_PREFIX _name,            \
                    VirtIOBalloon, cfph.mutants,                        \
                    RAM_CFPH_MUTANT_##_mutant, false)

/* How far the current migration's START has got. */
typedef enum VirtIOBalloonCFPHPhase {
    /* No migration, or the guest cannot be asked. */
    VIRTIO_BALLOON_CFPH_IDLE,
    /* The migration thread has asked, the main loop has not run yet. */
    VIRTIO_BALLOON_CFPH_ASKED,
    /* START could not be sent: VM stopped, or no buffer; sent later. */
    VIRTIO_BALLOON_CFPH_UNSENT,
    /* START is with the guest. */
    VIRTIO_BALLOON_CFPH_SENT,
    /* The guest has answered, and a map is registered or has been. */
    VIRTIO_BALLOON_CFPH_STARTED,
} VirtIOBalloonCFPHPhase;

typedef struct VirtIOBalloonCFPH {
    /* Properties. */
    uint32_t start_wait_ms;
    uint32_t look_percent;
    uint32_t mutants;
    char *debug_misbehave;

    /* Set: that file has the queues, and all that follows is unused. */
    struct VirtIOBalloonCFPHMisbehave *misbehave;

    VirtQueue *cmd_vq, *msg_vq;
    QEMUBH *bh;

    /* The following are protected by the BQL alone. */

    /* DRIVER_OK is set and the queues are where the driver thinks. */
    bool ready;
    bool rule_logged, malformed_logged, short_cmd_logged;
    /* The guest has seen START and has not seen STOP; migrated. */
    bool session_active;
    /* Commands that wait for a buffer or for the VM to run. */
    bool stop_pending, start_pending, round_pending;
    uint32_t stop_id, round;
    /* The registration that is being put together. */
    RamCfphMap *reg;
    size_t reg_leaves;
    /* This migration's guest has broken a rule: do not listen any more. */
    bool distrusted;
    uint64_t next_sequence;
    uint64_t page_budget;

    /* Protects what follows; see the lock order in migration/cfph.h. */
    QemuMutex lock;
    QemuCond answered;
    VirtIOBalloonCFPHPhase phase;
    bool migrating;
    uint32_t migration_id;      /* migrated */
    /* Published: the guest has said STARTED.  Never set without migrating. */
    RamCfphMap *map;
    GArray *deltas;
    uint64_t delta_pages;

    /* Counters, for the status property. */
    struct {
        uint64_t commands;
        uint64_t messages;
        uint64_t malformed;
        uint64_t ignored;
        uint64_t lost;
        uint64_t registrations;
        uint64_t deltas;
        uint64_t dropped_deltas;
        uint64_t passes;
        const char *wait;
        uint64_t wait_us;
        const char *forgotten;
        uint32_t round;
    } stat;
} VirtIOBalloonCFPH;

struct VirtIOBalloon;

void virtio_balloon_cfph_instance_init(Object *obj);
/* Properties only; adds no queue.  False and @errp set if they contradict. */
bool virtio_balloon_cfph_check(struct VirtIOBalloon *s, Error **errp);
/* Adds the queues, after all others of the device. */
void virtio_balloon_cfph_realize(struct VirtIOBalloon *s);
void virtio_balloon_cfph_unrealize(struct VirtIOBalloon *s);
void virtio_balloon_cfph_reset(struct VirtIOBalloon *s);
void virtio_balloon_cfph_set_status(struct VirtIOBalloon *s, uint8_t status);
void virtio_balloon_cfph_queue_reset(VirtIODevice *vdev, uint32_t queue_index);

/* Between the device's files; BQL held. */
bool virtio_balloon_cfph_message(struct VirtIOBalloon *s, const void *buf,
                                 size_t size);
/* Whatever is registered is not believed from now on. */
void virtio_balloon_cfph_forget(struct VirtIOBalloon *s, const char *why);
/* The same, even if a mutant forgets nothing: something takes its place. */
void virtio_balloon_cfph_drop(struct VirtIOBalloon *s, const char *why);
void virtio_balloon_cfph_get_status(Object *obj, Visitor *v, const char *name,
                                    void *opaque, Error **errp);

extern const VMStateDescription vmstate_virtio_balloon_cfph;

#endif
