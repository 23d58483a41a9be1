// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: tests of the whole of mm/cfph on the allocator of
 * the running kernel, with the test in the part of device and host: host.h.
 * Included by kcfphd.c.
 */
#include <kunit/test.h>
#include <linux/delay.h>
#include <linux/prandom.h>
#include <linux/slab.h>

#include "host.h"

/* --- tests: the map --- */

static void cfph_test_scan(struct kunit *test)
{
	struct cfph_info info;

	cfph_test_oracle(test);
	cfph_get_info(&info);
	KUNIT_EXPECT_EQ(test, info.reason, CFPH_REASON_NONE);
	KUNIT_EXPECT_GE(test, info.tracked_pages, totalram_pages());
	KUNIT_EXPECT_GT(test, info.free_pages, 0);
	KUNIT_EXPECT_LT(test, info.free_pages, info.tracked_pages);
	KUNIT_EXPECT_EQ(test, info.buffer_bytes,
			CFPH_TEST_BUFFERS * CFPH_TEST_BUFFER_SIZE);
}

/* How many of the pages of the block are free in the map? */
static unsigned long cfph_test_count_free(struct page *page, unsigned int order)
{
	struct zone *zone = page_zone(page);
	unsigned long pfn = page_to_pfn(page);
	unsigned long end = pfn + (1UL << order), count = 0;
	const unsigned long *leaf;

	mutex_lock(&cfph_mutex);
	spin_lock_irq(&zone->lock);
	for (; pfn < end; pfn++) {
		leaf = cfph_map_leaf(cfph.map, pfn >> CFPH_LEAF_SHIFT);
		count += test_bit(pfn % CFPH_LEAF_PAGES, leaf);
	}
	spin_unlock_irq(&zone->lock);
	mutex_unlock(&cfph_mutex);
	return count;
}

static void cfph_test_orders(struct kunit *test)
{
	unsigned int order, i;

	for (order = 0; order <= MAX_PAGE_ORDER; order++) {
		for (i = 0; i < 4; i++) {
			struct page *page;

			page = alloc_pages(GFP_KERNEL | __GFP_NOWARN, order);
			if (!page)
				continue;
			KUNIT_EXPECT_EQ(test, cfph_test_count_free(page, order),
					0);
			__free_pages(page, order);
		}
		cfph_test_oracle(test);
		drain_all_pages(NULL);
		cfph_test_oracle(test);
	}
}

/* Freed pages do come back, if nobody else takes them in between. */
static void cfph_test_freed(struct kunit *test)
{
	unsigned int tries, order = MAX_PAGE_ORDER;
	unsigned long free = 0;

	for (tries = 0; tries < 10 && free < 1UL << order; tries++) {
		struct page *page;

		page = alloc_pages(GFP_KERNEL | __GFP_NOWARN, order);
		if (!page)
			kunit_skip(test, "no block of order %u", order);
		__free_pages(page, order);
		free = cfph_test_count_free(page, order);
	}
	KUNIT_EXPECT_EQ(test, free, 1UL << order);
}

/* Many pages of many orders, freed in another order than they were allocated. */
static void cfph_test_churn(struct kunit *test, struct rnd_state *rnd)
{
	enum { BLOCKS = 256 };
	struct page **page = kvcalloc(BLOCKS, sizeof(*page), GFP_KERNEL);
	u8 *order = kvcalloc(BLOCKS, 1, GFP_KERNEL);
	unsigned int i, n;

	KUNIT_EXPECT_NOT_NULL(test, page);
	KUNIT_EXPECT_NOT_NULL(test, order);
	for (n = 0; page && order && n < 4 * BLOCKS; n++) {
		i = prandom_u32_state(rnd) % BLOCKS;
		if (page[i]) {
			__free_pages(page[i], order[i]);
			page[i] = NULL;
			continue;
		}
		order[i] = min(prandom_u32_state(rnd) % 8,
			       prandom_u32_state(rnd) % 8);
		page[i] = alloc_pages(GFP_KERNEL | __GFP_NOWARN, order[i]);
	}
	for (i = 0; page && order && i < BLOCKS; i++)
		if (page[i])
			__free_pages(page[i], order[i]);
	kvfree(page);
	kvfree(order);
}

