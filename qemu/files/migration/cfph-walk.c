/*
 * Continuous free-page hints: moving bits between the two bitmaps of a block
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Owns RAMBlock.deferred_bmap and its summary, deferred_slices.  Knows no
 * migration, no device and no format of messages; where the map comes from and
 * when it is applied is cfph.c's business.
 *
 * Invariant, whenever bitmap_mutex is free: bmap and deferred_bmap of a block
 * have no bit in common, and their union is what bmap would be without us.
 * (In the postcopy phase it is another one: see ram_cfph_walk_mark().)
 *
 * A walk passes over a slice for two reasons.  Nothing in it is deferred and
 * nothing dirty: there is nothing to move.  Or, at a sync, neither its pages
 * nor its bits of the map have changed since it was walked: the same would come
 * out.  What the decision rests on is the count of deferred pages, which is
 * ours alone and exact: while it is not 0, the decision reads the map.
 *
 * Locks: bitmap_mutex and the RCU read lock are held by the caller.
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "exec/ramblock.h"
#include "exec/ramlist.h"
#include "migration/misc.h"
#include "cfph-hooks.h"
#include "cfph-move.h"
#include "cfph-walk.h"
#include "ram.h"

/* As long as a leaf, from the start of the block. */
#define SLICE_PAGES     RAM_CFPH_LEAF_PAGES

/*
 * While the guest stands still a walk is shared out: a thread for each TiB, not
 * more than there are processors.  What they share is the bandwidth of memory.
 */
#define PAGES_PER_THREAD    (TiB >> RAM_CFPH_PAGE_BITS)
#define THREADS_MAX         8
/* Slices that a thread walks before it leaves the next ones to others. */
#define SLICES_AT_ONCE      16

/*
 * struct RamCfphSlice: what is known of a piece of a block
 * @deferred: how many of its pages are deferred, exact
 * @dirty: false: none of its pages is dirty
 * @changed: something has become dirty, or a delta has been applied, since it
 *     was walked
 */
struct RamCfphSlice {
    uint16_t deferred;
    bool dirty;
    bool changed;
};

QEMU_BUILD_BUG_ON(SLICE_PAGES > UINT16_MAX);

/* Bits of all pages of a slice: none of them, each of them. */
static const unsigned long no_page[BITS_TO_LONGS(SLICE_PAGES)];
static unsigned long each_page[BITS_TO_LONGS(SLICE_PAGES)];

static void __attribute__((__constructor__)) ram_cfph_walk_init(void)
{
    memset(each_page, 0xff, sizeof(each_page));
}

/* Bits of a new one are 0: nothing is set aside. */
static void ram_cfph_deferred_bmap(RAMBlock *rb)
{
    uint64_t npages = rb->max_length >> RAM_CFPH_PAGE_BITS;
    size_t slices = DIV_ROUND_UP(npages, SLICE_PAGES);

    if (!rb->deferred_bmap) {
        rb->deferred_bmap = bitmap_new(npages);
        rb->deferred_slices = g_new0(struct RamCfphSlice, slices);
        ram_cfph_merged(rb, 0, rb->max_length);
    }
}

void ram_cfph_merged(RAMBlock *rb, ram_addr_t start, ram_addr_t length)
{
    uint64_t end = start + length;

    if (!rb->deferred_slices || !length) {
        return;
    }
    for (uint64_t i = (start >> RAM_CFPH_PAGE_BITS) / SLICE_PAGES;
         i <= ((end - 1) >> RAM_CFPH_PAGE_BITS) / SLICE_PAGES; i++) {
        rb->deferred_slices[i].dirty = true;
        rb->deferred_slices[i].changed = true;
    }
}

/* The way back from leul_to_cpu(). */
static unsigned long ram_cfph_cpu_to_leul(unsigned long word)
{
    return leul_to_cpu(word);
}

/* Words from @page on, all of them in one slice.  Is anything left dirty? */
static bool ram_cfph_move_run(RamCfphMoved *moved, RAMBlock *rb, uint64_t page,
                              const unsigned long *free, size_t words)
{
    RamCfphBits bits = { 0 };
    bool left = ram_cfph_move(&rb->bmap[BIT_WORD(page)],
                              &rb->deferred_bmap[BIT_WORD(page)], free, words,
                              &bits);
    int64_t dirty = bits.back - bits.set_aside;
    /* What was deferred and is dirty again has been in both bitmaps. */
    int64_t deferred = -dirty - bits.both;

    moved->set_aside += bits.set_aside;
    moved->dirty += dirty;
    moved->deferred += deferred;
    rb->deferred_slices[page / SLICE_PAGES].deferred += deferred;
    return left;
}

