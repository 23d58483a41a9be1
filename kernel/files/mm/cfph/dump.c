// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: the dumps of the generic netlink family.
 *
 * One message for each zone, leaf, or step of a reclaim.  A dump that is read slowly
 * goes on where it stopped: the cursor is the number of the next zone or leaf, so
 * nothing has to be held in between, and what comes or goes meanwhile does no harm.
 *
 * Locks: cfph_mutex to look at the state, for a moment, and between the steps of a
 * reclaim.  What everybody may ask for takes no lock of the allocator.
 */
#include <linux/cfph.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <net/genetlink.h>
#include <net/netlink.h>

#include "cfph_nl.h"
#include "common.h"

/**
 * struct cfph_dump - where a dump is
 * @next: of the next message: zone number, or slot of the map
 * @bits: with the bits themselves
 */
struct cfph_dump {
	unsigned long next;
	bool bits;
};

static struct cfph_dump *cfph_dump_of(struct netlink_callback *cb)
{
	NL_ASSERT_DUMP_CTX_FITS(struct cfph_dump);

	return (struct cfph_dump *)cb->ctx;
}

static void *cfph_dump_begin(struct sk_buff *skb, struct netlink_callback *cb)
{
	return __genlmsg_iput(skb, genl_info_dump(cb), NLM_F_MULTI);
}

/* --- CFPH_CMD_ZONE_GET --- */

static u64 cfph_zone_buddy_pages(struct zone *zone)
{
	unsigned int order;
	u64 pages = 0;

	/* Not NR_FREE_PAGES, of which each CPU has a part of its own. */
	for (order = 0; order < NR_PAGE_ORDERS; order++) {
		/*
		 * No zone->lock, as for /proc/buddyinfo: a block that is split or
		 * merged meanwhile may count twice, or not.
		 */
		u64 blocks = data_race(zone->free_area[order].nr_free);

		pages += blocks << order;
	}
	return pages;
}

static u64 cfph_zone_pcp_pages(struct zone *zone)
{
	u64 pages = 0;
	int cpu;

	for_each_online_cpu(cpu)
		pages += READ_ONCE(per_cpu_ptr(zone->per_cpu_pageset,
					       cpu)->count);
	return pages;
}

static int cfph_zone_fill(struct sk_buff *skb, struct zone *zone)
{
	if (nla_put_u32(skb, CFPH_A_ZONE_NODE, zone_to_nid(zone)) ||
	    nla_put_string(skb, CFPH_A_ZONE_NAME, zone->name) ||
	    nla_put_u64_64bit(skb, CFPH_A_ZONE_START_PFN, zone->zone_start_pfn,
			      CFPH_A_ZONE_PAD) ||
	    nla_put_u64_64bit(skb, CFPH_A_ZONE_SPANNED_PAGES,
			      zone->spanned_pages, CFPH_A_ZONE_PAD) ||
	    nla_put_u64_64bit(skb, CFPH_A_ZONE_MANAGED_PAGES,
			      zone_managed_pages(zone), CFPH_A_ZONE_PAD) ||
	    nla_put_u64_64bit(skb, CFPH_A_ZONE_BUDDY_PAGES,
			      cfph_zone_buddy_pages(zone), CFPH_A_ZONE_PAD) ||
	    nla_put_u64_64bit(skb, CFPH_A_ZONE_PCP_PAGES,
			      cfph_zone_pcp_pages(zone), CFPH_A_ZONE_PAD) ||
	    nla_put_u64_64bit(skb, CFPH_A_ZONE_MIN_WATERMARK_PAGES,
			      min_wmark_pages(zone), CFPH_A_ZONE_PAD))
		return -EMSGSIZE;
	return 0;
}

static int cfph_zone_put(struct sk_buff *skb, struct netlink_callback *cb,
			 struct zone *zone)
{
	void *header = cfph_dump_begin(skb, cb);

	if (!header)
		return -EMSGSIZE;
	if (cfph_zone_fill(skb, zone)) {
		genlmsg_cancel(skb, header);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, header);
	return 0;
}

/**
 * cfph_nl_zone_get_dumpit - the zones
 * @skb: room for messages
 * @cb: the dump
 *
 * Open to everybody, like /proc/zoneinfo.
 *
 * Return: bytes in @skb if there is more to come, 0 at the end, or a negative errno.
 */
