// SPDX-License-Identifier: GPL-2.0
/* Stamping and checking pages; see pattern.h for what a page looks like. */
#include <stdio.h>
#include <string.h>

#include "pattern.h"

void page_stamp(void *page, const struct stamp *s)
{
	uint64_t *w = page, x = pattern_seed(s);

	memcpy(w, s, sizeof(*s));
	for (size_t i = STAMP_WORDS; i < PAGE_WORDS; i++) {
		w[i] = x;
		x = pattern_next(x);
	}
}

static int differs(const uint64_t *w, size_t i, uint64_t want,
		   struct mismatch *m)
{
	const unsigned char *a = (const void *)&w[i], *b = (const void *)&want;
	size_t byte = 0;

	while (byte < 7 && a[byte] == b[byte])
		byte++;
	m->offset = i * 8 + byte;
	m->want = want;
	m->got = w[i];
	memcpy(&m->found, w, sizeof(m->found));
	return -1;
}

int page_check(const void *page, const struct stamp *s, struct mismatch *m)
{
	const uint64_t *w = page, *head = (const uint64_t *)s;
	uint64_t x = pattern_seed(s);

	for (size_t i = 0; i < STAMP_WORDS; i++)
		if (w[i] != head[i])
			return differs(w, i, head[i], m);
	for (size_t i = STAMP_WORDS; i < PAGE_WORDS; i++) {
		if (w[i] != x)
			return differs(w, i, x, m);
		x = pattern_next(x);
	}
	return 0;
}

void mismatch_text(char *buf, size_t len, const struct stamp *s,
		   const struct mismatch *m, const void *addr)
{
	snprintf(buf, len,
		 "owner=%llu area=%llu page=%llu generation=%llu vaddr=%p offset=%zu want=%016llx got=%016llx found: magic=%s owner=%llu area=%llu page=%llu generation=%llu",
		 (unsigned long long)s->owner, (unsigned long long)s->area,
		 (unsigned long long)s->page,
		 (unsigned long long)s->generation, addr, m->offset,
		 (unsigned long long)m->want, (unsigned long long)m->got,
		 m->found.magic == STAMP_MAGIC ? "right" :
		 m->found.magic ? "wrong" : "zero",
		 (unsigned long long)m->found.owner,
		 (unsigned long long)m->found.area,
		 (unsigned long long)m->found.page,
		 (unsigned long long)m->found.generation);
}