/* --- what is known of the map --- */

/* The leaves of the newest walk, and which were not dirty at the last sync. */
static struct {
    size_t nr;
    const unsigned long **leaf;
    bool *clean;
} ram_cfph_known;

void ram_cfph_walk_forget(void)
{
    g_free(ram_cfph_known.leaf);
    g_free(ram_cfph_known.clean);
    memset(&ram_cfph_known, 0, sizeof(ram_cfph_known));
}

/*
 * A leaf lies in RAM that the guest writes to, so the dirty log tells whether
 * its bits can have changed.  Not by one sync alone: what was dirty when a
 * round began may have been written to again before its log was cleared, and
 * sent since.  But what was clean then and is clean now has not been touched.
 */
void ram_cfph_walk_know(const RamCfphLayout *layout, RamCfphView *view,
                        bool synced)
{
    if (ram_cfph_known.nr != view->nr) {
        ram_cfph_walk_forget();
        ram_cfph_known.nr = view->nr;
        ram_cfph_known.leaf = g_new0(const unsigned long *, view->nr);
        ram_cfph_known.clean = g_new0(bool, view->nr);
    }
    view->same = synced ? g_new0(bool, view->nr) : NULL;
    for (size_t i = 0; i < view->nr; i++) {
        const unsigned long *leaf = view->leaf[i];
        bool was_clean = ram_cfph_known.clean[i] &&
                         leaf == ram_cfph_known.leaf[i];

        if (synced) {
            bool clean = !leaf || ram_cfph_page_clean(layout, leaf);

            view->same[i] = was_clean && clean;
            ram_cfph_known.clean[i] = clean;
        } else {
            ram_cfph_known.clean[i] = was_clean;
        }
        ram_cfph_known.leaf[i] = leaf;
    }
}

/* --- the walk over all bitmaps --- */

/* The segments of a block that end behind the page that is looked at. */
typedef struct RamCfphSegs {
    const RamCfphSeg *seg, *end;
} RamCfphSegs;

static const RamCfphSeg *ram_cfph_seg(RamCfphSegs *segs, uint64_t page)
{
    while (segs->seg < segs->end &&
           segs->seg->page + segs->seg->npages <= page) {
        segs->seg++;
    }
    return segs->seg < segs->end ? segs->seg : NULL;
}

/* Free pages among the BITS_PER_LONG pages of a block from @page on. */
static unsigned long ram_cfph_block_bits(const RamCfphView *view,
                                         const RamCfphSegs *segs, uint64_t page)
{
    unsigned long free = 0;

    for (const RamCfphSeg *s = segs->seg;
         s < segs->end && s->page < page + BITS_PER_LONG; s++) {
        uint64_t lo = MAX(page, s->page);
        uint64_t hi = MIN(page + BITS_PER_LONG, s->page + s->npages);
        unsigned long bits = ram_cfph_view_bits(view, s->pfn + (lo - s->page));

        free |= (bits & BITMAP_LAST_WORD_MASK(hi - lo)) << (lo - page);
    }
    return free;
}

/*
 * The map's words for the pages of a block from @page on, as many as lie side
 * by side, up to @end.  Where the two do not fit each other, it is one word
 * that is put together in @word.
 */
static const unsigned long *ram_cfph_free_run(const RamCfphView *view,
                                              RamCfphSegs *segs, uint64_t page,
                                              uint64_t end, unsigned long *word,
                                              size_t *words)
{
    const RamCfphSeg *s = ram_cfph_seg(segs, page);
    const unsigned long *leaf;

    if (!s || s->page >= page + BITS_PER_LONG) {
        /* No RAM that the guest sees: not free. */
        *words = ((s ? MIN(end, s->page) : end) - page) / BITS_PER_LONG;
        leaf = no_page;
    } else {
        uint64_t pfn = s->pfn + (page - s->page), bit = pfn % SLICE_PAGES;
        uint64_t stop = MIN(end, s->page + s->npages);

        *words = s->page > page || pfn % BITS_PER_LONG ? 0 :
                 MIN(stop - page, SLICE_PAGES - bit) / BITS_PER_LONG;
        leaf = ram_cfph_view_leaf(view, pfn);
        leaf = leaf ? leaf + BIT_WORD(bit) : no_page;
    }
    if (*words) {
        return leaf;
    }
    /* bmap is all ones up to max_length: leave what is behind the end. */
    *word = ram_cfph_block_bits(view, segs, page);
    if (end - page < BITS_PER_LONG) {
        *word &= BITMAP_LAST_WORD_MASK(end - page);
    }
    *word = ram_cfph_cpu_to_leul(*word);
    *words = 1;
    return word;
}

