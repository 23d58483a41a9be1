/*
 * Continuous free-page hints: what QEMU gives to the code that is fuzzed
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CFPH_FUZZ_WORLD_H
#define CFPH_FUZZ_WORLD_H

#include "hw/virtio/virtio-balloon.h"
#include "exec/memory.h"
#include "exec/ramblock.h"

#define PAGE            4096
#define NR_BLOCKS       6

/* A RAM block of the machine, and what its bitmap would be without hints. */
typedef struct Block {
    RAMBlock rb;
    MemoryRegion mr;
    uint64_t npages;
    bool ignored;
    unsigned long *truth;
} Block;

typedef enum Stage {
    STAGE_IDLE,         /* no migration */
    STAGE_GATED,        /* one that must not be filtered */
    STAGE_ACTIVE,
    STAGE_DECIDED,      /* the switchover is over */
    STAGE_POSTCOPY,     /* deferred bits are marks now */
} Stage;

typedef struct World {
    VirtIOBalloon *s;
    VirtQueue *cmd_vq, *msg_vq;
    VirtIOHandleOutput handle_cmd, handle_msg;
    QEMUBHFunc *bh;
    bool bh_scheduled;

    /* What virtqueue_pop() gives: one message, some buffers for commands. */
    const uint8_t *msg;
    size_t msg_len;
    unsigned msg_parts;
    bool msg_writable;
    unsigned cmd_bufs;
    size_t cmd_len;

    bool running;
    bool colo, background_snapshot, save_vm, cpr, parameter_off, panicked;
    Stage stage;
    uint64_t dirty_pages;
    QemuMutex bitmap_mutex;
    Block blocks[NR_BLOCKS];
} World;

extern World world;

/* @look_percent: the property of the device */
void world_up(unsigned look_percent);
void world_down(void);
/* The device alone, in a world whose memory is there. */
void world_device_up(unsigned look_percent);
void world_device_down(void);
/* The driver, or a reset, changes the device's status. */
void world_set_status(uint8_t status);
/* Let the main loop run until nothing is scheduled any more. */
void world_run_bh(void);

/* The log says from now on that a page has been written to. */
void world_log(Block *b, uint64_t page);
/* The log goes into the bitmaps.  Returns how many pages are new in them. */
uint64_t world_merge(void);
/* @len bytes at guest page @pfn, @offset; nothing outside RAM. */
void world_write(uint64_t pfn, unsigned offset, const void *data, size_t len);
/*
 * Host address of guest page @pfn if it is RAM that may be left out: not ROM,
 * not seen twice, migrated, not discarded.  Written as simply as possible.
 */
uint8_t *world_page(uint64_t pfn);
/* Guest page of page @page of @b; false if it is none or not that kind. */
bool world_pfn(Block *b, uint64_t page, uint64_t *pfn);

/* libFuzzer calls it for each input. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
