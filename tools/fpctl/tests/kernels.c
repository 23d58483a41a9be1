// SPDX-License-Identifier: GPL-2.0
/*
 * The kernels that the command lines are tried on: what each of them answers.
 */
#include <assert.h>

#include <linux/cfph.h>

#include "cmdline.h"

#define A(attr) (UINT32_C(1) << CFPH_A_##attr)
#define ALL_STATUS (((UINT32_C(1) << CFPH_A_PAD) - 1) & ~UINT32_C(1))
#define ALL_STATS                                                   \
	((((UINT32_C(1) << CFPH_A_STATS_PAD) - 1) & ~UINT32_C(1)) | \
	 UINT32_C(1) << CFPH_A_STATS_RECLAIMED_PAGES | UINT32_C(1) << CFPH_A_STATS_RECLAIM_NS)

const struct fpc_attrs ready = {
	.have = ALL_STATUS,
	.value = { [CFPH_A_STATE] = CFPH_STATE_READY,
		   [CFPH_A_ENABLE] = 1,
		   [CFPH_A_INTERVAL_MS] = 100,
		   [CFPH_A_DRAIN] = CFPH_DRAIN_START,
		   [CFPH_A_TRACKED_PAGES] = 524288,
		   [CFPH_A_FREE_PAGES] = 468480,
		   [CFPH_A_MAP_BYTES] = 65536,
		   [CFPH_A_BUFFER_BYTES] = 262144 },
};

const struct fpc_attrs migrating = {
	.have = ALL_STATUS,
	.value = { [CFPH_A_STATE] = CFPH_STATE_READY,
		   [CFPH_A_ENABLE] = 1,
		   [CFPH_A_INTERVAL_MS] = 10000,
		   [CFPH_A_DRAIN] = CFPH_DRAIN_ROUND,
		   [CFPH_A_MIGRATION_ID] = 3,
		   [CFPH_A_ROUND] = 4,
		   [CFPH_A_TRACKED_PAGES] = UINT64_C(1) << 30,
		   [CFPH_A_FREE_PAGES] = 1,
		   [CFPH_A_MAP_BYTES] = 1000,
		   [CFPH_A_BUFFER_BYTES] = UINT64_C(10) << 20 },
};

const struct fpc_attrs off = {
	.have = ALL_STATUS,
	.value = { [CFPH_A_STATE] = CFPH_STATE_OFF,
		   [CFPH_A_REASON] = CFPH_REASON_NO_DEVICE,
		   [CFPH_A_ENABLE] = 0,
		   [CFPH_A_INTERVAL_MS] = 100,
		   [CFPH_A_DRAIN] = CFPH_DRAIN_OFF },
};

/* Newer than we are: names that we do not have, and attributes gone. */
const struct fpc_attrs future = {
	.have = A(STATE) | A(REASON) | A(ENABLE) | A(DRAIN),
	.value = { [CFPH_A_STATE] = 77,
		   [CFPH_A_REASON] = UINT32_MAX,
		   [CFPH_A_ENABLE] = 2,
		   [CFPH_A_DRAIN] = 9 },
};

const struct fpc_attrs scanning = {
	.have = A(STATE) | A(REASON),
	.value = { [CFPH_A_STATE] = CFPH_STATE_SCAN },
};

const struct fpc_attrs counters = {
	.have = ALL_STATS,
	.value = { [CFPH_A_STATS_MIGRATIONS] = 3,
		   [CFPH_A_STATS_MESSAGE_BYTES] = 5000,
		   [CFPH_A_STATS_BITS] = UINT64_MAX,
		   [CFPH_A_STATS_SCAN_NS] = 1234567,
		   [CFPH_A_STATS_PASS_NS] = 999 },
};

/* As new as we are. */
const struct fpc_attrs tuned = {
	.have = ALL_STATUS | A(CPUS) | A(KEEP) | A(RECLAIM),
	.value = { [CFPH_A_STATE] = CFPH_STATE_READY,
		   [CFPH_A_ENABLE] = 1,
		   [CFPH_A_INTERVAL_MS] = 100,
		   [CFPH_A_DRAIN] = CFPH_DRAIN_START,
		   [CFPH_A_MIGRATION_ID] = 3,
		   [CFPH_A_ROUND] = 4,
		   [CFPH_A_TRACKED_PAGES] = 524288,
		   [CFPH_A_FREE_PAGES] = 468480,
		   [CFPH_A_MAP_BYTES] = 65536,
		   [CFPH_A_BUFFER_BYTES] = 262144,
		   [CFPH_A_CPUS] = 5,
		   [CFPH_A_KEEP] = CFPH_KEEP_ALWAYS,
		   [CFPH_A_RECLAIM] = 50 },
	.used = 6,
	.data = "0-3,8",
};

