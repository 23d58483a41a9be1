// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: the life of the map.
 *
 * Takes the map from one state to the next, and from each of them down.  Must not know
 * messages, nor how the map is made.
 */
#define pr_fmt(fmt) "cfph: " fmt

#include <linux/cfph.h>
#include <linux/init.h>
#include <linux/ktime.h>
#include <linux/limits.h>
#include <linux/notifier.h>
#include <linux/panic_notifier.h>
#include <linux/reboot.h>

#include <uapi/linux/virtio_balloon_cfph.h>

#include "common.h"

#define CREATE_TRACE_POINTS
#include <trace/events/cfph.h>

/**
 * DOC: cfph life and locks
 *
 * The map is kept while a transport is registered, the administrator wants it
 * (always, or while a migration runs), nothing refuses it and the system does not
 * go down. It has four states:
 *
 * OFF
 *	No map. The hooks are no-ops.
 * HOOKS
 *	The hooks are on, the map has no leaf yet.
 * SCAN
 *	kcfphd makes one leaf after the other, and fills it from the buddy
 *	lists. What has been filled is exact and stays so.
 * READY
 *	Every bit is exact. The host is told, whether a migration runs or not, and
 *	may read the map from then on: it is registered.
 *
 * Only kcfphd goes up, step by step, so that nobody waits for a scan. Whoever
 * ends the reason for keeping the map goes from any state down to OFF, and has
 * done so when the call returns, for what follows may be a reset of the device or
 * another kernel: the state word in the header page first, so that the host stops
 * believing; then the word to the host, if there is a buffer for it; then the
 * hooks; then, when the last hook has finished, the memory. A kernel that crashes
 * or panics does the first of these and no more.
 *
 * ================= ============================== ==========================
 * lock              protects                       may nest in
 * ================= ============================== ==========================
 * cfph_mutex        struct cfph_control, kcfphd's  the driver's and the PM
 *                   session, every call of the     core's locks, netlink;
 *                   transport                      none of those below
 * cpu_hotplug_lock  (static key)                   cfph_mutex
 * mem_hotplug_lock  struct page against offline    none of the above
 * zone->lock        bits of that zone              all of the above
 * cfph_leaf_lock    which map is live, new leaves  all but zone->lock
 *                   and their directory entries
 * mailbox lock      newest command, wake-ups; an   everything
 *                   interrupt takes it
 * ================= ============================== ==========================
 *
 * cfph_mutex is never taken under mem_hotplug_lock or cpu_hotplug_lock; that is
 * why the memory notifier has a spinlock of its own. kcfphd holds cfph_mutex for
 * one bounded step at a time and never while it sleeps, is frozen, allocates
 * memory (which may wait for a disk), gives page cache back or waits for memory
 * hotplug (which may take for ever), so whoever wants to go down need not wait for
 * it, even during suspend.
 * It makes a leaf without the mutex, therefore, and comes to the map as the hooks
 * do, under RCU: if the map has gone meanwhile, the leaf is given back.
 */

/**
 * cfph_refuse_locked - somebody wants a map and cannot have it
 * @reason: why
 * @text: who, or what is missing
 *
 * Context: process context, cfph_mutex held.
 */
void cfph_refuse_locked(enum cfph_reason reason, const char *text)
{
	struct cfph_mail mail;

	lockdep_assert_held(&cfph_mutex);

	cfph_announced(&mail);
	cfph.counters.refused++;
	trace_cfph_refuse(mail.migration_id, mail.round, reason, text);
	cfph_notify(CFPH_EVENT_REFUSE, reason, mail.migration_id, mail.round,
		    text);
}

static void cfph_set_state(enum cfph_state state, enum cfph_reason reason)
{
	struct cfph_mail mail;

	lockdep_assert_held(&cfph_mutex);

	cfph.state = state;
	trace_cfph_state(state, reason);
	cfph_announced(&mail);
	cfph_notify(CFPH_EVENT_STATE, reason, mail.migration_id, mail.round,
		    NULL);
}

static void cfph_build_failed(enum cfph_reason why)
{
	if (why == CFPH_REASON_SHARED_WORD)
		pr_warn("off: two memory zones share one 64-page word of the map\n");
	else
		pr_warn("off: no memory for the map (32 KiB per GiB of RAM); fpctl set enable 1 tries again\n");
	cfph.failure = why;
	cfph_down(why);
	cfph_refuse_locked(why, "the map cannot be made");
}

/**
 * cfph_build - begin to make a map: OFF -> HOOKS -> SCAN
 *
 * On failure the state stays OFF and cfph.failure says why.
 *
 * Context: kcfphd, cfph_mutex held; drops it meanwhile.
 */
void cfph_build(void)
{
	struct cfph_map *map = NULL;
	bool shared;

	lockdep_assert_held(&cfph_mutex);

	mutex_unlock(&cfph_mutex);
	shared = cfph_zones_share_word();
	if (!shared)
		map = cfph_map_alloc();
	mutex_lock(&cfph_mutex);

	if (!cfph_wanted()) {
		cfph_map_free(map);
		return;
	}
	if (!map) {
		cfph_build_failed(shared ? CFPH_REASON_SHARED_WORD :
					   CFPH_REASON_NO_MEMORY);
		return;
	}

	cfph.map = map;
	cfph_map_start(map);
	cfph_set_state(CFPH_STATE_HOOKS, CFPH_REASON_STARTING);

	cfph.scan_slot = 0;
	cfph.scan_ns = 0;
	cfph_set_state(CFPH_STATE_SCAN, CFPH_REASON_STARTING);
}

