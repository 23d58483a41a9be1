/*
 * Virtio balloon: continuous free-page hints, the guest's messages
 *
 * Copyright (c) 2026 The cfph developers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Decodes one message and acts on it.  The message is a private copy: the
 * guest cannot change it between check and use.  Knows no virtqueue.
 *
 * Rules are those of the wire header, which tells the protocol's story.  A
 * message is checked whole before any of its records counts, so one that breaks
 * a rule does nothing but take the registration with it.  What the guest has in
 * the pages that it registers is not looked at here.
 *
 * Memory: a registration is two numbers; deltas are bounded by DELTA_WORDS_MAX,
 * DELTAS_MAX and by the pages that they cover, whatever the guest sends.
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/lockable.h"
#include "qemu/log.h"
#include "qemu/main-loop.h"
#include "hw/virtio/virtio-balloon.h"
#include "trace.h"

#define CHUNK_PAGES     VIRTIO_BALLOON_CFPH_CHUNK_PAGES
#define CHUNK_BYTES     VIRTIO_BALLOON_CFPH_CHUNK_BYTES
/* Guest-physical addresses are 64-bit. */
#define PFN_END         (1ULL << (64 - VIRTIO_BALLOON_CFPH_PFN_SHIFT))

static uint64_t get64(const void *rec, size_t offset)
{
    return ldq_le_p(rec + offset);
}
#define GET64(rec, type, field) \
    get64(rec, offsetof(struct virtio_balloon_cfph_rec_##type, field))

static uint16_t rec_type(const void *rec)
{
    return lduw_le_p(rec + offsetof(struct virtio_balloon_cfph_rec, type));
}

static uint16_t rec_count(const void *rec)
{
    return lduw_le_p(rec + offsetof(struct virtio_balloon_cfph_rec, count));
}

static uint32_t rec_length(const void *rec)
{
    return ldl_le_p(rec + offsetof(struct virtio_balloon_cfph_rec, length));
}

/* --- is it well-formed? --- */

static bool page_aligned(hwaddr addr)
{
    return !(addr & (VIRTIO_BALLOON_CFPH_LEAF_BYTES - 1));
}

/* What is wrong with the fields of @rec alone, NULL if nothing is. */
static const char *check_fields(const void *rec)
{
    uint64_t pfn, pages;

    if (rec_count(rec) && rec_type(rec) != VIRTIO_BALLOON_CFPH_REC_RANGE &&
        rec_type(rec) != VIRTIO_BALLOON_CFPH_REC_BITS) {
        return "record with a count that it does not have";
    }

    switch (rec_type(rec)) {
    case VIRTIO_BALLOON_CFPH_REC_MAP:
        if (!GET64(rec, map, generation)) {
            return "MAP with generation 0";
        }
        if (!GET64(rec, map, header_addr) ||
            !page_aligned(GET64(rec, map, header_addr))) {
            return "MAP with a header page that is 0 or unaligned";
        }
        return NULL;
    case VIRTIO_BALLOON_CFPH_REC_RANGE:
        pfn = GET64(rec, range, pfn);
        pages = GET64(rec, range, pages);
        if (!pages || pfn >= PFN_END || pages > PFN_END - pfn) {
            return "RANGE that is empty or overflows";
        }
        if (rec_count(rec) > 1) {
            return "RANGE with an unknown state";
        }
        return NULL;
    case VIRTIO_BALLOON_CFPH_REC_BITS:
        pfn = GET64(rec, bits, first_pfn);
        pages = rec_count(rec) * CHUNK_PAGES;
        if (!pages || pfn % CHUNK_PAGES || pfn >= PFN_END ||
            pages > PFN_END - pfn) {
            return "BITS that is empty, unaligned or overflows";
        }
        return NULL;
    default:
        return NULL;
    }
}

/* Length that @rec must have, 0 if its type is unknown. */
static size_t expected_length(const void *rec)
{
    switch (rec_type(rec)) {
    case VIRTIO_BALLOON_CFPH_REC_MAP:
        return sizeof(struct virtio_balloon_cfph_rec_map);
    case VIRTIO_BALLOON_CFPH_REC_UNMAP:
        return sizeof(struct virtio_balloon_cfph_rec_unmap);
    case VIRTIO_BALLOON_CFPH_REC_STARTED:
        return sizeof(struct virtio_balloon_cfph_rec_started);
    case VIRTIO_BALLOON_CFPH_REC_RANGE:
        return sizeof(struct virtio_balloon_cfph_rec_range);
    case VIRTIO_BALLOON_CFPH_REC_BITS:
        return sizeof(struct virtio_balloon_cfph_rec_bits) +
               rec_count(rec) * CHUNK_BYTES;
    default:
        return 0;
    }
}

/* What is wrong with the message, NULL if nothing is. */
static const char *check_message(const void *buf, size_t size, bool writable,
                                 size_t *length)
{
    const struct virtio_balloon_cfph_msg *msg = buf;
    const char *reason;
    size_t pos, want;

    if (writable) {
        return "buffer for the device to write to";
    }
    if (size < sizeof(*msg)) {
        return "shorter than its header";
    }
    if (le16_to_cpu(msg->version) != VIRTIO_BALLOON_CFPH_VERSION) {
        return "unknown version";
    }
    *length = le32_to_cpu(msg->length);
    if (*length < sizeof(*msg) || *length > size || *length % 8) {
        return "bad length";
    }

    for (pos = sizeof(*msg); pos < *length; pos += want) {
        const void *rec = buf + pos;

        if (*length - pos < sizeof(struct virtio_balloon_cfph_rec)) {
            return "record is cut off";
        }
        want = expected_length(rec);
        if (!want) {
            return "unknown record";
        }
        if (rec_length(rec) != want || want > *length - pos) {
            return "record has a bad length";
        }
        reason = check_fields(rec);
        if (reason) {
            return reason;
        }
    }
    return NULL;
}

/* --- what it says --- */

static void do_map(VirtIOBalloon *s, const void *rec)
{
    VirtIOBalloonCFPH *c = &s->cfph;
    uint64_t generation = GET64(rec, map, generation);
    uint64_t header = GET64(rec, map, header_addr);

    trace_virtio_balloon_cfph_map(c->migration_id, c->round, generation,
                                  header);
    QEMU_LOCK_GUARD(&c->lock);
    if (c->map_generation == generation && c->map_header == header) {
        /* Said twice, harmless. */
        return;
    }
    virtio_balloon_cfph_drop(s, FREE_PAGE_HINTS_REASON_NONE,
                             "the guest registers another map");
    c->map_generation = generation;
    c->map_header = header;
    c->stat.registrations++;
}

static void do_unmap(VirtIOBalloon *s, const void *rec)
{
    VirtIOBalloonCFPH *c = &s->cfph;
    uint64_t generation = GET64(rec, unmap, generation);
    bool known;

    trace_virtio_balloon_cfph_unmap(c->migration_id, c->round, generation);
    WITH_QEMU_LOCK_GUARD(&c->lock) {
        known = c->map_generation && c->map_generation == generation;
    }
    if (known) {
        virtio_balloon_cfph_forget(s, FREE_PAGE_HINTS_REASON_WITHDRAWN,
                                   "the guest takes it back");
    }
}

static void do_started(VirtIOBalloon *s)
{
    VirtIOBalloonCFPH *c = &s->cfph;

    trace_virtio_balloon_cfph_started(c->migration_id, c->round);
    c->answered = true;
}

/* RANGE and BITS: queue for the migration thread. */
static void do_delta(VirtIOBalloon *s, const void *rec)
{
    VirtIOBalloonCFPH *c = &s->cfph;
    bool bits = rec_type(rec) == VIRTIO_BALLOON_CFPH_REC_BITS;
    uint64_t delta[RAM_CFPH_DELTA_WORDS] = {
        bits ? GET64(rec, bits, first_pfn) : GET64(rec, range, pfn),
        bits ? rec_count(rec) * CHUNK_PAGES : GET64(rec, range, pages),
        bits ? RAM_CFPH_DELTA_BITS :
        rec_count(rec) ? RAM_CFPH_DELTA_FREE : RAM_CFPH_DELTA_USED,
    };
    uint64_t cost = MIN(delta[1], c->page_budget / 2);

    QEMU_LOCK_GUARD(&c->lock);
    if (!c->map_generation) {
        c->stat.ignored++;
        return;
    }
    /*
     * One message can name the whole RAM hundreds of times.  Losing a delta
     * costs time only, and less of it than applying all of those would.
     */
    if (cost > c->page_budget - c->delta_pages) {
        c->stat.dropped_deltas++;
        return;
    }
    if (!c->deltas) {
        c->deltas = g_array_new(false, false, sizeof(uint64_t));
    }
    g_array_append_vals(c->deltas, delta, ARRAY_SIZE(delta));
    if (bits) {
        g_array_append_vals(c->deltas,
                            rec + sizeof(struct virtio_balloon_cfph_rec_bits),
                            delta[1] / 64);
    }
    c->nr_deltas++;
    c->delta_pages += cost;
    c->stat.deltas++;
}

static void do_record(VirtIOBalloon *s, const void *rec, bool current)
{
    switch (rec_type(rec)) {
    case VIRTIO_BALLOON_CFPH_REC_MAP:
        do_map(s, rec);
        return;
    case VIRTIO_BALLOON_CFPH_REC_UNMAP:
        do_unmap(s, rec);
        return;
    }
    /* The others belong to a migration; words about another one are late. */
    if (!current) {
        s->cfph.stat.ignored++;
    } else if (rec_type(rec) == VIRTIO_BALLOON_CFPH_REC_STARTED) {
        do_started(s);
    } else {
        do_delta(s, rec);
    }
}

static void do_message(VirtIOBalloon *s, const void *buf, size_t length)
{
    const struct virtio_balloon_cfph_msg *msg = buf;
    VirtIOBalloonCFPH *c = &s->cfph;
    uint16_t flags = le16_to_cpu(msg->flags);
    uint64_t sequence = le64_to_cpu(msg->sequence);
    bool current = c->migrating &&
                   le32_to_cpu(msg->migration_id) == c->migration_id;

    trace_virtio_balloon_cfph_message(le32_to_cpu(msg->migration_id),
                                      le32_to_cpu(msg->round), sequence,
                                      length, flags, current);
    c->stat.messages++;
    if (current) {
        c->stat.lost += sequence > c->next_sequence ?
                        sequence - c->next_sequence : 0;
        c->next_sequence = sequence + 1;
        c->stat.passes += !!(flags & VIRTIO_BALLOON_CFPH_F_PASS_END);
    }
    for (size_t pos = sizeof(*msg); pos < length;
         pos += rec_length(buf + pos)) {
        do_record(s, buf + pos, current);
    }
}

void virtio_balloon_cfph_message(VirtIOBalloon *s, const void *buf, size_t size,
                                 bool writable)
{
    VirtIOBalloonCFPH *c = &s->cfph;
    size_t length = 0;
    const char *reason = check_message(buf, size, writable, &length);

    assert(bql_locked());
    if (!reason) {
        do_message(s, buf, length);
        return;
    }

    c->stat.malformed++;
    trace_virtio_balloon_cfph_malformed(c->migration_id, c->round, reason);
    if (!c->malformed_logged) {
        c->malformed_logged = true;
        qemu_log_mask(LOG_GUEST_ERROR, "virtio-balloon: malformed free-page "
                      "message (%s); it is dropped, and the guest's map is not "
                      "read until there is another one\n", reason);
    }
    virtio_balloon_cfph_forget(s, FREE_PAGE_HINTS_REASON_NO_MAP,
                               "malformed message");
}
