/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Continuous free-page hinting: what the files of mm/cfph share.  The hot path
 * that mm/page_alloc.c includes is hooks.h, the transport's view is
 * <linux/cfph.h>.
 */
#ifndef _MM_CFPH_COMMON_H
#define _MM_CFPH_COMMON_H

#include <linux/cfph.h>
#include <linux/cpumask_types.h>
#include <linux/jump_label.h>
#include <linux/mmzone.h>
#include <linux/mutex.h>
#include <linux/page-flags.h>

#include "map.h"

struct netlink_ext_ack;
struct sk_buff;

/* --- what an administrator may set, tunables.c; used by netlink.c --- */

/**
 * struct cfph_tunables - what an administrator may set, but for the CPUs
 * @enable: 0 or 1
 * @interval_ms: between two passes, 10..10000
 * @drain: enum cfph_drain
 * @keep: enum cfph_keep
 * @reclaim: percent of the clean page cache that is given back at START, 0..100
 *
 * None of them can make the map wrong, nor what the host decides on it: they choose
 * whether there is one, and when deltas are sent.
 */
struct cfph_tunables {
	u32 enable;
	u32 interval_ms;
	u32 drain;
	u32 keep;
	u32 reclaim;
};

extern const struct cfph_tunables cfph_default_tunables;

int cfph_parse_cpus(const char *list, struct cpumask *cpus,
		    struct netlink_ext_ack *extack);
int cfph_set_tunables(const struct cfph_tunables *new,
		      const struct cpumask *cpus,
		      struct netlink_ext_ack *extack);
void cfph_get_tunables(struct cfph_tunables *cur);
void cfph_get_cpus(struct cpumask *cpus);
const struct cpumask *cfph_default_cpus(void);
void cfph_thread_place(void);
bool cfph_thread_misplaced(void);

/* --- netlink.c; used by dump.c --- */

int cfph_nl_check_admin(const struct sk_buff *skb,
			struct netlink_ext_ack *extack);

/* --- snapshots, control.c; used by netlink.c --- */

/**
 * struct cfph_info - a snapshot for readers; the fields of CFPH_CMD_GET
 * @state: life of the map
 * @reason: why it is off
 * @tunables: what the administrator has set
 * @migration_id: the migration that the host has announced, 0 if none
 * @round: its newest round that the host has announced
 * @tracked_pages: pages of RAM that the map covers, 0 unless it is READY
 * @free_pages: bits that are set, 0 unless the map is READY
 * @map_bytes: memory that the map takes
 * @buffer_bytes: memory that the transport's buffers take
 */
struct cfph_info {
	enum cfph_state state;
	enum cfph_reason reason;
	struct cfph_tunables tunables;
	u32 migration_id;
	u32 round;
	u64 tracked_pages;
	u64 free_pages;
	u64 map_bytes;
	u64 buffer_bytes;
};

/**
 * struct cfph_counters - since boot; the fields of CFPH_CMD_STATS_GET
 * @migrations: START commands of the host that were answered
 * @rounds: ROUND commands of the host
 * @passes: finished passes over the map
 * @messages: messages sent to the host
 * @message_bytes: bytes of those messages
 * @chunks: changed chunks that were sent
 * @ranges: RANGE records sent
 * @bits: BITS records sent
 * @stalls: times the thread could not go on because there was no buffer
 * @drains: times the per-cpu page lists were drained
 * @registrations: MAP messages sent
 * @unregistrations: UNMAP messages sent
 * @unknown_commands: commands of the host that were ignored
 * @scans: times the map was filled from the buddy lists
 * @scan_ns: what the newest scan took
 * @pass_ns: what the newest pass took
 * @resets: times the transport went away
 * @refused: times the map was refused to somebody who wanted it
 * @reclaimed_pages: page cache that was given back
 * @reclaim_ns: what the newest reclaim took
 */