/* What "tuned" has before anybody has changed its CPUs and its reclaim. */
const struct fpc_attrs defaults = {
	.have = A(ENABLE) | A(INTERVAL_MS) | A(DRAIN) | A(CPUS) | A(KEEP) | A(RECLAIM),
	.value = { [CFPH_A_ENABLE] = 1,
		   [CFPH_A_INTERVAL_MS] = 100,
		   [CFPH_A_DRAIN] = CFPH_DRAIN_START,
		   [CFPH_A_CPUS] = 4,
		   [CFPH_A_KEEP] = CFPH_KEEP_ALWAYS },
	.used = 5,
	.data = "0-15",
};

#define Z(attr) (UINT32_C(1) << CFPH_A_ZONE_##attr)
const struct fpc_attrs zones[] = {
	{ .have = Z(NODE) | Z(NAME) | Z(START_PFN) | Z(SPANNED_PAGES) | Z(MANAGED_PAGES) |
		  Z(BUDDY_PAGES) | Z(PCP_PAGES) | Z(MIN_WATERMARK_PAGES),
	  .value = { [CFPH_A_ZONE_NODE] = 0,
		     [CFPH_A_ZONE_NAME] = 5,
		     [CFPH_A_ZONE_START_PFN] = 4096,
		     [CFPH_A_ZONE_SPANNED_PAGES] = 1044480,
		     [CFPH_A_ZONE_MANAGED_PAGES] = 500000,
		     [CFPH_A_ZONE_BUDDY_PAGES] = 400000,
		     [CFPH_A_ZONE_PCP_PAGES] = 321,
		     [CFPH_A_ZONE_MIN_WATERMARK_PAGES] = 1000 },
	  .used = 6,
	  .data = "DMA32" },
	{ .have = Z(NODE) | Z(NAME) | Z(SPANNED_PAGES),
	  .value = { [CFPH_A_ZONE_NODE] = 1, [CFPH_A_ZONE_NAME] = 6, [CFPH_A_ZONE_SPANNED_PAGES] = 7 },
	  .used = 7,
	  .data = "Normal" },
};
const unsigned int nr_zones = ARRAY_SIZE(zones);

/*
 * Two nodes of which the first has a hole.  The blocks are {0, 2, 0 ... 60}:
 * little endian u64, as on every machine that has cfph.
 */
#define L(attr) (UINT32_C(1) << CFPH_A_LEAF_##attr)
#define LEAF_HAS                                                                            \
	(L(START_PFN) | L(NODE) | L(FREE_PAGES) | L(PRESENT_PAGES) | L(LARGEST_RUN_PAGES) | \
	 L(FREE_BLOCKS) | L(BITMAP))
#define LEAF(n, nid, f, p, run)                                                        \
	{                                                                              \
		.have = LEAF_HAS,                                                      \
		.value = { [CFPH_A_LEAF_START_PFN] = (n)*32768,                        \
			   [CFPH_A_LEAF_NODE] = (nid),                                 \
			   [CFPH_A_LEAF_FREE_PAGES] = (f),                             \
			   [CFPH_A_LEAF_PRESENT_PAGES] = (p),                          \
			   [CFPH_A_LEAF_LARGEST_RUN_PAGES] = (run),                    \
			   [CFPH_A_LEAF_FREE_BLOCKS] = 88,                             \
			   [CFPH_A_LEAF_BITMAP] = 4 },                                 \
		.where = { [CFPH_A_LEAF_BITMAP] = 100 }, .used = 105,                  \
		.data = { [8] = 2, [72] = 20, [80] = 5, [100] = 'm', 'a', 'p', '\n' }, \
	}
