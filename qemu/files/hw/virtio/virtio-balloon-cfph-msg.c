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
 * message is checked whole before any of its records counts, but for what
 * only the order of records can tell (LEAF without REGISTER and the like).
 *
 * Memory: a registration has at most one leaf per 128 MiB of the VM's address
 * range that holds RAM; deltas are bounded by DELTA_WORDS_MAX and by the pages
 * that they cover, whatever the guest sends.
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/lockable.h"
#include "qemu/log.h"
#include "hw/virtio/virtio-balloon.h"
#include "trace.h"

#define LEAF_PAGES      VIRTIO_BALLOON_CFPH_LEAF_PAGES
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
    case VIRTIO_BALLOON_CFPH_REC_REGISTER:
        if (!GET64(rec, register, generation)) {
            return "REGISTER with generation 0";
        }
        if (!page_aligned(GET64(rec, register, header_addr))) {
            return "REGISTER with an unaligned header page";
        }
        return NULL;
    case VIRTIO_BALLOON_CFPH_REC_LEAF:
        pfn = GET64(rec, leaf, first_pfn);
        if (pfn % LEAF_PAGES || pfn >= PFN_END) {
            return "LEAF with a bad first page";
        }
        if (!page_aligned(GET64(rec, leaf, addr))) {
            return "LEAF with an unaligned address";
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
    case VIRTIO_BALLOON_CFPH_REC_REGISTER:
        return sizeof(struct virtio_balloon_cfph_rec_register);
    case VIRTIO_BALLOON_CFPH_REC_LEAF:
        return sizeof(struct virtio_balloon_cfph_rec_leaf);
    case VIRTIO_BALLOON_CFPH_REC_UNREGISTER:
        return sizeof(struct virtio_balloon_cfph_rec_unregister);
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
static const char *check_message(const void *buf, size_t size, size_t *length)
{
    const struct virtio_balloon_cfph_msg *msg = buf;
    const char *reason;
    size_t pos, want;

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

static const char *do_register(VirtIOBalloon *s, const void *rec)
{
    VirtIOBalloonCFPH *c = &s->cfph;
    uint64_t leaves = GET64(rec, register, leaves);

    virtio_balloon_cfph_drop(s, "the guest registers anew");
    if (leaves > ram_cfph_max_leaves()) {
        return "REGISTER with more leaves than the VM has RAM";
    }
    c->reg = ram_cfph_map_new(leaves);
    c->reg->generation = GET64(rec, register, generation);
    c->reg->header_addr = GET64(rec, register, header_addr);
    c->reg->look_percent = c->look_percent;
    c->reg->mutants = c->mutants;
    trace_virtio_balloon_cfph_register(c->migration_id, c->round,
                                       c->reg->generation,
                                       c->reg->header_addr, leaves);
    return NULL;
}

static const char *do_leaf(VirtIOBalloon *s, const void *rec)
{
    VirtIOBalloonCFPH *c = &s->cfph;
    RamCfphLeaf leaf = {
        .first_pfn = GET64(rec, leaf, first_pfn),
        .addr = GET64(rec, leaf, addr),
    };

    if (!c->reg) {
        return "LEAF without REGISTER";
    }
    if (c->reg_leaves == c->reg->nr_leaves) {
        return "more LEAF records than REGISTER has promised";
    }
    if (c->reg_leaves &&
        leaf.first_pfn <= c->reg->leaves[c->reg_leaves - 1].first_pfn) {
        return "LEAF records out of order";
    }
    c->reg->leaves[c->reg_leaves++] = leaf;
    trace_virtio_balloon_cfph_leaf(c->migration_id, c->round, leaf.first_pfn,
                                   leaf.addr);
    return NULL;
}

static const char *do_started(VirtIOBalloon *s, const void *rec)
{
    VirtIOBalloonCFPH *c = &s->cfph;
    uint64_t generation = GET64(rec, started, generation);
    const char *reason;

    if (!c->reg) {
        /* Said twice, harmless. */
        return c->map && c->map->generation == generation ?
               NULL : "STARTED without REGISTER";
    }
    if (c->reg->generation != generation) {
        return "STARTED with another generation than REGISTER";
    }
    if (c->reg_leaves != c->reg->nr_leaves) {
        return "STARTED before all LEAF records";
    }
    reason = ram_cfph_map_check(c->reg);
    trace_virtio_balloon_cfph_started(c->migration_id, c->round, generation,
                                      c->reg->nr_leaves, reason ? reason : "");
    if (reason) {
        /* Not a breach: the guest may have given the map up meanwhile. */
        virtio_balloon_cfph_forget(s, reason);
        return NULL;
    }

    QEMU_LOCK_GUARD(&c->lock);
    c->map = g_steal_pointer(&c->reg);
    c->reg_leaves = 0;
    c->phase = VIRTIO_BALLOON_CFPH_STARTED;
    c->stat.registrations++;
    qemu_cond_broadcast(&c->answered);
    return NULL;
}

static void do_unregister(VirtIOBalloon *s, const void *rec)
{
    VirtIOBalloonCFPH *c = &s->cfph;
    uint64_t generation = GET64(rec, unregister, generation);

    trace_virtio_balloon_cfph_unregister(c->migration_id, c->round, generation);
    if ((c->reg && c->reg->generation == generation) ||
        (c->map && c->map->generation == generation)) {
        virtio_balloon_cfph_forget(s, "the guest has unregistered");
    }
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
    uint64_t cost = MIN(delta[1], c->page_budget);

    QEMU_LOCK_GUARD(&c->lock);
    if (!c->map) {
        c->stat.ignored++;
        return;
    }
    /*
     * One message can name the whole RAM hundreds of times.  Losing a delta
     * costs time only, and less of it than applying all of those would.
     */
    if (c->delta_pages > c->page_budget) {
        c->stat.dropped_deltas++;
        return;
    }
    if (!c->deltas) {
        c->deltas = g_array_new(false, false, sizeof(uint64_t));
    }
    g_array_append_vals(c->deltas, delta, ARRAY_SIZE(delta));
    for (uint64_t i = 0; bits && i < delta[1] / 64; i++) {
        uint64_t word = get64(rec, sizeof(struct virtio_balloon_cfph_rec_bits) +
                              i * sizeof(word));

        g_array_append_val(c->deltas, word);
    }
    c->delta_pages += cost;
    c->stat.deltas++;
}

static const char *do_record(VirtIOBalloon *s, const void *rec)
{
    switch (rec_type(rec)) {
    case VIRTIO_BALLOON_CFPH_REC_REGISTER:
        return do_register(s, rec);
    case VIRTIO_BALLOON_CFPH_REC_LEAF:
        return do_leaf(s, rec);
    case VIRTIO_BALLOON_CFPH_REC_STARTED:
        return do_started(s, rec);
    case VIRTIO_BALLOON_CFPH_REC_UNREGISTER:
        do_unregister(s, rec);
        return NULL;
    default:
        do_delta(s, rec);
        return NULL;
    }
}

static const char *do_message(VirtIOBalloon *s, const void *buf, size_t length)
{
    const struct virtio_balloon_cfph_msg *msg = buf;
    VirtIOBalloonCFPH *c = &s->cfph;
    uint16_t flags = le16_to_cpu(msg->flags);
    uint64_t sequence = le64_to_cpu(msg->sequence);
    bool current = c->migrating && !c->distrusted &&
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
    } else {
        c->stat.ignored++;
    }

    for (size_t pos = sizeof(*msg); pos < length;
         pos += rec_length(buf + pos)) {
        const void *rec = buf + pos;
        const char *reason;

        /* Words about another migration are late; only a withdrawal counts. */
        if (!current && rec_type(rec) != VIRTIO_BALLOON_CFPH_REC_UNREGISTER) {
            continue;
        }
        reason = do_record(s, rec);
        if (reason) {
            return reason;
        }
    }
    return NULL;
}

/* False: the message broke a rule; the guest is not listened to any more. */
bool virtio_balloon_cfph_message(VirtIOBalloon *s, const void *buf, size_t size)
{
    VirtIOBalloonCFPH *c = &s->cfph;
    size_t length = 0;
    const char *reason = check_message(buf, size, &length);

    if (!reason) {
        reason = do_message(s, buf, length);
    }
    if (!reason) {
        return true;
    }

    c->stat.malformed++;
    c->distrusted = true;
    trace_virtio_balloon_cfph_malformed(c->migration_id, c->round, reason);
    if (!c->malformed_logged) {
        c->malformed_logged = true;
        qemu_log_mask(LOG_GUEST_ERROR, "virtio-balloon: malformed free-page "
                      "message (%s); the guest's hints are ignored for the "
                      "rest of this migration\n", reason);
    }
    virtio_balloon_cfph_forget(s, "malformed message");
    return false;
}
