/*
 * Continuous free-page hints: what the filter costs in a guest of any size
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * cfph-scale GIB KIND: one migration of a guest that exists as far as the
 * filter can see: RAM that is reserved and mostly never touched, a whole map in
 * it, the bitmaps, the dirty log.  The device's and migration's files are the
 * object files of the QEMU that was built; machine.c of the fuzzer stands in
 * for the rest.  Prints what each call took, as JSON.
 *
 * Kinds: what happens between two looks at the guest.  "idle" and "mixed":
 * nothing; "some": one chunk of a hundred, and the map's bits of it; "all":
 * every page becomes dirty, every word of the map has other bits.  In "mixed"
 * each leaf has free and used pages, in the others two of three leaves are all
 * free or all used, as those of a large guest mostly are.  "flood" counts how
 * much of its time a migration thread loses to a guest that registers another
 * map, and changes it, as often as it can; "deltas" the same for messages.
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "qemu/cutils.h"
#include "qemu/lockable.h"
#include "qemu/timer.h"
#include "exec/ramlist.h"
#include "migration/cfph-merge.h"
#include "migration/migration-stats.h"
#include "migration/misc.h"
#include "../qtest/fuzz/cfph/world.h"

#define LEAF            VIRTIO_BALLOON_CFPH_LEAF_PAGES
#define LEAF_WORDS      (LEAF / 64)
#define CHUNK_WORDS     8
#define DIR_LEAVES      VIRTIO_BALLOON_CFPH_DIR_LEAVES
/* As a PC has it: some below 4 GiB, the rest above. */
#define LOW_PAGES       (2 * GiB / PAGE)
#define HIGH_PFN        (4 * GiB / PAGE)
/* The map's pages in the second block: header, directory, leaves. */
#define HEADER_PAGE     0
#define DIR_PAGE        1
#define LEAF_PAGE       512
#define ROUNDS          6
#define FLOOD_NS        (10 * NANOSECONDS_PER_SECOND)

static enum { IDLE, MIXED, SOME, ALL, FLOOD, DELTAS } kind;
static const char *const kinds[] = {
    "idle", "mixed", "some", "all", "flood", "deltas"
};
static uint64_t npages, nr_leaves, generation = 1;
static uint64_t random_state = 88172645463325252ULL;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* --- memory --- */

void flatview_for_each_range(FlatView *fv, flatview_cb cb, void *opaque)
{
    static const uint64_t pfn[2] = { 0, HIGH_PFN };

    for (int i = 0; i < 2; i++) {
        Block *b = &world.blocks[i];

        cb(int128_make64(pfn[i] * PAGE), int128_make64(b->npages * PAGE),
           &b->mr, 0, opaque);
    }
}

bool migrate_ram_is_ignored(RAMBlock *rb)
{
    return false;
}

bool ramblock_page_is_discarded(RAMBlock *rb, ram_addr_t start)
{
    return false;
}

void tlb_reset_dirty_range_all(ram_addr_t start, ram_addr_t length)
{
}

static void *reserve(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    g_assert_true(p != MAP_FAILED);
    /* QEMU does so with guest RAM. */
    madvise(p, size, MADV_HUGEPAGE);
    return p;
}

static void block_up(int i, uint64_t pages, ram_addr_t offset)
{
    Block *b = &world.blocks[i];

    b->npages = pages;
    b->mr.ram = true;
    b->mr.ram_block = &b->rb;
    b->rb.mr = &b->mr;
    b->rb.host = reserve(pages * PAGE);
    b->rb.page_size = PAGE;
    b->rb.offset = offset;
    b->rb.used_length = b->rb.max_length = pages * PAGE;
    b->rb.clear_bmap_shift = 18;
    b->rb.clear_bmap = bitmap_new(DIV_ROUND_UP(pages, 1 << 18));
    QLIST_INSERT_HEAD_RCU(&ram_list.blocks, &b->rb, next);
}

