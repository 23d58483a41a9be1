/*
 * Continuous free-page hints: where RAM is, and the bits of the guest's map
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Translates guest-physical pages to RAMBlocks, and reads the bits of the map
 * that a provider has found in guest memory.  Knows nothing of dirty bitmaps,
 * queues or the format of the map, but that a leaf is a page of bits.
 *
 * Guest memory is never trusted: addresses are translated anew for every walk
 * (memory may have been remapped since), only plain RAM is touched, and each
 * page's bit is used as it was read, once.
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/bswap.h"
#include "qemu/error-report.h"
#include "qemu/rcu.h"
#include "exec/address-spaces.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "exec/ramlist.h"
#include "migration/misc.h"
#include "cfph-map.h"
#include "ram.h"

#define PAGE_BYTES      (1ULL << RAM_CFPH_PAGE_BITS)

/* A leaf is a page of bits. */
QEMU_BUILD_BUG_ON(PAGE_BYTES * 8 != RAM_CFPH_LEAF_PAGES);

/* --- where RAM is --- */

static bool ram_cfph_collect(Int128 start, Int128 len, const MemoryRegion *cmr,
                             hwaddr offset, void *opaque)
{
    MemoryRegion *mr = (MemoryRegion *)cmr;
    GArray *segs = opaque;
    RamCfphSeg seg;

    /* Whole pages only; RAM below page size is of no use to anybody. */
    if (!memory_region_is_ram(mr) || !mr->ram_block ||
        !int128_nz(len) || int128_gethi(int128_add(start, len)) ||
        ((int128_get64(start) | int128_get64(len) | offset) &
         (PAGE_BYTES - 1))) {
        return false;
    }

    seg.pfn = int128_get64(start) >> RAM_CFPH_PAGE_BITS;
    seg.npages = int128_get64(len) >> RAM_CFPH_PAGE_BITS;
    seg.rb = mr->ram_block;
    seg.page = offset >> RAM_CFPH_PAGE_BITS;
    g_array_append_val(segs, seg);
    return false;
}

static int ram_cfph_cmp_block(const void *a, const void *b)
{
    const RamCfphSeg *x = a, *y = b;

    if (x->rb != y->rb) {
        return (uintptr_t)x->rb < (uintptr_t)y->rb ? -1 : 1;
    }
    return x->page < y->page ? -1 : x->page > y->page;
}

static int ram_cfph_cmp_pfn(const void *a, const void *b)
{
    const RamCfphSeg *x = a, *y = b;

    return x->pfn < y->pfn ? -1 : x->pfn > y->pfn;
}

void ram_cfph_warn_unreserved(void)
{
    RAMBlock *rb;

    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH_NOT_IGNORED(rb) {
        /*
         * Their pool may be empty when a page is first written to, and that is
         * after the guest has arrived if the page was left out.
         */
        if (qemu_ram_pagesize(rb) > qemu_real_host_page_size() &&
            qemu_ram_is_noreserve(rb)) {
            warn_report("migration: memory '%s' is made of huge pages that "
                        "are not reserved: the guest may die when it writes "
                        "to free pages that were left out",
                        qemu_ram_get_idstr(rb));
        }
    }
}

/* Memory of a device, ROM, or memory that migration does not carry. */
static bool ram_cfph_is_plain(RAMBlock *rb)
{
    MemoryRegion *mr = rb->mr;

    return mr && !memory_region_is_ram_device(mr) && !mr->readonly &&
           !migrate_ram_is_ignored(rb);
}