/* The oracle must be able to complain. */
static void cfph_test_mutant(struct kunit *test)
{
	struct cfph_test_host *h = test->priv;
	struct cfph_verdict verdict;
	struct page *page;

	/* Or the log of this kernel would hold a warning. */
	cfph_assert_hooks = false;
	KUNIT_ASSERT_EQ(test, cfph_drop("allocated", true), 0);
	page = alloc_pages(GFP_KERNEL | __GFP_NOWARN, 5);
	if (page)
		KUNIT_EXPECT_TRUE(test,
				  cfph_map_calls_free(page_to_pfn(page), 5));
	KUNIT_EXPECT_EQ(test, cfph_verify(&verdict), 0);
	KUNIT_EXPECT_TRUE(test, verdict.differs);
	KUNIT_EXPECT_TRUE(test, verdict.map_free);
	cfph_drop("allocated", false);

	/* Another map, with no trace of that. */
	cfph_test_enable(h, false);
	cfph_test_enable(h, true);
	cfph_test_wait(h, cfph_test_ready);
	cfph_assert_hooks = true;
	cfph_test_oracle(test);
	if (page) {
		KUNIT_EXPECT_FALSE(test,
				   cfph_map_calls_free(page_to_pfn(page), 5));
		__free_pages(page, 5);
	}
}

/* --- tests: the registration --- */

/* The map comes, goes and comes back with no migration anywhere. */
static void cfph_test_registration(struct kunit *test)
{
	struct cfph_test_host *h = test->priv;
	struct cfph_counters before, after;
	u64 generation = h->generation;

	/* From cfph_test_init(): one message, and of no migration. */
	KUNIT_EXPECT_EQ(test, h->messages, 1);
	KUNIT_EXPECT_FALSE(test, h->ours);

	cfph_get_counters(&before);
	cfph_test_enable(h, false);
	KUNIT_ASSERT_TRUE(test, cfph_test_receive(h, CFPH_TEST_TIMEOUT));
	KUNIT_EXPECT_EQ(test, h->unmapped, generation);
	KUNIT_EXPECT_EQ(test, h->generation, 0);

	/* cfph_test_on_map() looks whether it is another one. */
	cfph_test_enable(h, true);
	cfph_test_get_map(h);
	KUNIT_EXPECT_EQ(test, h->messages, 3);
	cfph_get_counters(&after);
	KUNIT_EXPECT_EQ(test, after.messages - before.messages, 2);
	KUNIT_EXPECT_EQ(test, after.registrations - before.registrations, 1);
	KUNIT_EXPECT_EQ(test, after.unregistrations - before.unregistrations, 1);
	KUNIT_EXPECT_EQ(test, after.migrations, before.migrations);
}

/* What the host finds is what the hooks write to. */
static void cfph_test_leaves(struct kunit *test)
{
	struct cfph_test_host *h = test->priv;
	unsigned long slot, other;

	KUNIT_ASSERT_TRUE(test, cfph_test_believes(h));
	mutex_lock(&cfph_mutex);
	KUNIT_EXPECT_EQ(test, h->leaves, cfph.map->leaves);
	KUNIT_EXPECT_GT(test, h->leaves, 0);
	for (slot = 0; slot < h->slots; slot++)
		KUNIT_EXPECT_PTR_EQ(test, h->leaf[slot], cfph_map_leaf(cfph.map, slot));
	mutex_unlock(&cfph_mutex);
	for (slot = 0; slot < h->slots; slot++)
		for (other = 0; h->leaf[slot] && other < slot; other++)
			KUNIT_EXPECT_PTR_NE(test, h->leaf[slot],
					    h->leaf[other]);
}

