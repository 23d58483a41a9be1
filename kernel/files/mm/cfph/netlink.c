// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: the handlers of the generic netlink family.
 *
 * Translates between attributes and the plain structures of common.h, and
 * decides who may change what; dump.c has the dumps.  Must not know how life.c
 * keeps its state, nor take any of its locks.  Policy and operation table are in
 * cfph_nl.c, generated from Documentation/netlink/specs/cfph.yaml.
 *
 * Generic netlink rather than sysfs, because a change of several tunables is
 * one request that takes effect as a whole or is refused with a reason, and
 * because the specification makes the clients.
 */
#include <linux/capability.h>
#include <linux/cfph.h>
#include <linux/cpumask.h>
#include <linux/init.h>
#include <linux/mutex.h>
#include <linux/printk.h>
#include <linux/slab.h>
#include <net/genetlink.h>
#include <net/netlink.h>

#include "cfph_nl.h"
#include "common.h"

/*
 * Makes the read, modify, write of CFPH_CMD_SET one step: the family runs its
 * operations in parallel.  Outermost: life.c's locks nest inside.
 */
static DEFINE_MUTEX(cfph_nl_set_lock);

/* --- replies --- */

/*
 * All replies are built in one place: allocate what @fill needs at most, let it
 * fill, send.
 */
static int cfph_nl_reply(struct genl_info *info, size_t attrs_size,
			 int (*fill)(struct sk_buff *reply, const void *arg),
			 const void *arg)
{
	struct sk_buff *reply;
	void *header;
	int err;

	reply = genlmsg_new(attrs_size, GFP_KERNEL);
	if (!reply)
		return -ENOMEM;

	header = genlmsg_iput(reply, info);
	err = header ? fill(reply, arg) : -EMSGSIZE;
	if (err) {
		/* -EMSGSIZE: a size function below has forgotten something. */
		WARN_ON_ONCE(err == -EMSGSIZE);
		NL_SET_ERR_MSG(info->extack, "the reply could not be built");
		nlmsg_free(reply);
		return err;
	}
	genlmsg_end(reply, header);

	return genlmsg_reply(reply, info);
}

/**
 * cfph_nl_check_admin - may who asks do more than look?
 * @skb: the request
 * @extack: says what is needed
 *
 * Not the CAP_NET_ADMIN of GENL_ADMIN_PERM, for this is about memory; and not
 * capable(), for the one who asks is who opened the socket.
 *
 * Return: 0 or -EPERM.
 */
int cfph_nl_check_admin(const struct sk_buff *skb,
			struct netlink_ext_ack *extack)
{
	if (netlink_capable(skb, CAP_SYS_ADMIN))
		return 0;
	NL_SET_ERR_MSG(extack,
		       "CAP_SYS_ADMIN in the initial user namespace is needed");
	return -EPERM;
}

/* --- CFPH_CMD_GET, CFPH_CMD_DEFAULTS_GET --- */

static size_t cfph_nl_info_size(const char *cpus)
{
	return 9 * nla_total_size(sizeof(u32)) +
	       4 * nla_total_size_64bit(sizeof(u64)) +
	       nla_total_size(strlen(cpus) + 1);
}

static int cfph_nl_fill_tunables(struct sk_buff *reply,
				 const struct cfph_tunables *t)
{
	if (nla_put_u32(reply, CFPH_A_ENABLE, t->enable) ||
	    nla_put_u32(reply, CFPH_A_INTERVAL_MS, t->interval_ms) ||
	    nla_put_u32(reply, CFPH_A_DRAIN, t->drain) ||
	    nla_put_u32(reply, CFPH_A_KEEP, t->keep) ||
	    nla_put_u32(reply, CFPH_A_RECLAIM, t->reclaim))
		return -EMSGSIZE;
	return 0;
}