void ram_cfph_layout_init(RamCfphLayout *layout)
{
    GArray *segs = g_array_new(false, false, sizeof(RamCfphSeg));
    RamCfphSeg *seg;
    size_t nr, kept = 0;

    flatview_for_each_range(address_space_to_flatview(&address_space_memory),
                            ram_cfph_collect, segs);
    nr = segs->len;
    seg = (RamCfphSeg *)g_array_free(segs, false);
    qsort(seg, nr, sizeof(*seg), ram_cfph_cmp_block);

    /*
     * A page that the guest sees at two addresses has two bits in the map, and
     * one of them may say "free" while the other address is in use: drop every
     * segment that shares a page with another one.  @end is where the furthest
     * segment so far ends in the block; it overlaps what begins before that.
     */
    for (size_t i = 0; i < nr; ) {
        uint64_t end = seg[i].page + seg[i].npages;
        size_t j = i + 1;

        while (j < nr && seg[j].rb == seg[i].rb && seg[j].page < end) {
            end = MAX(end, seg[j].page + seg[j].npages);
            j++;
        }
        if (j == i + 1 && ram_cfph_is_plain(seg[i].rb)) {
            seg[kept++] = seg[i];
        }
        i = j;
    }

    layout->nr = kept;
    layout->by_block = seg;
    layout->by_pfn = g_memdup2(seg, kept * sizeof(*seg));
    qsort(layout->by_pfn, kept, sizeof(*seg), ram_cfph_cmp_pfn);
}

void ram_cfph_layout_destroy(RamCfphLayout *layout)
{
    g_free(layout->by_block);
    g_free(layout->by_pfn);
}