/* Is all of a slice described by one leaf that is as it was? */
static bool ram_cfph_same(const RamCfphView *view, RamCfphSegs *segs,
                          uint64_t page, uint64_t end)
{
    const RamCfphSeg *s = ram_cfph_seg(segs, page);
    uint64_t pfn;

    if (!view || !view->same || !s || s->page > page ||
        s->page + s->npages < end) {
        return false;
    }
    pfn = s->pfn + (page - s->page);
    return pfn % SLICE_PAGES + (end - page) <= SLICE_PAGES &&
           pfn / SLICE_PAGES < view->nr && view->same[pfn / SLICE_PAGES];
}

static void ram_cfph_walk_slice(RamCfphMoved *moved, RAMBlock *rb,
                                const RamCfphView *view, RamCfphSegs *segs,
                                uint64_t page, uint64_t end, bool put_back)
{
    struct RamCfphSlice *slice = &rb->deferred_slices[page / SLICE_PAGES];
    bool full = slice->deferred == SLICE_PAGES, dirty = slice->dirty;

    slice->dirty = false;
    slice->changed = false;
    while (page < end) {
        unsigned long *deferred = &rb->deferred_bmap[BIT_WORD(page)];
        unsigned long word, kept[BITS_TO_LONGS(SLICE_PAGES)];
        size_t words;
        const unsigned long *free = ram_cfph_free_run(view, segs, page, end,
                                                      &word, &words);

        if (!put_back) {
            for (size_t i = 0; i < words; i++) {
                kept[i] = free[i] | ram_cfph_cpu_to_leul(deferred[i]);
            }
            free = kept;
        }
        /* The rest of the time is that of reading memory. */
        if (dirty || !ram_cfph_covers(free, full ? each_page : deferred,
                                      words)) {
            slice->dirty |= ram_cfph_move_run(moved, rb, page, free, words);
        }
        page += words * BITS_PER_LONG;
    }
}

/* A walk, or what one of several threads does of it. */
typedef struct RamCfphWalk {
    const RamCfphLayout *layout;
    const RamCfphView *view;
    bool put_back;
    unsigned part, parts;
    RamCfphMoved moved;
} RamCfphWalk;

static void ram_cfph_walk_block(RamCfphWalk *w, RAMBlock *rb)
{
    uint64_t npages = rb->used_length >> RAM_CFPH_PAGE_BITS;
    RamCfphSegs segs = { 0 };
    size_t nr;

    if (w->view) {
        segs.seg = w->layout->by_block +
                   ram_cfph_layout_block(w->layout, rb, &nr);
        segs.end = segs.seg + nr;
    }
    for (uint64_t i = 0; i * SLICE_PAGES < npages; i++) {
        struct RamCfphSlice *slice = &rb->deferred_slices[i];
        uint64_t page = i * SLICE_PAGES;
        uint64_t end = MIN(page + SLICE_PAGES, npages);

        if (i / SLICES_AT_ONCE % w->parts == w->part &&
            (slice->deferred || slice->dirty) &&
            (slice->changed || !ram_cfph_same(w->view, &segs, page, end))) {
            ram_cfph_walk_slice(&w->moved, rb, w->view, &segs, page, end,
                                w->put_back);
        }
    }
}

/* The lists and bitmaps stay: who shares the walk out waits for its end. */
static void *ram_cfph_walk_part(void *opaque)
{
    RamCfphWalk *w = opaque;
    RAMBlock *rb;

    RAMBLOCK_FOREACH_NOT_IGNORED(rb) {
        if (rb->bmap && rb->deferred_bmap) {
            ram_cfph_walk_block(w, rb);
        }
    }
    return NULL;
}

static unsigned ram_cfph_walk_threads(uint64_t npages)
{
    return MIN(MIN(1 + npages / PAGES_PER_THREAD, THREADS_MAX),
               g_get_num_processors());
}

