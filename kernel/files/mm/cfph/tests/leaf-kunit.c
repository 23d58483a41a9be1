// SPDX-License-Identifier: GPL-2.0
/*
 * Continuous free-page hinting: tests of masks, bits and the directory, on maps
 * that nobody else sees.  Included by leaf.c.
 */
#include <kunit/test.h>

/* pfns that differ in where a 32-bit variable would lose something */
static const unsigned long cfph_test_bases[] = {
	0, 0x7fff8000, 0xffff8000, 0x100000000, 0x100008000, 0x7ffffffff8000,
};

static void cfph_test_word_mask(struct kunit *test)
{
	unsigned int base, order, bit;
	unsigned long pfn;

	for (base = 0; base < ARRAY_SIZE(cfph_test_bases); base++)
		for (order = 0; order < CFPH_WORD_SHIFT; order++)
			for (bit = 0; bit < BITS_PER_LONG; bit += 1U << order) {
				pfn = cfph_test_bases[base] + bit;
				KUNIT_EXPECT_EQ(test,
						cfph_word_mask(pfn, order),
						GENMASK(bit + (1 << order) - 1,
							bit));
			}
}

/* Exactly the pages of the block change, whatever was there before. */
static void cfph_test_bits_update(struct kunit *test)
{
	enum { WORDS = 2 * CFPH_BLOCK_WORDS, BITS = WORDS * BITS_PER_LONG };
	unsigned long *bits = kunit_kcalloc(test, WORDS, sizeof(*bits),
					    GFP_KERNEL);
	unsigned long index, i, wrong;
	unsigned int order, free;

	KUNIT_ASSERT_NOT_NULL(test, bits);

	for (free = 0; free < 2; free++)
		for (order = 0; order <= MAX_PAGE_ORDER; order++)
			for (index = 0; index < BITS; index += 1UL << order) {
				memset(bits, free ? 0 : 0xff,
				       WORDS * sizeof(*bits));
				cfph_bits_update(bits, index, order, free);
				wrong = 0;
				for (i = 0; i < BITS; i++)
					wrong += test_bit(i, bits) !=
						 (free == (i >= index &&
							   i < index + (1UL << order)));
				KUNIT_ASSERT_EQ(test, wrong, 0);
			}
}

/* As when memory comes online; returns the pages that it took. */
static unsigned int cfph_test_add_leaf(struct kunit *test, struct cfph_map *map,
				       unsigned long slot)
{
	struct cfph_parts parts = {
		.leaf = cfph_alloc_page(),
		.page = cfph_alloc_page(),
		.dir = cfph_alloc_pages(sizeof(*parts.dir)),
	};
	unsigned int taken;

	KUNIT_EXPECT_NOT_NULL(test, parts.leaf);
	KUNIT_EXPECT_NOT_NULL(test, parts.page);
	KUNIT_EXPECT_NOT_NULL(test, parts.dir);
	spin_lock(&cfph_leaf_lock);
	KUNIT_EXPECT_TRUE(test, cfph_map_add_leaf(map, slot, &parts));
	spin_unlock(&cfph_leaf_lock);
	KUNIT_EXPECT_NULL(test, parts.leaf);
	KUNIT_EXPECT_EQ(test, !parts.dir, !parts.page);
	taken = parts.dir ? 1 : 2;
	cfph_free_parts(&parts);
	return taken;
}

/* A map with one leaf.  Not published, so no hook writes to it. */
static struct cfph_map *cfph_test_map(struct kunit *test, unsigned long slot)
{
	struct cfph_map *map = cfph_map_alloc();

	KUNIT_ASSERT_NOT_NULL(test, map);
	cfph_test_add_leaf(test, map, slot);
	return map;
}

static u64 cfph_test_entry(struct cfph_map *map, unsigned long slot)
{
	__le64 *dir = cfph_dir_page(map, slot);

	return dir ? le64_to_cpu(dir[slot % 512]) : 0;
}

