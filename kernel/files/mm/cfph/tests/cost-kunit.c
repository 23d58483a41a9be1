// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: what the hooks cost in time, for people to read and
 * for make bench-hooks.  Included by kcfphd.c behind kcfphd-kunit.c, with the same
 * host.  Says something where the kernel runs on the processor itself: in User Mode
 * Linux, which has no jump labels, so that a hook that is off is a load and a branch.
 */
#define CFPH_COST_RUNS		15
#define CFPH_COST_BLOCKS	2048

/* A block at a time, or many: order 0 goes through the per-cpu lists. */
static const struct cfph_cost_load {
	const char *name;
	unsigned int order, blocks, times;
} cfph_cost_loads[] = {
	{ "order0-bulk", 0, CFPH_COST_BLOCKS, 4 },
	{ "order4", 4, 1, 4000 },
	{ "order10", MAX_PAGE_ORDER, 1, 1000 },
};

static struct page *cfph_cost_pages[CFPH_COST_BLOCKS];

/* Return: picoseconds for a block that comes and goes. */
static u64 cfph_cost_once(const struct cfph_cost_load *load)
{
	u64 start = ktime_get_ns();
	unsigned int i, n;

	for (n = 0; n < load->times; n++) {
		for (i = 0; i < load->blocks; i++)
			cfph_cost_pages[i] = alloc_pages(GFP_KERNEL, load->order);
		for (i = 0; i < load->blocks; i++)
			if (cfph_cost_pages[i])
				__free_pages(cfph_cost_pages[i], load->order);
	}
	return div_u64((ktime_get_ns() - start) * 1000,
		       load->times * load->blocks);
}

/* The least of each counts: whatever else runs meanwhile only adds to it. */
static void cfph_cost_hooks(struct kunit *test)
{
	u64 ps[ARRAY_SIZE(cfph_cost_loads)][2];
	struct cfph_test_host *h = test->priv;
	unsigned int load, on, run;

	/* Whoever looks at each access takes minutes, and all of the time is its own. */
	if (IS_ENABLED(CONFIG_KASAN) || IS_ENABLED(CONFIG_KCSAN))
		kunit_skip(test, "this kernel's times mean nothing");
	memset(ps, 0xff, sizeof(ps));
	for (run = 0; run < 2 * CFPH_COST_RUNS; run++) {
		on = run % 2;
		cfph_test_enable(h, on);
		cfph_test_drop_messages(h);
		h->generation = 0;
		if (on)
			cfph_test_wait(h, cfph_test_ready);
		for (load = 0; load < ARRAY_SIZE(ps); load++)
			ps[load][on] = min(ps[load][on],
					   cfph_cost_once(&cfph_cost_loads[load]));
	}
	for (load = 0; load < ARRAY_SIZE(ps); load++)
		kunit_info(test, "cost: %s off %llu on %llu ps\n",
			   cfph_cost_loads[load].name, ps[load][0], ps[load][1]);
	cfph_test_oracle(test);
}

static struct kunit_case cfph_cost_test_cases[] = {
	KUNIT_CASE(cfph_cost_hooks),
	{}
};

static struct kunit_suite cfph_cost_test_suite = {
	.name = "cfph_cost",
	.init = cfph_test_init,
	.exit = cfph_test_exit,
	.test_cases = cfph_cost_test_cases,
};

kunit_test_suite(cfph_cost_test_suite);
