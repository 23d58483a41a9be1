/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
/* Do not edit directly, auto-generated from: */
/*	Documentation/netlink/specs/cfph.yaml */
/* YNL-GEN uapi header */

#ifndef _UAPI_LINUX_CFPH_H
#define _UAPI_LINUX_CFPH_H

#define CFPH_FAMILY_NAME	"cfph"
#define CFPH_FAMILY_VERSION	1

/**
 * enum cfph_state - Life of the map.
 * @CFPH_STATE_OFF: no map is kept and the allocator hooks are no-ops
 * @CFPH_STATE_HOOKS: the allocator hooks are live, the map is not filled yet
 * @CFPH_STATE_SCAN: the map is being filled from the buddy lists
 * @CFPH_STATE_READY: every bit of the map is exact
 */
enum cfph_state {
	CFPH_STATE_OFF,
	CFPH_STATE_HOOKS,
	CFPH_STATE_SCAN,
	CFPH_STATE_READY,

	/* private: */
	__CFPH_STATE_MAX,
	CFPH_STATE_MAX = (__CFPH_STATE_MAX - 1)
};

/**
 * enum cfph_reason - Why the map is off.
 * @CFPH_REASON_NONE: it is not off
 * @CFPH_REASON_BOOT_PARAMETER: cfph=off on the kernel command line
 * @CFPH_REASON_ADMIN: switched off by the administrator
 * @CFPH_REASON_NO_DEVICE: no device offers the feature, or its driver is not
 *   bound
 * @CFPH_REASON_INIT_ON_FREE: init_on_free=1 relies on the contents of free
 *   pages
 * @CFPH_REASON_PAGE_POISONING: page_poison=1 relies on the contents of free
 *   pages
 * @CFPH_REASON_MEMORY_ENCRYPTION: the host must not see the memory of an
 *   encrypted guest
 * @CFPH_REASON_SHARED_WORD: two zones share one 64-page word of the map
 * @CFPH_REASON_NO_MEMORY: the map could not be allocated
 * @CFPH_REASON_SUSPENDED: the system sleeps or is about to
 * @CFPH_REASON_SHUTDOWN: the system reboots, halts or starts another kernel
 * @CFPH_REASON_STARTING: the map is being built
 * @CFPH_REASON_NO_MIGRATION: kept during migrations only, and none is running
 * @CFPH_REASON_NOT_NEGOTIATED: a device offers the feature, but its driver was
 *   bound before it did
 * @CFPH_REASON_QUEUE_NUMBERS: the driver has turned other features of the
 *   device down, and its queues are numbered by them
 * @CFPH_REASON_PAGE_CONTENTS: another feature of the device may rely on the
 *   contents of free pages
 */
enum cfph_reason {
	CFPH_REASON_NONE,
	CFPH_REASON_BOOT_PARAMETER,
	CFPH_REASON_ADMIN,
	CFPH_REASON_NO_DEVICE,
	CFPH_REASON_INIT_ON_FREE,
	CFPH_REASON_PAGE_POISONING,
	CFPH_REASON_MEMORY_ENCRYPTION,
	CFPH_REASON_SHARED_WORD,
	CFPH_REASON_NO_MEMORY,
	CFPH_REASON_SUSPENDED,
	CFPH_REASON_SHUTDOWN,
	CFPH_REASON_STARTING,
	CFPH_REASON_NO_MIGRATION,
	CFPH_REASON_NOT_NEGOTIATED,
	CFPH_REASON_QUEUE_NUMBERS,
	CFPH_REASON_PAGE_CONTENTS,

	/* private: */
	__CFPH_REASON_MAX,
	CFPH_REASON_MAX = (__CFPH_REASON_MAX - 1)
};

/**
 * enum cfph_drain - When the per-cpu page lists are drained into the buddy
 *   lists. Unless it is off, they are kept short, too, from the second round
 *   of a migration on.
 * @CFPH_DRAIN_OFF: never, leave them alone
 * @CFPH_DRAIN_START: when a migration starts
 * @CFPH_DRAIN_ROUND: when a migration starts and at each of its rounds
 */
