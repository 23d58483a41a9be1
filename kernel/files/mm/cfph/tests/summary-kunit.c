// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: tests of the summary of a leaf.  Included by
 * summary.c.
 *
 * The naive version walks over single pages: it cuts a block off the front of the
 * run, as large as alignment and the rest of the run allow, again and again.
 */
#include <kunit/test.h>
#include <linux/prandom.h>

struct cfph_test_naive {
	u64 free, largest;
	u64 blocks[CFPH_BLOCK_ORDERS];
};

static void cfph_test_naive(const unsigned long *bits, struct cfph_test_naive *n)
{
	unsigned long start, end, order;

	memset(n, 0, sizeof(*n));
	for (start = 0; start < CFPH_LEAF_PAGES; start = end) {
		for (end = start; end < CFPH_LEAF_PAGES &&
		     test_bit(end, bits); end++)
			;
		n->largest = max(n->largest, end - start);
		n->free += end - start;
		while (start < end) {
			for (order = MAX_PAGE_ORDER;
			     start % (1UL << order) ||
			     start + (1UL << order) > end;
			     order--)
				;
			n->blocks[order]++;
			start += 1UL << order;
		}
		end++;
	}
}

static void cfph_test_summary(struct kunit *test, struct cfph_summary *s)
{
	struct cfph_test_naive naive;

	cfph_test_naive(s->bits, &naive);
	cfph_summarize(s);
	KUNIT_EXPECT_EQ(test, s->free_pages, naive.free);
	KUNIT_EXPECT_EQ(test, s->largest_run_pages, naive.largest);
	KUNIT_EXPECT_MEMEQ(test, s->free_blocks, naive.blocks,
			   sizeof(naive.blocks));
}

static void cfph_test_summary_blocks(struct kunit *test)
{
	struct cfph_summary *s = kunit_kzalloc(test, sizeof(*s), GFP_KERNEL);
	unsigned long order, pfn;

	KUNIT_ASSERT_NOT_NULL(test, s);
	cfph_test_summary(test, s);
	KUNIT_EXPECT_EQ(test, s->largest_run_pages, 0);

	/* One block of each order, at each end and in the middle. */
	for (order = 0; order <= MAX_PAGE_ORDER; order++)
		for (pfn = 0; pfn < CFPH_LEAF_PAGES;
		     pfn += CFPH_LEAF_PAGES / 2 - (1UL << order)) {
			bitmap_zero(s->bits, CFPH_LEAF_PAGES);
			pfn = round_down(pfn, 1UL << order);
			bitmap_set(s->bits, pfn, 1UL << order);
			cfph_test_summary(test, s);
			KUNIT_EXPECT_EQ(test, s->free_blocks[order], 1);
			KUNIT_EXPECT_EQ(test, s->free_pages, 1UL << order);
			if (pfn + (1UL << order) == CFPH_LEAF_PAGES)
				break;
			if (pfn > CFPH_LEAF_PAGES / 2)
				break;
		}

	/* All of it: as many of the largest as there are, one run. */
	bitmap_fill(s->bits, CFPH_LEAF_PAGES);
	cfph_test_summary(test, s);
	KUNIT_EXPECT_EQ(test, s->free_blocks[MAX_PAGE_ORDER],
			CFPH_LEAF_PAGES >> MAX_PAGE_ORDER);
	KUNIT_EXPECT_EQ(test, s->largest_run_pages, CFPH_LEAF_PAGES);
}

static void cfph_test_summary_random(struct kunit *test)
{
	struct cfph_summary *s = kunit_kzalloc(test, sizeof(*s), GFP_KERNEL);
	struct rnd_state rnd;
	unsigned int i, n;

	KUNIT_ASSERT_NOT_NULL(test, s);
	prandom_seed_state(&rnd, 5);
	for (n = 0; n < 50; n++) {
		/* Runs of all lengths, set or cleared; then some noise. */
		for (i = 0; i < 40; i++) {
			u32 start = prandom_u32_state(&rnd) % CFPH_LEAF_PAGES;
			u32 most = min(CFPH_LEAF_PAGES - start,
				       1UL << prandom_u32_state(&rnd) % 15);
			u32 length = prandom_u32_state(&rnd) % most + 1;

			if (prandom_u32_state(&rnd) % 2)
				bitmap_set(s->bits, start, length);
			else
				bitmap_clear(s->bits, start, length);
		}
		for (i = 0; i < n; i++)
			change_bit(prandom_u32_state(&rnd) % CFPH_LEAF_PAGES,
				   s->bits);
		cfph_test_summary(test, s);
	}
}

static struct kunit_case cfph_summary_test_cases[] = {
	KUNIT_CASE(cfph_test_summary_blocks),
	KUNIT_CASE(cfph_test_summary_random),
	{}
};

static struct kunit_suite cfph_summary_test_suite = {
	.name = "cfph_summary",
	.test_cases = cfph_summary_test_cases,
};

kunit_test_suite(cfph_summary_test_suite);
