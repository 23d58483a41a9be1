/*
 * Continuous free-page hints: moving bits between the two bitmaps of a block
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Owns RAMBlock.deferred_bmap.  Knows no migration, no device and no format of
 * messages; where the map comes from and when it is applied is cfph.c's
 * business.
 *
 * Invariant, whenever bitmap_mutex is free: bmap and deferred_bmap of a block
 * have no bit in common, and their union is what bmap would be without us.
 * (In the postcopy phase it is another one: see ram_cfph_walk_mark().)
 *
 * Locks: bitmap_mutex and the RCU read lock are held by the caller.
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "exec/ramblock.h"
#include "exec/ramlist.h"
#include "migration/misc.h"
#include "cfph-walk.h"
#include "ram.h"

/* Bits of a new one are 0: nothing is set aside. */
static void ram_cfph_deferred_bmap(RAMBlock *rb)
{
    if (!rb->deferred_bmap) {
        rb->deferred_bmap = bitmap_new(rb->max_length >> RAM_CFPH_PAGE_BITS);
    }
}

/* --- the walk over all bitmaps --- */

/*
 * Free pages among the BITS_PER_LONG pages of a block from @page on.  @seg is
 * a cursor: the first of the block's segments that ends behind @page.
 */
static unsigned long ram_cfph_block_bits(const RamCfphView *view,
                                         const RamCfphSeg **seg,
                                         const RamCfphSeg *end, uint64_t page)
{
    unsigned long free = 0;

    while (*seg < end && (*seg)->page + (*seg)->npages <= page) {
        (*seg)++;
    }
    for (const RamCfphSeg *s = *seg;
         s < end && s->page < page + BITS_PER_LONG; s++) {
        uint64_t lo = MAX(page, s->page);
        uint64_t hi = MIN(page + BITS_PER_LONG, s->page + s->npages);
        unsigned long bits = ram_cfph_view_bits(view, s->pfn + (lo - s->page));

        free |= (bits & BITMAP_LAST_WORD_MASK(hi - lo)) << (lo - page);
    }
    return free;
}

/* Words are mostly empty or full, and counting takes longer than all else. */
static inline int64_t ram_cfph_weight(unsigned long word)
{
    return !word ? 0 : word == ~0UL ? BITS_PER_LONG : ctpopl(word);
}

static void ram_cfph_walk_block(RamCfphMoved *moved, RAMBlock *rb,
                                const RamCfphLayout *layout,
                                const RamCfphView *view, bool put_back)
{
    uint64_t npages = rb->used_length >> RAM_CFPH_PAGE_BITS;
    const RamCfphSeg *seg = NULL, *end = NULL;
    size_t nr;

    if (view) {
        seg = layout->by_block + ram_cfph_layout_block(layout, rb, &nr);
        end = seg + nr;
    } else if (!rb->deferred_bmap) {
        return;
    }
    ram_cfph_deferred_bmap(rb);

    for (uint64_t page = 0; page < npages; page += BITS_PER_LONG) {
        unsigned long *bmap = &rb->bmap[BIT_WORD(page)];
        unsigned long *deferred = &rb->deferred_bmap[BIT_WORD(page)];
        unsigned long old = *bmap, old_deferred = *deferred;
        unsigned long all = old | (put_back ? old_deferred : 0);
        unsigned long d = 0, out, back;

        if (!all) {
            continue;
        }
        /* bmap is all ones up to max_length: leave what is behind the end. */
        if (view) {
            d = all & ram_cfph_block_bits(view, &seg, end, page);
        }
        if (npages - page < BITS_PER_LONG) {
            d &= BITMAP_LAST_WORD_MASK(npages - page);
        }
        out = old & d;
        back = all & ~d & ~old;
        *bmap = all & ~d;
        *deferred = put_back ? d : old_deferred | d;
        /* What was deferred and is dirty again has been in both bitmaps. */
        moved->set_aside += ram_cfph_weight(out);
        moved->dirty += ram_cfph_weight(back) - ram_cfph_weight(out);
        moved->deferred += ram_cfph_weight(*deferred & ~old_deferred) -
                           ram_cfph_weight(old_deferred & ~*deferred);
    }
}

RamCfphMoved ram_cfph_walk(const RamCfphLayout *layout, const RamCfphView *view,
                           bool put_back)
{
    RamCfphMoved moved = { 0 };
    RAMBlock *rb;

    RAMBLOCK_FOREACH_NOT_IGNORED(rb) {
        if (rb->bmap) {
            ram_cfph_walk_block(&moved, rb, layout, view, put_back);
        }
    }
    return moved;
}

