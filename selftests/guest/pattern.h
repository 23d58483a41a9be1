/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a page of a workload looks like.  Every page says who owns it and what
 * it must contain, so that a page with somebody else's, or yesterday's,
 * contents is told apart from the right one at its first wrong byte.
 *
 * The contents are incompressible (xorshift), never zero, and differ between
 * any two (owner, area, page, generation): a lost page cannot look right by
 * accident, and neither zero detection nor XBZRLE can hide one.
 */
#ifndef PATTERN_H
#define PATTERN_H

#include <stddef.h>
#include <stdint.h>

#define PAGE_BYTES	4096u
#define PAGE_WORDS	(PAGE_BYTES / 8)
#define STAMP_MAGIC	0x70616d7473706663ULL	/* "cfpstamp" */

/* The first words of a stamped page. */
struct stamp {
	uint64_t magic;
	uint64_t owner;
	uint64_t area;
	uint64_t page;
	uint64_t generation;
};

#define STAMP_WORDS	(sizeof(struct stamp) / 8)

/* Where a page differs from what it must be. */
struct mismatch {
	size_t offset;		/* first wrong byte */
	uint64_t want, got;	/* the word that it is in */
	struct stamp found;	/* what the page claims to be */
};

static inline uint64_t pattern_seed(const struct stamp *s)
{
	uint64_t x = s->owner * 0x9e3779b97f4a7c15ULL;

	x = (x ^ s->area) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 29) ^ s->page) * 0x94d049bb133111ebULL;
	x = (x ^ (x >> 31) ^ s->generation) * 0x9e3779b97f4a7c15ULL;
	x ^= x >> 32;
	return x ? x : 1;	/* xorshift stays at 0 for ever */
}

static inline uint64_t pattern_next(uint64_t x)
{
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

void page_stamp(void *page, const struct stamp *s);
/* 0, or -1 with @m filled in. */
int page_check(const void *page, const struct stamp *s, struct mismatch *m);
/* One line for people: who, where, what. */
void mismatch_text(char *buf, size_t len, const struct stamp *s,
		   const struct mismatch *m, const void *addr);

#endif
