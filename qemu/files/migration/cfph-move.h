/*
 * Continuous free-page hints: moving bits from word to word
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Internal to migration/cfph*.c, and to its unit test.  Knows words, and no
 * lock, block or map.
 */
#ifndef QEMU_MIGRATION_CFPH_MOVE_H
#define QEMU_MIGRATION_CFPH_MOVE_H

/**
 * struct RamCfphBits: what ram_cfph_move() has done, in bits; it only adds
 * @set_aside: were dirty, and are not any more
 * @back: were deferred and not dirty, and are dirty now
 * @both: were dirty and deferred
 */
typedef struct RamCfphBits {
    uint64_t set_aside;
    uint64_t back;
    uint64_t both;
} RamCfphBits;

/**
 * ram_cfph_move: Set aside what is free, and nothing else
 * @bmap: dirty bits
 * @deferred: bits that have been set aside
 * @free: free pages, little endian; each word is read once
 * @words: how many words there are of each
 * @bits: what has been done
 *
 * bmap' = (bmap | deferred) & ~free, deferred' = (bmap | deferred) & free.
 * Words that need not change are not written.
 *
 * Returns: whether any dirty bit is left.
 */
bool ram_cfph_move(unsigned long *bmap, unsigned long *deferred,
                   const unsigned long *free, size_t words, RamCfphBits *bits);

/**
 * ram_cfph_covers: Is everything that is deferred free?
 * @free: free pages, little endian; each word is read once
 * @deferred: bits that have been set aside
 * @words: how many words there are of each
 */
bool ram_cfph_covers(const unsigned long *free, const unsigned long *deferred,
                     size_t words);

/* For the test: use the next best way.  False: there is none. */
bool test_ram_cfph_move_next_accel(void);

#endif
