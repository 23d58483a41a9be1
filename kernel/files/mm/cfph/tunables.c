// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: what an administrator may set.
 *
 * Holds the defaults, applies new values, and puts the thread where it may run.
 * The ranges are the netlink policy's, and so is their check; what the values are
 * good for is known where they are used.
 *
 * Why no value can hurt a migration that runs: the map and its header page do not
 * depend on any of them, but for "enable" and "keep", which take the map away in the
 * order that cfph_down() gives reasons for.  The rest decides when deltas are sent:
 * a delta that comes late, or never, makes the host send a page that it need not.
 * "reclaim" frees pages as everybody does, through the hooks.
 *
 * Locks: values are read and written under cfph_mutex, like the rest of struct
 * cfph_control.  The hotplug callback runs under cpu_hotplug_lock, which nests
 * inside cfph_mutex, so it leaves a note for the thread and takes neither.
 */
#define pr_fmt(fmt) "cfph: " fmt

#include <linux/cfph.h>
#include <linux/cpuhotplug.h>
#include <linux/cpumask.h>
#include <linux/init.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <linux/sched/isolation.h>

#include "common.h"

/* Why these: Documentation/mm/cfph/design.rst, "Tunables". */
const struct cfph_tunables cfph_default_tunables = {
	.enable		= 1,
	.interval_ms	= 100,
	.drain		= CFPH_DRAIN_START,
	.keep		= CFPH_KEEP_ALWAYS,
	.reclaim	= 0,
};

/**
 * cfph_parse_cpus - read a list of CPUs
 * @list: like "0-3,8"
 * @cpus: filled in
 * @extack: says what is wrong with it; may be NULL
 *
 * Return: 0 or -EINVAL.
 */
int cfph_parse_cpus(const char *list, struct cpumask *cpus,
		    struct netlink_ext_ack *extack)
{
	int err = cpulist_parse(list, cpus);

	/* The text of an extended ack has room for that much of it. */
	if (err == -ERANGE || (!err && !cpumask_subset(cpus, cpu_possible_mask)))
		NL_SET_ERR_MSG_FMT(extack,
				   "cpus %.20s: beyond the CPUs that there can be, %*pbl",
				   list, cpumask_pr_args(cpu_possible_mask));
	else if (err)
		NL_SET_ERR_MSG_FMT(extack,
				   "cpus %.20s: not a list of CPUs like 0-3,8",
				   list);
	else
		return 0;
	return -EINVAL;
}

/* --- the thread's place --- */

/* The CPUs have changed since the thread was last put on some. */
static bool cfph_misplaced;

/**
 * cfph_thread_misplaced - shall cfph_thread_place() be called?
 *
 * Return: true once after each CPU that came online.
 */
bool cfph_thread_misplaced(void)
{
	return READ_ONCE(cfph_misplaced) && xchg(&cfph_misplaced, false);
}

/**
 * cfph_thread_place - put the thread on the CPUs that were set
 *
 * If none of them is online, the thread runs where the scheduler has put it; when
 * one comes back, it goes there.  Not if somebody has used sched_setaffinity() on
 * it: then that counts, until other CPUs are set.
 *
 * Context: process context, cfph_mutex held.
 */
void cfph_thread_place(void)
{
	lockdep_assert_held(&cfph_mutex);

	if (!READ_ONCE(cfph.thread->user_cpus_ptr))
		set_cpus_allowed_ptr(cfph.thread, &cfph.cpus);
}

/*
 * When the last CPU of a thread goes, the scheduler forgets where it was allowed to
 * run, so it has to be told again.
 */
static int cfph_cpu_online(unsigned int cpu)
{
	WRITE_ONCE(cfph_misplaced, true);
	cfph_thread_wake();
	return 0;
}

/* --- for netlink.c --- */

static int cfph_set_cpus(const struct cpumask *cpus,
			 struct netlink_ext_ack *extack)
{
	lockdep_assert_held(&cfph_mutex);

	/* Without a thread: when there is one, the CPUs may be others, anyway. */
	if (!cpumask_intersects(cpus, cpu_online_mask) ||
	    (cfph.thread && set_cpus_allowed_ptr(cfph.thread, cpus))) {
		NL_SET_ERR_MSG_FMT(extack, "cpus %*pbl: none of them is online",
				   cpumask_pr_args(cpus));
		return -EINVAL;
	}
	cpumask_copy(&cfph.cpus, cpus);
	return 0;
}

/**
 * cfph_set_tunables - change all tunables
 * @new: the new ones; the caller has seen to it that they are in their ranges
 * @cpus: where the thread may run; NULL leaves that as it is
 * @extack: says what is wrong; may be NULL
 *
 * Takes effect at once: after "enable 0" the map is gone, after "enable 1" it is
 * being made; "keep" is up to the thread's next step; the next pass is not later
 * than the new interval.
 *
 * Context: process context, may sleep.
 * Return: 0, or -EINVAL and then nothing has changed.
 */
int cfph_set_tunables(const struct cfph_tunables *new,
		      const struct cpumask *cpus,
		      struct netlink_ext_ack *extack)
{
	int err = 0;

	mutex_lock(&cfph_mutex);
	if (cpus)
		err = cfph_set_cpus(cpus, extack);
	if (err)
		goto out_unlock;

	cfph.tunables = *new;
	cfph_session_retune();
	cfph.failure = CFPH_REASON_NONE;
	if (!new->enable)
		cfph_down(CFPH_REASON_ADMIN);
	cfph_thread_wake();
out_unlock:
	mutex_unlock(&cfph_mutex);

	return err;
}

/**
 * cfph_get_tunables - what the administrator has set
 * @cur: filled in
 *
 * Context: process context, may sleep.
 */
void cfph_get_tunables(struct cfph_tunables *cur)
{
	mutex_lock(&cfph_mutex);
	*cur = cfph.tunables;
	mutex_unlock(&cfph_mutex);
}

/**
 * cfph_get_cpus - where the thread may run
 * @cpus: filled in
 *
 * Context: process context, may sleep.
 */
void cfph_get_cpus(struct cpumask *cpus)
{
	mutex_lock(&cfph_mutex);
	cpumask_copy(cpus, &cfph.cpus);
	mutex_unlock(&cfph_mutex);
}

/**
 * cfph_default_cpus - where the thread may run if nobody has said
 *
 * As for any other kernel thread: not on CPUs that are isolated.
 *
 * Return: what does not change after boot.
 */
const struct cpumask *cfph_default_cpus(void)
{
	return housekeeping_cpumask(HK_TYPE_KTHREAD);
}

static int __init cfph_tunables_init(void)
{
	int state;

	mutex_lock(&cfph_mutex);
	cfph.tunables = cfph_default_tunables;
	cpumask_copy(&cfph.cpus, cfph_default_cpus());
	mutex_unlock(&cfph_mutex);

	state = cpuhp_setup_state_nocalls(CPUHP_AP_ONLINE_DYN, "mm/cfph:online",
					  cfph_cpu_online, NULL);
	if (state < 0)
		pr_warn("kcfphd will not go back to a CPU that comes back online (%d)\n",
			state);
	return 0;
}
subsys_initcall(cfph_tunables_init);

#if IS_ENABLED(CONFIG_CFPH_KUNIT_TEST)
#include "tests/tunables-kunit.c"
#endif