size_t ram_cfph_layout_find(const RamCfphLayout *layout, uint64_t pfn)
{
    size_t lo = 0, hi = layout->nr;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const RamCfphSeg *seg = &layout->by_pfn[mid];

        if (seg->pfn + seg->npages <= pfn) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

size_t ram_cfph_layout_block(const RamCfphLayout *layout, const RAMBlock *rb,
                             size_t *nr)
{
    size_t first = 0, last;

    while (first < layout->nr && layout->by_block[first].rb != rb) {
        first++;
    }
    for (last = first; last < layout->nr; last++) {
        if (layout->by_block[last].rb != rb) {
            break;
        }
    }
    *nr = last - first;
    return first;
}

const void *ram_cfph_host_page(const RamCfphLayout *layout, hwaddr addr)
{
    uint64_t pfn = addr >> RAM_CFPH_PAGE_BITS;
    size_t i = ram_cfph_layout_find(layout, pfn);
    const RamCfphSeg *seg = &layout->by_pfn[i];
    ram_addr_t offset;

    if ((addr & (PAGE_BYTES - 1)) || i == layout->nr || pfn < seg->pfn) {
        return NULL;
    }
    offset = (ram_addr_t)(seg->page + (pfn - seg->pfn)) << RAM_CFPH_PAGE_BITS;
    if (!seg->rb->host || offset + PAGE_BYTES > seg->rb->used_length ||
        ramblock_page_is_discarded(seg->rb,
                                   QEMU_ALIGN_DOWN(offset,
                                                   seg->rb->page_size))) {
        return NULL;
    }
    return seg->rb->host + offset;
}

bool ram_cfph_page_clean(const RamCfphLayout *layout, const void *host)
{
    for (size_t i = 0; i < layout->nr; i++) {
        const RAMBlock *rb = layout->by_block[i].rb;
        uint64_t offset = (uint8_t *)host - rb->host;

        if ((uint8_t *)host >= rb->host && offset < rb->used_length) {
            uint64_t page = offset >> RAM_CFPH_PAGE_BITS;

            return rb->bmap && !test_bit(page, rb->bmap) &&
                   !(rb->deferred_bmap && test_bit(page, rb->deferred_bmap));
        }
    }
    return false;
}

static uint64_t ram_cfph_layout_end(const RamCfphLayout *layout)
{
    const RamCfphSeg *seg = &layout->by_pfn[layout->nr - 1];

    return layout->nr ? seg->pfn + seg->npages : 0;
}

uint64_t ram_cfph_max_pages(void)
{
    RamCfphLayout layout;
    uint64_t end;

    RCU_READ_LOCK_GUARD();
    ram_cfph_layout_init(&layout);
    end = ram_cfph_layout_end(&layout);
    ram_cfph_layout_destroy(&layout);
    return end;
}

/* --- the bits --- */

void ram_cfph_view_init(RamCfphView *view, const RamCfphLayout *layout)
{
    view->nr = DIV_ROUND_UP(ram_cfph_layout_end(layout), RAM_CFPH_LEAF_PAGES);
    view->leaf = g_new0(const unsigned long *, view->nr);
    view->same = NULL;
}

void ram_cfph_view_destroy(RamCfphView *view)
{
    g_free(view->leaf);
    g_free(view->same);
}

#ifdef CONFIG_CFPH_MUTANTS
static struct {
    size_t nr;
    void **leaf;
} ram_cfph_stale;

/* A migration can end without any sync between the first one and the last. */
static void ram_cfph_view_stale(RamCfphView *view, RamCfphWhen when)
{
    if (!view || view->nr != ram_cfph_stale.nr) {
        for (size_t i = 0; i < ram_cfph_stale.nr; i++) {
            g_free(ram_cfph_stale.leaf[i]);
        }
        g_free(ram_cfph_stale.leaf);
        ram_cfph_stale.nr = view ? view->nr : 0;
        ram_cfph_stale.leaf = view ? g_new0(void *, view->nr) : NULL;
    }
    for (size_t i = 0; i < ram_cfph_stale.nr; i++) {
        if (when != RAM_CFPH_FINAL && view->leaf[i] &&
            (when == RAM_CFPH_SYNC || !ram_cfph_stale.leaf[i])) {
            g_free(ram_cfph_stale.leaf[i]);
            ram_cfph_stale.leaf[i] = g_memdup2(view->leaf[i], PAGE_BYTES);
        }
        if (when == RAM_CFPH_FINAL) {
            view->leaf[i] = ram_cfph_stale.leaf[i];
        }
    }
}

FreePageHintsReason ram_cfph_view_mutate(RamCfphView *view, RamCfphWhen when,
                                         FreePageHintsReason reason,
                                         uint32_t mutants)
{
    if (!view || (mutants & BIT(RAM_CFPH_MUTANT_STALE_FINAL))) {
        ram_cfph_view_stale(view, when);
    }
    if (when != RAM_CFPH_FINAL) {
        return reason;
    }
    if (mutants & BIT(RAM_CFPH_MUTANT_LATE_USE)) {
        memset(view->leaf, 0, view->nr * sizeof(*view->leaf));
    }
    return mutants & BIT(RAM_CFPH_MUTANT_LATE_WITHDRAWAL) ?
           FREE_PAGE_HINTS_REASON_WITHDRAWN : reason;
}
#endif

const unsigned long *ram_cfph_view_leaf(const RamCfphView *view, uint64_t pfn)
{
    uint64_t i = pfn / RAM_CFPH_LEAF_PAGES;

    return i < view->nr ? view->leaf[i] : NULL;
}

/* The word of the map that has the bit of @pfn, a multiple of BITS_PER_LONG. */
static unsigned long ram_cfph_view_word(const RamCfphView *view, uint64_t pfn)
{
    const unsigned long *leaf = ram_cfph_view_leaf(view, pfn);

    pfn %= RAM_CFPH_LEAF_PAGES;
    return leaf ? leul_to_cpu(qatomic_read(&leaf[BIT_WORD(pfn)])) : 0;
}

unsigned long ram_cfph_view_bits(const RamCfphView *view, uint64_t pfn)
{
    unsigned shift = pfn % BITS_PER_LONG;
    unsigned long bits = ram_cfph_view_word(view, pfn - shift) >> shift;

    if (shift) {
        bits |= ram_cfph_view_word(view, pfn - shift + BITS_PER_LONG)
                << (BITS_PER_LONG - shift);
    }
    return bits;
}
