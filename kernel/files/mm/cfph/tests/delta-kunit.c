// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: tests of the messages.  Included by delta.c.
 */
#include <kunit/test.h>
#include <linux/prandom.h>

#include "decode.h"

#define CFPH_TEST_CHUNKS	64
#define CFPH_TEST_HEAD		sizeof(struct virtio_balloon_cfph_msg)

/* A window of the map, on both ends. */
struct cfph_test_delta {
	struct kunit *test;
	u64 first_pfn;
	unsigned long sent[CFPH_TEST_CHUNKS * CFPH_CHUNK_WORDS];
	unsigned long got[CFPH_TEST_CHUNKS * CFPH_CHUNK_WORDS];
	u32 pages;			/* told about */
	u8 data[4096] __aligned(8);
};

static void cfph_test_delta_page(void *arg, u64 pfn, bool free)
{
	struct cfph_test_delta *t = arg;

	KUNIT_ASSERT_GE(t->test, pfn, t->first_pfn);
	KUNIT_ASSERT_LT(t->test, pfn - t->first_pfn,
			CFPH_TEST_CHUNKS * CFPH_CHUNK_PAGES);
	__assign_bit(pfn - t->first_pfn, t->got, free);
	t->pages++;
}

/* Any other record is a NULL pointer, and so a failure. */
static const struct cfph_decode_ops cfph_test_delta_ops = {
	.page = cfph_test_delta_page,
};

static struct cfph_test_delta *cfph_test_delta_new(struct kunit *test,
						   u64 first_pfn)
{
	struct cfph_test_delta *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, t);
	t->test = test;
	t->first_pfn = first_pfn;
	return t;
}

static unsigned long *cfph_test_delta_bits(struct cfph_test_delta *t, u32 chunk)
{
	return t->sent + chunk * CFPH_CHUNK_WORDS;
}

static bool cfph_test_delta_put(struct cfph_test_delta *t, struct cfph_msg *msg,
				u32 chunk)
{
	return cfph_msg_chunk(msg, t->first_pfn + chunk * CFPH_CHUNK_PAGES,
			      cfph_test_delta_bits(t, chunk));
}

static void cfph_test_delta_decode(struct cfph_test_delta *t,
				   struct cfph_msg *msg)
{
	struct virtio_balloon_cfph_msg *head = msg->data;
	u32 length = cfph_msg_finish(msg, 1, 0x123456789abcULL, 7, 9);

	KUNIT_EXPECT_LE(t->test, length, msg->size);
	KUNIT_EXPECT_EQ(t->test, le16_to_cpu(head->flags), 1);
	KUNIT_EXPECT_EQ(t->test, le64_to_cpu(head->sequence), 0x123456789abcULL);
	KUNIT_EXPECT_EQ(t->test, le32_to_cpu(head->migration_id), 7);
	KUNIT_EXPECT_EQ(t->test, le32_to_cpu(head->round), 9);
	cfph_decode(t->test, msg->data, length, &cfph_test_delta_ops, t);
}

/* That many runs, the first one not free. */
static void cfph_test_delta_runs(unsigned long *bits, unsigned int runs)
{
	unsigned int i;

	bitmap_zero(bits, CFPH_CHUNK_PAGES);
	for (i = 0; i < CFPH_CHUNK_PAGES; i++)
		__assign_bit(i, bits, (i < runs ? i : runs - 1) & 1);
}

static void cfph_test_runs(struct kunit *test)
{
	unsigned long bits[CFPH_CHUNK_WORDS];
	unsigned int runs;

	for (runs = 1; runs <= CFPH_CHUNK_PAGES; runs++) {
		cfph_test_delta_runs(bits, runs);
		KUNIT_EXPECT_EQ(test, cfph_chunk_runs(bits), runs);
		bitmap_complement(bits, bits, CFPH_CHUNK_PAGES);
		KUNIT_EXPECT_EQ(test, cfph_chunk_runs(bits), runs);
	}
}