static void dirty_log_up(void)
{
    size_t nr = DIV_ROUND_UP(npages, DIRTY_MEMORY_BLOCK_SIZE);
    DirtyMemoryBlocks *log = g_malloc0(sizeof(*log) + nr * sizeof(void *));

    for (size_t i = 0; i < nr; i++) {
        log->blocks[i] = bitmap_new(DIRTY_MEMORY_BLOCK_SIZE);
    }
    ram_list.dirty_memory[DIRTY_MEMORY_MIGRATION] = log;
}

/* --- the guest --- */

static void *high_page(uint64_t page)
{
    return world.blocks[1].rb.host + page * PAGE;
}

/* Neighbours in the map are near each other in memory, not side by side. */
static uint64_t leaf_page(uint64_t i)
{
    return LEAF_PAGE + (i & ~511ULL) + (i * 197) % 512;
}

static uint64_t *leaf(uint64_t i)
{
    return high_page(leaf_page(i));
}

/* Where the pages of leaf @i are among the bits of the dirty log. */
static bool leaf_log(uint64_t i, uint64_t *page)
{
    uint64_t pfn = i * LEAF;

    *page = pfn < LOW_PAGES ? pfn : pfn - HIGH_PFN + LOW_PAGES;
    return pfn < LOW_PAGES || pfn >= HIGH_PFN;
}

static void log_set(uint64_t page, uint64_t n)
{
    DirtyMemoryBlocks *log = ram_list.dirty_memory[DIRTY_MEMORY_MIGRATION];

    for (uint64_t end = page + n; page < end; page++) {
        set_bit(page % DIRTY_MEMORY_BLOCK_SIZE,
                log->blocks[page / DIRTY_MEMORY_BLOCK_SIZE]);
    }
}

/* The guest has written to its map. */
static void log_leaf(uint64_t i)
{
    log_set(LOW_PAGES + leaf_page(i), 1);
}

static void fill_chunk(uint64_t *words)
{
    uint64_t how = next_random() % 3;

    for (int w = 0; w < CHUNK_WORDS; w++) {
        words[w] = how == 0 ? 0 : how == 1 ? ~0ULL : next_random();
    }
}

static void fill_leaf(uint64_t i)
{
    uint64_t how = kind == MIXED ? 2 : next_random() % 3;
    uint64_t *words = leaf(i);

    if (how < 2) {
        memset(words, how ? 0xff : 0, PAGE);
        return;
    }
    for (int c = 0; c < LEAF_WORDS; c += CHUNK_WORDS) {
        fill_chunk(words + c);
    }
}

static void map_up(void)
{
    struct virtio_balloon_cfph_map_header *h = high_page(HEADER_PAGE);
    uint64_t page;

    h->magic = VIRTIO_BALLOON_CFPH_MAGIC;
    h->version = VIRTIO_BALLOON_CFPH_VERSION;
    h->state = VIRTIO_BALLOON_CFPH_STATE_READY;
    h->generation = generation;
    h->dirs = DIV_ROUND_UP(nr_leaves, DIR_LEAVES);
    for (uint64_t i = 0; i < nr_leaves; i++) {
        uint64_t *dir = high_page(DIR_PAGE + i / DIR_LEAVES);

        h->dir[i / DIR_LEAVES] = (HIGH_PFN + DIR_PAGE + i / DIR_LEAVES) * PAGE;
        if (leaf_log(i, &page)) {
            dir[i % DIR_LEAVES] = (HIGH_PFN + leaf_page(i)) * PAGE;
            fill_leaf(i);
        }
    }
    /* The map itself is in use. */
    memset(leaf(HIGH_PFN / LEAF), 0, PAGE);
    for (uint64_t i = 0; i < nr_leaves / LEAF + 1; i++) {
        memset(leaf(HIGH_PFN / LEAF + i), 0, PAGE);
    }
    world.s->cfph.map_generation = generation;
    world.s->cfph.map_header = (HIGH_PFN + HEADER_PAGE) * PAGE;
}

