// SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause)
/* Do not edit directly, auto-generated from: */
/*	Documentation/netlink/specs/cfph.yaml */
/* YNL-GEN kernel source */

#include <net/netlink.h>
#include <net/genetlink.h>

#include "cfph_nl.h"

#include <uapi/linux/cfph.h>

/* CFPH_CMD_SET - do */
static const struct nla_policy cfph_set_nl_policy[CFPH_A_RECLAIM + 1] = {
	[CFPH_A_ENABLE] = NLA_POLICY_MAX(NLA_U32, 1),
	[CFPH_A_INTERVAL_MS] = NLA_POLICY_RANGE(NLA_U32, 10, 10000),
	[CFPH_A_DRAIN] = NLA_POLICY_MAX(NLA_U32, 2),
	[CFPH_A_CPUS] = { .type = NLA_NUL_STRING, },
	[CFPH_A_KEEP] = NLA_POLICY_MAX(NLA_U32, 1),
	[CFPH_A_RECLAIM] = NLA_POLICY_MAX(NLA_U32, 100),
};

/* CFPH_CMD_RECLAIM - dump */
static const struct nla_policy cfph_reclaim_nl_policy[CFPH_A_RECLAIM_PERCENT + 1] = {
	[CFPH_A_RECLAIM_PERCENT] = NLA_POLICY_MAX(NLA_U32, 100),
};

/* Ops table for cfph */
static const struct genl_split_ops cfph_nl_ops[] = {
	{
		.cmd	= CFPH_CMD_GET,
		.doit	= cfph_nl_get_doit,
		.flags	= GENL_CMD_CAP_DO,
	},
	{
		.cmd		= CFPH_CMD_SET,
		.doit		= cfph_nl_set_doit,
		.policy		= cfph_set_nl_policy,
		.maxattr	= CFPH_A_RECLAIM,
		.flags		= GENL_CMD_CAP_DO,
	},
	{
		.cmd	= CFPH_CMD_STATS_GET,
		.doit	= cfph_nl_stats_get_doit,
		.flags	= GENL_CMD_CAP_DO,
	},
	{
		.cmd	= CFPH_CMD_ZONE_GET,
		.dumpit	= cfph_nl_zone_get_dumpit,
		.flags	= GENL_CMD_CAP_DUMP,
	},
	{
		.cmd	= CFPH_CMD_MAP_GET,
		.start	= cfph_nl_map_get_start,
		.dumpit	= cfph_nl_map_get_dumpit,
		.flags	= GENL_CMD_CAP_DUMP,
	},
	{
		.cmd	= CFPH_CMD_MAP_RAW_GET,
		.start	= cfph_nl_map_raw_get_start,
		.dumpit	= cfph_nl_map_raw_get_dumpit,
		.flags	= GENL_CMD_CAP_DUMP,
	},
	{
		.cmd	= CFPH_CMD_DEFAULTS_GET,
		.doit	= cfph_nl_defaults_get_doit,
		.flags	= GENL_CMD_CAP_DO,
	},
	{
		.cmd		= CFPH_CMD_RECLAIM,
		.start		= cfph_nl_reclaim_start,
		.dumpit		= cfph_nl_reclaim_dumpit,
		.done		= cfph_nl_reclaim_done,
		.policy		= cfph_reclaim_nl_policy,
		.maxattr	= CFPH_A_RECLAIM_PERCENT,
		.flags		= GENL_CMD_CAP_DUMP,
	},
};

static const struct genl_multicast_group cfph_nl_mcgrps[] = {
	[CFPH_NLGRP_MONITOR] = { "monitor", },
};

struct genl_family cfph_nl_family __ro_after_init = {
	.name		= CFPH_FAMILY_NAME,
	.version	= CFPH_FAMILY_VERSION,
	.netnsok	= false,
	.parallel_ops	= true,
	.module		= THIS_MODULE,
	.split_ops	= cfph_nl_ops,
	.n_split_ops	= ARRAY_SIZE(cfph_nl_ops),
	.mcgrps		= cfph_nl_mcgrps,
	.n_mcgrps	= ARRAY_SIZE(cfph_nl_mcgrps),
};
