/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
/* Do not edit directly, auto-generated from: */
/*	Documentation/netlink/specs/cfph.yaml */
/* YNL-GEN kernel header */

#ifndef _LINUX_CFPH_GEN_H
#define _LINUX_CFPH_GEN_H

#include <net/netlink.h>
#include <net/genetlink.h>

#include <uapi/linux/cfph.h>

int cfph_nl_map_get_start(struct netlink_callback *cb);
int cfph_nl_map_raw_get_start(struct netlink_callback *cb);
int cfph_nl_reclaim_start(struct netlink_callback *cb);
int cfph_nl_reclaim_done(struct netlink_callback *cb);

int cfph_nl_get_doit(struct sk_buff *skb, struct genl_info *info);
int cfph_nl_set_doit(struct sk_buff *skb, struct genl_info *info);
int cfph_nl_stats_get_doit(struct sk_buff *skb, struct genl_info *info);
int cfph_nl_zone_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int cfph_nl_map_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int cfph_nl_map_raw_get_dumpit(struct sk_buff *skb,
			       struct netlink_callback *cb);
int cfph_nl_defaults_get_doit(struct sk_buff *skb, struct genl_info *info);
int cfph_nl_reclaim_dumpit(struct sk_buff *skb, struct netlink_callback *cb);

enum {
	CFPH_NLGRP_MONITOR,
};

extern struct genl_family cfph_nl_family;

#endif /* _LINUX_CFPH_GEN_H */
