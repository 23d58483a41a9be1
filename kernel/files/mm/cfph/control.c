// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: what the mutex protects, and what is wanted.
 *
 * Owns the one instance of struct cfph_control, the refusals and the reason why there
 * is no map.  Changes nothing in it; must not know who does.
 */
#define pr_fmt(fmt) "cfph: " fmt

#include <linux/cc_platform.h>
#include <linux/cfph.h>
#include <linux/export.h>
#include <linux/init.h>
#include <linux/limits.h>
#include <linux/mm.h>
#include <linux/string.h>

#include "common.h"

/* Protects struct cfph_control and kcfphd's session; see life.c. */
DEFINE_MUTEX(cfph_mutex);

/* tunables.c fills in the rest. */
struct cfph_control cfph = {
	.gone = CFPH_REASON_NO_DEVICE,
};

/* --- refusals --- */

static bool cfph_boot_off __ro_after_init;

static int __init cfph_boot_parameter(char *arg)
{
	if (!arg || strcmp(arg, "off")) {
		pr_warn("cfph=%s is unknown and ignored; there is only cfph=off\n",
			arg ?: "");
		return -EINVAL;
	}
	cfph_boot_off = true;
	return 0;
}
early_param("cfph", cfph_boot_parameter);

/**
 * cfph_refusal - why this system cannot have the feature at all
 *
 * All of these are decided at boot and never change.  The log says why, once.
 *
 * Context: any process context, after early boot.
 * Return: CFPH_REASON_NONE if it can.
 */
enum cfph_reason cfph_refusal(void)
{
	if (cfph_boot_off) {
		pr_info_once("off: cfph=off on the kernel command line\n");
		return CFPH_REASON_BOOT_PARAMETER;
	}
	if (cfph_ignore_refusal())
		return CFPH_REASON_NONE;
	/*
	 * The next owner of a free page relies on what is in it, and the
	 * destination of a migration may have an older copy.
	 */
	if (want_init_on_free()) {
		pr_info_once("off: init_on_free=1 relies on the contents of free pages\n");
		return CFPH_REASON_INIT_ON_FREE;
	}
	if (page_poisoning_enabled_static()) {
		pr_info_once("off: page_poison=1 relies on the contents of free pages\n");
		return CFPH_REASON_PAGE_POISONING;
	}
	/* The host cannot read the map, and should not learn what is free. */
	if (cc_platform_has(CC_ATTR_MEM_ENCRYPT)) {
		pr_info_once("off: memory is encrypted\n");
		return CFPH_REASON_MEMORY_ENCRYPTION;
	}
	return CFPH_REASON_NONE;
}
EXPORT_SYMBOL_GPL(cfph_refusal);

/* --- whether, and why not --- */

/* Is this a time at which the administrator wants the map? */
static bool cfph_wanted_now(void)
{
	struct cfph_mail mail;

	if (cfph.tunables.keep == CFPH_KEEP_ALWAYS)
		return true;
	cfph_announced(&mail);
	return mail.migration_id;
}

/* The device that is there may have learnt something since its driver was bound. */
static enum cfph_reason cfph_reason_gone(void)
{
	if (cfph.gone == CFPH_REASON_NO_DEVICE && cfph.offers &&
	    cfph.offers(cfph.watched))
		return CFPH_REASON_NOT_NEGOTIATED;
	return cfph.gone;
}

/**
 * cfph_current_reason - why there is no map
 *
 * Context: cfph_mutex held.
 * Return: CFPH_REASON_NONE if there is one.
 */
enum cfph_reason cfph_current_reason(void)
{
	enum cfph_reason refusal = cfph_refusal();

	lockdep_assert_held(&cfph_mutex);

	if (cfph.state == CFPH_STATE_READY)
		return CFPH_REASON_NONE;
	if (refusal != CFPH_REASON_NONE)
		return refusal;
	if (cfph.shutdown)
		return CFPH_REASON_SHUTDOWN;
	if (!cfph.ops)
		return cfph_reason_gone();
	if (!cfph.tunables.enable)
		return CFPH_REASON_ADMIN;
	if (!cfph_wanted_now())
		return CFPH_REASON_NO_MIGRATION;
	if (cfph.failure != CFPH_REASON_NONE)
		return cfph.failure;
	return CFPH_REASON_STARTING;
}

/**
 * cfph_wanted - shall a map be kept?
 *
 * Context: cfph_mutex held.
 * Return: true if a map should be made, or stay.
 */
bool cfph_wanted(void)
{
	lockdep_assert_held(&cfph_mutex);

	return cfph.ops && cfph.tunables.enable && !cfph.shutdown &&
	       cfph_refusal() == CFPH_REASON_NONE && cfph_wanted_now();
}

/* --- snapshots --- */

/**
 * cfph_get_info - state and tunables
 * @info: filled in
 *
 * Context: process context, may sleep.
 */
void cfph_get_info(struct cfph_info *info)
{
	struct cfph_mail mail;

	memset(info, 0, sizeof(*info));

	mutex_lock(&cfph_mutex);
	info->state = cfph.state;
	info->reason = cfph_current_reason();
	info->tunables = cfph.tunables;
	if (cfph.map)
		info->map_bytes = cfph_map_bytes(cfph.map);
	if (cfph.ops)
		info->buffer_bytes = cfph.ops->buffer_bytes(cfph.priv);
	if (cfph.state == CFPH_STATE_READY)
		info->tracked_pages = cfph_map_tracked_pages(cfph.map);
	mutex_unlock(&cfph_mutex);

	cfph_announced(&mail);
	info->migration_id = mail.migration_id;
	info->round = mail.round;
	if (info->state == CFPH_STATE_READY)
		info->free_pages = cfph_map_free_pages();
}

/**
 * cfph_get_counters - what has been counted since boot
 * @counters: filled in
 *
 * Context: process context, may sleep.
 */
void cfph_get_counters(struct cfph_counters *counters)
{
	struct cfph_mail mail;

	mutex_lock(&cfph_mutex);
	*counters = cfph.counters;
	mutex_unlock(&cfph_mutex);

	/* These two are counted in interrupts. */
	cfph_announced(&mail);
	counters->rounds = mail.requests;
	counters->unknown_commands = mail.unknown;
}
