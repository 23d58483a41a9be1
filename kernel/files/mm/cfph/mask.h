/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Continuous free-page hinting: bits of buddy blocks in an array of words.
 *
 * Pure arithmetic, no locks and no memory of its own: what the hooks, the scan
 * and the oracle have in common.  All pfns are unsigned long: bitmap_set() and
 * its relatives take a 32-bit start, and lose everything above 16 TiB.
 *
 * A buddy block is aligned to its size.  So it lies within one word (order < 6)
 * or is made of whole words, and as no order is larger than a leaf, it never
 * straddles two leaves.
 */
#ifndef _MM_CFPH_MASK_H
#define _MM_CFPH_MASK_H

#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/mmzone.h>

#include <uapi/linux/virtio_balloon_cfph.h>

#define CFPH_LEAF_SHIFT		15
#define CFPH_LEAF_PAGES		BIT(CFPH_LEAF_SHIFT)
#define CFPH_LEAF_WORDS		(CFPH_LEAF_PAGES / BITS_PER_LONG)
#define CFPH_CHUNK_SHIFT	9
#define CFPH_CHUNK_PAGES	BIT(CFPH_CHUNK_SHIFT)
#define CFPH_CHUNK_WORDS	(CFPH_CHUNK_PAGES / BITS_PER_LONG)
#define CFPH_LEAF_CHUNKS	(CFPH_LEAF_PAGES / CFPH_CHUNK_PAGES)
/* 2^6 pages per word */
#define CFPH_WORD_SHIFT		6

static_assert(BITS_PER_LONG == 1 << CFPH_WORD_SHIFT);
static_assert(CFPH_LEAF_PAGES == VIRTIO_BALLOON_CFPH_LEAF_PAGES);
static_assert(CFPH_LEAF_PAGES / BITS_PER_BYTE == PAGE_SIZE);
static_assert(PAGE_SIZE == VIRTIO_BALLOON_CFPH_LEAF_BYTES);
static_assert(CFPH_CHUNK_PAGES == VIRTIO_BALLOON_CFPH_CHUNK_PAGES);
static_assert(MAX_PAGE_ORDER <= CFPH_LEAF_SHIFT);

/**
 * cfph_word_mask - the bits of a small block in its word
 * @pfn: first page of the block
 * @order: its order, less than CFPH_WORD_SHIFT
 *
 * Return: the mask.
 */
static __always_inline unsigned long cfph_word_mask(unsigned long pfn,
						    unsigned int order)
{
	return (BIT(1U << order) - 1) << (pfn % BITS_PER_LONG);
}

/**
 * cfph_word_firsts - where blocks begin in a word
 * @order: up to CFPH_WORD_SHIFT
 *
 * Return: a word with each multiple of 2^@order set.
 */
static __always_inline unsigned long cfph_word_firsts(unsigned int order)
{
	/* 2^order ones, again and again: ~0 = firsts * (2^2^order - 1). */
	return order < CFPH_WORD_SHIFT ? ~0UL / cfph_word_mask(0, order) : 1;
}

/**
 * cfph_word_merge - from free blocks to those of the next order
 * @blocks: the first page of each free, aligned block of @order is set
 * @order: less than CFPH_WORD_SHIFT
 *
 * Return: the same for @order + 1.
 */
static __always_inline unsigned long cfph_word_merge(unsigned long blocks,
						     unsigned int order)
{
	return blocks & (blocks >> (1U << order)) &
	       cfph_word_firsts(order + 1);
}

/**
 * cfph_bits_update - mark one buddy block
 * @bits: array of words that begins at a multiple of the block's size
 * @index: the block's first page, counted from the first bit of @bits
 * @order: the block's order
 * @free: mark it free, or not free
 *
 * Each word is written by one store, so that the host never sees half of one.
 *
 * Context: the caller keeps other writers away from the words of the block.
 */
static __always_inline void cfph_bits_update(unsigned long *bits,
					     unsigned long index,
					     unsigned int order, bool free)
{
	/* cfph_word_mask(0, order): a look-up is one instruction, and this is hot. */
	static const unsigned long masks[CFPH_WORD_SHIFT] = {
		0x1, 0x3, 0xf, 0xff, 0xffff, 0xffffffff
	};
	unsigned long *word = bits + (index >> CFPH_WORD_SHIFT);
	unsigned long mask, *end;

	if (likely(order < CFPH_WORD_SHIFT)) {
		mask = masks[order] << (index % BITS_PER_LONG);
		WRITE_ONCE(*word, free ? *word | mask : *word & ~mask);
		return;
	}

	end = word + (1UL << (order - CFPH_WORD_SHIFT));
	mask = free ? ~0UL : 0;
	for (; word < end; word++)
		WRITE_ONCE(*word, mask);
}

#endif /* _MM_CFPH_MASK_H */
