/*
 * Continuous free-page hints: reading the guest's map
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Translates guest-physical pages to RAMBlocks and reads the map that the
 * guest keeps in its own memory.  Knows nothing of dirty bitmaps or queues.
 *
 * Guest memory is never trusted: addresses are translated anew for every walk
 * (memory may have been remapped since), only plain RAM is touched, and each
 * page's bit is used as it was read, once.
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/bswap.h"
#include "qemu/rcu.h"
#include "exec/address-spaces.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "exec/ramlist.h"
#include "migration/misc.h"
#include "standard-headers/linux/virtio_balloon_cfph.h"
#include "cfph-map.h"
#include "ram.h"

#define LEAF_BYTES      VIRTIO_BALLOON_CFPH_LEAF_BYTES
#define LEAF_PAGES      VIRTIO_BALLOON_CFPH_LEAF_PAGES
#define PFN_SHIFT       VIRTIO_BALLOON_CFPH_PFN_SHIFT

/* --- maps --- */

RamCfphMap *ram_cfph_map_new(size_t nr_leaves)
{
    RamCfphMap *map = g_atomic_rc_box_new0(RamCfphMap);

    map->nr_leaves = nr_leaves;
    map->leaves = g_new0(RamCfphLeaf, nr_leaves);
    return map;
}

RamCfphMap *ram_cfph_map_ref(RamCfphMap *map)
{
    return map ? g_atomic_rc_box_acquire(map) : NULL;
}

static void ram_cfph_map_clear(void *opaque)
{
    RamCfphMap *map = opaque;

    for (size_t i = 0; map->stale && i < map->nr_leaves; i++) {
        g_free(map->stale[i]);
    }
    g_free(map->stale);
    g_free(map->leaves);
}

void ram_cfph_map_unref(RamCfphMap *map)
{
    if (map) {
        g_atomic_rc_box_release_full(map, ram_cfph_map_clear);
    }
}

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
         (LEAF_BYTES - 1))) {
        return false;
    }

    seg.pfn = int128_get64(start) >> PFN_SHIFT;
    seg.npages = int128_get64(len) >> PFN_SHIFT;
    seg.rb = mr->ram_block;
    seg.page = offset >> PFN_SHIFT;
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

/* Host address of the 4 KiB page at @addr, NULL unless it is plain RAM. */
static void *ram_cfph_host_page(const RamCfphLayout *layout, hwaddr addr)
{
    uint64_t pfn = addr >> PFN_SHIFT;
    size_t i = ram_cfph_layout_find(layout, pfn);
    const RamCfphSeg *seg = &layout->by_pfn[i];
    ram_addr_t offset;

    if ((addr & (LEAF_BYTES - 1)) || i == layout->nr || pfn < seg->pfn) {
        return NULL;
    }
    offset = (ram_addr_t)(seg->page + (pfn - seg->pfn)) << PFN_SHIFT;
    if (!seg->rb->host || offset + LEAF_BYTES > seg->rb->used_length ||
        ramblock_page_is_discarded(seg->rb,
                                   QEMU_ALIGN_DOWN(offset,
                                                   seg->rb->page_size))) {
        return NULL;
    }
    return seg->rb->host + offset;
}

uint64_t ram_cfph_max_leaves(void)
{
    RamCfphLayout layout;
    uint64_t end = 0;

    RCU_READ_LOCK_GUARD();
    ram_cfph_layout_init(&layout);
    if (layout.nr) {
        const RamCfphSeg *seg = &layout.by_pfn[layout.nr - 1];

        end = seg->pfn + seg->npages;
    }
    ram_cfph_layout_destroy(&layout);
    return DIV_ROUND_UP(end, LEAF_PAGES);
}

/* --- the header page --- */

static const char *ram_cfph_check_header(const RamCfphMap *map,
                                         const RamCfphLayout *layout)
{
    struct virtio_balloon_cfph_map_header header;
    const void *host = ram_cfph_host_page(layout, map->header_addr);

    if (!host) {
        return "its header page is not in RAM";
    }
    memcpy(&header, host, sizeof(header));

    if (le64_to_cpu(header.magic) != VIRTIO_BALLOON_CFPH_MAGIC) {
        return "its header page has no magic";
    }
    if (le64_to_cpu(header.generation) != map->generation) {
        return "its header page shows another generation";
    }
    if (le32_to_cpu(header.version) != VIRTIO_BALLOON_CFPH_VERSION) {
        return "its header page shows another version";
    }
    if (le32_to_cpu(header.state) != VIRTIO_BALLOON_CFPH_STATE_READY) {
        return "the guest does not keep it any more";
    }
    return NULL;
}