static int cfph_nl_fill_info(struct sk_buff *reply, const void *cpus)
{
	struct cfph_info info;

	cfph_get_info(&info);

	if (nla_put_u32(reply, CFPH_A_STATE, info.state) ||
	    nla_put_u32(reply, CFPH_A_REASON, info.reason) ||
	    nla_put_u32(reply, CFPH_A_MIGRATION_ID, info.migration_id) ||
	    nla_put_u32(reply, CFPH_A_ROUND, info.round) ||
	    nla_put_u64_64bit(reply, CFPH_A_TRACKED_PAGES, info.tracked_pages,
			      CFPH_A_PAD) ||
	    nla_put_u64_64bit(reply, CFPH_A_FREE_PAGES, info.free_pages,
			      CFPH_A_PAD) ||
	    nla_put_u64_64bit(reply, CFPH_A_MAP_BYTES, info.map_bytes,
			      CFPH_A_PAD) ||
	    nla_put_u64_64bit(reply, CFPH_A_BUFFER_BYTES, info.buffer_bytes,
			      CFPH_A_PAD) ||
	    nla_put_string(reply, CFPH_A_CPUS, cpus))
		return -EMSGSIZE;
	return cfph_nl_fill_tunables(reply, &info.tunables);
}

static int cfph_nl_fill_defaults(struct sk_buff *reply, const void *cpus)
{
	if (nla_put_string(reply, CFPH_A_CPUS, cpus))
		return -EMSGSIZE;
	return cfph_nl_fill_tunables(reply, &cfph_default_tunables);
}

/* A reply that has a list of CPUs in it, like "0-3,8". */
static int cfph_nl_reply_cpus(struct genl_info *info,
			      int (*fill)(struct sk_buff *reply, const void *cpus),
			      const struct cpumask *cpus)
{
	char *list = kasprintf(GFP_KERNEL, "%*pbl", cpumask_pr_args(cpus));
	int err;

	if (!list)
		return -ENOMEM;
	err = cfph_nl_reply(info, cfph_nl_info_size(list), fill, list);
	kfree(list);
	return err;
}

/**
 * cfph_nl_get_doit - state and tunables
 * @skb: the request
 * @info: its context
 *
 * Open to everybody: the sums say no more than /proc/meminfo does.
 *
 * Return: 0 or a negative errno.
 */
int cfph_nl_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	cpumask_var_t cpus;
	int err;

	if (!alloc_cpumask_var(&cpus, GFP_KERNEL))
		return -ENOMEM;
	cfph_get_cpus(cpus);
	err = cfph_nl_reply_cpus(info, cfph_nl_fill_info, cpus);
	free_cpumask_var(cpus);
	return err;
}

/**
 * cfph_nl_defaults_get_doit - the tunables before anybody has changed them
 * @skb: the request
 * @info: its context
 *
 * Return: 0 or a negative errno.
 */
int cfph_nl_defaults_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	return cfph_nl_reply_cpus(info, cfph_nl_fill_defaults,
				  cfph_default_cpus());
}

/* --- CFPH_CMD_STATS_GET --- */

#define CFPH_NL_COUNTERS	(sizeof(struct cfph_counters) / sizeof(u64))

static size_t cfph_nl_counters_size(void)
{
	return CFPH_NL_COUNTERS * nla_total_size_64bit(sizeof(u64));
}

static int cfph_nl_fill_counters(struct sk_buff *reply, const void *unused)
{
	struct cfph_counters now;

#define CFPH_NL_PUT(ATTR, member)					\
	nla_put_u64_64bit(reply, CFPH_A_STATS_##ATTR, now.member,	\
			  CFPH_A_STATS_PAD)

	cfph_get_counters(&now);
	if (CFPH_NL_PUT(MIGRATIONS, migrations) ||
	    CFPH_NL_PUT(ROUNDS, rounds) ||
	    CFPH_NL_PUT(PASSES, passes) ||
	    CFPH_NL_PUT(MESSAGES, messages) ||
	    CFPH_NL_PUT(MESSAGE_BYTES, message_bytes) ||
	    CFPH_NL_PUT(CHUNKS, chunks) ||
	    CFPH_NL_PUT(RANGES, ranges) ||
	    CFPH_NL_PUT(BITS, bits) ||
	    CFPH_NL_PUT(STALLS, stalls) ||
	    CFPH_NL_PUT(DRAINS, drains) ||
	    CFPH_NL_PUT(REGISTRATIONS, registrations) ||
	    CFPH_NL_PUT(UNREGISTRATIONS, unregistrations) ||
	    CFPH_NL_PUT(UNKNOWN_COMMANDS, unknown_commands) ||
	    CFPH_NL_PUT(SCANS, scans) ||
	    CFPH_NL_PUT(SCAN_NS, scan_ns) ||
	    CFPH_NL_PUT(PASS_NS, pass_ns) ||
	    CFPH_NL_PUT(RESETS, resets) ||
	    CFPH_NL_PUT(REFUSED, refused) ||
	    CFPH_NL_PUT(RECLAIMED_PAGES, reclaimed_pages) ||
	    CFPH_NL_PUT(RECLAIM_NS, reclaim_ns))
		return -EMSGSIZE;
	return 0;
}

