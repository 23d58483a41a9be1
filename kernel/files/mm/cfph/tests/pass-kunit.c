// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: passes, and what tunables do to a session.
 * Included by kcfphd.c behind kcfphd-kunit.c, with the same host.
 */
#include <linux/bitmap.h>
#include <linux/memory_hotplug.h>
#include <linux/sizes.h>

#include "../hooks.h"

static void cfph_pass_set(struct kunit *test, const struct cfph_tunables *t)
{
	KUNIT_ASSERT_EQ(test, cfph_set_tunables(t, NULL, NULL), 0);
}

static void cfph_pass_release(void *arg)
{
	struct list_head *held = arg;
	struct page *page, *next;

	list_for_each_entry_safe(page, next, held, lru) {
		list_del(&page->lru);
		__free_page(page);
	}
}

/*
 * Take 64 MiB and give every other page back: some 30 chunks that need 64 bytes
 * each, so that a pass takes several messages.  Released at the end of the test.
 */
static void cfph_pass_fragment(struct kunit *test)
{
	struct list_head *held = kunit_kzalloc(test, sizeof(*held), GFP_KERNEL);
	struct page *page, *next;
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, held);
	INIT_LIST_HEAD(held);
	KUNIT_ASSERT_EQ(test, kunit_add_action(test, cfph_pass_release, held),
			0);
	for (i = 0; i < SZ_64M / PAGE_SIZE; i++) {
		page = alloc_page(GFP_KERNEL | __GFP_NOWARN);
		KUNIT_ASSERT_NOT_NULL(test, page);
		list_add(&page->lru, held);
	}
	list_for_each_entry_safe(page, next, held, lru) {
		if (page_to_pfn(page) % 2)
			continue;
		list_del(&page->lru);
		__free_page(page);
	}
	drain_all_pages(NULL);
}

/* A step gives the mutex back after a leaf. */
static void cfph_pass_step_ends(struct kunit *test)
{
	struct cfph_test_host *h = test->priv;
	unsigned long slot = 0, first;

	cfph_test_start(h, CFPH_TEST_ID);
	cfph_test_round(h, 1);
	while (!h->leaf[slot] || !h->leaf[slot + 1])
		slot++;
	first = slot * CFPH_LEAF_CHUNKS;

	/* One step of a pass, in the place of the thread. */
	mutex_lock(&cfph_mutex);
	cfph_test_flag(first, 2 * CFPH_LEAF_CHUNKS);
	cfph_session.phase = CFPH_PHASE_PASS;
	cfph_session.chunk = first;
	cfph_session.pass_round = 1;
	KUNIT_EXPECT_EQ(test, kcfphd_pass_step(), KCFPHD_AGAIN);
	KUNIT_EXPECT_GT(test, cfph_session.chunk, first);
	KUNIT_EXPECT_LE(test, cfph_session.chunk, first + CFPH_LEAF_CHUNKS);
	mutex_unlock(&cfph_mutex);

	cfph_thread_wake();
	cfph_test_round(h, 2);
	cfph_test_compare(h);
}

static bool cfph_pass_idle(struct cfph_test_host *h)
{
	struct cfph_info info;

	cfph_get_info(&info);
	return info.state == CFPH_STATE_OFF &&
	       info.reason == CFPH_REASON_NO_MIGRATION;
}

