// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: building messages for the host.
 *
 * Owns nothing; knows the wire format and nothing about where bits come from or
 * where messages go.  Each cfph_msg_*() appends all that it was given or, if that
 * does not fit, nothing: then the caller ships the message and begins another.
 * So a record never straddles two messages.
 *
 * A chunk costs 24 bytes for each run of equal bits as RANGE records, none for
 * the first run if it only makes the RANGE before it longer; or 64 bytes in the
 * BITS record of the chunk before it; or 80 bytes in a BITS record of its own.
 * The cheapest is taken.
 */
#include <linux/bitmap.h>
#include <linux/limits.h>
#include <linux/string.h>

#include "delta.h"

#define CFPH_RANGE_BYTES	sizeof(struct virtio_balloon_cfph_rec_range)
#define CFPH_BITS_BYTES		sizeof(struct virtio_balloon_cfph_rec_bits)
#define CFPH_CHUNK_BYTES	VIRTIO_BALLOON_CFPH_CHUNK_BYTES

/* The largest message must not hold more chunks than a BITS record can count. */
static_assert(VIRTIO_BALLOON_CFPH_MESSAGE_MAX / CFPH_CHUNK_BYTES < U16_MAX);
static_assert(CFPH_CHUNK_WORDS * sizeof(u64) == CFPH_CHUNK_BYTES);

/**
 * cfph_msg_init - begin a message
 * @msg: the message
 * @data: the buffer, 8-byte aligned
 * @size: its size in bytes, CFPH_MSG_MIN or more
 */
void cfph_msg_init(struct cfph_msg *msg, void *data, u32 size)
{
	*msg = (struct cfph_msg) {
		.data = data,
		.size = min_t(u32, size, VIRTIO_BALLOON_CFPH_MESSAGE_MAX),
		.used = sizeof(struct virtio_balloon_cfph_msg),
	};
}

/**
 * cfph_msg_empty - has nothing been appended yet?
 * @msg: the message
 *
 * Return: true if the message has no record.
 */
bool cfph_msg_empty(const struct cfph_msg *msg)
{
	return !msg->last;
}

/* Return: the new record, with its head filled in, or NULL if it does not fit. */
static void *cfph_msg_append(struct cfph_msg *msg, u16 type, u16 count,
			     u32 length)
{
	struct virtio_balloon_cfph_rec *rec = msg->data + msg->used;

	if (length > msg->size - msg->used)
		return NULL;

	rec->type = cpu_to_le16(type);
	rec->count = cpu_to_le16(count);
	rec->length = cpu_to_le32(length);
	msg->last = msg->used;
	msg->used += length;
	return rec;
}

/**
 * cfph_msg_map - append a MAP record
 * @msg: the message
 * @generation: what the header page shows
 * @header_addr: physical address of the header page
 *
 * Return: false if it does not fit.
 */
bool cfph_msg_map(struct cfph_msg *msg, u64 generation, u64 header_addr)
{
	struct virtio_balloon_cfph_rec_map *rec;

	rec = cfph_msg_append(msg, VIRTIO_BALLOON_CFPH_REC_MAP, 0, sizeof(*rec));
	if (!rec)
		return false;
	rec->generation = cpu_to_le64(generation);
	rec->header_addr = cpu_to_le64(header_addr);
	return true;
}

/**
 * cfph_msg_unmap - append an UNMAP record
 * @msg: the message
 * @generation: of the map that goes
 *
 * Return: false if it does not fit.
 */
bool cfph_msg_unmap(struct cfph_msg *msg, u64 generation)
{
	struct virtio_balloon_cfph_rec_unmap *rec;

	rec = cfph_msg_append(msg, VIRTIO_BALLOON_CFPH_REC_UNMAP, 0,
			      sizeof(*rec));
	if (!rec)
		return false;
	rec->generation = cpu_to_le64(generation);
	return true;
}

/**
 * cfph_msg_started - append a STARTED record
 * @msg: the message
 *
 * Return: false if it does not fit.
 */
bool cfph_msg_started(struct cfph_msg *msg)
{
	return cfph_msg_append(msg, VIRTIO_BALLOON_CFPH_REC_STARTED, 0,
			       sizeof(struct virtio_balloon_cfph_rec_started));
}

/* --- deltas --- */

/* Return: the last record if it is of @type, otherwise NULL. */
static void *cfph_msg_last(const struct cfph_msg *msg, u16 type)
{
	struct virtio_balloon_cfph_rec *rec = msg->data + msg->last;

	return msg->last && le16_to_cpu(rec->type) == type ? rec : NULL;
}

/* Return: the RANGE that can be made longer by pages at @pfn, or NULL. */
static struct virtio_balloon_cfph_rec_range *
cfph_msg_open_range(const struct cfph_msg *msg, u64 pfn, bool free)
{
	struct virtio_balloon_cfph_rec_range *range;

	range = cfph_msg_last(msg, VIRTIO_BALLOON_CFPH_REC_RANGE);
	if (!range || le16_to_cpu(range->rec.count) != free ||
	    le64_to_cpu(range->pfn) + le64_to_cpu(range->pages) != pfn)
		return NULL;
	return range;
}