#ifdef CONFIG_CFPH_MUTANTS
void ram_cfph_walk_drop(void)
{
    RAMBlock *rb;

    RAMBLOCK_FOREACH_NOT_IGNORED(rb) {
        if (rb->deferred_bmap) {
            bitmap_zero(rb->deferred_bmap,
                        rb->max_length >> RAM_CFPH_PAGE_BITS);
        }
    }
}
#endif

uint64_t ram_cfph_walk_mark(void)
{
    uint64_t marked = 0;
    RAMBlock *rb;

    RAMBLOCK_FOREACH_NOT_IGNORED(rb) {
        uint64_t npages = rb->used_length >> RAM_CFPH_PAGE_BITS;

        if (!rb->bmap || !rb->deferred_bmap) {
            continue;
        }
        for (uint64_t i = 0; i < BITS_TO_LONGS(npages); i++) {
            marked += ram_cfph_weight(rb->deferred_bmap[i] & ~rb->bmap[i]);
            rb->bmap[i] |= rb->deferred_bmap[i];
        }
    }
    return marked;
}

/* --- deltas --- */

/* BITS_PER_LONG bits of @bits from bit @pos on; @nr bits are there. */
static unsigned long ram_cfph_delta_bits(const uint64_t *bits, uint64_t nr,
                                         uint64_t pos)
{
    unsigned shift = pos % 64;
    uint64_t word = bits[pos / 64] >> shift;

    if (shift && (pos / 64 + 1) * 64 < nr) {
        word |= bits[pos / 64 + 1] << (64 - shift);
    }
    return word;
}

/* Pages [lo, hi) of a block; @pos is where page @lo is in the delta. */
static void ram_cfph_apply_block(RamCfphMoved *moved, RAMBlock *rb, uint64_t lo,
                                 uint64_t hi, const uint64_t *delta,
                                 uint64_t pos, bool overwrite)
{
    while (lo < hi) {
        unsigned shift = lo % BITS_PER_LONG;
        unsigned n = MIN(hi - lo, BITS_PER_LONG - shift);
        unsigned long mask = BITMAP_LAST_WORD_MASK(n) << shift;
        unsigned long *bmap = &rb->bmap[BIT_WORD(lo)];
        unsigned long *deferred = &rb->deferred_bmap[BIT_WORD(lo)];
        unsigned long free, d, u;

        if (delta[2] == RAM_CFPH_DELTA_BITS) {
            free = ram_cfph_delta_bits(delta + RAM_CFPH_DELTA_WORDS, delta[1],
                                       pos) << shift;
        } else {
            free = delta[2] == RAM_CFPH_DELTA_FREE ? ~0UL : 0;
        }

        d = *bmap & free & mask;
        u = *deferred & ~free & mask;
        moved->dirty += ctpopl(u & ~*bmap) - ctpopl(d);
        moved->set_aside += ctpopl(d);
        moved->deferred += ctpopl(d) - ctpopl(u);
        /* OR: what an earlier sync or delta has deferred stays deferred. */
        *bmap = (*bmap & ~d) | u;
        *deferred = (overwrite ? 0 : *deferred & ~u) | d;

        lo += n;
        pos += n;
    }
}

static void ram_cfph_apply(RamCfphMoved *moved, const RamCfphLayout *layout,
                           const uint64_t *delta, bool overwrite)
{
    uint64_t pfn = delta[0], end = pfn + delta[1];

    for (size_t i = ram_cfph_layout_find(layout, pfn);
         i < layout->nr && layout->by_pfn[i].pfn < end; i++) {
        const RamCfphSeg *seg = &layout->by_pfn[i];
        uint64_t lo = MAX(pfn, seg->pfn);
        uint64_t hi = MIN(end, seg->pfn + seg->npages);
        uint64_t npages = seg->rb->used_length >>
                          RAM_CFPH_PAGE_BITS;
        uint64_t page = seg->page + (lo - seg->pfn);

        if (!seg->rb->bmap) {
            continue;
        }
        ram_cfph_deferred_bmap(seg->rb);
        ram_cfph_apply_block(moved, seg->rb, page,
                             MIN(page + (hi - lo), npages), delta, lo - pfn,
                             overwrite);
    }
}

RamCfphMoved ram_cfph_walk_deltas(const RamCfphLayout *layout,
                                  const GArray *deltas, bool overwrite)
{
    const uint64_t *word = (const uint64_t *)deltas->data;
    const uint64_t *end = word + deltas->len;
    RamCfphMoved moved = { 0 };

    while (word < end) {
        ram_cfph_apply(&moved, layout, word, overwrite);
        word += RAM_CFPH_DELTA_WORDS +
                (word[2] == RAM_CFPH_DELTA_BITS ? word[1] / 64 : 0);
    }
    return moved;
}
