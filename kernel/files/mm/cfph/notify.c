// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: telling those who listen to the monitor group.
 *
 * Turns one happening into one message.  Must not know why it happened; is called
 * where somebody holds cfph_mutex, never from the page allocator.
 *
 * Nothing here waits: without listeners it is a look at a bitmap, the allocation
 * does not reclaim, and a listener that does not read loses messages, which its
 * socket tells it (ENOBUFS).
 */
#include <linux/cfph.h>
#include <linux/lockdep.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <net/genetlink.h>
#include <net/net_namespace.h>
#include <net/netlink.h>

#include "cfph_nl.h"
#include "common.h"

static int cfph_notify_fill(struct sk_buff *msg, enum cfph_event event,
			    enum cfph_reason reason, u32 migration_id,
			    u32 round, const char *text)
{
	if (nla_put_u32(msg, CFPH_A_EVENT_EVENT, event) ||
	    nla_put_u64_64bit(msg, CFPH_A_EVENT_TIME_NS,
			      ktime_get_boottime_ns(), CFPH_A_EVENT_PAD) ||
	    nla_put_u32(msg, CFPH_A_EVENT_STATE, cfph.state) ||
	    nla_put_u32(msg, CFPH_A_EVENT_REASON, reason) ||
	    nla_put_u32(msg, CFPH_A_EVENT_MIGRATION_ID, migration_id) ||
	    nla_put_u32(msg, CFPH_A_EVENT_ROUND, round) ||
	    (text && nla_put_string(msg, CFPH_A_EVENT_TEXT, text)) ||
	    (event == CFPH_EVENT_START &&
	     nla_put_u32(msg, CFPH_A_EVENT_RECLAIM, cfph.tunables.reclaim)))
		return -EMSGSIZE;
	return 0;
}

/**
 * cfph_notify - something has happened
 * @event: what
 * @reason: why the map is off, or is refused
 * @migration_id: the migration, 0 if none runs
 * @round: its newest round
 * @text: more words, or NULL
 *
 * Context: process context, cfph_mutex held; does not sleep.
 */
void cfph_notify(enum cfph_event event, enum cfph_reason reason,
		 u32 migration_id, u32 round, const char *text)
{
	struct genl_info info;
	struct sk_buff *msg;
	void *header;

	lockdep_assert_held(&cfph_mutex);

	/* Before there is a family, its group's number is somebody else's. */
	if (!cfph_nl_family.id ||
	    !genl_has_listeners(&cfph_nl_family, &init_net,
				CFPH_NLGRP_MONITOR))
		return;

	/* A page; what is put in is some hundred bytes. */
	msg = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_NOWAIT | __GFP_NOWARN);
	if (!msg)
		goto out_lost;

	genl_info_init_ntf(&info, &cfph_nl_family, CFPH_CMD_EVENT_NTF);
	header = genlmsg_iput(msg, &info);
	if (WARN_ON_ONCE(!header || cfph_notify_fill(msg, event, reason,
						     migration_id, round,
						     text))) {
		nlmsg_free(msg);
		return;
	}
	genlmsg_end(msg, header);
	/* The initial network namespace, like the family. */
	genlmsg_multicast(&cfph_nl_family, msg, 0, CFPH_NLGRP_MONITOR,
			  GFP_NOWAIT | __GFP_NOWARN);
	return;

out_lost:
	genl_set_err(&cfph_nl_family, &init_net, 0, CFPH_NLGRP_MONITOR,
		     -ENOBUFS);
}