/* The map comes with START and goes with STOP, and the host hears of both. */
static void cfph_pass_keep(struct kunit *test)
{
	struct cfph_test_host *h = test->priv;
	struct cfph_counters before, now;
	u64 generation = h->generation;
	struct cfph_tunables t;
	u32 id;

	cfph_get_tunables(&t);
	t.keep = CFPH_KEEP_MIGRATION;
	cfph_pass_set(test, &t);
	KUNIT_ASSERT_TRUE(test, cfph_test_receive(h, CFPH_TEST_TIMEOUT));
	KUNIT_EXPECT_EQ(test, h->unmapped, generation);
	cfph_test_wait(h, cfph_pass_idle);
	KUNIT_EXPECT_FALSE(test, static_key_enabled(&cfph_hooks.key));

	cfph_get_counters(&before);
	for (id = CFPH_TEST_ID; id < CFPH_TEST_ID + 2; id++) {
		cfph_test_start(h, id);
		KUNIT_EXPECT_NE(test, h->generation, 0);
		KUNIT_EXPECT_TRUE(test, cfph_test_ready(h));
		cfph_test_round(h, 1);
		cfph_test_compare(h);
		cfph_test_oracle(test);

		cfph_command(VIRTIO_BALLOON_CFPH_CMD_STOP, id, 0);
		KUNIT_ASSERT_TRUE(test, cfph_test_receive(h, CFPH_TEST_TIMEOUT));
		KUNIT_EXPECT_EQ(test, h->generation, 0);
		cfph_test_wait(h, cfph_pass_idle);
	}
	cfph_get_counters(&now);
	/* Nobody was turned down: the map was on its way. */
	KUNIT_EXPECT_EQ(test, now.refused, before.refused);
	KUNIT_EXPECT_EQ(test, now.scans, before.scans + 2);

	t.keep = CFPH_KEEP_ALWAYS;
	cfph_pass_set(test, &t);
	cfph_test_get_map(h);
	cfph_test_oracle(test);
}

/* What the scan of @slot takes for each hold of zone->lock, in ns; the least of five. */
static u64 cfph_pass_hold_ns(unsigned long slot)
{
	u64 least = U64_MAX, start;
	unsigned int i;

	for (i = 0; i < 5; i++) {
		start = ktime_get_ns();
		get_online_mems();
		cfph_scan_leaf(slot);
		put_online_mems();
		least = min(least, ktime_get_ns() - start);
	}
	return least / (CFPH_LEAF_PAGES / MAX_ORDER_NR_PAGES);
}

/* To be read, not judged: interrupts are off that long. */
static void cfph_pass_scan(struct kunit *test)
{
	unsigned long slot;
	u64 most = 0;

	cfph_pass_fragment(test);
	for (slot = 0; slot < READ_ONCE(cfph.map->slots); slot++)
		most = max(most, cfph_pass_hold_ns(slot));
	kunit_info(test, "scan: %llu ns for %u pages under zone->lock\n", most,
		   MAX_ORDER_NR_PAGES);
	cfph_test_oracle(test);
}

static void cfph_pass_place(struct kunit *test)
{
	struct cpumask *cpus = kunit_kzalloc(test, sizeof(*cpus), GFP_KERNEL);
	struct cpumask *saved = kunit_kzalloc(test, sizeof(*cpus), GFP_KERNEL);
	struct cfph_tunables t;

	KUNIT_ASSERT_NOT_NULL(test, cpus);
	KUNIT_ASSERT_NOT_NULL(test, saved);
	cfph_get_cpus(saved);
	cfph_get_tunables(&t);

	cpumask_set_cpu(cpumask_last(cpu_online_mask), cpus);
	KUNIT_EXPECT_EQ(test, cfph_set_tunables(&t, cpus, NULL), 0);
	KUNIT_EXPECT_TRUE(test, cpumask_equal(cfph.thread->cpus_ptr, cpus));

	KUNIT_EXPECT_EQ(test, cfph_set_tunables(&t, saved, NULL), 0);
	KUNIT_EXPECT_TRUE(test, cpumask_equal(cfph.thread->cpus_ptr, saved));
}

static struct kunit_case cfph_pass_test_cases[] = {
	KUNIT_CASE(cfph_pass_step_ends),
	KUNIT_CASE(cfph_pass_keep),
	KUNIT_CASE(cfph_pass_scan),
	KUNIT_CASE(cfph_pass_place),
	{}
};

static struct kunit_suite cfph_pass_test_suite = {
	.name = "cfph_pass",
	.init = cfph_test_init,
	.exit = cfph_test_exit,
	.test_cases = cfph_pass_test_cases,
};

kunit_test_suite(cfph_pass_test_suite);