static void touch_chunk(uint64_t i, int chunk)
{
    uint64_t page;

    if (leaf_log(i, &page)) {
        fill_chunk(leaf(i) + chunk * CHUNK_WORDS);
        log_leaf(i);
        log_set(page + chunk * 512, 512);
    }
}

/* What the guest does in a round. */
static void live(void)
{
    uint64_t page;

    if (kind == SOME) {
        for (uint64_t n = npages / 512 / 100; n; n--) {
            touch_chunk(next_random() % nr_leaves, next_random() % 64);
        }
    } else if (kind == ALL) {
        DirtyMemoryBlocks *log = ram_list.dirty_memory[DIRTY_MEMORY_MIGRATION];

        for (uint64_t i = 0; i < nr_leaves; i++) {
            for (int w = 0; w < LEAF_WORDS && leaf_log(i, &page); w++) {
                leaf(i)[w] = next_random();
            }
        }
        for (uint64_t i = 0; i * DIRTY_MEMORY_BLOCK_SIZE < npages; i++) {
            bitmap_set(log->blocks[i], 0, MIN(DIRTY_MEMORY_BLOCK_SIZE, npages -
                                              i * DIRTY_MEMORY_BLOCK_SIZE));
        }
    }
}

/* --- a migration --- */

/* What QEMU does itself, for comparison. */
static void merge(void)
{
    for (int i = 0; i < 2; i++) {
        world.dirty_pages += ram_cfph_merge(&world.blocks[i].rb);
    }
}

static void begin(void)
{
    world.dirty_pages = 0;
    for (int i = 0; i < 2; i++) {
        Block *b = &world.blocks[i];

        b->rb.bmap = bitmap_new(b->npages);
        bitmap_set(b->rb.bmap, 0, b->npages);
        world.dirty_pages += b->npages;
    }
}

/* A round: everything that is dirty is sent. */
static void send_all(void)
{
    for (int i = 0; i < 2; i++) {
        bitmap_zero(world.blocks[i].rb.bmap, world.blocks[i].npages);
    }
    world.dirty_pages = 0;
}

static uint64_t rss_kib(void)
{
    g_autofree char *text = NULL;
    uint64_t pages = 0;

    g_assert_true(g_file_get_contents("/proc/self/statm", &text, NULL, NULL));
    qemu_strtou64(strchr(text, ' ') + 1, NULL, 10, &pages);
    return pages * (qemu_real_host_page_size() / KiB);
}

/* Processor time of all threads: others work on this machine, too. */
static int64_t cpu_clock(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return ts.tv_sec * NANOSECONDS_PER_SECOND + ts.tv_nsec;
}

static int64_t wall_before, cpu_before;

static void start(void)
{
    wall_before = get_clock();
    cpu_before = cpu_clock();
}

/* How long it has taken since start(). */
static void report(const char *what)
{
    int64_t wall = get_clock() - wall_before, cpu = cpu_clock() - cpu_before;

    printf("{\"what\": \"%s\", \"wall\": %" PRId64 ", \"cpu\": %" PRId64
           ", \"dirty\": %" PRIu64 ", \"deferred\": %" PRIu64 "}\n", what, wall,
           cpu, world.dirty_pages, stat64_get(&mig_stats.free_pages_deferred));
}

static void sync_log(const char *what)
{
    uint64_t period = UINT64_MAX;

    start();
    merge();
    report("merge");
    WITH_QEMU_LOCK_GUARD(&world.bitmap_mutex) {
        WITH_RCU_READ_LOCK_GUARD() {
            start();
            ram_cfph_sync(&period, 0);
            report(what);
        }
    }
    world_run_bh();
}

