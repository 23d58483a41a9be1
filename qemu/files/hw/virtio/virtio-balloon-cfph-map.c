/*
 * Virtio balloon: continuous free-page hints, the map in guest memory
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Finds the leaves of the registered map: header page, directory pages, leaves.
 * Their bits are RAM migration's.
 *
 * None of these pages is trusted, and the guest may write to them meanwhile.
 * Each number is read once, checked, and then used.  Addresses are translated
 * anew each time, because memory may have been remapped since.  Time and memory
 * are bounded by the VM's RAM (@nr) and by VIRTIO_BALLOON_CFPH_DIRS_MAX.
 *
 * Runs in the migration thread, mostly without the BQL.  So the registration
 * may be forgotten while its pages are read: then what comes out is a hint that
 * is out of date, as any hint may be.  The read that decides has the vCPUs
 * stopped and the BQL held.
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bswap.h"
#include "qemu/lockable.h"
#include "qemu/log.h"
#include "hw/virtio/virtio-balloon.h"
#include "trace.h"

#define DIR_LEAVES      VIRTIO_BALLOON_CFPH_DIR_LEAVES
#define DIRS_MAX        VIRTIO_BALLOON_CFPH_DIRS_MAX
/* Attempts to read a directory that changes meanwhile. */
#define ATTEMPTS        3

typedef struct virtio_balloon_cfph_map_header MapHeader;

/* A map that is being read. */
typedef struct CfphMap {
    uint64_t generation;
    hwaddr header_addr;
    /* The rules of the header page are not checked: a mutant. */
    bool credulous;

    const RamCfphLayout *layout;
    const MapHeader *header;
    const unsigned long **leaf;
    size_t nr;

    /* Guest-physical addresses that have been used: room for all there are. */
    uint64_t *used;
    size_t nr_used;
    /* Those of the newest map in which no page occurs twice. */
    GArray *checked;
    uint64_t leaves;
    /* What is wrong, if something is. */
    const char *why;
} CfphMap;

static const void *cfph_page(CfphMap *map, hwaddr addr)
{
    map->used[map->nr_used++] = addr;
    return ram_cfph_host_page(map->layout, addr);
}

/* One look at the header page: may the map be believed now? */
static FreePageHintsReason cfph_check_header(CfphMap *map)
{
    const MapHeader *h = map->header;

    map->why = NULL;
    if (map->credulous) {
        return FREE_PAGE_HINTS_REASON_NONE;
    }
    if (le64_to_cpu(qatomic_read(&h->magic)) != VIRTIO_BALLOON_CFPH_MAGIC) {
        map->why = "its header page has no magic";
    } else if (le32_to_cpu(qatomic_read(&h->version)) !=
               VIRTIO_BALLOON_CFPH_VERSION) {
        map->why = "its header page shows another version";
    } else if (le64_to_cpu(qatomic_read(&h->generation)) != map->generation) {
        map->why = "its header page shows another generation";
    } else if (le32_to_cpu(qatomic_read(&h->state)) !=
               VIRTIO_BALLOON_CFPH_STATE_READY) {
        return FREE_PAGE_HINTS_REASON_WITHDRAWN;
    }
    return map->why ? FREE_PAGE_HINTS_REASON_BAD_MAP :
                      FREE_PAGE_HINTS_REASON_NONE;
}

