/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Continuous free-page hinting (cfph) over virtio-balloon: the wire format.
 *
 * The protocol, start to end
 * --------------------------
 * The guest kernel keeps a bitmap of its free pages, the *map*, in its own
 * memory: one bit per 4 KiB page, 1 = the page is in a buddy free list, or in
 * the balloon.  The map is cut into *leaves* of one 4 KiB page each (32768
 * pages, 128 MiB of RAM), which the device finds through a header page and
 * directory pages, all of them in guest memory.  Memory without a leaf is not
 * tracked and counts as not free.
 *
 * One feature bit, VIRTIO_BALLOON_F_CFPH, adds two adjacent virtqueues behind
 * all others of the device:
 *
 *   command queue  (host -> guest)  the driver posts device-writable buffers
 *                                   of sizeof(struct virtio_balloon_cfph_cmd);
 *                                   the device returns one per command.
 *   message queue  (guest -> host)  the driver sends device-readable buffers,
 *                                   each one whole message: a header, then
 *                                   records.
 *
 * The registration, with or without a migration:
 *
 *   guest MAP {generation, header page}  the map is READY; the device may read
 *                            it from now on, whenever it likes
 *   guest UNMAP {generation} it is no longer kept (driver removal, suspend,
 *                            reboot, kexec, administrator)
 *
 * A session, from the start of a live migration to its end:
 *
 *   host  START {id}         a migration begins; "id" names it from now on
 *   guest STARTED            in a message of that id: changes will follow
 *   host  ROUND {id, round}  the dirty bitmap has just been synchronised
 *   guest RANGE, BITS ...    what changed in the map; the last message of a
 *                            pass has VIRTIO_BALLOON_CFPH_F_PASS_END
 *   host  STOP {id}          the migration has ended, either way; the first
 *                            thing that a destination says, too
 *
 * Nobody waits for an answer.  A migration of a guest that stands still, or
 * that never answers, reads the map as any other does.
 *
 * What each side may rely on
 * --------------------------
 * - A RANGE or BITS record is the *present* state, not a change to apply: a
 *   lost, repeated, late or reordered record can only cost time.  The device
 *   never forgets that a page is dirty because of one.
 * - While the vCPUs are stopped, a bit that is set in a registered map means
 *   that nobody owns the page: its contents need not be kept.  This holds only
 *   while the header page shows the magic, the version, the generation of the
 *   registration and VIRTIO_BALLOON_CFPH_STATE_READY; the device checks all of
 *   them with the vCPUs stopped, every time, before it leaves a page out for
 *   good.
 * - The registration stands until the guest takes it back or the device
 *   forgets it, which it does on device reset, when DRIVER_OK is lost, when one
 *   of the two queues is reset, after an error, and before its state is loaded.
 *   It is part of the device's state: a destination, and a guest whose snapshot
 *   was loaded, have the one that came with their memory.
 * - The driver never waits for the device.  When the device is slow to return
 *   buffers, changes stay flagged in the guest and are sent later.
 * - A message that breaks a rule below is dropped whole, and the registration
 *   with it; the device carries on as one without a map until the next MAP.
 *
 * All fields are little endian.  All page frame numbers count 4 KiB units of
 * guest-physical address space, whatever the page size of the guest.  Padding
 * is explicit, must be written as zero and is ignored when read.
 */
#ifndef _LINUX_VIRTIO_BALLOON_CFPH_H
#define _LINUX_VIRTIO_BALLOON_CFPH_H

#include <linux/types.h>

/*
 * Feature bit.  Experimental and NOT reserved with OASIS: 6, 7 and 8 are
 * claimed by other proposals, 9..23 are free for the device type.
 */
#define VIRTIO_BALLOON_F_CFPH			20

/* Version of everything in this file; both directions carry it. */
#define VIRTIO_BALLOON_CFPH_VERSION		2

/* --- sizes --- */