/* The way of the host to a leaf, and what is counted on the way. */
static void cfph_test_header(struct kunit *test)
{
	static const struct {
		unsigned long slot;
		unsigned int pages;
	} adds[] = { { 512, 2 }, { 0, 2 }, { 511, 1 }, { 1024, 1 } };
	struct cfph_map *map = cfph_test_map(test, 1535);
	struct virtio_balloon_cfph_map_header *header = map->header;
	u64 changes = 2, bytes = cfph_map_bytes(map);
	unsigned long slot;
	unsigned int i;

	KUNIT_EXPECT_EQ(test, le64_to_cpu(header->magic),
			VIRTIO_BALLOON_CFPH_MAGIC);
	KUNIT_EXPECT_EQ(test, le32_to_cpu(header->version), 2);
	KUNIT_EXPECT_EQ(test, le32_to_cpu(header->state),
			VIRTIO_BALLOON_CFPH_STATE_OFF);
	KUNIT_EXPECT_NE(test, le64_to_cpu(header->generation), 0);
	KUNIT_EXPECT_EQ(test, le32_to_cpu(header->dirs), 504);
	KUNIT_EXPECT_EQ(test, le64_to_cpu(header->changes), changes);
	KUNIT_EXPECT_EQ(test, cfph_test_entry(map, 1535),
			virt_to_phys(cfph_map_leaf(map, 1535)));
	/* No directory page for 64 GiB in which nothing is. */
	KUNIT_EXPECT_NULL(test, memchr_inv(header->dir, 0, 2 * sizeof(u64)));
	KUNIT_EXPECT_NULL(test, memchr_inv(header->dir + 3, 0, 501 * sizeof(u64)));

	for (i = 0; i < ARRAY_SIZE(adds); i++) {
		slot = adds[i].slot;
		KUNIT_EXPECT_EQ(test, cfph_test_entry(map, slot), 0);
		KUNIT_EXPECT_EQ(test, cfph_test_add_leaf(test, map, slot),
				adds[i].pages);
		changes += adds[i].pages;
		bytes += adds[i].pages * PAGE_SIZE;
		if (adds[i].pages == 2)
			bytes += sizeof(struct cfph_dir);
		KUNIT_EXPECT_EQ(test, le64_to_cpu(header->changes), changes);
		KUNIT_EXPECT_EQ(test, cfph_map_bytes(map), bytes);
		KUNIT_EXPECT_EQ(test, cfph_test_entry(map, slot),
				virt_to_phys(cfph_map_leaf(map, slot)));
	}
	KUNIT_EXPECT_EQ(test, map->leaves, ARRAY_SIZE(adds) + 1);
	cfph_map_free(map);
}

/* What has no place, or no memory, is left out, and nobody is told anything. */
static void cfph_test_no_leaf(struct kunit *test)
{
	struct cfph_map *map = cfph_test_map(test, 2);
	u64 changes = le64_to_cpu(map->header->changes);
	struct cfph_parts parts = { .leaf = cfph_alloc_page() }, none = {};

	KUNIT_ASSERT_NOT_NULL(test, parts.leaf);
	spin_lock(&cfph_leaf_lock);
	/* The header page has no place for more than 504 directory pages. */
	KUNIT_EXPECT_FALSE(test, cfph_map_add_leaf(map, 504 * 512, &parts));
	KUNIT_EXPECT_FALSE(test, cfph_map_add_leaf(map, ULONG_MAX, &parts));
	KUNIT_EXPECT_FALSE(test, cfph_map_add_leaf(map, 0, &none));
	spin_unlock(&cfph_leaf_lock);
	KUNIT_EXPECT_EQ(test, map->leaves, 1);
	KUNIT_EXPECT_EQ(test, le64_to_cpu(map->header->changes), changes);
	cfph_map_free(map);

	map = cfph_map_alloc();
	KUNIT_ASSERT_NOT_NULL(test, map);
	spin_lock(&cfph_leaf_lock);
	KUNIT_EXPECT_FALSE(test, cfph_map_add_leaf(map, 0, &parts));
	spin_unlock(&cfph_leaf_lock);
	KUNIT_EXPECT_NOT_NULL(test, parts.leaf);
	KUNIT_EXPECT_EQ(test, map->leaves, 0);
	KUNIT_EXPECT_EQ(test, le64_to_cpu(map->header->changes), 0);
	cfph_free_parts(&parts);
	cfph_map_free(map);
}