/* Return: the BITS that can be made longer by a chunk at @pfn, or NULL. */
static struct virtio_balloon_cfph_rec_bits *
cfph_msg_open_bits(const struct cfph_msg *msg, u64 pfn)
{
	struct virtio_balloon_cfph_rec_bits *bits;

	bits = cfph_msg_last(msg, VIRTIO_BALLOON_CFPH_REC_BITS);
	if (!bits || le64_to_cpu(bits->first_pfn) +
		     le16_to_cpu(bits->rec.count) * CFPH_CHUNK_PAGES != pfn)
		return NULL;
	return bits;
}

/* How many runs of equal bits are there? */
static unsigned int cfph_chunk_runs(const unsigned long *bits)
{
	unsigned int word, runs = 1;
	unsigned long before = bits[0] & 1;

	/* A run begins at each bit that differs from the one before it. */
	for (word = 0; word < CFPH_CHUNK_WORDS; word++) {
		runs += hweight_long(bits[word] ^ (bits[word] << 1 | before));
		before = bits[word] >> (BITS_PER_LONG - 1);
	}
	return runs;
}

/* The caller has seen to it that all runs fit. */
static void cfph_msg_put_runs(struct cfph_msg *msg, u64 pfn,
			      const unsigned long *bits)
{
	struct virtio_balloon_cfph_rec_range *range;
	unsigned long start, end;

	for (start = 0; start < CFPH_CHUNK_PAGES; start = end) {
		bool free = test_bit(start, bits);

		end = free ?
		      find_next_zero_bit(bits, CFPH_CHUNK_PAGES, start) :
		      find_next_bit(bits, CFPH_CHUNK_PAGES, start);

		range = cfph_msg_open_range(msg, pfn + start, free);
		if (range) {
			le64_add_cpu(&range->pages, end - start);
			continue;
		}
		range = cfph_msg_append(msg, VIRTIO_BALLOON_CFPH_REC_RANGE,
					free, sizeof(*range));
		if (!range)
			return;
		range->pfn = cpu_to_le64(pfn + start);
		range->pages = cpu_to_le64(end - start);
		msg->ranges++;
	}
}

/* The caller has seen to it that the chunk fits. */
static void cfph_msg_put_bits(struct cfph_msg *msg, u64 pfn,
			      const unsigned long *bits)
{
	struct virtio_balloon_cfph_rec_bits *rec;
	unsigned int word, count;

	rec = cfph_msg_open_bits(msg, pfn);
	if (rec) {
		le16_add_cpu(&rec->rec.count, 1);
		le32_add_cpu(&rec->rec.length, CFPH_CHUNK_BYTES);
		msg->used += CFPH_CHUNK_BYTES;
	} else {
		rec = cfph_msg_append(msg, VIRTIO_BALLOON_CFPH_REC_BITS, 1,
				      CFPH_BITS_BYTES + CFPH_CHUNK_BYTES);
		if (!rec)
			return;
		rec->first_pfn = cpu_to_le64(pfn);
		msg->bits++;
	}

	count = le16_to_cpu(rec->rec.count);
	for (word = 0; word < CFPH_CHUNK_WORDS; word++)
		rec->bits[(count - 1) * CFPH_CHUNK_WORDS + word] =
			cpu_to_le64(bits[word]);
}

/**
 * cfph_msg_chunk - append the state of a chunk
 * @msg: the message
 * @pfn: first page of the chunk
 * @bits: its bits
 *
 * Return: false if it does not fit; it fits into an empty message.
 */
bool cfph_msg_chunk(struct cfph_msg *msg, u64 pfn,
		    const unsigned long bits[CFPH_CHUNK_WORDS])
{
	u32 runs_bytes = cfph_chunk_runs(bits) * CFPH_RANGE_BYTES;
	u32 bits_bytes = CFPH_CHUNK_BYTES;

	if (cfph_msg_open_range(msg, pfn, bits[0] & 1))
		runs_bytes -= CFPH_RANGE_BYTES;
	if (!cfph_msg_open_bits(msg, pfn))
		bits_bytes += CFPH_BITS_BYTES;

	if (min(runs_bytes, bits_bytes) > msg->size - msg->used)
		return false;

	if (runs_bytes <= bits_bytes)
		cfph_msg_put_runs(msg, pfn, bits);
	else
		cfph_msg_put_bits(msg, pfn, bits);
	msg->chunks++;
	return true;
}

/**
 * cfph_msg_finish - write the header
 * @msg: the message
 * @flags: VIRTIO_BALLOON_CFPH_F_*
 * @sequence: number of the message
 * @migration_id: the migration that it belongs to, 0 if none runs
 * @round: its newest round when the pass began
 *
 * Return: the length of the message.
 */
u32 cfph_msg_finish(struct cfph_msg *msg, u16 flags, u64 sequence,
		    u32 migration_id, u32 round)
{
	struct virtio_balloon_cfph_msg *head = msg->data;

	*head = (struct virtio_balloon_cfph_msg) {
		.version = cpu_to_le16(VIRTIO_BALLOON_CFPH_VERSION),
		.flags = cpu_to_le16(flags),
		.length = cpu_to_le32(msg->used),
		.sequence = cpu_to_le64(sequence),
		.migration_id = cpu_to_le32(migration_id),
		.round = cpu_to_le32(round),
	};
	return msg->used;
}

#if IS_ENABLED(CONFIG_CFPH_KUNIT_TEST)
#include "tests/delta-kunit.c"
#endif