struct cfph_counters {
	u64 migrations;
	u64 rounds;
	u64 passes;
	u64 messages;
	u64 message_bytes;
	u64 chunks;
	u64 ranges;
	u64 bits;
	u64 stalls;
	u64 drains;
	u64 registrations;
	u64 unregistrations;
	u64 unknown_commands;
	u64 scans;
	u64 scan_ns;
	u64 pass_ns;
	u64 resets;
	u64 refused;
	u64 reclaimed_pages;
	u64 reclaim_ns;
};

void cfph_get_info(struct cfph_info *info);
void cfph_get_counters(struct cfph_counters *counters);

/* --- telling listeners, notify.c --- */

#ifdef CONFIG_NET
void cfph_notify(enum cfph_event event, enum cfph_reason reason,
		 u32 migration_id, u32 round, const char *text);
#else
static inline void cfph_notify(enum cfph_event event, enum cfph_reason reason,
			       u32 migration_id, u32 round, const char *text)
{
}
#endif

/* --- a leaf for people to look at, summary.c; used by dump.c --- */

#define CFPH_BLOCK_ORDERS	(MAX_PAGE_ORDER + 1)

/**
 * struct cfph_summary - what can be said of 128 MiB
 * @start_pfn: first page
 * @node: NUMA node of the first page that there is
 * @present_pages: pages of RAM
 * @free_pages: bits that are set
 * @largest_run_pages: longest run of free pages
 * @free_blocks: number of free blocks by order
 * @bits: the bits themselves, a copy
 */
struct cfph_summary {
	unsigned long start_pfn;
	int node;
	u64 present_pages;
	u64 free_pages;
	u64 largest_run_pages;
	u64 free_blocks[CFPH_BLOCK_ORDERS];
	unsigned long bits[CFPH_LEAF_WORDS];
};

int cfph_next_summary(unsigned long *slot, u64 *instance,
		      struct cfph_summary *summary);

/* --- what the buddy lists say, and the balloon, scan.c --- */

#define CFPH_BLOCK_WORDS	BITS_TO_LONGS(MAX_ORDER_NR_PAGES)

typedef unsigned long (*cfph_visit_part)(struct zone *zone, unsigned long pfn,
					 unsigned long end, void *arg);

void cfph_walk_parts(unsigned long pfn, unsigned long end,
		     cfph_visit_part visit, void *arg);
bool cfph_zones_share_word(void);
unsigned long cfph_read_buddy(struct zone *zone, unsigned long pfn,
			      unsigned long end, unsigned long *bits);
void cfph_scan_leaf(unsigned long slot);

/*
 * Marked by balloon.c.  The bit is for the owner of a page to use, and the allocator
 * clears it; PageOffline, as it means other things in other hands.
 */
static inline bool cfph_page_in_balloon(const struct page *page)
{
	return PageOffline(page) && test_bit(PG_owner_priv_1, &page->flags);
}

/* --- control.c and life.c; used by all that is above them --- */

/**
 * struct cfph_control - the one instance of everything
 * @state: life of the map
 * @map: the map, NULL in CFPH_STATE_OFF
 * @scan_slot: next slot that CFPH_STATE_SCAN looks at
 * @scan_ns: time that the scan has taken so far
 * @failure: why the last attempt to make a map failed, or CFPH_REASON_NONE
 * @ops: the transport, NULL if none is registered
 * @priv: its argument
 * @gone: why there is no transport
 * @offers: asks a device that has none whether it offers the feature meanwhile
 * @watched: its argument
 * @shutdown: the system goes down; no way back
 * @thread: kcfphd, NULL until there has been a transport
 * @tunables: what the administrator wants
 * @cpus: where the thread may run; but for the CPUs that are not online
 * @counters: since boot
 *
 * All of it is protected by cfph_mutex.
 */