int cfph_nl_zone_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct cfph_dump *dump = cfph_dump_of(cb);
	struct zone *zone;

	/* By node, then by kind: a zone that appears does not move the others. */
	for_each_populated_zone(zone) {
		unsigned long number = zone_to_nid(zone) * MAX_NR_ZONES +
				       zone_idx(zone);

		if (number < dump->next)
			continue;
		if (cfph_zone_put(skb, cb, zone))
			return skb->len ?: -EMSGSIZE;
		dump->next = number + 1;
	}
	return 0;
}

/* --- CFPH_CMD_MAP_GET, CFPH_CMD_MAP_RAW_GET --- */

static int cfph_leaf_fill(struct sk_buff *skb, const struct cfph_summary *s,
			  bool bits)
{
	if (nla_put_u64_64bit(skb, CFPH_A_LEAF_START_PFN, s->start_pfn,
			      CFPH_A_LEAF_PAD) ||
	    nla_put_u32(skb, CFPH_A_LEAF_NODE, s->node) ||
	    nla_put_u64_64bit(skb, CFPH_A_LEAF_FREE_PAGES, s->free_pages,
			      CFPH_A_LEAF_PAD) ||
	    nla_put_u64_64bit(skb, CFPH_A_LEAF_PRESENT_PAGES, s->present_pages,
			      CFPH_A_LEAF_PAD) ||
	    nla_put_u64_64bit(skb, CFPH_A_LEAF_LARGEST_RUN_PAGES,
			      s->largest_run_pages, CFPH_A_LEAF_PAD) ||
	    nla_put(skb, CFPH_A_LEAF_FREE_BLOCKS, sizeof(s->free_blocks),
		    s->free_blocks) ||
	    (bits && nla_put(skb, CFPH_A_LEAF_BITMAP, sizeof(s->bits),
			     s->bits)))
		return -EMSGSIZE;
	return 0;
}

static int cfph_leaf_put(struct sk_buff *skb, struct netlink_callback *cb,
			 const struct cfph_summary *s)
{
	void *header = cfph_dump_begin(skb, cb);

	if (!header)
		return -EMSGSIZE;
	if (cfph_leaf_fill(skb, s, cfph_dump_of(cb)->bits)) {
		genlmsg_cancel(skb, header);
		return -EMSGSIZE;
	}
	/* Says so in a message if the map is not that of the one before. */
	nl_dump_check_consistent(cb, genlmsg_nlhdr(header));
	genlmsg_end(skb, header);
	return 0;
}

static int cfph_map_dump(struct sk_buff *skb, struct netlink_callback *cb,
			 struct cfph_summary *summary)
{
	struct cfph_dump *dump = cfph_dump_of(cb);
	unsigned long next = dump->next;
	u64 instance;
	int ret;

	for (;;) {
		ret = cfph_next_summary(&next, &instance, summary);
		if (ret <= 0)
			return ret;
		cb->seq = instance;
		if (cfph_leaf_put(skb, cb, summary))
			return skb->len ?: -EMSGSIZE;
		dump->next = next;
	}
}

/*
 * Who sees where free memory lies learns when others allocate and free, and the
 * copy holds zone->lock: this is for those who could read all memory anyway.  An
 * error here reaches the client as such, and not at the end of a dump.
 */
static int cfph_map_start_dump(struct netlink_callback *cb, bool bits)
{
	struct cfph_dump *dump = cfph_dump_of(cb);
	bool ready;
	int err;

	err = cfph_nl_check_admin(cb->skb, cb->extack);
	if (err)
		return err;

	mutex_lock(&cfph_mutex);
	ready = cfph.state == CFPH_STATE_READY;
	mutex_unlock(&cfph_mutex);
	if (!ready) {
		NL_SET_ERR_MSG(cb->extack,
			       "the map is not ready: get tells its state, and why it is off");
		return -ENODATA;
	}

	dump->next = 0;
	dump->bits = bits;
	/* The buffer of a dump is as large as the client's, which may be a page. */
	cb->min_dump_alloc = bits ? 2 * PAGE_SIZE : 0;
	return 0;
}

/**
 * cfph_nl_map_get_start - begin a summary of the map
 * @cb: the dump
 *
 * Return: 0 or a negative errno.
 */
int cfph_nl_map_get_start(struct netlink_callback *cb)
{
	return cfph_map_start_dump(cb, false);
}

/**
 * cfph_nl_map_raw_get_start - begin a copy of the map
 * @cb: the dump
 *
 * Return: 0 or a negative errno.
 */
int cfph_nl_map_raw_get_start(struct netlink_callback *cb)
{
	return cfph_map_start_dump(cb, true);
}

