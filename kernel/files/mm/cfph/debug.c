// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: the oracle, and the means to make it complain.
 *
 * Files below cfph/ in debugfs:
 *
 *	verify			reading it compares the whole map with the buddy
 *				lists: "ok pages=N free=N", "off", or the first
 *				difference, which is a WARN, too
 *	verify_random_ms	compare a random leaf that often; 0 = never
 *	mutant_*		1 = break a rule that the safety of a migration
 *				hangs on, so that a test can show that it would
 *				notice; see cfph_mutants
 *	assert_hooks		complain, once, about a page that is handed out while
 *				it is free in the map; on from the beginning
 *
 * The oracle holds zone->lock for one max-order block, under which map and buddy
 * lists must agree bit by bit; what lies in the balloon counts as free in either.
 */
#define pr_fmt(fmt) "cfph: " fmt

#include <linux/debugfs.h>
#include <linux/init.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#include <trace/events/kmem.h>

#include "hooks.h"
#include "common.h"

/* --- the oracle --- */

static void cfph_verify_word(unsigned long pfn, unsigned long map,
			     unsigned long buddy, struct cfph_verdict *verdict)
{
	unsigned long differs = map ^ buddy;

	verdict->free += hweight_long(buddy);
	if (!differs || verdict->differs)
		return;
	verdict->differs = true;
	verdict->pfn = pfn + __ffs(differs);
	verdict->map_free = map & (differs & -differs);
}

/* Under RCU, too: the map may go at any moment, and then there is nothing to compare. */
static unsigned long cfph_verify_part(struct zone *zone, unsigned long pfn,
				      unsigned long end, void *arg)
{
	unsigned long bits[CFPH_BLOCK_WORDS] = {};
	struct cfph_verdict *verdict = arg;
	unsigned long first, *leaf;

	spin_lock_irq(&zone->lock);
	end = cfph_read_buddy(zone, pfn, end, bits);
	leaf = cfph_map_leaf(cfph_ready_map(), pfn >> CFPH_LEAF_SHIFT);
	/* Whole words: what is not in this part of the block is a hole. */
	for (first = round_down(pfn, BITS_PER_LONG); leaf && first < end;
	     first += BITS_PER_LONG) {
		unsigned long word = first >> CFPH_WORD_SHIFT;

		cfph_verify_word(first, leaf[word % CFPH_LEAF_WORDS],
				 bits[word % CFPH_BLOCK_WORDS], verdict);
	}
	spin_unlock_irq(&zone->lock);

	if (leaf)
		verdict->pages += end - pfn;
	return end;
}

static void cfph_verify_leaf(unsigned long slot, struct cfph_verdict *verdict)
{
	unsigned long pfn = slot << CFPH_LEAF_SHIFT;

	get_online_mems();
	cfph_walk_parts(pfn, pfn + CFPH_LEAF_PAGES, cfph_verify_part, verdict);
	put_online_mems();
}

/* Return: the end of the slots of a map that is READY; 0 if there is none. */
static unsigned long cfph_ready_slots(void)
{
	unsigned long slots;

	rcu_read_lock();
	slots = READ_ONCE(cfph_ready_map()->slots);
	rcu_read_unlock();

	return slots;
}

static void cfph_complain(const struct cfph_verdict *verdict)
{
	WARN(1, "cfph: page %#lx is %s in the map, but %s in the buddy lists\n",
	     verdict->pfn, verdict->map_free ? "free" : "not free",
	     verdict->map_free ? "not free" : "free");
}

/**
 * cfph_verify - compare the whole map with the buddy lists
 * @verdict: filled in
 *
 * Context: process context, may sleep.
 * Return: 0; or -ENODATA if the map is not READY, or went away meanwhile.
 */
int cfph_verify(struct cfph_verdict *verdict)
{
	unsigned long slot;

	memset(verdict, 0, sizeof(*verdict));

	for (slot = 0; slot < cfph_ready_slots() && !verdict->differs; slot++)
		cfph_verify_leaf(slot, verdict);
	return cfph_ready_slots() ? 0 : -ENODATA;
}