/* The shorter of RANGE and BITS, for a chunk on its own. */
static void cfph_test_choice(struct kunit *test)
{
	struct cfph_test_delta *t = cfph_test_delta_new(test, 1ULL << 33);
	unsigned int runs;

	for (runs = 1; runs <= CFPH_CHUNK_PAGES; runs++) {
		struct cfph_msg msg;

		cfph_test_delta_runs(cfph_test_delta_bits(t, 0), runs);
		cfph_msg_init(&msg, t->data, sizeof(t->data));
		KUNIT_EXPECT_TRUE(test, cfph_msg_empty(&msg));
		KUNIT_ASSERT_TRUE(test, cfph_test_delta_put(t, &msg, 0));
		KUNIT_EXPECT_FALSE(test, cfph_msg_empty(&msg));
		KUNIT_EXPECT_EQ(test, msg.used - CFPH_TEST_HEAD,
				runs <= 3 ? runs * 24 : 80);
		KUNIT_EXPECT_EQ(test, msg.ranges, runs <= 3 ? runs : 0);
		KUNIT_EXPECT_EQ(test, msg.bits, runs <= 3 ? 0 : 1);

		t->pages = 0;
		cfph_test_delta_decode(t, &msg);
		KUNIT_EXPECT_EQ(test, t->pages, CFPH_CHUNK_PAGES);
		KUNIT_EXPECT_MEMEQ(test, t->got, t->sent,
				   VIRTIO_BALLOON_CFPH_CHUNK_BYTES);
	}
}

/* Neighbours are merged; what is not a neighbour is not. */
static void cfph_test_merge(struct kunit *test)
{
	struct cfph_test_delta *t = cfph_test_delta_new(test, 512);
	struct cfph_msg msg;

	cfph_msg_init(&msg, t->data, sizeof(t->data));

	/* Three chunks of used pages: one RANGE. */
	cfph_test_delta_put(t, &msg, 0);
	cfph_test_delta_put(t, &msg, 1);
	cfph_test_delta_put(t, &msg, 2);
	KUNIT_EXPECT_EQ(test, msg.used - CFPH_TEST_HEAD, 24);

	/* Begins as that one ended: one more RANGE for the free rest. */
	bitmap_set(cfph_test_delta_bits(t, 3), 100, 412);
	cfph_test_delta_put(t, &msg, 3);
	KUNIT_EXPECT_EQ(test, msg.used - CFPH_TEST_HEAD, 48);

	/* A gap. */
	bitmap_fill(cfph_test_delta_bits(t, 5), CFPH_CHUNK_PAGES);
	cfph_test_delta_put(t, &msg, 5);
	KUNIT_EXPECT_EQ(test, msg.used - CFPH_TEST_HEAD, 72);

	/* Two BITS in a row: one record; then 3 runs cost 72, BITS 64. */
	cfph_test_delta_runs(cfph_test_delta_bits(t, 6), 200);
	cfph_test_delta_runs(cfph_test_delta_bits(t, 7), 300);
	cfph_test_delta_runs(cfph_test_delta_bits(t, 8), 3);
	cfph_test_delta_put(t, &msg, 6);
	cfph_test_delta_put(t, &msg, 7);
	cfph_test_delta_put(t, &msg, 8);
	KUNIT_EXPECT_EQ(test, msg.used - CFPH_TEST_HEAD, 72 + 16 + 3 * 64);
	KUNIT_EXPECT_EQ(test, msg.bits, 1);

	/* A gap after BITS, then a chunk that needs BITS: a new record. */
	cfph_test_delta_runs(cfph_test_delta_bits(t, 10), 9);
	cfph_test_delta_put(t, &msg, 10);
	KUNIT_EXPECT_EQ(test, msg.bits, 2);

	KUNIT_EXPECT_EQ(test, msg.chunks, 9);
	cfph_test_delta_decode(t, &msg);
	KUNIT_EXPECT_EQ(test, t->pages, 9 * CFPH_CHUNK_PAGES);
	KUNIT_EXPECT_MEMEQ(test, t->got, t->sent, sizeof(t->sent));
}

