// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: tests of what lies in a balloon, with the test as the
 * driver of one.  Included by kcfphd.c behind kcfphd-kunit.c, with the same host.
 */
#include <linux/balloon_compaction.h>

#define CFPH_TEST_BALLOON	64

/**
 * struct cfph_test_balloon - a balloon, and what the test wants to know of it
 * @dev: as any driver has one
 * @page: what has been put into it; locked as long as it lies there, so that
 *	compaction leaves it alone
 * @out: how many of them have left, from the first on
 */
struct cfph_test_balloon {
	struct balloon_dev_info dev;
	struct page *page[CFPH_TEST_BALLOON];
	unsigned int out;
};

static void cfph_test_inflate(struct kunit *test, struct cfph_test_balloon *b,
			      bool tell)
{
	struct page *page;
	unsigned int i;

	balloon_devinfo_init(&b->dev);
	b->out = 0;
	for (i = 0; i < CFPH_TEST_BALLOON; i++) {
		page = alloc_page(balloon_mapping_gfp_mask());
		KUNIT_ASSERT_NOT_NULL(test, page);
		b->page[i] = page;
		lock_page(page);
		balloon_page_insert(&b->dev, page);
		if (tell)
			cfph_page_inflated(page);
	}
}

/* What has left stays with the test. */
static void cfph_test_deflate(struct cfph_test_balloon *b, unsigned int pages)
{
	while (pages--) {
		struct page *page = b->page[b->out++];

		list_del(&page->lru);
		balloon_page_finalize(page);
		unlock_page(page);
	}
}

static void cfph_test_give_pages_back(struct cfph_test_balloon *b)
{
	unsigned int i;

	for (i = 0; i < CFPH_TEST_BALLOON; i++)
		put_page(b->page[i]);
}

/* Return: how many of them are free in the map. */
static unsigned int cfph_test_count_balloon(const struct cfph_test_balloon *b)
{
	unsigned int i, free = 0;

	for (i = 0; i < CFPH_TEST_BALLOON; i++)
		free += cfph_map_calls_free(page_to_pfn(b->page[i]), 0);
	return free;
}

/* In, some out, the rest out; and in the middle another map, by a scan. */
static void cfph_test_in_and_out(struct kunit *test)
{
	struct cfph_test_host *h = test->priv;
	struct cfph_test_balloon b;

	cfph_test_inflate(test, &b, true);
	KUNIT_EXPECT_EQ(test, cfph_test_count_balloon(&b), CFPH_TEST_BALLOON);
	cfph_test_oracle(test);

	cfph_test_deflate(&b, 24);
	KUNIT_EXPECT_EQ(test, cfph_test_count_balloon(&b), CFPH_TEST_BALLOON - 24);
	cfph_test_oracle(test);

	cfph_test_enable(h, false);
	KUNIT_EXPECT_EQ(test, cfph_test_count_balloon(&b), 0);
	cfph_test_deflate(&b, 8);
	cfph_test_enable(h, true);
	cfph_test_wait(h, cfph_test_ready);
	KUNIT_EXPECT_EQ(test, cfph_test_count_balloon(&b), CFPH_TEST_BALLOON - 32);
	cfph_test_oracle(test);

	cfph_test_deflate(&b, 32);
	KUNIT_EXPECT_EQ(test, cfph_test_count_balloon(&b), 0);
	cfph_test_give_pages_back(&b);
	cfph_test_oracle(test);
}

/* A delta tells the host, of what comes and of what goes. */
static void cfph_test_balloon_delta(struct kunit *test)
{
	struct cfph_test_host *h = test->priv;
	struct cfph_test_balloon b;

	cfph_test_start(h, CFPH_TEST_ID);
	cfph_test_round(h, 1);
	cfph_test_inflate(test, &b, true);
	cfph_test_round(h, 2);
	cfph_test_compare(h);
	cfph_test_deflate(&b, CFPH_TEST_BALLOON);
	cfph_test_round(h, 3);
	cfph_test_compare(h);
	cfph_test_give_pages_back(&b);
}

/* What others call a balloon, and what has no other mark than ours. */
static void cfph_test_other_balloon(struct kunit *test)
{
	struct cfph_test_balloon b;
	struct page *page;

	cfph_test_inflate(test, &b, false);
	KUNIT_EXPECT_EQ(test, cfph_test_count_balloon(&b), 0);
	cfph_test_oracle(test);
	cfph_test_deflate(&b, CFPH_TEST_BALLOON);
	cfph_test_give_pages_back(&b);

	page = alloc_page(GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, page);
	set_bit(PG_owner_priv_1, &page->flags);
	cfph_test_oracle(test);
	clear_bit(PG_owner_priv_1, &page->flags);
	__free_page(page);
}

/* Without the hook before it is given back a page is a lie, and is noticed. */
static void cfph_test_forgotten(struct kunit *test)
{
	struct cfph_test_host *h = test->priv;
	struct cfph_verdict verdict;
	struct cfph_test_balloon b;

	cfph_test_inflate(test, &b, true);
	/* Or the log of this kernel would hold a warning. */
	cfph_assert_hooks = false;
	KUNIT_ASSERT_EQ(test, cfph_drop("cfph_page_deflating", true), 0);
	cfph_test_deflate(&b, CFPH_TEST_BALLOON);
	cfph_drop("cfph_page_deflating", false);
	KUNIT_EXPECT_EQ(test, cfph_test_count_balloon(&b), CFPH_TEST_BALLOON);
	KUNIT_EXPECT_EQ(test, cfph_verify(&verdict), 0);
	KUNIT_EXPECT_TRUE(test, verdict.differs);
	KUNIT_EXPECT_TRUE(test, verdict.map_free);

	cfph_test_enable(h, false);
	cfph_test_enable(h, true);
	cfph_test_wait(h, cfph_test_ready);
	cfph_assert_hooks = true;
	cfph_test_oracle(test);
	cfph_test_give_pages_back(&b);
}

static struct kunit_case cfph_balloon_test_cases[] = {
	KUNIT_CASE(cfph_test_in_and_out),
	KUNIT_CASE(cfph_test_balloon_delta),
	KUNIT_CASE(cfph_test_other_balloon),
	KUNIT_CASE(cfph_test_forgotten),
	{}
};

static struct kunit_suite cfph_balloon_test_suite = {
	.name = "cfph_balloon",
	.init = cfph_test_init,
	.exit = cfph_test_exit,
	.test_cases = cfph_balloon_test_cases,
};

kunit_test_suite(cfph_balloon_test_suite);