enum cfph_drain {
	CFPH_DRAIN_OFF,
	CFPH_DRAIN_START,
	CFPH_DRAIN_ROUND,

	/* private: */
	__CFPH_DRAIN_MAX,
	CFPH_DRAIN_MAX = (__CFPH_DRAIN_MAX - 1)
};

/**
 * enum cfph_keep - When the map is kept.
 * @CFPH_KEEP_ALWAYS: always, so that the first round of a migration has it,
 *   and a saved guest
 * @CFPH_KEEP_MIGRATION: while a migration runs; until then the allocator does
 *   no work for it
 */
enum cfph_keep {
	CFPH_KEEP_ALWAYS,
	CFPH_KEEP_MIGRATION,

	/* private: */
	__CFPH_KEEP_MAX,
	CFPH_KEEP_MAX = (__CFPH_KEEP_MAX - 1)
};

/**
 * enum cfph_event - What a notification tells of.
 * @CFPH_EVENT_STATE: the map has another state or reason
 * @CFPH_EVENT_START: a migration has started and will get deltas; told again
 *   when the map has gone and come back meanwhile
 * @CFPH_EVENT_ROUND: the host has begun another round
 * @CFPH_EVENT_STOP: the migration is over
 * @CFPH_EVENT_STALL: the host has returned no buffer, the thread waits for
 *   one; told once until a pass has come to its end
 * @CFPH_EVENT_REFUSE: something that the host or the system wants is refused;
 *   see text
 */
enum cfph_event {
	CFPH_EVENT_STATE,
	CFPH_EVENT_START,
	CFPH_EVENT_ROUND,
	CFPH_EVENT_STOP,
	CFPH_EVENT_STALL,
	CFPH_EVENT_REFUSE,

	/* private: */
	__CFPH_EVENT_MAX,
	CFPH_EVENT_MAX = (__CFPH_EVENT_MAX - 1)
};

/**
 * enum cfph_reclaim_end - Why a reclaim of page cache has come to its end.
 * @CFPH_RECLAIM_END_NONE: it has not
 * @CFPH_RECLAIM_END_DONE: as much as was asked for has been given back, or all
 *   that there is
 * @CFPH_RECLAIM_END_LOW_MEMORY: less memory is free than the min watermarks
 *   ask for: those who wait for memory reclaim for themselves
 * @CFPH_RECLAIM_END_STOPPED: the migration is over, or who asked has gone
 */
enum cfph_reclaim_end {
	CFPH_RECLAIM_END_NONE,
	CFPH_RECLAIM_END_DONE,
	CFPH_RECLAIM_END_LOW_MEMORY,
	CFPH_RECLAIM_END_STOPPED,

	/* private: */
	__CFPH_RECLAIM_END_MAX,
	CFPH_RECLAIM_END_MAX = (__CFPH_RECLAIM_END_MAX - 1)
};

enum {
	CFPH_A_STATE = 1,
	CFPH_A_REASON,
	CFPH_A_ENABLE,
	CFPH_A_INTERVAL_MS,
	CFPH_A_DRAIN,
	CFPH_A_MIGRATION_ID,
	CFPH_A_ROUND,
	CFPH_A_TRACKED_PAGES,
	CFPH_A_FREE_PAGES,
	CFPH_A_MAP_BYTES,
	CFPH_A_BUFFER_BYTES,
	CFPH_A_PAD,
	CFPH_A_CPUS,
	CFPH_A_KEEP,
	CFPH_A_RECLAIM,

	__CFPH_A_MAX,
	CFPH_A_MAX = (__CFPH_A_MAX - 1)
};

