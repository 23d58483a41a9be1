/*
 * QTest: a guest driver for continuous free-page hints, played by the test
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef VIRTIO_BALLOON_CFPH_GUEST_H
#define VIRTIO_BALLOON_CFPH_GUEST_H

#include "qemu/units.h"
#include "libqtest.h"
#include "libqos/libqos-pc.h"
#include "libqos/virtio-pci.h"
#include "standard-headers/linux/virtio_balloon.h"
#include "standard-headers/linux/virtio_balloon_cfph.h"

#define PAGE            UINT64_C(4096)
/*
 * One leaf's worth, short of a page: so what follows in the RAMBlock is at
 * another offset modulo 64 pages than in the address space.
 */
#define LOW_BYTES       (128 * MiB - PAGE)
#define HIGH_BASE       (4 * GiB)
#define RAM_BYTES       (256 * MiB)

/*
 * Two areas of pages with known contents, below and above 4 GiB.  In front of
 * them is something that takes long to send.
 */
#define FILLER          (48 * MiB)
#define FILLER_BYTES    (64 * MiB)
#define AREA_PAGES      1024
#define LOW_AREA        (112 * MiB)
#define HIGH_AREA       (HIGH_BASE + 64 * MiB)

/* For what has to happen: an event, not a sleep. */
#define TIME_LIMIT_US   (60 * G_USEC_PER_SEC)

#define LEAVES_MAX      3
#define COMMANDS        64
#define MESSAGE_BYTES   VIRTIO_BALLOON_CFPH_MESSAGE_MAX
/* Room for a message that is too long. */
#define BUFFER_BYTES    (MESSAGE_BYTES + PAGE)

typedef struct Guest {
    QOSState *qs;
    QTestState *qts;
    QVirtioPCIDevice *pci;
    QVirtioDevice *dev;
    QVirtQueue *cmd, *msg;
    uint64_t cmd_bufs;
    uint64_t msg_buf;
    /*
     * The map: its header page, its one directory page, and where each leaf is
     * with the first address that it describes.
     */
    uint64_t header, dir;
    unsigned nr_leaves;
    uint64_t leaf[LEAVES_MAX], leaf_base[LEAVES_MAX];
    uint64_t generation, changes;
    /* The message that is being put together. */
    uint8_t buf[BUFFER_BYTES];
    size_t len;
    uint64_t sequence;
    uint32_t migration_id;
    /* Post one command buffer that is too short before the others. */
    bool short_first;
} Guest;

typedef struct Command {
    uint16_t version, command;
    uint32_t migration_id, round, argument;
    uint32_t used_len;
} Command;

/* A file that the caller removes. */
char *guest_firmware(void);
/*
 * @opts: more properties of the device, "" or ",name=value..."
 * @machine: more arguments of QEMU
 */
Guest *guest_boot(const char *opts, const char *machine);
void guest_quit(Guest *g);
/* A QEMU that waits for migrate-incoming, and stays stopped after it. */
QTestState *guest_incoming(const char *opts, const char *machine);

/* Device: bring it up with these features of ours, or take it down. */
void guest_driver_start(Guest *g, uint64_t features_off);
void guest_driver_reset(Guest *g);
void guest_bus_master_off(Guest *g);
void guest_queue_reset(Guest *g, QVirtQueue *vq);

/* The queue for pages that go into the balloon; the caller frees it. */
QVirtQueue *guest_inflate_queue(Guest *g);

/* The map in guest memory: READY, with nothing free. */
void guest_map_init(Guest *g);
/* The first fields of the header page. */
void guest_map_state(Guest *g, uint64_t magic, uint64_t generation,
                     uint32_t state);
void guest_map_set(Guest *g, uint64_t addr, uint64_t pages, bool free);
/* Entry of the directory for the 128 MiB from @base on; it is counted. */
void guest_map_enter(Guest *g, uint64_t base, uint64_t leaf);
/* One more leaf: of the 128 MiB from @base on. */
void guest_map_add_leaf(Guest *g, uint64_t base);
/* One bit a page from @addr on, a multiple of 8 pages; no leaf: not free. */
void guest_map_get(Guest *g, uint64_t addr, uint64_t pages, uint8_t *bits);

/* Messages. */
void guest_msg_begin(Guest *g);
void guest_msg_add(Guest *g, const void *data, size_t len);
void guest_msg_rec(Guest *g, uint16_t type, uint16_t count, uint32_t length,
                   unsigned nr_words, ...);
void guest_msg_send(Guest *g);
void guest_msg_send_raw(Guest *g, const void *data, size_t len);
/* With a second part of the buffer, for the device to write to. */
void guest_msg_send_writable(Guest *g, const void *data, size_t len);
/* The same message @n times, without waiting in between. */
void guest_msg_post(Guest *g, unsigned n);
void guest_msg_wait(Guest *g, unsigned n);
void guest_msg_flood(Guest *g, unsigned n);

/* The map may be read from now on, or no longer. */
void guest_map(Guest *g);
void guest_unmap(Guest *g);
/* The answer to START. */
void guest_started(Guest *g);
void guest_range(Guest *g, uint64_t addr, uint64_t pages, bool free);

/* Commands: the next one as seen in @qts (source or destination), in time. */
Command guest_wait_command(Guest *g, QTestState *qts);
bool guest_has_command(Guest *g, QTestState *qts);

/* Status property. */
uint64_t guest_status(Guest *g, const char *key);
bool guest_registered(Guest *g);
char *guest_status_str(Guest *g, const char *key);
void guest_expect_status(Guest *g, const char *key, const char *value);
/* The same of another QEMU, a destination. */
QDict *guest_status_of(QTestState *qts);

/* Contents. */
void guest_fill(Guest *g, uint64_t addr, uint64_t pages, uint8_t salt);
/* How many of the pages have the contents that guest_fill() gave them. */
uint64_t guest_count_filled(QTestState *qts, uint64_t addr, uint64_t pages,
                            uint8_t salt);

#endif