static void cfph_build_done(void)
{
	struct cfph_map *map = cfph.map;

	lockdep_assert_held(&cfph_mutex);

	cfph.counters.scans++;
	cfph.counters.scan_ns = cfph.scan_ns;
	if (trace_cfph_scan_enabled())
		trace_cfph_scan(cfph_map_tracked_pages(map),
				cfph_map_free_pages(), cfph.scan_ns);

	/*
	 * Last: after the rest of the header and every bit of the map.  The partner
	 * is the host, which reads the state word before it reads them.
	 */
	virt_store_release(&map->header->state,
			   cpu_to_le32(VIRTIO_BALLOON_CFPH_STATE_READY));
	cfph_set_state(CFPH_STATE_READY, CFPH_REASON_NONE);
}

/**
 * cfph_build_step - make and fill one leaf; behind the last one: SCAN -> READY
 *
 * Memory that comes online meanwhile gets a leaf of zeroes before its first page
 * is free, and the hooks are on: whether the scan still sees it or not, it is
 * exact.
 *
 * Context: kcfphd, cfph_mutex held; drops it meanwhile.
 */
void cfph_build_step(void)
{
	unsigned long slot = cfph.scan_slot;
	u64 start = ktime_get_ns();
	int ret;

	lockdep_assert_held(&cfph_mutex);

	mutex_unlock(&cfph_mutex);
	ret = cfph_map_fill(&slot);
	mutex_lock(&cfph_mutex);

	/* Others take the map down; up goes nobody but us, so it is the same one. */
	if (cfph.state != CFPH_STATE_SCAN)
		return;
	cfph.scan_slot = slot;
	cfph.scan_ns += ktime_get_ns() - start;
	if (ret < 0)
		cfph_build_failed(CFPH_REASON_NO_MEMORY);
	else if (!ret)
		cfph_build_done();
}

/**
 * cfph_down - from any state to OFF
 * @why: the reason to tell
 *
 * Context: process context, cfph_mutex held; may sleep.
 */
void cfph_down(enum cfph_reason why)
{
	struct cfph_map *map = cfph.map;

	lockdep_assert_held(&cfph_mutex);

	if (!map)
		return;

	/*
	 * First of all, because the host may stop us at any instruction and read
	 * the map.  It sees what this CPU and the others have done up to there,
	 * in order; so if it sees a hook that is off, it sees this, too.
	 */
	WRITE_ONCE(map->header->state,
		   cpu_to_le32(VIRTIO_BALLOON_CFPH_STATE_OFF));
	virt_wmb();	/* no partner in the kernel: the host, as said above */

	cfph_session_lost();

	cfph.map = NULL;
	cfph_map_stop(map);
	cfph_set_state(CFPH_STATE_OFF, why);
}

/* --- the end of this kernel --- */

/**
 * cfph_crash - this kernel is dead, and a crash kernel may be about to run
 *
 * A crash kernel does not keep our map, may use memory that we call free (the
 * DIMMs that it finds) and may have no driver that resets the device, or not yet.
 * Without one, what is free is evidence, too: a guest that has panicked is saved
 * whole.  The host sees this when it decides, and then sends everything.
 *
 * Called by crash_kexec() and by the panic notifier.  Neither makes the other
 * superfluous: unless crash_kexec_post_notifiers is set, a crash kernel is started
 * before the notifiers are called, and without a crash kernel there is nothing but
 * the notifiers.
 *
 * Context: any, and all other CPUs stopped, at any instruction: so no lock.  For
 *	the same reason nobody frees the map meanwhile, and nobody says afterwards
 *	that it is ready.
 */
void cfph_crash(void)
{
	struct cfph_map *map = cfph.map;

	if (map)
		WRITE_ONCE(map->header->state,
			   cpu_to_le32(VIRTIO_BALLOON_CFPH_STATE_OFF));
}

static int cfph_panic_notify(struct notifier_block *nb, unsigned long unused,
			     void *data)
{
	cfph_crash();
	return NOTIFY_DONE;
}

/*
 * Before all others: pvpanic's makes the host stop the guest, and it may be saved
 * right away.  It has the same priority, and was registered after us.
 */
static struct notifier_block cfph_panic_nb = {
	.notifier_call = cfph_panic_notify,
	.priority = INT_MAX,
};

/* Reboot, halt, kexec: what runs next does not keep our map. */
static int cfph_reboot_notify(struct notifier_block *nb, unsigned long action,
			      void *data)
{
	mutex_lock(&cfph_mutex);
	cfph.shutdown = true;
	cfph_down(CFPH_REASON_SHUTDOWN);
	mutex_unlock(&cfph_mutex);

	return NOTIFY_DONE;
}

static struct notifier_block cfph_reboot_nb = {
	.notifier_call = cfph_reboot_notify,
};

static int __init cfph_init(void)
{
	atomic_notifier_chain_register(&panic_notifier_list, &cfph_panic_nb);
	return register_reboot_notifier(&cfph_reboot_nb);
}
subsys_initcall(cfph_init);