const struct fpc_attrs leaves[] = {
	LEAF(4, 1, 0, 32768, 0),  LEAF(0, 0, 15364, 32768, 5120), LEAF(1, 0, 32768, 32768, 32768),
	LEAF(3, 0, 100, 200, 50), LEAF(5, 1, 1, 32768, 1),
};
const unsigned int nr_leaves = ARRAY_SIZE(leaves);

#define R(attr) (UINT32_C(1) << CFPH_A_RECLAIM_##attr)
#define STEP(done, time, why)                                                     \
	{                                                                         \
		.have = R(PERCENT) | R(TARGET_PAGES) | R(PAGES) | R(NS) | R(END), \
		.value = { [CFPH_A_RECLAIM_PERCENT] = 50,                         \
			   [CFPH_A_RECLAIM_TARGET_PAGES] = 300000,                \
			   [CFPH_A_RECLAIM_PAGES] = (done),                       \
			   [CFPH_A_RECLAIM_NS] = (time),                          \
			   [CFPH_A_RECLAIM_END] = (why) },                        \
	}
const struct fpc_attrs steps[] = {
	STEP(1000, 2000000, CFPH_RECLAIM_END_NONE),
	STEP(288358, 240999999, CFPH_RECLAIM_END_DONE),
};
const struct fpc_attrs low_memory[] = {
	STEP(1000, 2000000, CFPH_RECLAIM_END_NONE),
	STEP(1100, 2100000, CFPH_RECLAIM_END_LOW_MEMORY),
};
static_assert(sizeof(steps) == sizeof(low_memory), "nr_steps is that of both");
const unsigned int nr_steps = ARRAY_SIZE(steps);

#define E(attr) (UINT32_C(1) << CFPH_A_EVENT_##attr)
#define EVENT(what, seconds, st, why, id, rnd)                                                     \
	.event = {                                                                                 \
		.have = E(EVENT) | E(TIME_NS) | E(STATE) | E(REASON) | E(MIGRATION_ID) | E(ROUND), \
		.value = { [CFPH_A_EVENT_EVENT] = (what),                                          \
			   [CFPH_A_EVENT_TIME_NS] = (seconds)*UINT64_C(1000000000),                \
			   [CFPH_A_EVENT_STATE] = (st),                                            \
			   [CFPH_A_EVENT_REASON] = (why),                                          \
			   [CFPH_A_EVENT_MIGRATION_ID] = (id),                                     \
			   [CFPH_A_EVENT_ROUND] = (rnd) },                                         \
	}
const struct fake_event a_migration[] = {
	{ .event = { .have = E(EVENT) | E(TIME_NS) | E(STATE) | E(REASON) | E(MIGRATION_ID) |
			     E(ROUND) | E(RECLAIM),
		     .value = { [CFPH_A_EVENT_EVENT] = CFPH_EVENT_START,
				[CFPH_A_EVENT_TIME_NS] = 990 * UINT64_C(1000000000),
				[CFPH_A_EVENT_STATE] = CFPH_STATE_READY,
				[CFPH_A_EVENT_MIGRATION_ID] = 3,
				[CFPH_A_EVENT_RECLAIM] = 50 } } },
	{ EVENT(CFPH_EVENT_ROUND, 995, CFPH_STATE_READY, 0, 3, 1) },
	{ EVENT(CFPH_EVENT_STOP, 999, CFPH_STATE_READY, 0, 0, 0) },
	{ EVENT(CFPH_EVENT_STATE, 999, CFPH_STATE_OFF, CFPH_REASON_ADMIN, 0, 0) },
	{ .event = { .have = E(EVENT) | E(TEXT),
		     .value = { [CFPH_A_EVENT_EVENT] = CFPH_EVENT_REFUSE, [CFPH_A_EVENT_TEXT] = 12 },
		     .used = 13,
		     .data = "\"busy\\\" host" } },
	{ EVENT(99, 999, 77, 88, 0, 0) }, /* newer than we are */
	{ .end = true },
};
const struct fake_event a_loss[] = {
	{ EVENT(CFPH_EVENT_START, 990, CFPH_STATE_READY, 0, 3, 0) },
	{ .error = { .code = FPC_EXIT_LOST, .text = "Out of memory" } },
	{ EVENT(CFPH_EVENT_STALL, 995, CFPH_STATE_READY, 0, 3, 1) },
	{ .end = true },
};
const struct fake_event no_events[] = { { .end = true } };
