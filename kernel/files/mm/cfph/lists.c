// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: the per-cpu lists of the page allocator.
 *
 * What lies in them is free, but in no buddy list, so the map shows it as used.
 * Keeps them short and empties them; must not know why.
 *
 * Locks: cfph_mutex; cpu_hotplug_lock and the lists' own nest inside.
 */
#include <linux/cfph.h>
#include <linux/ktime.h>
#include <linux/mm.h>

#include <trace/events/cfph.h>

#include "../internal.h"
#include "hooks.h"
#include "common.h"

/* See cfph_pcp_limits(). */
DEFINE_STATIC_KEY_FALSE(cfph_pcp_short);

/**
 * cfph_lists_shorten - keep the lists short, or no longer
 * @shorten: what to do
 *
 * Context: process context, cfph_mutex held.
 * Return: true if that is new.
 */
bool cfph_lists_shorten(bool shorten)
{
	lockdep_assert_held(&cfph_mutex);

	if (static_key_enabled(&cfph_pcp_short.key) == shorten)
		return false;
	if (shorten)
		static_branch_enable(&cfph_pcp_short);
	else
		static_branch_disable(&cfph_pcp_short);
	return true;
}

/**
 * cfph_lists_drain - empty the lists
 * @migration_id: for those who trace
 * @round: likewise
 *
 * After a large process has exited, up to an eighth of a zone may lie there.
 *
 * Context: process context, cfph_mutex held; takes a while.
 */
void cfph_lists_drain(u32 migration_id, u32 round)
{
	u64 start = ktime_get_ns();
	struct zone *zone;

	/* Zone by zone: for all at once, another drain would make this a no-op. */
	for_each_populated_zone(zone)
		drain_all_pages(zone);
	cfph.counters.drains++;
	trace_cfph_drain(migration_id, round, ktime_get_ns() - start);
}