enum {
	CFPH_A_STATS_MIGRATIONS = 1,
	CFPH_A_STATS_ROUNDS,
	CFPH_A_STATS_PASSES,
	CFPH_A_STATS_MESSAGES,
	CFPH_A_STATS_MESSAGE_BYTES,
	CFPH_A_STATS_CHUNKS,
	CFPH_A_STATS_RANGES,
	CFPH_A_STATS_BITS,
	CFPH_A_STATS_STALLS,
	CFPH_A_STATS_DRAINS,
	CFPH_A_STATS_REGISTRATIONS,
	CFPH_A_STATS_UNREGISTRATIONS,
	CFPH_A_STATS_UNKNOWN_COMMANDS,
	CFPH_A_STATS_SCANS,
	CFPH_A_STATS_SCAN_NS,
	CFPH_A_STATS_PASS_NS,
	CFPH_A_STATS_RESETS,
	CFPH_A_STATS_REFUSED,
	CFPH_A_STATS_PAD,
	CFPH_A_STATS_RECLAIMED_PAGES,
	CFPH_A_STATS_RECLAIM_NS,

	__CFPH_A_STATS_MAX,
	CFPH_A_STATS_MAX = (__CFPH_A_STATS_MAX - 1)
};

enum {
	CFPH_A_ZONE_NODE = 1,
	CFPH_A_ZONE_NAME,
	CFPH_A_ZONE_START_PFN,
	CFPH_A_ZONE_SPANNED_PAGES,
	CFPH_A_ZONE_MANAGED_PAGES,
	CFPH_A_ZONE_BUDDY_PAGES,
	CFPH_A_ZONE_PCP_PAGES,
	CFPH_A_ZONE_MIN_WATERMARK_PAGES,
	CFPH_A_ZONE_PAD,

	__CFPH_A_ZONE_MAX,
	CFPH_A_ZONE_MAX = (__CFPH_A_ZONE_MAX - 1)
};

enum {
	CFPH_A_LEAF_START_PFN = 1,
	CFPH_A_LEAF_NODE,
	CFPH_A_LEAF_FREE_PAGES,
	CFPH_A_LEAF_PRESENT_PAGES,
	CFPH_A_LEAF_LARGEST_RUN_PAGES,
	CFPH_A_LEAF_FREE_BLOCKS,
	CFPH_A_LEAF_BITMAP,
	CFPH_A_LEAF_PAD,

	__CFPH_A_LEAF_MAX,
	CFPH_A_LEAF_MAX = (__CFPH_A_LEAF_MAX - 1)
};

enum {
	CFPH_A_EVENT_EVENT = 1,
	CFPH_A_EVENT_TIME_NS,
	CFPH_A_EVENT_STATE,
	CFPH_A_EVENT_REASON,
	CFPH_A_EVENT_MIGRATION_ID,
	CFPH_A_EVENT_ROUND,
	CFPH_A_EVENT_TEXT,
	CFPH_A_EVENT_PAD,
	CFPH_A_EVENT_RECLAIM,

	__CFPH_A_EVENT_MAX,
	CFPH_A_EVENT_MAX = (__CFPH_A_EVENT_MAX - 1)
};

enum {
	CFPH_A_RECLAIM_PERCENT = 1,
	CFPH_A_RECLAIM_TARGET_PAGES,
	CFPH_A_RECLAIM_PAGES,
	CFPH_A_RECLAIM_NS,
	CFPH_A_RECLAIM_END,
	CFPH_A_RECLAIM_PAD,

	__CFPH_A_RECLAIM_MAX,
	CFPH_A_RECLAIM_MAX = (__CFPH_A_RECLAIM_MAX - 1)
};

enum {
	CFPH_CMD_GET = 1,
	CFPH_CMD_SET,
	CFPH_CMD_STATS_GET,
	CFPH_CMD_ZONE_GET,
	CFPH_CMD_MAP_GET,
	CFPH_CMD_MAP_RAW_GET,
	CFPH_CMD_EVENT_NTF,
	CFPH_CMD_DEFAULTS_GET,
	CFPH_CMD_RECLAIM,

	__CFPH_CMD_MAX,
	CFPH_CMD_MAX = (__CFPH_CMD_MAX - 1)
};

#define CFPH_MCGRP_MONITOR	"monitor"

#endif /* _UAPI_LINUX_CFPH_H */