struct cfph_control {
	enum cfph_state state;
	struct cfph_map *map;
	unsigned long scan_slot;
	u64 scan_ns;
	enum cfph_reason failure;
	const struct cfph_transport_ops *ops;
	void *priv;
	enum cfph_reason gone;
	bool (*offers)(void *priv);
	void *watched;
	bool shutdown;
	struct task_struct *thread;
	struct cfph_tunables tunables;
	struct cpumask cpus;
	struct cfph_counters counters;
};

extern struct mutex cfph_mutex;
extern struct cfph_control cfph;

bool cfph_wanted(void);
enum cfph_reason cfph_current_reason(void);
void cfph_build(void);
void cfph_build_step(void);
void cfph_down(enum cfph_reason why);
void cfph_refuse_locked(enum cfph_reason reason, const char *text);

/* --- the per-cpu lists of the allocator, lists.c --- */

bool cfph_lists_shorten(bool shorten);
void cfph_lists_drain(u32 migration_id, u32 round);

/* --- page cache, reclaim.c; used by session.c, kcfphd.c and dump.c --- */

/**
 * struct cfph_reclaim - where a reclaim of page cache is
 * @percent: of the clean page cache
 * @end: enum cfph_reclaim_end
 * @target_pages: what @percent was when it began, an estimate
 * @pages: given back so far
 * @ns: what that has taken
 * @end_pfn: from here on all has been looked at in this turn
 * @used: the second turn, which takes what has been used more than once
 * @open: has begun, and not been ended
 *
 * Fits into the context of a netlink dump.
 */
struct cfph_reclaim {
	u32 percent;
	u32 end;
	u64 target_pages;
	u64 pages;
	u64 ns;
	unsigned long end_pfn;
	bool used;
	bool open;
};

void cfph_reclaim_begin(struct cfph_reclaim *r, u32 percent);
void cfph_reclaim_step(struct cfph_reclaim *r);
void cfph_reclaim_end(struct cfph_reclaim *r, u32 migration_id, u32 round);

/* --- the thread, kcfphd.c and session.c; used by those above them --- */

int cfph_thread_run(void);
void cfph_session_lost(void);
void cfph_session_drop(void);
void cfph_session_retune(void);

/* --- commands and wake-ups, mailbox.c --- */

/**
 * struct cfph_mail - what the host wants
 * @migration_id: of the last START; 0 after STOP
 * @round: of the last ROUND of that migration
 * @sessions: how many START and STOP there have been
 * @requests: how many ROUND
 * @unknown: how many other commands, and out of place
 */
struct cfph_mail {
	u32 migration_id;
	u32 round;
	u32 sessions;
	u64 requests;
	u64 unknown;
};

void cfph_thread_wake(void);
void cfph_mail_read(struct cfph_mail *mail);
void cfph_mail_starved(void);
void cfph_mail_clear(void);
void cfph_mail_wait(long timeout);
void cfph_announced(struct cfph_mail *mail);

/* --- debugging, debug.c --- */

/**
 * struct cfph_verdict - what the oracle has found
 * @pages: pages that it has looked at
 * @free: how many of them are free
 * @differs: there is a difference
 * @pfn: the first page that differs
 * @map_free: it is free in the map, but not in the buddy lists; or the opposite
 */
struct cfph_verdict {
	u64 pages;
	u64 free;
	bool differs;
	unsigned long pfn;
	bool map_free;
};

int cfph_verify(struct cfph_verdict *verdict);

#ifdef CONFIG_CFPH_DEBUG
int cfph_drop(const char *hooks, bool on);
extern bool cfph_mutant_ignore_refusal;
extern bool cfph_assert_hooks;
#endif

/* Shall a map be kept where it must not? */
static inline bool cfph_ignore_refusal(void)
{
#ifdef CONFIG_CFPH_DEBUG
	return READ_ONCE(cfph_mutant_ignore_refusal);
#else
	return false;
#endif
}

#endif /* _MM_CFPH_COMMON_H */
