// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: tests of how a reclaim of page cache goes on and ends.
 * Included by reclaim.c.  Which pages it takes is seen in guests that have files.
 */
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/err.h>
#include <linux/kthread.h>

/* As if all memory of each zone were the least that must be free; and back. */
static void cfph_reclaim_low(bool low)
{
	struct zone *zone;

	for_each_populated_zone(zone) {
		unsigned long pages = zone_managed_pages(zone);

		zone->_watermark[WMARK_MIN] += low ? pages : -pages;
	}
}

static void cfph_reclaim_waits(struct kunit *test)
{
	struct cfph_reclaim r;

	mutex_lock(&cfph_mutex);
	cfph_reclaim_begin(&r, 100);
	cfph_reclaim_low(true);
	cfph_reclaim_step(&r);
	cfph_reclaim_low(false);
	KUNIT_EXPECT_EQ(test, r.end, CFPH_RECLAIM_END_LOW_MEMORY);
	KUNIT_EXPECT_EQ(test, r.pages, 0);
	cfph_reclaim_end(&r, 0, 0);
	KUNIT_EXPECT_EQ(test, r.end, CFPH_RECLAIM_END_LOW_MEMORY);
	mutex_unlock(&cfph_mutex);
}

static void cfph_reclaim_goes_on(struct kunit *test)
{
	unsigned long top, steps = 0;
	struct cfph_reclaim r;
	u64 reclaimed, ns;

	mutex_lock(&cfph_mutex);
	reclaimed = cfph.counters.reclaimed_pages;
	cfph_reclaim_begin(&r, 100);
	top = r.end_pfn;
	while (r.end == CFPH_RECLAIM_END_NONE) {
		unsigned long before = r.end_pfn;
		bool used = r.used;

		cfph_reclaim_step(&r);
		steps++;
		/* Down, and once up again for the second turn. */
		if (r.used == used)
			KUNIT_EXPECT_LE(test, r.end_pfn, before);
		KUNIT_EXPECT_LE(test, r.end_pfn, top);
	}
	KUNIT_EXPECT_EQ(test, r.end, CFPH_RECLAIM_END_DONE);
	KUNIT_EXPECT_TRUE(test, r.used);
	KUNIT_EXPECT_EQ(test, r.end_pfn, 0);
	KUNIT_EXPECT_EQ(test, cfph.counters.reclaimed_pages,
			reclaimed + r.pages);
	ns = r.ns;
	cfph_reclaim_end(&r, 0, 0);
	KUNIT_EXPECT_EQ(test, cfph.counters.reclaim_ns, ns);
	mutex_unlock(&cfph_mutex);
	kunit_info(test, "reclaim: %llu pages in %lu steps, %llu ns\n", r.pages,
		   steps, ns);
}

static void cfph_reclaim_none(struct kunit *test)
{
	struct cfph_reclaim r;

	mutex_lock(&cfph_mutex);
	cfph_reclaim_begin(&r, 0);
	cfph_reclaim_step(&r);
	KUNIT_EXPECT_EQ(test, r.end, CFPH_RECLAIM_END_DONE);
	KUNIT_EXPECT_EQ(test, r.pages, 0);
	cfph_reclaim_end(&r, 0, 0);
	mutex_unlock(&cfph_mutex);
}

struct cfph_reclaim_ended {
	struct cfph_reclaim r;
	struct completion over;
};

static int cfph_reclaim_ender(void *arg)
{
	struct cfph_reclaim_ended *e = arg;

	mutex_lock(&cfph_mutex);
	cfph_reclaim_end(&e->r, 0, 0);
	mutex_unlock(&cfph_mutex);
	complete(&e->over);
	return 0;
}

/*
 * Somebody ends it while a step is under way, then that step does not open it again.
 * It may have come to its end before.
 */
static void cfph_reclaim_is_ended(struct kunit *test)
{
	struct cfph_reclaim_ended e;
	struct cfph_reclaim *r = &e.r;

	init_completion(&e.over);
	mutex_lock(&cfph_mutex);
	cfph_reclaim_begin(r, 100);
	if (IS_ERR(kthread_run(cfph_reclaim_ender, &e, "cfph_ender"))) {
		mutex_unlock(&cfph_mutex);
		KUNIT_FAIL(test, "no thread");
		return;
	}
	while (r->end == CFPH_RECLAIM_END_NONE)
		cfph_reclaim_step(r);
	mutex_unlock(&cfph_mutex);
	wait_for_completion(&e.over);

	kunit_info(test, "ended: %s\n",
		   r->end == CFPH_RECLAIM_END_STOPPED ? "in a step" : "too late");
	KUNIT_EXPECT_FALSE(test, r->open);
	KUNIT_EXPECT_NE(test, r->end, CFPH_RECLAIM_END_NONE);
}

static struct kunit_case cfph_reclaim_test_cases[] = {
	KUNIT_CASE(cfph_reclaim_waits),
	KUNIT_CASE(cfph_reclaim_goes_on),
	KUNIT_CASE(cfph_reclaim_none),
	KUNIT_CASE(cfph_reclaim_is_ended),
	{}
};

static struct kunit_suite cfph_reclaim_test_suite = {
	.name = "cfph_reclaim",
	.test_cases = cfph_reclaim_test_cases,
};

kunit_test_suite(cfph_reclaim_test_suite);