/* Whatever the size of the buffers, all of it arrives and nothing overruns. */
static void cfph_test_split(struct kunit *test)
{
	struct cfph_test_delta *t = cfph_test_delta_new(test, 32768);
	struct rnd_state rnd;
	u32 size, chunk, i;

	prandom_seed_state(&rnd, 42);
	for (size = CFPH_MSG_MIN; size <= sizeof(t->data) - 8; size += 392) {
		struct cfph_msg msg;

		memset(t->got, 0, sizeof(t->got));
		t->pages = 0;
		for (chunk = 0; chunk < CFPH_TEST_CHUNKS; chunk++) {
			unsigned long *bits = cfph_test_delta_bits(t, chunk);

			/* Long runs, short runs, noise. */
			cfph_test_delta_runs(bits, 1 + prandom_u32_state(&rnd) % 5);
			if (prandom_u32_state(&rnd) % 2)
				for (i = 0; i < CFPH_CHUNK_WORDS; i++)
					bits[i] = prandom_u32_state(&rnd);
		}

		cfph_msg_init(&msg, t->data, size);
		memset(t->data + size, 0xee, 8);
		for (chunk = 0; chunk < CFPH_TEST_CHUNKS; chunk++) {
			if (cfph_test_delta_put(t, &msg, chunk))
				continue;
			/* Full: all or nothing of the chunk, and then again. */
			cfph_test_delta_decode(t, &msg);
			cfph_msg_init(&msg, t->data, size);
			KUNIT_ASSERT_TRUE(test,
					  cfph_test_delta_put(t, &msg, chunk));
		}
		cfph_test_delta_decode(t, &msg);
		KUNIT_EXPECT_EQ(test, t->pages,
				CFPH_TEST_CHUNKS * CFPH_CHUNK_PAGES);
		KUNIT_EXPECT_MEMEQ(test, t->got, t->sent, sizeof(t->sent));
		KUNIT_EXPECT_NULL(test, memchr_inv(t->data + size, 0xee, 8));
	}
}

/* The records without bits: what was put in comes out. */
struct cfph_test_words {
	u64 map_generation, header_addr, unmap_generation;
	unsigned int started;
};

static void cfph_test_words_map(void *arg, u64 generation, u64 header_addr)
{
	struct cfph_test_words *w = arg;

	w->map_generation = generation;
	w->header_addr = header_addr;
}

static void cfph_test_words_unmap(void *arg, u64 generation)
{
	struct cfph_test_words *w = arg;

	w->unmap_generation = generation;
}

static void cfph_test_words_started(void *arg)
{
	struct cfph_test_words *w = arg;

	w->started++;
}

static const struct cfph_decode_ops cfph_test_words_ops = {
	.map		= cfph_test_words_map,
	.unmap		= cfph_test_words_unmap,
	.started	= cfph_test_words_started,
};

static void cfph_test_words(struct kunit *test)
{
	u8 *data = kunit_kzalloc(test, CFPH_MSG_MIN, GFP_KERNEL);
	struct cfph_test_words w = {};
	struct cfph_msg msg;

	KUNIT_ASSERT_NOT_NULL(test, data);
	cfph_msg_init(&msg, data, CFPH_MSG_MIN);
	KUNIT_EXPECT_TRUE(test, cfph_msg_map(&msg, U64_MAX - 1, 1ULL << 44));
	KUNIT_EXPECT_TRUE(test, cfph_msg_unmap(&msg, 3));
	KUNIT_EXPECT_TRUE(test, cfph_msg_started(&msg));
	KUNIT_EXPECT_EQ(test, msg.used - CFPH_TEST_HEAD, 24 + 16 + 8);
	/* All or nothing. */
	KUNIT_EXPECT_TRUE(test, cfph_msg_map(&msg, 1, 4096));
	KUNIT_EXPECT_FALSE(test, cfph_msg_unmap(&msg, 5));
	KUNIT_EXPECT_TRUE(test, cfph_msg_started(&msg));
	KUNIT_EXPECT_EQ(test, msg.used, CFPH_MSG_MIN);
	KUNIT_EXPECT_FALSE(test, cfph_msg_started(&msg));

	cfph_decode(test, data, cfph_msg_finish(&msg, 0, 0, 0, 0),
		    &cfph_test_words_ops, &w);
	KUNIT_EXPECT_EQ(test, w.map_generation, 1);
	KUNIT_EXPECT_EQ(test, w.header_addr, 4096);
	KUNIT_EXPECT_EQ(test, w.unmap_generation, 3);
	KUNIT_EXPECT_EQ(test, w.started, 2);
}

static struct kunit_case cfph_delta_test_cases[] = {
	KUNIT_CASE(cfph_test_runs),
	KUNIT_CASE(cfph_test_choice),
	KUNIT_CASE(cfph_test_merge),
	KUNIT_CASE(cfph_test_split),
	KUNIT_CASE(cfph_test_words),
	{}
};

static struct kunit_suite cfph_delta_test_suite = {
	.name = "cfph_delta",
	.test_cases = cfph_delta_test_cases,
};

kunit_test_suite(cfph_delta_test_suite);
