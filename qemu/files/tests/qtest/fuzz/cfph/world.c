/*
 * Continuous free-page hints: what QEMU gives to the code that is fuzzed
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The machine's memory: a flat view with every kind of it.  Knows no message.
 * The device and migration/cfph*.c are the real ones, the rest of the machine
 * is in machine.c.
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "exec/ramlist.h"
#include "migration/cfph-hooks.h"
#include "migration/migration-stats.h"
#include "migration/misc.h"
#include "standard-headers/linux/virtio_balloon_cfph.h"
#include "world.h"

#define LEAF VIRTIO_BALLOON_CFPH_LEAF_PAGES

enum { LOW, HIGH, ROM, TWICE, IGNORED, PLUGGED };

/* Odd sizes and offsets: nothing begins or ends where a bitmap word does. */
static const uint16_t block_pages[NR_BLOCKS] = { 261, 60, 16, 24, 16, 70 };

typedef struct Piece {
    uint64_t pfn;
    uint16_t npages, page;
    int block;                  /* -1: MMIO */
} Piece;

static const Piece ranges[] = {
    { 0, 100, 0, LOW },
    { 256, 156, 100, LOW },
    { LEAF - 30, 60, 0, HIGH },
    { 2 * LEAF, 16, 0, ROM },
    { 2 * LEAF + 64, 16, 0, TWICE },
    { 2 * LEAF + 128, 16, 8, TWICE },
    { 3 * LEAF, 16, 0, IGNORED },
    { 3 * LEAF + 32, 1, 0, -1 },
    { 4 * LEAF + 3, 70, 0, PLUGGED },
};

static uint8_t memory[NR_BLOCKS][261 * PAGE] QEMU_ALIGNED(PAGE);
static unsigned long written[NR_BLOCKS][BITS_TO_LONGS(261)];
/* The dirty log. */
static unsigned long logged[NR_BLOCKS][BITS_TO_LONGS(261)];

/* --- memory --- */

void flatview_for_each_range(FlatView *fv, flatview_cb cb, void *opaque)
{
    static MemoryRegion mmio;

    for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
        const Piece *r = &ranges[i];
        MemoryRegion *mr = r->block < 0 ? &mmio : &world.blocks[r->block].mr;

        cb(int128_make64(r->pfn * PAGE), int128_make64(r->npages * PAGE), mr,
           (hwaddr)r->page * PAGE, opaque);
    }
    /* Less than a page, and the end of the address space. */
    cb(int128_make64(0xfe000000), int128_make64(0x800),
       &world.blocks[LOW].mr, 0, opaque);
    cb(int128_make64(UINT64_MAX - PAGE + 1), int128_make64(PAGE), &mmio, 0,
       opaque);
}

bool migrate_ram_is_ignored(RAMBlock *rb)
{
    return container_of(rb, Block, rb)->ignored;
}

/* As of a virtio-mem device: pieces of 8 pages, every other one unplugged. */
bool ramblock_page_is_discarded(RAMBlock *rb, ram_addr_t start)
{
    return rb == &world.blocks[PLUGGED].rb && start / PAGE & 8;
}

uint8_t *world_page(uint64_t pfn)
{
    for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
        const Piece *r = &ranges[i];

        if (pfn >= r->pfn && pfn < r->pfn + r->npages) {
            uint64_t page = r->page + (pfn - r->pfn);

            return r->block == LOW || r->block == HIGH ||
                   (r->block == PLUGGED && !(page & 8)) ?
                   memory[r->block] + page * PAGE : NULL;
        }
    }
    return NULL;
}

bool world_pfn(Block *b, uint64_t page, uint64_t *pfn)
{
    int block = b - world.blocks;

    if (block != LOW && block != HIGH && block != PLUGGED) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
        const Piece *r = &ranges[i];

        if (r->block == block && page >= r->page &&
            page < r->page + r->npages) {
            *pfn = r->pfn + (page - r->page);
            return true;
        }
    }
    return false;
}

void world_log(Block *b, uint64_t page)
{
    set_bit(page, logged[b - world.blocks]);
}

/* What is dirty and has not been sent need not be protected: no log then. */
static void log_write(Block *b, uint64_t page)
{
    if (!b->rb.bmap || !test_bit(page, b->rb.bmap)) {
        world_log(b, page);
    }
}

void world_write(uint64_t pfn, unsigned offset, const void *data, size_t len)
{
    for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
        const Piece *r = &ranges[i];
        uint64_t page = r->page + (pfn - r->pfn);

        if (pfn >= r->pfn && pfn < r->pfn + r->npages && r->block >= 0) {
            offset %= PAGE;
            memcpy(memory[r->block] + page * PAGE + offset, data,
                   MIN(len, PAGE - offset));
            set_bit(page, written[r->block]);
            log_write(&world.blocks[r->block], page);
        }
    }
}

uint64_t world_merge(void)
{
    uint64_t merged = 0;

    for (int i = 0; i < NR_BLOCKS; i++) {
        Block *b = &world.blocks[i];

        for (uint64_t page = find_first_bit(logged[i], 261);
             b->rb.bmap && page < b->npages;
             page = find_next_bit(logged[i], 261, page + 1)) {
            set_bit(page, b->truth);
            if (!test_and_set_bit(page, b->rb.bmap)) {
                ram_cfph_merged(&b->rb, page * PAGE, PAGE);
                merged++;
            }
        }
        bitmap_zero(logged[i], 261);
    }
    return merged;
}

/* --- up and down --- */

static void block_up(int i)
{
    static const char names[NR_BLOCKS][8] = {
        "low", "high", "rom", "twice", "ignored", "plugged"
    };
    Block *b = &world.blocks[i];

    b->npages = block_pages[i];
    b->ignored = i == IGNORED;
    b->mr.ram = true;
    b->mr.readonly = i == ROM;
    b->mr.ram_block = &b->rb;
    b->rb.mr = &b->mr;
    b->rb.host = memory[i];
    b->rb.page_size = PAGE;
    b->rb.used_length = b->npages * PAGE;
    /* A block that can grow: its bitmap is longer than it is. */
    b->rb.max_length = b->rb.used_length + (i == LOW ? 9 * PAGE : 0);
    memcpy(b->rb.idstr, names[i], sizeof(names[i]));
    QLIST_INSERT_HEAD_RCU(&ram_list.blocks, &b->rb, next);
}

void world_up(unsigned look_percent)
{
    memset(&world, 0, sizeof(world));
    memset(&mig_stats, 0, sizeof(mig_stats));
    QLIST_INIT(&ram_list.blocks);
    for (int i = 0; i < NR_BLOCKS; i++) {
        block_up(i);
    }
    world_device_up(look_percent);
}

void world_down(void)
{
    world_device_down();
    for (int i = 0; i < NR_BLOCKS; i++) {
        for (unsigned long page = find_first_bit(written[i], 261); page < 261;
             page = find_next_bit(written[i], 261, page + 1)) {
            memset(memory[i] + page * PAGE, 0, PAGE);
        }
        bitmap_zero(written[i], 261);
        bitmap_zero(logged[i], 261);
    }
}
