/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Continuous free-page hinting: the other end of the wire, for the tests.
 *
 * Written from <uapi/linux/virtio_balloon_cfph.h> and not from delta.c, so that
 * the two do not share a mistake.  Calls back for each record, and checks all that
 * the format demands.
 */
#ifndef _MM_CFPH_TESTS_DECODE_H
#define _MM_CFPH_TESTS_DECODE_H

#include <kunit/test.h>
#include <linux/types.h>
#include <uapi/linux/virtio_balloon_cfph.h>

struct cfph_decode_ops {
	void (*map)(void *arg, u64 generation, u64 header_addr);
	void (*unmap)(void *arg, u64 generation);
	void (*started)(void *arg);
	void (*page)(void *arg, u64 pfn, bool free);
};

static inline void cfph_decode_range(struct kunit *test, void *record,
				     const struct cfph_decode_ops *ops,
				     void *arg)
{
	struct virtio_balloon_cfph_rec_range *range = record;
	u64 pfn = le64_to_cpu(range->pfn), pages = le64_to_cpu(range->pages);
	u16 count = le16_to_cpu(range->rec.count);

	KUNIT_EXPECT_LE(test, count, 1);
	KUNIT_EXPECT_NE(test, pages, 0);
	for (; pages; pages--)
		ops->page(arg, pfn++, count);
}

static inline void cfph_decode_bits(struct kunit *test, void *record,
				    const struct cfph_decode_ops *ops,
				    void *arg)
{
	struct virtio_balloon_cfph_rec_bits *bits = record;
	u64 pfn = le64_to_cpu(bits->first_pfn);
	u32 count = le16_to_cpu(bits->rec.count);
	u32 i;

	KUNIT_EXPECT_NE(test, count, 0);
	KUNIT_EXPECT_EQ(test, pfn % VIRTIO_BALLOON_CFPH_CHUNK_PAGES, 0);
	for (i = 0; i < count * VIRTIO_BALLOON_CFPH_CHUNK_PAGES; i++)
		ops->page(arg, pfn + i,
			  le64_to_cpu(bits->bits[i / 64]) >> (i % 64) & 1);
}

/* Return: the length that a record of this type must have. */
static inline u32 cfph_decode_length(const struct virtio_balloon_cfph_rec *rec)
{
	switch (le16_to_cpu(rec->type)) {
	case VIRTIO_BALLOON_CFPH_REC_MAP:
		return sizeof(struct virtio_balloon_cfph_rec_map);
	case VIRTIO_BALLOON_CFPH_REC_UNMAP:
		return sizeof(struct virtio_balloon_cfph_rec_unmap);
	case VIRTIO_BALLOON_CFPH_REC_STARTED:
		return sizeof(struct virtio_balloon_cfph_rec_started);
	case VIRTIO_BALLOON_CFPH_REC_RANGE:
		return sizeof(struct virtio_balloon_cfph_rec_range);
	case VIRTIO_BALLOON_CFPH_REC_BITS:
		return sizeof(struct virtio_balloon_cfph_rec_bits) +
		       le16_to_cpu(rec->count) *
		       VIRTIO_BALLOON_CFPH_CHUNK_BYTES;
	default:
		return 0;
	}
}

static inline void cfph_decode_record(struct kunit *test, void *record,
				      const struct cfph_decode_ops *ops,
				      void *arg)
{
	struct virtio_balloon_cfph_rec *rec = record;
	struct virtio_balloon_cfph_rec_map *map = record;
	struct virtio_balloon_cfph_rec_unmap *unmap = record;

	switch (le16_to_cpu(rec->type)) {
	case VIRTIO_BALLOON_CFPH_REC_MAP:
		KUNIT_EXPECT_EQ(test, le16_to_cpu(rec->count), 0);
		ops->map(arg, le64_to_cpu(map->generation),
			 le64_to_cpu(map->header_addr));
		break;
	case VIRTIO_BALLOON_CFPH_REC_UNMAP:
		KUNIT_EXPECT_EQ(test, le16_to_cpu(rec->count), 0);
		ops->unmap(arg, le64_to_cpu(unmap->generation));
		break;
	case VIRTIO_BALLOON_CFPH_REC_STARTED:
		KUNIT_EXPECT_EQ(test, le16_to_cpu(rec->count), 0);
		ops->started(arg);
		break;
	case VIRTIO_BALLOON_CFPH_REC_RANGE:
		cfph_decode_range(test, record, ops, arg);
		break;
	case VIRTIO_BALLOON_CFPH_REC_BITS:
		cfph_decode_bits(test, record, ops, arg);
		break;
	}
}

static inline void cfph_decode(struct kunit *test, void *data, u32 length,
			       const struct cfph_decode_ops *ops, void *arg)
{
	struct virtio_balloon_cfph_msg *head = data;
	u32 offset = sizeof(*head);

	KUNIT_ASSERT_GE(test, length, sizeof(*head));
	KUNIT_ASSERT_LE(test, length, VIRTIO_BALLOON_CFPH_MESSAGE_MAX);
	KUNIT_ASSERT_EQ(test, length % 8, 0);
	KUNIT_ASSERT_EQ(test, le32_to_cpu(head->length), length);
	KUNIT_ASSERT_EQ(test, le16_to_cpu(head->version),
			VIRTIO_BALLOON_CFPH_VERSION);

	while (offset < length) {
		struct virtio_balloon_cfph_rec *rec = data + offset;

		KUNIT_ASSERT_LE(test, sizeof(*rec), length - offset);
		KUNIT_ASSERT_EQ(test, le32_to_cpu(rec->length),
				cfph_decode_length(rec));
		KUNIT_ASSERT_LE(test, le32_to_cpu(rec->length),
				length - offset);
		cfph_decode_record(test, rec, ops, arg);
		offset += le32_to_cpu(rec->length);
	}
	KUNIT_ASSERT_EQ(test, offset, length);
}

#endif /* _MM_CFPH_TESTS_DECODE_H */
