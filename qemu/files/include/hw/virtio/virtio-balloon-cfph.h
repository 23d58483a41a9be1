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
#define VIRTIO_BALLOON_CFPH_LOOK_PROP       "cfph-look-percent"
#define VIRTIO_BALLOON_CFPH_STATUS_PROP     "cfph-status"

#define VIRTIO_BALLOON_CFPH_LOOK_MAX_PERCENT  100

/* What breaks rules on purpose is there only if QEMU is configured so. */
#ifdef CONFIG_CFPH_MUTANTS
#define VIRTIO_BALLOON_CFPH_MUTANT_PREFIX   "x-cfph-debug-"
#define VIRTIO_BALLOON_CFPH_MISBEHAVE_PROP  "x-cfph-debug-misbehave"
#define VIRTIO_BALLOON_CFPH_MISDEEDS_PROP   "x-cfph-debug-misdeeds"

/* A property that breaks a rule; enum RamCfphMutant. */
#define DEFINE_VIRTIO_BALLOON_CFPH_MUTANT(_name, _mutant)               \
    DEFINE_PROP_BIT(VIRTIO_BALLOON_CFPH_MUTANT_PREFIX _name,            \
                    VirtIOBalloon, cfph.mutants,                        \
                    RAM_CFPH_MUTANT_##_mutant, false)
#endif

typedef struct VirtIOBalloonCFPH {
    /* Properties. */
    uint32_t look_percent;
#ifdef CONFIG_CFPH_MUTANTS
    uint32_t mutants;
    char *debug_misbehave;

    /* Set: that file has the queues, and all that follows is unused. */
    struct VirtIOBalloonCFPHMisbehave *misbehave;
#endif

    VirtQueue *cmd_vq, *msg_vq;
    QEMUBH *bh;

    /* The following are protected by the BQL alone. */

    /* DRIVER_OK is set and the queues are where the driver thinks. */
    bool ready;
    /* Once in the life of a driver. */
    bool rule_logged, malformed_logged, short_cmd_logged;
    /* The guest has seen START and has not seen STOP; migrated. */
    bool session_active;
    /* The guest has said STARTED in this session. */
    bool answered;
    /* Commands that wait for a buffer or for the VM to run. */
    bool stop_pending, start_pending, round_pending;
    bool migrating;
    uint32_t stop_id, round;
    uint32_t migration_id;      /* migrated */
    uint64_t next_sequence;
    uint64_t page_budget;

    /* Of the map that was read last; whoever calls read_map is alone. */
    GArray *checked;

    /* Protects what follows; see the lock order in migration/cfph.h. */
    QemuMutex lock;
    /* The registration, both 0: none; migrated. */
    uint64_t map_generation, map_header;
    /* Why there is none, or why it was not used when it was read last. */
    FreePageHintsReason map_reason;
    bool bad_map_logged;
    uint64_t leaves;
    /* What the guest has said and the migration thread has not seen. */
    GArray *deltas;
    uint32_t nr_deltas;
    uint64_t delta_pages;

    /* Counters, for the status property; bad_maps under the lock. */
    struct {
        uint64_t commands;
        uint64_t messages;
        uint64_t malformed;
        uint64_t ignored;
        uint64_t lost;
        uint64_t registrations;
        uint64_t bad_maps;
        uint64_t deltas;
        uint64_t dropped_deltas;
        uint64_t passes;
    } stat;
} VirtIOBalloonCFPH;

struct VirtIOBalloon;

/* Does the device break the rule?  Never, unless QEMU is configured so. */
static inline bool virtio_balloon_cfph_mutant(const VirtIOBalloonCFPH *c,
                                              RamCfphMutant mutant)
{
#ifdef CONFIG_CFPH_MUTANTS
    return c->mutants & BIT(mutant);
#else
    return false;
#endif
}

void virtio_balloon_cfph_instance_init(Object *obj);
void virtio_balloon_cfph_instance_finalize(Object *obj);
/* Properties only; adds no queue.  False and @errp set if they contradict. */
bool virtio_balloon_cfph_check(struct VirtIOBalloon *s, Error **errp);
/* Adds the queues, after all others of the device. */
void virtio_balloon_cfph_realize(struct VirtIOBalloon *s);
void virtio_balloon_cfph_unrealize(struct VirtIOBalloon *s);
void virtio_balloon_cfph_reset(struct VirtIOBalloon *s);
void virtio_balloon_cfph_set_status(struct VirtIOBalloon *s, uint8_t status);
void virtio_balloon_cfph_queue_reset(VirtIODevice *vdev, uint32_t queue_index);
/* The device's state is about to be loaded, whatever that has of ours. */
int virtio_balloon_cfph_pre_load(void *opaque);

/* --- between the device's files --- */

/* One message of the guest, a private copy of @size bytes.  BQL held. */
void virtio_balloon_cfph_message(struct VirtIOBalloon *s, const void *buf,
                                 size_t size, bool writable);
/*
 * Whatever is registered is not believed from now on.  @reason is what read_map
 * says until there is another one.
 */
void virtio_balloon_cfph_forget(struct VirtIOBalloon *s,
                                FreePageHintsReason reason, const char *why);
/* The same, even if a mutant forgets nothing.  Lock held. */
void virtio_balloon_cfph_drop(struct VirtIOBalloon *s,
                              FreePageHintsReason reason, const char *why);
/* The driver cannot have a map, as things are; NONE if it can.  Any thread. */
FreePageHintsReason virtio_balloon_cfph_no_driver(struct VirtIOBalloon *s);
/* RamCfphProviderOps.read_map */
FreePageHintsReason virtio_balloon_cfph_read_map(void *opaque,
                                                 const RamCfphLayout *layout,
                                                 const unsigned long **leaf,
                                                 size_t nr);
void virtio_balloon_cfph_get_status(Object *obj, Visitor *v, const char *name,
                                    void *opaque, Error **errp);

extern const VMStateDescription vmstate_virtio_balloon_cfph;

#endif