RamCfphMoved ram_cfph_walk(const RamCfphLayout *layout, const RamCfphView *view,
                           bool put_back, bool stopped)
{
    RamCfphWalk walks[THREADS_MAX];
    GThread *threads[THREADS_MAX] = { NULL };
    RamCfphMoved moved = { 0 };
    uint64_t npages = 0;
    unsigned parts;
    RAMBlock *rb;

    RAMBLOCK_FOREACH_NOT_IGNORED(rb) {
        if (rb->bmap && view) {
            ram_cfph_deferred_bmap(rb);
        }
        npages += rb->used_length >> RAM_CFPH_PAGE_BITS;
    }
    parts = stopped ? ram_cfph_walk_threads(npages) : 1;
    for (unsigned i = 0; i < parts; i++) {
        walks[i] = (RamCfphWalk) { layout, view, put_back, i, parts };
        if (i) {
            threads[i] = g_thread_try_new("cfph-walk", ram_cfph_walk_part,
                                          &walks[i], NULL);
        }
    }
    for (unsigned i = 0; i < parts; i++) {
        if (threads[i]) {
            g_thread_join(threads[i]);
        } else {
            ram_cfph_walk_part(&walks[i]);
        }
        moved.set_aside += walks[i].moved.set_aside;
        moved.dirty += walks[i].moved.dirty;
        moved.deferred += walks[i].moved.deferred;
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
            uint64_t page = i * BITS_PER_LONG;

            if (!rb->deferred_slices[page / SLICE_PAGES].deferred) {
                continue;
            }
            marked += ctpopl(rb->deferred_bmap[i] & ~rb->bmap[i]);
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
    uint64_t word = le64_to_cpu(bits[pos / 64]) >> shift;

    if (shift && (pos / 64 + 1) * 64 < nr) {
        word |= le64_to_cpu(bits[pos / 64 + 1]) << (64 - shift);
    }
    return word;
}

/*
 * What a delta says of pages [lo, hi) of a block, all in one slice, as words of
 * the map from the one with @lo on.  @pos is where page @lo is in the delta.
 * Where the two do not fit each other it is one word, in which pages that the
 * delta does not speak of stay what they are.
 */
static const unsigned long *ram_cfph_delta_run(const RAMBlock *rb, uint64_t lo,
                                               uint64_t hi,
                                               const uint64_t *delta,
                                               uint64_t pos,
                                               unsigned long *word,
                                               size_t *words)
{
    const uint64_t *bits = delta + RAM_CFPH_DELTA_WORDS;
    unsigned shift = lo % BITS_PER_LONG;
    unsigned n = MIN(hi - lo, BITS_PER_LONG - shift);
    unsigned long mask = BITMAP_LAST_WORD_MASK(n) << shift;
    unsigned long free = delta[2] == RAM_CFPH_DELTA_FREE ? ~0UL : 0;

    *words = (hi - lo) / BITS_PER_LONG;
    if (*words && !shift && delta[2] != RAM_CFPH_DELTA_BITS) {
        return free ? each_page : no_page;
    }
    if (*words && !shift && pos % 64 == 0) {
        return (const unsigned long *)(bits + pos / 64);
    }
    if (delta[2] == RAM_CFPH_DELTA_BITS) {
        free = ram_cfph_delta_bits(bits, delta[1], pos) << shift;
    }
    *word = ram_cfph_cpu_to_leul((free & mask) |
                        (rb->deferred_bmap[BIT_WORD(lo)] & ~mask));
    *words = 1;
    return word;
}

/* Would it change nothing? */
static bool ram_cfph_delta_idle(const struct RamCfphSlice *slice,
                                const uint64_t *delta)
{
    return (delta[2] == RAM_CFPH_DELTA_USED || !slice->dirty) &&
           (delta[2] == RAM_CFPH_DELTA_FREE || !slice->deferred);
}

/* Pages [lo, hi) of a block; @pos is where page @lo is in the delta. */
static void ram_cfph_apply_block(RamCfphMoved *moved, RAMBlock *rb, uint64_t lo,
                                 uint64_t hi, const uint64_t *delta,
                                 uint64_t pos, bool overwrite)
{
    while (lo < hi) {
        struct RamCfphSlice *slice = &rb->deferred_slices[lo / SLICE_PAGES];
        uint64_t end = MIN(hi, QEMU_ALIGN_UP(lo + 1, SLICE_PAGES)), next = end;

        if (!ram_cfph_delta_idle(slice, delta)) {
            unsigned long word, kept;
            size_t words;
            const unsigned long *free = ram_cfph_delta_run(
                rb, lo, overwrite ? MIN(end, lo + BITS_PER_LONG) : end, delta,
                pos, &word, &words);

            kept = rb->bmap[BIT_WORD(lo)] & leul_to_cpu(*free);
            slice->changed = true;
            slice->dirty |= ram_cfph_move_run(moved, rb, lo, free, words);
            if (overwrite) {
                rb->deferred_bmap[BIT_WORD(lo)] &= kept;
            }
            next = MIN(end, QEMU_ALIGN_DOWN(lo, BITS_PER_LONG) +
                            words * BITS_PER_LONG);
        }
        pos += next - lo;
        lo = next;
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