/* Each call in the order in which a migration makes them. */
static void migrate(void)
{
    uint64_t before;

    begin();
    before = rss_kib();
    start();
    ram_cfph_begin(&world.bitmap_mutex, &world.dirty_pages);
    report("begin");
    world_run_bh();

    for (int round = 1; round <= ROUNDS; round++) {
        send_all();
        live();
        sync_log(round < 3 ? "early" : "sync");
        send_all();
        live();
        /* A slice is being sent until another look is due, at 100 percent. */
        g_usleep(1000 + 2 * (get_clock() - wall_before) / SCALE_US);
        start();
        ram_cfph_pull();
        report("pull");
    }

    send_all();
    world.running = world.s->parent_obj.vm_running = false;
    start();
    ram_cfph_switchover(RAM_CFPH_NO_LIMIT);
    report("decide");
    sync_log("final");
    printf("{\"what\": \"rss\", \"kib\": %" PRIu64 "}\n", rss_kib() - before);
    ram_cfph_end();
}

/* --- a guest without a pause --- */

/* One message that says of all pages in turn that they are free, and used. */
static void send_deltas(void)
{
    struct {
        struct virtio_balloon_cfph_msg head;
        struct virtio_balloon_cfph_rec_range range;
    } msg = {
        .head = {
            .version = VIRTIO_BALLOON_CFPH_VERSION,
            .length = sizeof(msg),
            .sequence = world.s->cfph.next_sequence,
            .migration_id = world.s->cfph.migration_id,
        },
        .range = {
            { VIRTIO_BALLOON_CFPH_REC_RANGE, next_random() % 2,
              sizeof(msg.range) }, 0, nr_leaves * LEAF
        },
    };

    world.msg = (void *)&msg;
    world.msg_len = sizeof(msg);
    world.msg_parts = 1;
    world.handle_msg(&world.s->parent_obj, world.msg_vq);
    world_run_bh();
    world.msg = NULL;
}

static void register_anew(void)
{
    struct virtio_balloon_cfph_map_header *h = high_page(HEADER_PAGE);

    h->generation = world.s->cfph.map_generation = ++generation;
    h->changes++;
    for (int n = 0; n < 100; n++) {
        touch_chunk(next_random() % nr_leaves, next_random() % 64);
    }
}

static void flood(void)
{
    int64_t end = get_clock() + FLOOD_NS, spent = 0, most = 0, cpu, all;

    begin();
    ram_cfph_begin(&world.bitmap_mutex, &world.dirty_pages);
    world_run_bh();
    start();
    while (get_clock() < end) {
        if (kind == FLOOD) {
            register_anew();
        } else {
            send_deltas();
        }
        cpu = cpu_clock();
        ram_cfph_pull();
        cpu = cpu_clock() - cpu;
        spent += cpu;
        most = MAX(most, cpu);
        g_usleep(100);
    }
    all = get_clock() - wall_before;
    printf("{\"what\": \"flood\", \"percent\": %.3f, \"longest\": %" PRId64
           "}\n", spent * 100.0 / all, most);
    ram_cfph_end();
}

static void up(uint64_t gib, unsigned percent)
{
    npages = gib * (GiB / PAGE);
    nr_leaves = (npages - LOW_PAGES + HIGH_PFN) / LEAF;
    QLIST_INIT(&ram_list.blocks);
    block_up(0, LOW_PAGES, 0);
    block_up(1, npages - LOW_PAGES, LOW_PAGES * PAGE);
    dirty_log_up();
    world_device_up(percent);
    world_set_status(VIRTIO_CONFIG_S_DRIVER_OK);
    world_run_bh();
    map_up();
}

int main(int argc, char **argv)
{
    uint64_t gib = 0;

    if (argc == 3) {
        qemu_strtou64(argv[1], NULL, 10, &gib);
    }
    while (gib && kind < ARRAY_SIZE(kinds) && strcmp(argv[2], kinds[kind])) {
        kind++;
    }
    if (gib < 8 || gib > 16 * KiB || kind == ARRAY_SIZE(kinds)) {
        fprintf(stderr, "usage: cfph-scale GIB "
                "idle|mixed|some|all|flood|deltas\n");
        return 2;
    }
    up(gib, kind < FLOOD ? 100 : 1);
    if (kind < FLOOD) {
        migrate();
    } else {
        flood();
    }
    return 0;
}