#define VIRTIO_BALLOON_CFPH_PFN_SHIFT		12
/* One leaf: 4096 bytes x 8 bits = 32768 pages = 128 MiB. */
#define VIRTIO_BALLOON_CFPH_LEAF_BYTES		4096
#define VIRTIO_BALLOON_CFPH_LEAF_PAGES		32768
/* One chunk, the unit of BITS: 64 bytes of the map = 512 pages = 2 MiB. */
#define VIRTIO_BALLOON_CFPH_CHUNK_BYTES		64
#define VIRTIO_BALLOON_CFPH_CHUNK_PAGES		512
/* Upper bound of one message; the device refuses a longer one. */
#define VIRTIO_BALLOON_CFPH_MESSAGE_MAX		16384

/* One directory page: 4096 bytes / 8 = 512 leaf addresses = 64 GiB of RAM. */
#define VIRTIO_BALLOON_CFPH_DIR_LEAVES		512
/* What fits into the header page behind 64 bytes: (4096 - 64) / 8; 31.5 TiB. */
#define VIRTIO_BALLOON_CFPH_DIRS_MAX		504

/* --- the map's header page and directory, in guest memory --- */

#define VIRTIO_BALLOON_CFPH_MAGIC		0x3270616d68706663ULL /* "cfphmap2" */

/* The map is not to be believed. */
#define VIRTIO_BALLOON_CFPH_STATE_OFF		0
/* Every bit of every leaf is exact whenever the vCPUs stand still. */
#define VIRTIO_BALLOON_CFPH_STATE_READY		1

/**
 * struct virtio_balloon_cfph_map_header - the map's header page
 * @magic: VIRTIO_BALLOON_CFPH_MAGIC
 * @generation: random, drawn anew for each map, never 0; equal to the one in the
 *	MAP record
 * @state: VIRTIO_BALLOON_CFPH_STATE_*; the first thing that the guest clears
 *	when it gives the map up, and the last that it sets
 * @version: VIRTIO_BALLOON_CFPH_VERSION
 * @changes: counts each store to @dir or to a directory page; wraps.  As long as
 *	it shows the same number, the device need not translate the addresses
 *	again
 * @dirs: how many elements of @dir count, VIRTIO_BALLOON_CFPH_DIRS_MAX at most;
 *	fixed as long as the generation is
 * @reserved: 0
 * @dir: guest-physical address of the directory page of the pages from
 *	i * DIR_LEAVES * LEAF_PAGES on, 0 = none.  A directory page is
 *	VIRTIO_BALLOON_CFPH_DIR_LEAVES addresses of leaves (__le64), 0 = none
 *
 * All these pages are 4 KiB aligned, lie in ordinary RAM, and serve one purpose
 * each: no address occurs twice.
 *
 * One 8-byte store to a directory publishes or withdraws a leaf.  A new leaf is
 * zeroed, filled if it must be, entered, counted; one that goes is taken out,
 * counted, and only then freed, when all of its bits are clear.
 */
struct virtio_balloon_cfph_map_header {
	__le64 magic;
	__le64 generation;
	__le32 state;
	__le32 version;
	__le64 changes;
	__le32 dirs;
	__le32 reserved[7];
	__le64 dir[VIRTIO_BALLOON_CFPH_DIRS_MAX];
};

/* --- host -> guest: commands --- */

#define VIRTIO_BALLOON_CFPH_CMD_START		1
#define VIRTIO_BALLOON_CFPH_CMD_ROUND		2
#define VIRTIO_BALLOON_CFPH_CMD_STOP		3

/**
 * struct virtio_balloon_cfph_cmd - one command of the host
 * @version: VIRTIO_BALLOON_CFPH_VERSION
 * @command: VIRTIO_BALLOON_CFPH_CMD_*; the driver ignores one it does not know
 * @migration_id: names the migration, never 0
 * @round: dirty-bitmap syncs so far in this migration; 0 in START
 * @argument: 0, reserved
 *
 * The driver ignores a command that is shorter than this structure, and ROUND
 * for any but the migration that has begun.  STOP counts whatever its id.
 */
struct virtio_balloon_cfph_cmd {
	__le16 version;
	__le16 command;
	__le32 migration_id;
	__le32 round;
	__le32 argument;
};

/* --- guest -> host: messages --- */