/**
 * cfph_nl_map_get_dumpit - a summary of the map
 * @skb: room for messages
 * @cb: the dump
 *
 * Return: bytes in @skb if there is more to come, 0 at the end, or a negative errno.
 */
int cfph_nl_map_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct cfph_summary *summary;
	int ret;

	summary = kmalloc(sizeof(*summary), GFP_KERNEL);
	if (!summary)
		return -ENOMEM;
	ret = cfph_map_dump(skb, cb, summary);
	kfree(summary);
	return ret;
}

/**
 * cfph_nl_map_raw_get_dumpit - a copy of the map
 * @skb: room for messages
 * @cb: the dump
 *
 * Return: bytes in @skb if there is more to come, 0 at the end, or a negative errno.
 */
int cfph_nl_map_raw_get_dumpit(struct sk_buff *skb,
			       struct netlink_callback *cb)
{
	return cfph_nl_map_get_dumpit(skb, cb);
}

/* --- CFPH_CMD_RECLAIM --- */

/* In the place of struct cfph_dump: the cursor is all that there is. */
static struct cfph_reclaim *cfph_reclaim_of(struct netlink_callback *cb)
{
	NL_ASSERT_DUMP_CTX_FITS(struct cfph_reclaim);

	return (struct cfph_reclaim *)cb->ctx;
}

/**
 * cfph_nl_reclaim_start - begin to give page cache back
 * @cb: the dump; the policy has checked the range
 *
 * A dump, because it takes seconds: the one who asks does the work, step by step as
 * it reads how far it has come, and holds nothing in between.
 *
 * Return: 0 or a negative errno, with the reason in the extended ack.
 */
int cfph_nl_reclaim_start(struct netlink_callback *cb)
{
	const struct nlattr *percent;
	int err;

	err = cfph_nl_check_admin(cb->skb, cb->extack);
	if (err)
		return err;
	percent = genl_info_dump(cb)->attrs[CFPH_A_RECLAIM_PERCENT];
	if (!percent) {
		NL_SET_ERR_MSG(cb->extack, "percent is missing: how much to give back");
		return -EINVAL;
	}
	cfph_reclaim_begin(cfph_reclaim_of(cb), nla_get_u32(percent));
	return 0;
}

static int cfph_reclaim_fill(struct sk_buff *skb, const struct cfph_reclaim *r)
{
	if (nla_put_u32(skb, CFPH_A_RECLAIM_PERCENT, r->percent) ||
	    nla_put_u64_64bit(skb, CFPH_A_RECLAIM_TARGET_PAGES,
			      r->target_pages, CFPH_A_RECLAIM_PAD) ||
	    nla_put_u64_64bit(skb, CFPH_A_RECLAIM_PAGES, r->pages,
			      CFPH_A_RECLAIM_PAD) ||
	    nla_put_u64_64bit(skb, CFPH_A_RECLAIM_NS, r->ns,
			      CFPH_A_RECLAIM_PAD) ||
	    nla_put_u32(skb, CFPH_A_RECLAIM_END, r->end))
		return -EMSGSIZE;
	return 0;
}

/**
 * cfph_nl_reclaim_dumpit - give some page cache back
 * @skb: room for a message
 * @cb: the dump
 *
 * The per-cpu lists are drained before the last message is sent: a guest that is
 * stopped and then saved has no START, which would have had that done.
 *
 * Return: bytes in @skb if there is more to come, 0 at the end, or a negative errno.
 */
int cfph_nl_reclaim_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct cfph_reclaim *r = cfph_reclaim_of(cb);
	void *header;

	if (r->end != CFPH_RECLAIM_END_NONE)
		return 0;
	mutex_lock(&cfph_mutex);
	cfph_reclaim_step(r);
	if (r->end != CFPH_RECLAIM_END_NONE)
		cfph_lists_drain(0, 0);
	mutex_unlock(&cfph_mutex);

	header = cfph_dump_begin(skb, cb);
	if (!header || cfph_reclaim_fill(skb, r))
		return -EMSGSIZE;
	genlmsg_end(skb, header);
	return skb->len;
}

/**
 * cfph_nl_reclaim_done - it is over, or the one who asked has gone
 * @cb: the dump
 *
 * Return: 0.
 */
int cfph_nl_reclaim_done(struct netlink_callback *cb)
{
	mutex_lock(&cfph_mutex);
	cfph_reclaim_end(cfph_reclaim_of(cb), 0, 0);
	mutex_unlock(&cfph_mutex);
	return 0;
}