/* The host has all buffers when there is something to say of the map. */
static void cfph_test_no_buffer(struct kunit *test)
{
	struct cfph_test_host *h = test->priv;
	struct cfph_counters before, after;

	cfph_get_counters(&before);
	spin_lock(&h->lock);
	h->withhold = true;
	spin_unlock(&h->lock);

	/* Nobody waits, and the header page says enough. */
	cfph_test_enable(h, false);
	KUNIT_EXPECT_FALSE(test, cfph_test_believes(h));
	h->unmapped = h->generation;
	h->generation = 0;

	h->stalls = before.stalls;
	cfph_test_enable(h, true);
	cfph_test_wait(h, cfph_test_stalled);
	KUNIT_EXPECT_TRUE(test, cfph_test_ready(h));
	KUNIT_EXPECT_FALSE(test, cfph_test_has_message(h));

	spin_lock(&h->lock);
	h->withhold = false;
	spin_unlock(&h->lock);
	cfph_buffer_returned();
	cfph_test_get_map(h);
	cfph_get_counters(&after);
	KUNIT_EXPECT_EQ(test, after.unregistrations, before.unregistrations);
	KUNIT_EXPECT_EQ(test, after.registrations - before.registrations, 1);
}

/* A kernel that dies takes its map back and touches nothing else. */
static void cfph_test_crash(struct kunit *test)
{
	struct cfph_test_host *h = test->priv;

	KUNIT_EXPECT_TRUE(test, cfph_test_believes(h));
	cfph_crash();
	KUNIT_EXPECT_FALSE(test, cfph_test_believes(h));
	KUNIT_EXPECT_FALSE(test, cfph_test_has_message(h));

	cfph_test_enable(h, false);
	KUNIT_ASSERT_TRUE(test, cfph_test_receive(h, CFPH_TEST_TIMEOUT));
	cfph_crash();
	cfph_test_enable(h, true);
	cfph_test_get_map(h);
}

/* --- tests: sessions --- */

/* Sessions come and go, the registration stands. */
static void cfph_test_sessions(struct kunit *test)
{
	struct cfph_test_host *h = test->priv;
	struct cfph_counters before, after;
	u64 generation = h->generation, start;

	cfph_get_counters(&before);
	cfph_test_start(h, CFPH_TEST_ID);

	cfph_command(VIRTIO_BALLOON_CFPH_CMD_STOP, 0, 0);
	cfph_test_wait(h, cfph_test_idle);
	cfph_test_drop_messages(h);
	KUNIT_EXPECT_TRUE(test, cfph_test_believes(h));

	/* Another one, and one that replaces it: not at once. */
	cfph_test_start(h, CFPH_TEST_ID + 1);
	start = ktime_get_ns();
	cfph_test_start(h, CFPH_TEST_ID + 2);
	cfph_test_start(h, CFPH_TEST_ID + 3);
	KUNIT_EXPECT_GE(test, ktime_get_ns() - start, KCFPHD_PAUSE_NS);

	KUNIT_EXPECT_EQ(test, h->generation, generation);
	KUNIT_EXPECT_TRUE(test, cfph_test_believes(h));
	cfph_get_counters(&after);
	KUNIT_EXPECT_EQ(test, after.migrations - before.migrations, 4);
	KUNIT_EXPECT_EQ(test, after.registrations, before.registrations);
	KUNIT_EXPECT_EQ(test, after.unregistrations, before.unregistrations);
}

static void cfph_test_deltas(struct kunit *test)
{
	struct cfph_test_host *h = test->priv;
	struct rnd_state rnd;
	u32 round;

	prandom_seed_state(&rnd, 1);
	cfph_test_start(h, CFPH_TEST_ID);
	for (round = 1; round <= 30; round++) {
		cfph_test_churn(test, &rnd);
		cfph_test_round(h, round);
		cfph_test_compare(h);
	}
	KUNIT_EXPECT_GT(test, h->records, 0);
	cfph_test_oracle(test);
}

