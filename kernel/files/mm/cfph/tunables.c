// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: what an administrator may set.
 *
 * Checks new values, all of them before the first is used, and applies them.  Knows
 * the limits and where the thread may run; must not know attributes' encoding,
 * nor what the values are good for.
 *
 * Why no value can hurt a migration that runs: the map and its header page do not
 * depend on any of them, but for "enable", which takes the map away in the order
 * that cfph_down() gives reasons for.  The rest decides when deltas are sent and
 * whether they understate what is free.  A delta that comes late, or never, or says
 * "used" of a free page, makes the host send a page that it need not.
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
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/isolation.h>
#include <linux/sched/prio.h>

#include "common.h"

const struct cfph_tunables cfph_default_tunables = {
	.enable		= 1,
	.interval_ms	= 100,
	.drain		= CFPH_DRAIN_START,
	.min_order	= 0,
	.buffers	= 16,
	/*
	 * 64 KiB of the map, 2 GiB of RAM; well below a millisecond, so that
	 * whoever wants cfph_mutex gets it soon.
	 */
	.batch		= 1024,
	/*
	 * A delta that comes late is worth less.  What the thread does is short,
	 * so let it not wait for somebody's time slice.
	 */
	.nice		= MIN_NICE,
	.rate_kibps	= 0,
	.keep		= CFPH_KEEP_ALWAYS,
	.watermark_kib	= 0,
};

static_assert(CFPH_NICE_MIN == MIN_NICE);
static_assert(CFPH_NICE_MAX == MAX_NICE);

/* --- checks --- */

/* Return: -EINVAL, for the caller to return. */
static __printf(3, 4) int cfph_complain_of(struct cfph_complaint *complaint,
					   unsigned int attr,
					   const char *format, ...)
{
	va_list args;

	if (!complaint)
		return -EINVAL;
	complaint->attr = attr;
	va_start(args, format);
	vsnprintf(complaint->text, sizeof(complaint->text), format, args);
	va_end(args);
	return -EINVAL;
}

/*
 * The ranges of the netlink policy, again: it is the policy that refuses what a
 * user asks for, and this that holds whoever else calls.
 */
static int cfph_check_tunables(const struct cfph_tunables *new,
			       struct cfph_complaint *complaint)
{
	/* No process can have more than this; 2^63 KiB do not fit into s64. */
	s64 ram_kib = (s64)totalram_pages() << (PAGE_SHIFT - 10);
	s64 kib = min_t(u64, new->watermark_kib, S64_MAX);
	const struct {
		const char *name;
		unsigned int attr;
		s64 value, min, max;
	} checks[] = {
		{ "enable", CFPH_A_ENABLE, new->enable, 0, 1 },
		{ "interval-ms", CFPH_A_INTERVAL_MS, new->interval_ms, 10, 10000 },
		{ "drain", CFPH_A_DRAIN, new->drain, 0, CFPH_DRAIN_MAX },
		{ "min-order", CFPH_A_MIN_ORDER, new->min_order, 0, CFPH_CHUNK_SHIFT },
		{ "buffers", CFPH_A_BUFFERS, new->buffers, 1, 16 },
		{ "batch", CFPH_A_BATCH, new->batch, 16, 65536 },
		{ "keep", CFPH_A_KEEP, new->keep, 0, CFPH_KEEP_MAX },
		{ "nice", CFPH_A_NICE, new->nice, MIN_NICE, MAX_NICE },
		{ "watermark-kib", CFPH_A_WATERMARK_KIB, kib, 0, ram_kib },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(checks); i++)
		if (checks[i].value < checks[i].min ||
		    checks[i].value > checks[i].max)
			return cfph_complain_of(complaint, checks[i].attr,
						"%s %lld: not within %lld..%lld",
						checks[i].name, checks[i].value,
						checks[i].min, checks[i].max);
	return 0;
}

/**
 * cfph_parse_cpus - read a list of CPUs
 * @list: like "0-3,8"
 * @cpus: filled in
 * @complaint: filled in if it is wrong; may be NULL
 *
 * Return: 0 or -EINVAL.
 */
int cfph_parse_cpus(const char *list, struct cpumask *cpus,
		    struct cfph_complaint *complaint)
{
	/* The text has room for that much of it. */
	int err = cpulist_parse(list, cpus);

	if (err == -ERANGE || (!err && !cpumask_subset(cpus, cpu_possible_mask)))
		return cfph_complain_of(complaint, CFPH_A_CPUS,
					"cpus %.20s: beyond the CPUs that there can be, %*pbl",
					list, cpumask_pr_args(cpu_possible_mask));
	if (err)
		return cfph_complain_of(complaint, CFPH_A_CPUS,
					"cpus %.20s: not a list of CPUs like 0-3,8",
					list);
	return 0;
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

/* The only thing that may still fail, so it comes first. */
static int cfph_set_cpus(const struct cpumask *cpus,
			 struct cfph_complaint *complaint)
{
	lockdep_assert_held(&cfph_mutex);

	/* Without a thread: when there is one, the CPUs may be others, anyway. */
	if (!cpumask_intersects(cpus, cpu_online_mask) ||
	    (cfph.thread && set_cpus_allowed_ptr(cfph.thread, cpus)))
		return cfph_complain_of(complaint, CFPH_A_CPUS,
					"cpus %*pbl: none of them is online",
					cpumask_pr_args(cpus));
	cpumask_copy(&cfph.cpus, cpus);
	return 0;
}

/**
 * cfph_set_tunables - change all tunables
 * @new: the new ones
 * @cpus: where the thread may run; NULL leaves that as it is
 * @complaint: filled in on failure; may be NULL
 *
 * Takes effect at once: after "enable 0" the map is gone, after "enable 1" it is
 * being made; "keep" is up to the thread's next step; a pass that runs goes on with
 * the new values, and the next one is not later than the new interval.
 *
 * Context: process context, may sleep.
 * Return: 0, or -EINVAL and then nothing has changed.
 */
int cfph_set_tunables(const struct cfph_tunables *new,
		      const struct cpumask *cpus,
		      struct cfph_complaint *complaint)
{
	struct cfph_tunables old;
	int err;

	err = cfph_check_tunables(new, complaint);
	if (err)
		return err;

	mutex_lock(&cfph_mutex);
	if (cpus)
		err = cfph_set_cpus(cpus, complaint);
	if (err)
		goto out_unlock;

	old = cfph.tunables;
	cfph.tunables = *new;
	if (cfph.thread && old.nice != new->nice)
		set_user_nice(cfph.thread, new->nice);
	cfph_session_retune(&old, new);
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

static int __init cfph_tunables_init(void)
{
	int state;

	mutex_lock(&cfph_mutex);
	cfph.tunables = cfph_default_tunables;
	/* As for any other kernel thread: not on CPUs that are isolated. */
	cpumask_copy(&cfph.cpus, housekeeping_cpumask(HK_TYPE_KTHREAD));
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
