/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Continuous free-page hinting: building messages for the host.
 *
 * Pure: bytes in a buffer that the caller owns, no locks, no allocation.  The
 * format is that of <uapi/linux/virtio_balloon_cfph.h>.
 */
#ifndef _MM_CFPH_DELTA_H
#define _MM_CFPH_DELTA_H

#include <linux/types.h>

#include "mask.h"

/* What the largest single step needs: header, BITS record of one chunk. */
#define CFPH_MSG_MIN							\
	(sizeof(struct virtio_balloon_cfph_msg) +			\
	 sizeof(struct virtio_balloon_cfph_rec_bits) +			\
	 VIRTIO_BALLOON_CFPH_CHUNK_BYTES)

/**
 * struct cfph_msg - a message that is being built
 * @data: the buffer, 8-byte aligned
 * @size: how much of it may be used
 * @used: bytes so far, header included; a multiple of 8
 * @last: offset of the last record, 0 if there is none
 * @chunks: chunks appended
 * @ranges: RANGE records
 * @bits: BITS records
 */
struct cfph_msg {
	void *data;
	u32 size;
	u32 used;
	u32 last;
	u32 chunks;
	u32 ranges;
	u32 bits;
};

void cfph_msg_init(struct cfph_msg *msg, void *data, u32 size);
bool cfph_msg_empty(const struct cfph_msg *msg);
bool cfph_msg_map(struct cfph_msg *msg, u64 generation, u64 header_addr);
bool cfph_msg_unmap(struct cfph_msg *msg, u64 generation);
bool cfph_msg_started(struct cfph_msg *msg);
bool cfph_msg_chunk(struct cfph_msg *msg, u64 pfn,
		    const unsigned long bits[CFPH_CHUNK_WORDS]);
u32 cfph_msg_finish(struct cfph_msg *msg, u16 flags, u64 sequence,
		    u32 migration_id, u32 round);

#endif /* _MM_CFPH_DELTA_H */