/* A host that returns no buffer costs freshness and nothing else. */
static void cfph_test_slow_host(struct kunit *test)
{
	struct cfph_test_host *h = test->priv;
	struct cfph_counters before, now;
	struct rnd_state rnd;
	u64 messages;

	prandom_seed_state(&rnd, 2);
	cfph_test_start(h, CFPH_TEST_ID);
	cfph_test_round(h, 1);

	cfph_get_counters(&before);
	spin_lock(&h->lock);
	h->withhold = true;
	spin_unlock(&h->lock);
	messages = h->messages;
	cfph_test_churn(test, &rnd);
	cfph_command(VIRTIO_BALLOON_CFPH_CMD_ROUND, CFPH_TEST_ID, 2);
	h->stalls = before.stalls;
	cfph_test_wait(h, cfph_test_stalled);
	cfph_get_counters(&now);
	KUNIT_EXPECT_EQ(test, h->messages, messages);
	KUNIT_EXPECT_EQ(test, now.passes, before.passes);
	cfph_test_churn(test, &rnd);

	/* A newer round while it waits: the pass that comes answers that one. */
	cfph_command(VIRTIO_BALLOON_CFPH_CMD_ROUND, CFPH_TEST_ID, 3);
	spin_lock(&h->lock);
	h->withhold = false;
	spin_unlock(&h->lock);
	cfph_buffer_returned();
	cfph_test_round(h, 4);
	cfph_test_compare(h);
}

/* The map goes and comes back while a migration runs. */
static void cfph_test_disable(struct kunit *test)
{
	struct cfph_test_host *h = test->priv;
	struct cfph_counters before, after;
	struct cfph_info info;

	cfph_test_start(h, CFPH_TEST_ID);
	cfph_test_round(h, 1);

	cfph_get_counters(&before);
	cfph_test_enable(h, false);
	KUNIT_EXPECT_FALSE(test, cfph_test_believes(h));
	cfph_get_info(&info);
	KUNIT_EXPECT_EQ(test, info.state, CFPH_STATE_OFF);
	KUNIT_EXPECT_EQ(test, info.reason, CFPH_REASON_ADMIN);
	KUNIT_EXPECT_EQ(test, info.migration_id, CFPH_TEST_ID);
	while (h->generation)
		KUNIT_ASSERT_TRUE(test,
				  cfph_test_receive(h, CFPH_TEST_TIMEOUT));
	KUNIT_EXPECT_TRUE(test, h->ours);

	cfph_test_enable(h, true);
	cfph_test_get_map(h);
	KUNIT_EXPECT_TRUE(test, h->ours);
	while (!h->started)
		KUNIT_ASSERT_TRUE(test,
				  cfph_test_receive(h, CFPH_TEST_TIMEOUT));
	cfph_test_round(h, 2);
	cfph_test_compare(h);

	cfph_get_counters(&after);
	KUNIT_EXPECT_EQ(test, after.unregistrations - before.unregistrations, 1);
	KUNIT_EXPECT_EQ(test, after.registrations - before.registrations, 1);
	KUNIT_EXPECT_EQ(test, after.migrations, before.migrations);
}

/* START comes first: STARTED is sent when there is a map, after MAP. */
static void cfph_test_early_start(struct kunit *test)
{
	struct cfph_test_host *h = test->priv;

	cfph_test_enable(h, false);
	KUNIT_ASSERT_TRUE(test, cfph_test_receive(h, CFPH_TEST_TIMEOUT));
	h->migration_id = CFPH_TEST_ID;
	h->sequence = 0;
	cfph_command(VIRTIO_BALLOON_CFPH_CMD_START, CFPH_TEST_ID, 0);
	cfph_test_wait(h, cfph_test_waits);
	KUNIT_EXPECT_FALSE(test, cfph_test_has_message(h));

	cfph_test_enable(h, true);
	cfph_test_get_map(h);
	KUNIT_EXPECT_EQ(test, h->sequence, 1);
	KUNIT_ASSERT_TRUE(test, cfph_test_receive(h, CFPH_TEST_TIMEOUT));
	KUNIT_EXPECT_TRUE(test, h->started);
	cfph_test_round(h, 1);
	cfph_test_compare(h);
}

static void cfph_test_broken_device(struct kunit *test)
{
	struct cfph_test_host *h = test->priv;

	cfph_test_start(h, CFPH_TEST_ID);
	spin_lock(&h->lock);
	h->broken = true;
	spin_unlock(&h->lock);
	cfph_command(VIRTIO_BALLOON_CFPH_CMD_ROUND, CFPH_TEST_ID, 1);
	cfph_test_wait(h, cfph_test_idle);
	cfph_test_drop_messages(h);
	KUNIT_EXPECT_TRUE(test, cfph_test_believes(h));

	spin_lock(&h->lock);
	h->broken = false;
	spin_unlock(&h->lock);
	cfph_test_start(h, CFPH_TEST_ID + 1);
	cfph_test_round(h, 1);
	cfph_test_compare(h);
}