/**
 * cfph_nl_stats_get_doit - counters
 * @skb: the request
 * @info: its context
 *
 * Return: 0 or a negative errno.
 */
int cfph_nl_stats_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	return cfph_nl_reply(info, cfph_nl_counters_size(),
			     cfph_nl_fill_counters, NULL);
}

/* --- CFPH_CMD_SET --- */

static bool cfph_nl_read_u32(const struct genl_info *info, int attr, u32 *value)
{
	if (!info->attrs[attr])
		return false;
	*value = nla_get_u32(info->attrs[attr]);
	return true;
}

/* Return: false if there is none; the policy has checked what there is. */
static bool cfph_nl_read_tunables(const struct genl_info *info,
				  struct cfph_tunables *t)
{
	bool any = false;

	any |= cfph_nl_read_u32(info, CFPH_A_ENABLE, &t->enable);
	any |= cfph_nl_read_u32(info, CFPH_A_INTERVAL_MS, &t->interval_ms);
	any |= cfph_nl_read_u32(info, CFPH_A_DRAIN, &t->drain);
	any |= cfph_nl_read_u32(info, CFPH_A_KEEP, &t->keep);
	any |= cfph_nl_read_u32(info, CFPH_A_RECLAIM, &t->reclaim);
	return any;
}

static int cfph_nl_set(struct genl_info *info, const struct cpumask *cpus)
{
	struct cfph_tunables tunables;
	int err;

	mutex_lock(&cfph_nl_set_lock);
	cfph_get_tunables(&tunables);
	if (cfph_nl_read_tunables(info, &tunables) || cpus) {
		err = cfph_set_tunables(&tunables, cpus, info->extack);
	} else {
		NL_SET_ERR_MSG(info->extack,
			       "nothing to set: give one tunable or more");
		err = -EINVAL;
	}
	mutex_unlock(&cfph_nl_set_lock);
	return err;
}

static int cfph_nl_set_with_cpus(struct genl_info *info)
{
	struct nlattr *list = info->attrs[CFPH_A_CPUS];
	cpumask_var_t cpus;
	int err;

	if (!zalloc_cpumask_var(&cpus, GFP_KERNEL))
		return -ENOMEM;
	err = cfph_parse_cpus(nla_data(list), cpus, info->extack);
	if (!err)
		err = cfph_nl_set(info, cpus);
	/* The policy has checked all that there is beside them. */
	if (err)
		NL_SET_BAD_ATTR(info->extack, list);
	free_cpumask_var(cpus);
	return err;
}

/**
 * cfph_nl_set_doit - change tunables, all of those given or none
 * @skb: the request
 * @info: its context; the policy has checked the ranges
 *
 * Return: 0 or a negative errno, with the reason in the extended ack.
 */
int cfph_nl_set_doit(struct sk_buff *skb, struct genl_info *info)
{
	int err = cfph_nl_check_admin(skb, info->extack);

	if (err)
		return err;
	if (info->attrs[CFPH_A_CPUS])
		return cfph_nl_set_with_cpus(info);
	return cfph_nl_set(info, NULL);
}

static int __init cfph_nl_init(void)
{
	int err = genl_register_family(&cfph_nl_family);

	if (err)
		pr_err("cfph: no netlink family (%d): fpctl will not work\n",
		       err);
	return err;
}
subsys_initcall(cfph_nl_init);