const char *ram_cfph_map_check(const RamCfphMap *map)
{
    RamCfphLayout layout;
    const char *reason;

    if (ram_cfph_mutant(map, RAM_CFPH_MUTANT_NO_HEADER_CHECK)) {
        return NULL;
    }

    RCU_READ_LOCK_GUARD();
    ram_cfph_layout_init(&layout);
    reason = ram_cfph_check_header(map, &layout);
    ram_cfph_layout_destroy(&layout);
    return reason;
}

/* --- the bits --- */

/*
 * The mutant: keep what each sync read, and decide from it.  A migration can
 * end without any sync between the registration and the last one.
 */
static void ram_cfph_view_stale(RamCfphView *view, RamCfphWhen when)
{
    RamCfphMap *map = view->map;

    if (!map->stale) {
        map->stale = g_new0(void *, map->nr_leaves);
    }
    for (size_t i = 0; i < map->nr_leaves; i++) {
        if (when != RAM_CFPH_FINAL && view->words[i] &&
            (when == RAM_CFPH_SYNC || !map->stale[i])) {
            g_free(map->stale[i]);
            map->stale[i] = g_memdup2(view->words[i], LEAF_BYTES);
        }
        if (when == RAM_CFPH_FINAL) {
            view->words[i] = map->stale[i];
        }
    }
}

void ram_cfph_view_init(RamCfphView *view, RamCfphMap *map,
                        const RamCfphLayout *layout, RamCfphWhen when)
{
    *view = (RamCfphView) { .map = map };
    if (!map) {
        return;
    }

    view->words = g_new(const unsigned long *, map->nr_leaves);
    for (size_t i = 0; i < map->nr_leaves; i++) {
        view->words[i] = ram_cfph_host_page(layout, map->leaves[i].addr);
    }
    if (ram_cfph_mutant(map, RAM_CFPH_MUTANT_STALE_FINAL)) {
        ram_cfph_view_stale(view, when);
    }
}

void ram_cfph_view_destroy(RamCfphView *view)
{
    g_free(view->words);
}

static bool ram_cfph_leaf_has(const RamCfphLeaf *leaf, uint64_t pfn)
{
    return pfn - leaf->first_pfn < LEAF_PAGES;
}

/* The word of the map that has the bit of @pfn, a multiple of BITS_PER_LONG. */
static unsigned long ram_cfph_view_word(RamCfphView *view, uint64_t pfn)
{
    const RamCfphMap *map = view->map;
    size_t lo = 0, hi = map->nr_leaves;
    unsigned long pos;

    if (!hi) {
        return 0;
    }
    if (!ram_cfph_leaf_has(&map->leaves[view->hint], pfn)) {
        /* The last leaf that begins at or before @pfn. */
        while (hi - lo > 1) {
            size_t mid = lo + (hi - lo) / 2;

            if (map->leaves[mid].first_pfn <= pfn) {
                lo = mid;
            } else {
                hi = mid;
            }
        }
        view->hint = lo;
        if (!ram_cfph_leaf_has(&map->leaves[lo], pfn)) {
            return 0;
        }
    }
    if (!view->words[view->hint]) {
        return 0;
    }
    pos = pfn - map->leaves[view->hint].first_pfn;
    return leul_to_cpu(qatomic_read(&view->words[view->hint][BIT_WORD(pos)]));
}

unsigned long ram_cfph_view_bits(RamCfphView *view, uint64_t pfn)
{
    unsigned shift = pfn % BITS_PER_LONG;
    unsigned long bits;

    if (!view->map) {
        return 0;
    }
    bits = ram_cfph_view_word(view, pfn - shift) >> shift;
    if (shift) {
        bits |= ram_cfph_view_word(view, pfn - shift + BITS_PER_LONG)
                << (BITS_PER_LONG - shift);
    }
    return bits;
}