static int cfph_compare(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/*
 * A page that serves two purposes would be read as something that it is not.
 * Sorting takes longer than all else here, and a directory rarely changes:
 * where each address is as it was when no page occurred twice, none does now.
 */
static bool cfph_used_twice(CfphMap *map)
{
    size_t size = map->nr_used * sizeof(map->used[0]);
    g_autofree uint64_t *sorted = NULL;

    if (map->checked->len == map->nr_used &&
        !memcmp(map->checked->data, map->used, size)) {
        return false;
    }
    sorted = g_memdup2(map->used, size);
    qsort(sorted, map->nr_used, sizeof(sorted[0]), cfph_compare);
    for (size_t i = 1; i < map->nr_used; i++) {
        if (sorted[i] == sorted[i - 1]) {
            return true;
        }
    }
    g_array_set_size(map->checked, 0);
    g_array_append_vals(map->checked, map->used, map->nr_used);
    return false;
}

/* What is behind the end of the VM's RAM has no leaf that could matter. */
static const char *cfph_read_dir(CfphMap *map, const uint64_t *dir,
                                 size_t first)
{
    size_t n = MIN(DIR_LEAVES, map->nr - first);

    for (size_t i = 0; i < n; i++) {
        hwaddr addr = le64_to_cpu(qatomic_read(&dir[i]));

        if (!addr) {
            continue;
        }
        map->leaf[first + i] = cfph_page(map, addr);
        if (!map->leaf[first + i]) {
            return "a leaf is not in plain RAM";
        }
        map->leaves++;
    }
    return NULL;
}

static const char *cfph_read_dirs(CfphMap *map)
{
    uint32_t dirs = le32_to_cpu(qatomic_read(&map->header->dirs));
    const char *why;

    map->nr_used = 0;
    map->used[map->nr_used++] = map->header_addr;
    map->leaves = 0;
    memset(map->leaf, 0, map->nr * sizeof(map->leaf[0]));
    if (dirs > DIRS_MAX) {
        return "it has too many directory pages";
    }

    for (size_t i = 0; i < dirs && i * DIR_LEAVES < map->nr; i++) {
        hwaddr addr = le64_to_cpu(qatomic_read(&map->header->dir[i]));
        const uint64_t *dir;

        if (!addr) {
            continue;
        }
        dir = cfph_page(map, addr);
        if (!dir) {
            return "a directory page is not in plain RAM";
        }
        why = cfph_read_dir(map, dir, i * DIR_LEAVES);
        if (why) {
            return why;
        }
    }
    return cfph_used_twice(map) ? "a page occurs twice in it" : NULL;
}

/*
 * While the vCPUs run, a directory may change under our eyes: a leaf is taken
 * out, and its page becomes another leaf, or the whole map is given up and its
 * pages serve something else.  Neither is the guest's fault, and either shows
 * in the header page: it says so before a page is reused.
 */
static FreePageHintsReason cfph_read(CfphMap *map)
{
    map->header = ram_cfph_host_page(map->layout, map->header_addr);
    if (!map->header) {
        map->why = "its header page is not in plain RAM";
        return FREE_PAGE_HINTS_REASON_BAD_MAP;
    }

    for (int i = 0; i < ATTEMPTS; i++) {
        FreePageHintsReason reason = cfph_check_header(map);
        uint64_t changes = qatomic_read(&map->header->changes);
        const char *why;

        if (reason != FREE_PAGE_HINTS_REASON_NONE) {
            return reason;
        }
        /* @changes and the state are older than what follows... */
        smp_rmb();
        why = cfph_read_dirs(map);
        if (!why) {
            return FREE_PAGE_HINTS_REASON_NONE;
        }
        /* ...and than what they are compared with. */
        smp_rmb();
        if (cfph_check_header(map) != FREE_PAGE_HINTS_REASON_NONE) {
            return FREE_PAGE_HINTS_REASON_WITHDRAWN;
        }
        map->why = why;
        if (qatomic_read(&map->header->changes) == changes) {
            break;
        }
    }
    return FREE_PAGE_HINTS_REASON_BAD_MAP;
}

/* Lock held. */
static void cfph_bad_map(VirtIOBalloon *s, const CfphMap *map)
{
    VirtIOBalloonCFPH *c = &s->cfph;

    c->stat.bad_maps++;
    trace_virtio_balloon_cfph_bad_map(map->generation, map->header_addr,
                                      map->why);
    if (!c->bad_map_logged) {
        c->bad_map_logged = true;
        qemu_log_mask(LOG_GUEST_ERROR, "virtio-balloon: the guest's map of "
                      "free pages is none (%s); it is not read until there is "
                      "another one\n", map->why);
    }
    if (!virtio_balloon_cfph_mutant(c, RAM_CFPH_MUTANT_KEEP_REGISTRATION)) {
        virtio_balloon_cfph_drop(s, FREE_PAGE_HINTS_REASON_BAD_MAP, map->why);
    }
}

FreePageHintsReason virtio_balloon_cfph_read_map(void *opaque,
                                                 const RamCfphLayout *layout,
                                                 const unsigned long **leaf,
                                                 size_t nr)
{
    VirtIOBalloon *s = opaque;
    VirtIOBalloonCFPH *c = &s->cfph;
    FreePageHintsReason reason = virtio_balloon_cfph_no_driver(s);
    g_autofree uint64_t *used = NULL;
    CfphMap map = {
        .credulous = virtio_balloon_cfph_mutant(
                         c, RAM_CFPH_MUTANT_NO_HEADER_CHECK),
        .layout = layout,
        .leaf = leaf,
        .nr = nr,
        .checked = c->checked,
    };

    if (reason != FREE_PAGE_HINTS_REASON_NONE &&
        !virtio_balloon_cfph_mutant(c, RAM_CFPH_MUTANT_KEEP_REGISTRATION)) {
        return reason;
    }
    WITH_QEMU_LOCK_GUARD(&c->lock) {
        map.generation = c->map_generation;
        map.header_addr = c->map_header;
        reason = c->map_reason;
    }
    if (!map.generation) {
        return reason;
    }

    /* The header page, the directory pages, the leaves. */
    used = g_new(uint64_t, 1 + DIV_ROUND_UP(nr, DIR_LEAVES) + nr);
    map.used = used;
    reason = cfph_read(&map);

    QEMU_LOCK_GUARD(&c->lock);
    if (c->map_generation != map.generation ||
        c->map_header != map.header_addr) {
        /* Meanwhile it has been forgotten, or there is another one. */
        return reason == FREE_PAGE_HINTS_REASON_BAD_MAP ?
               FREE_PAGE_HINTS_REASON_WITHDRAWN : reason;
    }
    c->map_reason = reason;
    c->leaves = reason == FREE_PAGE_HINTS_REASON_NONE ? map.leaves : 0;
    if (reason == FREE_PAGE_HINTS_REASON_BAD_MAP) {
        cfph_bad_map(s, &map);
    }
    return reason;
}