static void cfph_test_odd_commands(struct kunit *test)
{
	struct cfph_test_host *h = test->priv;
	struct cfph_counters before, after;
	struct cfph_info info;

	cfph_get_counters(&before);
	cfph_command(0, 0, 0);
	cfph_command(99, CFPH_TEST_ID, 1);
	cfph_command(VIRTIO_BALLOON_CFPH_CMD_START, 0, 0);
	cfph_command(VIRTIO_BALLOON_CFPH_CMD_ROUND, 0, 1);
	cfph_command(VIRTIO_BALLOON_CFPH_CMD_ROUND, CFPH_TEST_ID, 1);
	cfph_test_start(h, CFPH_TEST_ID);
	cfph_command(VIRTIO_BALLOON_CFPH_CMD_ROUND, CFPH_TEST_ID + 1, 1);
	cfph_get_counters(&after);
	KUNIT_EXPECT_EQ(test, after.unknown_commands - before.unknown_commands,
			6);

	cfph_test_round(h, 5);
	cfph_get_info(&info);
	KUNIT_EXPECT_EQ(test, info.migration_id, CFPH_TEST_ID);
	KUNIT_EXPECT_EQ(test, info.round, 5);
	cfph_command(VIRTIO_BALLOON_CFPH_CMD_STOP, 12345, 0);
	cfph_get_info(&info);
	KUNIT_EXPECT_EQ(test, info.migration_id, 0);
}

static void cfph_test_one_transport(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, cfph_register(&cfph_test_ops, test->priv),
			-EBUSY);
}

/* Up and down with work in flight: no leak, no hang, no call after the end. */
static void cfph_test_life(struct kunit *test)
{
	struct cfph_test_host *h = test->priv;
	struct rnd_state rnd;
	unsigned int i;

	prandom_seed_state(&rnd, 3);
	for (i = 0; i < 20; i++) {
		cfph_command(VIRTIO_BALLOON_CFPH_CMD_START, 100 + i, 0);
		if (i % 3 == 0)
			cfph_test_churn(test, &rnd);
		cfph_command(VIRTIO_BALLOON_CFPH_CMD_ROUND, 100 + i, 1);
		cfph_test_enable(h, i % 2);
		cfph_test_drop_messages(h);
		/* A map that is being made gets ever further. */
		if (i % 2)
			fsleep(50 * i);
	}
	cfph_test_wait(h, cfph_test_ready);
	cfph_test_oracle(test);

	/* The host has not listened: begin anew. */
	cfph_test_enable(h, false);
	cfph_test_drop_messages(h);
	h->generation = 0;
	cfph_test_enable(h, true);
	cfph_test_get_map(h);
	cfph_test_start(h, 1);
	cfph_test_round(h, 1);
	cfph_test_compare(h);
}

static struct kunit_case cfph_session_test_cases[] = {
	KUNIT_CASE(cfph_test_scan),
	KUNIT_CASE(cfph_test_orders),
	KUNIT_CASE(cfph_test_freed),
	KUNIT_CASE(cfph_test_mutant),
	KUNIT_CASE(cfph_test_registration),
	KUNIT_CASE(cfph_test_leaves),
	KUNIT_CASE(cfph_test_no_buffer),
	KUNIT_CASE(cfph_test_crash),
	KUNIT_CASE(cfph_test_sessions),
	KUNIT_CASE(cfph_test_deltas),
	KUNIT_CASE(cfph_test_slow_host),
	KUNIT_CASE(cfph_test_disable),
	KUNIT_CASE(cfph_test_early_start),
	KUNIT_CASE(cfph_test_broken_device),
	KUNIT_CASE(cfph_test_odd_commands),
	KUNIT_CASE(cfph_test_one_transport),
	KUNIT_CASE(cfph_test_life),
	{}
};

static struct kunit_suite cfph_session_test_suite = {
	.name = "cfph_session",
	.init = cfph_test_init,
	.exit = cfph_test_exit,
	.test_cases = cfph_session_test_cases,
};

kunit_test_suite(cfph_session_test_suite);