static void cfph_test_directory(struct kunit *test)
{
	struct cfph_map *map = cfph_test_map(test, 2);
	unsigned long end = 4UL << CFPH_LEAF_SHIFT;

	KUNIT_EXPECT_NULL(test, cfph_map_leaf(map, 0));
	KUNIT_EXPECT_NOT_NULL(test, cfph_map_leaf(map, 2));
	KUNIT_EXPECT_NULL(test, cfph_map_leaf(map, 3));
	KUNIT_EXPECT_NULL(test, cfph_map_leaf(map, 4));
	KUNIT_EXPECT_NULL(test, cfph_map_leaf(map, ULONG_MAX));

	/* Not tracked: ignored, nothing is flagged, nothing oopses. */
	cfph_map_mark(map, 0, 0, true);
	cfph_map_mark(map, end - MAX_ORDER_NR_PAGES, MAX_PAGE_ORDER, true);
	cfph_map_mark(map, end, 0, true);
	cfph_map_mark(map, end + (1UL << 40), MAX_PAGE_ORDER, true);
	KUNIT_EXPECT_EQ(test, cfph_map_next_changed(map, 0),
			cfph_map_chunks(map));
	KUNIT_EXPECT_NULL(test, memchr_inv(cfph_map_leaf(map, 2), 0, PAGE_SIZE));

	cfph_map_free(map);
}

static void cfph_test_high_pfn(struct kunit *test)
{
	/* The leaf begins at pfn 2^32 + 32768, address 16 TiB + 128 MiB. */
	unsigned long slot = (1UL << (32 - CFPH_LEAF_SHIFT)) + 1;
	struct cfph_map *map = cfph_test_map(test, slot);
	unsigned long pfn = slot << CFPH_LEAF_SHIFT;
	unsigned long *leaf = cfph_map_leaf(map, slot);

	KUNIT_ASSERT_GT(test, pfn, 1UL << 32);

	cfph_map_mark(map, pfn + 1024, MAX_PAGE_ORDER, true);
	cfph_map_mark(map, pfn + 1024 + 7, 0, false);
	KUNIT_EXPECT_EQ(test, leaf[1024 / 64], ~BIT(7));
	KUNIT_EXPECT_EQ(test, leaf[1024 / 64 + 1], ~0UL);
	KUNIT_EXPECT_EQ(test, leaf[1024 / 64 - 1], 0);
	KUNIT_EXPECT_EQ(test, leaf[(1024 + MAX_ORDER_NR_PAGES) / 64], 0);

	/* And the changed bytes are those chunks', no others. */
	KUNIT_EXPECT_EQ(test, cfph_map_next_changed(map, 0),
			(pfn + 1024) >> CFPH_CHUNK_SHIFT);
	KUNIT_EXPECT_EQ(test, cfph_map_count_changed(map, 0),
			MAX_ORDER_NR_PAGES / CFPH_CHUNK_PAGES);

	cfph_map_free(map);
}

static void cfph_test_changed(struct kunit *test)
{
	struct cfph_map *map = cfph_test_map(test, 2);
	unsigned long first = 2 * CFPH_LEAF_CHUNKS;
	unsigned long chunk;

	for (chunk = first; chunk < first + CFPH_LEAF_CHUNKS; chunk++) {
		cfph_map_clear_changed(map);
		KUNIT_EXPECT_EQ(test, cfph_map_count_changed(map, 0), 0);
		cfph_map_mark(map, (chunk << CFPH_CHUNK_SHIFT) + 511, 0, true);
		KUNIT_EXPECT_EQ(test, cfph_map_next_changed(map, 0), chunk);
		KUNIT_EXPECT_EQ(test, cfph_map_next_changed(map, chunk), chunk);
		KUNIT_EXPECT_EQ(test, cfph_map_next_changed(map, chunk + 1),
				cfph_map_chunks(map));
		KUNIT_EXPECT_EQ(test, cfph_map_count_changed(map, first), 1);
	}
	cfph_map_free(map);
}

static struct kunit_case cfph_leaf_test_cases[] = {
	KUNIT_CASE(cfph_test_word_mask),
	KUNIT_CASE_SLOW(cfph_test_bits_update),
	KUNIT_CASE(cfph_test_directory),
	KUNIT_CASE(cfph_test_header),
	KUNIT_CASE(cfph_test_no_leaf),
	KUNIT_CASE(cfph_test_high_pfn),
	KUNIT_CASE(cfph_test_changed),
	{}
};

static struct kunit_suite cfph_leaf_test_suite = {
	.name = "cfph_leaf",
	.test_cases = cfph_leaf_test_cases,
};

kunit_test_suite(cfph_leaf_test_suite);