/* This message ends a pass over the map. */
#define VIRTIO_BALLOON_CFPH_F_PASS_END		(1 << 0)

/**
 * struct virtio_balloon_cfph_msg - header of a message
 * @version: VIRTIO_BALLOON_CFPH_VERSION
 * @flags: VIRTIO_BALLOON_CFPH_F_*; unknown flags are ignored
 * @length: bytes of the whole message, header included; a multiple of 8, at
 *	most VIRTIO_BALLOON_CFPH_MESSAGE_MAX and at most the buffer's length
 * @sequence: 0 in the first message of a session, then one more each; 0 outside
 * @migration_id: the migration that this message belongs to, 0 outside a session
 * @round: the newest round that the driver had seen when the pass began
 *
 * Records follow, back to back, and fill the message exactly.
 */
struct virtio_balloon_cfph_msg {
	__le16 version;
	__le16 flags;
	__le32 length;
	__le64 sequence;
	__le32 migration_id;
	__le32 round;
};

#define VIRTIO_BALLOON_CFPH_REC_MAP		1
#define VIRTIO_BALLOON_CFPH_REC_UNMAP		2
#define VIRTIO_BALLOON_CFPH_REC_STARTED		3
#define VIRTIO_BALLOON_CFPH_REC_RANGE		4
#define VIRTIO_BALLOON_CFPH_REC_BITS		5

/**
 * struct virtio_balloon_cfph_rec - head of every record
 * @type: VIRTIO_BALLOON_CFPH_REC_*; an unknown one breaks the message
 * @count: RANGE: 1 = the pages are free, 0 = they are not.  BITS: number of
 *	chunks, 1 or more.  Otherwise 0.
 * @length: bytes of the record, this head included; exactly the size of its
 *	structure (BITS: plus @count chunks)
 */
struct virtio_balloon_cfph_rec {
	__le16 type;
	__le16 count;
	__le32 length;
};

/**
 * struct virtio_balloon_cfph_rec_map - a map that may be read from now on
 * @rec: head
 * @generation: what the header page shows, not 0
 * @header_addr: guest-physical address of the header page, 4 KiB aligned, not 0
 *
 * Takes the place of the registration that there was.  Counts whatever
 * migration the message's header names, like UNMAP.
 */
struct virtio_balloon_cfph_rec_map {
	struct virtio_balloon_cfph_rec rec;
	__le64 generation;
	__le64 header_addr;
};

/**
 * struct virtio_balloon_cfph_rec_unmap - the map is no longer kept
 * @rec: head
 * @generation: of the map that goes; if another one is registered, nothing
 *	happens
 */
struct virtio_balloon_cfph_rec_unmap {
	struct virtio_balloon_cfph_rec rec;
	__le64 generation;
};

/**
 * struct virtio_balloon_cfph_rec_started - the answer to START
 * @rec: head
 *
 * The migration is the one that the message's header names.
 */
struct virtio_balloon_cfph_rec_started {
	struct virtio_balloon_cfph_rec rec;
};

/**
 * struct virtio_balloon_cfph_rec_range - pages in one state
 * @rec: head; @rec.count says whether they are free
 * @pfn: first page
 * @pages: how many, 1 or more; @pfn + @pages is at most 1 << 52, the end of the
 *	64-bit address space
 */
struct virtio_balloon_cfph_rec_range {
	struct virtio_balloon_cfph_rec rec;
	__le64 pfn;
	__le64 pages;
};

/**
 * struct virtio_balloon_cfph_rec_bits - a copy of neighbouring chunks
 * @rec: head; @rec.count is the number of chunks
 * @first_pfn: first page of the first chunk, a multiple of
 *	VIRTIO_BALLOON_CFPH_CHUNK_PAGES; the last chunk ends at 1 << 52 at most
 * @bits: bit n of word w is page @first_pfn + 64 * w + n, 1 = free;
 *	8 words per chunk
 */
struct virtio_balloon_cfph_rec_bits {
	struct virtio_balloon_cfph_rec rec;
	__le64 first_pfn;
	__le64 bits[];
};

#endif /* _LINUX_VIRTIO_BALLOON_CFPH_H */