static int cfph_verify_show(struct seq_file *m, void *unused)
{
	struct cfph_verdict verdict;

	if (cfph_verify(&verdict)) {
		seq_puts(m, "off\n");
	} else if (verdict.differs) {
		cfph_complain(&verdict);
		seq_printf(m, "bad pfn=%#lx map=%s buddy=%s\n", verdict.pfn,
			   verdict.map_free ? "free" : "used",
			   verdict.map_free ? "used" : "free");
	} else {
		seq_printf(m, "ok pages=%llu free=%llu\n", verdict.pages,
			   verdict.free);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(cfph_verify);

/* --- the oracle at random --- */

static u32 cfph_random_ms;

static void cfph_random_work(struct work_struct *work)
{
	u32 ms = READ_ONCE(cfph_random_ms);
	struct cfph_verdict verdict = {};
	unsigned long slot, n, slots;

	rcu_read_lock();
	slots = READ_ONCE(cfph_ready_map()->slots);
	slot = slots ? get_random_u32_below(slots) : 0;
	for (n = slots; n && !cfph_map_leaf(cfph_ready_map(), slot); n--)
		slot = (slot + 1) % slots;
	rcu_read_unlock();
	if (slots)
		cfph_verify_leaf(slot, &verdict);

	if (verdict.differs) {
		/* One is enough: the next would be as bad. */
		WRITE_ONCE(cfph_random_ms, 0);
		cfph_complain(&verdict);
		return;
	}
	if (ms)
		queue_delayed_work(system_freezable_wq, to_delayed_work(work),
				   msecs_to_jiffies(ms));
}

static DECLARE_DELAYED_WORK(cfph_random, cfph_random_work);

static int cfph_random_get(void *unused, u64 *value)
{
	*value = READ_ONCE(cfph_random_ms);
	return 0;
}

static int cfph_random_set(void *unused, u64 value)
{
	if (value > 60 * MSEC_PER_SEC)
		return -EINVAL;
	WRITE_ONCE(cfph_random_ms, value);
	if (value)
		mod_delayed_work(system_freezable_wq, &cfph_random, 0);
	else
		cancel_delayed_work_sync(&cfph_random);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(cfph_random_fops, cfph_random_get, cfph_random_set,
			 "%llu\n");

/* --- the hooks' own assertion --- */

bool cfph_assert_hooks = true;

/* Out-of-line body of cfph_check_new_page(). */
noinline void __cfph_check_new_page(struct page *page, unsigned int order)
{
	unsigned long pfn = page_to_pfn(page);

	WARN_ONCE(READ_ONCE(cfph_assert_hooks) &&
		  cfph_map_calls_free(pfn, order),
		  "cfph: page %#lx of order %u is handed out, but free in the map\n",
		  pfn, order);
}

/* --- the mutants --- */

DEFINE_STATIC_KEY_FALSE(cfph_mutant_drop);
static const char *cfph_dropped;

/* Is @hook left out, or all of its @kind? */
noinline bool __cfph_drops(const char *kind, const char *hook)
{
	const char *dropped = READ_ONCE(cfph_dropped);

	return dropped &&
	       (!strcmp(kind, dropped) || !strcmp(hook, dropped));
}

/**
 * cfph_drop - leave hooks out, or no longer
 * @hooks: "freed" or "allocated", or the function that one of the latter is in
 * @on: leave out
 *
 * The map is wrong then, until it is made anew.
 *
 * Context: process context; the callers keep away from each other.
 * Return: 0, or -EBUSY if others are left out.
 */
int cfph_drop(const char *hooks, bool on)
{
	if (on && cfph_dropped)
		return -EBUSY;
	WRITE_ONCE(cfph_dropped, on ? hooks : NULL);
	if (on)
		static_branch_enable(&cfph_mutant_drop);
	else
		static_branch_disable(&cfph_mutant_drop);
	return 0;
}

bool cfph_mutant_ignore_refusal;

/*
 * Called before the page is looked at, poisoned and put into a per-cpu list, from
 * where it may go to its next owner without coming near a buddy list.
 */
static void cfph_probe_page_free(void *unused, struct page *page,
				 unsigned int order)
{
	struct zone *zone = page_zone(page);
	unsigned long flags;

	spin_lock_irqsave(&zone->lock, flags);
	cfph_page_freed(zone, page, order);
	spin_unlock_irqrestore(&zone->lock, flags);
}

static int cfph_set_free_early(bool on)
{
	if (on)
		return register_trace_mm_page_free(cfph_probe_page_free, NULL);
	return unregister_trace_mm_page_free(cfph_probe_page_free, NULL);
}

static int cfph_set_hooks_off(bool on)
{
	if (on)
		static_branch_disable(&cfph_hooks);
	else
		static_branch_enable(&cfph_hooks);
	return 0;
}

static int cfph_set_ignore_refusal(bool on)
{
	WRITE_ONCE(cfph_mutant_ignore_refusal, on);
	return 0;
}

/**
 * struct cfph_mutant - a rule that can be broken
 * @name: of the file
 * @what: what is wrong then, for the log
 * @set: break the rule, or keep it again; NULL: leave @hooks out
 * @hooks: which ones, as for cfph_drop()
 * @on: it is broken; protected by cfph_mutex
 */
struct cfph_mutant {
	const char *name;
	const char *what;
	int (*set)(bool on);
	const char *hooks;
	bool on;
};

static struct cfph_mutant cfph_mutants[] = {
	{ "mutant_free_early", "pages are free in the map before they are free",
	  cfph_set_free_early },
	{ "mutant_hooks_off", "the map is not kept, and the host is not told",
	  cfph_set_hooks_off },
	{ "mutant_ignore_refusal", "a map although contents of free pages matter",
	  cfph_set_ignore_refusal },
	{ "mutant_keep_on_alloc", "allocated pages stay free in the map",
	  .hooks = "allocated" },
	{ "mutant_drop_freed", "freed pages stay used in the map",
	  .hooks = "freed" },
	{ "mutant_drop___free_one_page", "a hook is left out",
	  .hooks = "__free_one_page" },
	{ "mutant_drop_page_del_and_expand", "a hook is left out",
	  .hooks = "page_del_and_expand" },
	{ "mutant_drop_try_to_steal_block", "a hook is left out",
	  .hooks = "try_to_steal_block" },
	{ "mutant_drop___isolate_free_page", "a hook is left out",
	  .hooks = "__isolate_free_page" },
	{ "mutant_drop___offline_isolated_pages", "a hook is left out",
	  .hooks = "__offline_isolated_pages" },
	{ "mutant_drop_take_page_off_buddy", "a hook is left out",
	  .hooks = "take_page_off_buddy" },
	{ "mutant_drop_cfph_page_deflating", "a hook is left out",
	  .hooks = "cfph_page_deflating" },
};

static int cfph_mutant_get(void *data, u64 *value)
{
	struct cfph_mutant *mutant = data;

	*value = READ_ONCE(mutant->on);
	return 0;
}

static int cfph_mutant_set(void *data, u64 value)
{
	struct cfph_mutant *mutant = data;
	bool on = value;
	int err = 0;

	mutex_lock(&cfph_mutex);
	if (on != mutant->on)
		err = mutant->set ? mutant->set(on) :
				    cfph_drop(mutant->hooks, on);
	if (!err)
		WRITE_ONCE(mutant->on, on);
	mutex_unlock(&cfph_mutex);

	if (!err && on) {
		pr_warn("MUTANT: %s; every migration from now on loses memory\n",
			mutant->what);
		add_taint(TAINT_USER, LOCKDEP_STILL_OK);
	}
	return err;
}
DEFINE_DEBUGFS_ATTRIBUTE(cfph_mutant_fops, cfph_mutant_get, cfph_mutant_set,
			 "%llu\n");

static int __init cfph_debug_init(void)
{
	struct dentry *dir = debugfs_create_dir("cfph", NULL);
	unsigned int i;

	debugfs_create_file("verify", 0400, dir, NULL, &cfph_verify_fops);
	debugfs_create_file("verify_random_ms", 0600, dir, NULL,
			    &cfph_random_fops);
	debugfs_create_bool("assert_hooks", 0600, dir, &cfph_assert_hooks);
	for (i = 0; i < ARRAY_SIZE(cfph_mutants); i++)
		debugfs_create_file(cfph_mutants[i].name, 0600, dir,
				    &cfph_mutants[i], &cfph_mutant_fops);
	return 0;
}
late_initcall(cfph_debug_init);
