// SPDX-License-Identifier: GPL-2.0
/*
 * fpctl stats: the counters, once or again and again with their rates; or the
 * pages of each memory zone.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/cfph.h>

#include "fpc_args.h"
#include "fpc_ask.h"
#include "fpc_out.h"
#include "fpc_wait.h"

/* An answer of the kernel, and when it came. */
struct sample {
	struct fpc_attrs counters;
	uint64_t clock_ns;
};

/* The newest one, and the one before if there is one. */
struct samples {
	struct sample is, was;
	bool again;
};

/*
 * Events per thousand seconds: the fraction is printed in thousandths.  False if
 * there is none, as of the times, which are those of the newest scan and pass.
 */
static bool rate(const struct fpc_field *f, const struct samples *s, uint64_t *milli)
{
	uint64_t elapsed_ns = s->is.clock_ns - s->was.clock_ns;
	uint64_t was = s->was.counters.value[f->attr];
	uint64_t is = s->is.counters.value[f->attr];

	if (!s->again || !strcmp(f->unit, "ns") || !fpc_have(&s->was.counters, f->attr) ||
	    !fpc_have(&s->is.counters, f->attr))
		return false;
	*milli = 0;
	if (is > was && elapsed_ns)
		*milli = (double)(is - was) * 1e12 / elapsed_ns + 0.5;
	return true;
}

static void show_json(struct fpc_out *o, const struct samples *s)
{
	const struct fpc_table *t = &fpc_stats_table;
	uint64_t milli;

	fpc_out_fields(o, t, &s->is.counters);
	if (!s->again)
		return;
	fpc_out_num(o, "elapsed-ms", (s->is.clock_ns - s->was.clock_ns) / 1000000);
	fpc_out_open(o, "rates", '{');
	for (unsigned int i = 0; i < t->nr_fields; i++)
		if (rate(&t->fields[i], s, &milli))
			fpc_out_milli(o, t->fields[i].name, milli);
	fpc_out_close(o, '{');
}

/* With what the number means in larger units, if that is news. */
static void show_counter(const struct fpc_field *f, const struct samples *s)
{
	uint64_t value = s->is.counters.value[f->attr], milli;

	if (!fpc_have(&s->is.counters, f->attr))
		return;
	printf("%-17s %12" PRIu64, f->name, value);
	if (rate(f, s, &milli))
		printf(" %10" PRIu64 ".%u/s", (milli + 50) / 1000,
		       (unsigned int)((milli + 50) / 100 % 10));
	if (!strcmp(f->unit, "bytes") && value >= 1024)
		printf("  (%s)", fpc_size(value).text);
	else if (!strcmp(f->unit, "ns") && value >= 1000)
		printf("  (%" PRIu64 ".%03" PRIu64 " ms)", value / 1000000, value / 1000 % 1000);
	putchar('\n');
}

static int show_counters(const struct fpc_ctx *ctx, void *arg)
{
	const struct fpc_table *t = &fpc_stats_table;
	struct samples *s = arg;
	struct fpc_out o;
	int rc;

	s->was = s->is;
	rc = fpc_get(ctx, "stats", CFPH_CMD_STATS_GET, t, &s->is.counters);
	if (rc)
		return rc;
	s->is.clock_ns = fpc_clock(CLOCK_BOOTTIME);
	fpc_out_begin(&o, ctx, 0);
	if (o.json)
		show_json(&o, s);
	for (unsigned int i = 0; !o.json && i < t->nr_fields; i++)
		show_counter(&t->fields[i], s);
	fpc_out_end(&o);
	s->again = true;
	return FPC_EXIT_OK;
}

/* --- stats zone ------------------------------------------------------------ */

/* Collected first: nothing is printed if the dump fails half-way. */
struct zones {
	struct fpc_attrs *zone;
	size_t nr;
};

static void keep(const struct fpc_attrs *reply, void *arg)
{
	struct zones *z = arg;

	z->zone = fpc_grow(z->zone, z->nr, sizeof(*z->zone));
	z->zone[z->nr++] = *reply;
}

/* A column that this kernel does not fill is a dash. */
static void show_zone(const struct fpc_attrs *z)
{
	static const uint16_t columns[] = {
		CFPH_A_ZONE_SPANNED_PAGES, CFPH_A_ZONE_MANAGED_PAGES,	    CFPH_A_ZONE_BUDDY_PAGES,
		CFPH_A_ZONE_PCP_PAGES,	   CFPH_A_ZONE_MIN_WATERMARK_PAGES,
	};

	printf("%4" PRIu64 " %-8s", z->value[CFPH_A_ZONE_NODE], fpc_data(z, CFPH_A_ZONE_NAME));
	for (unsigned int i = 0; i < ARRAY_SIZE(columns); i++)
		if (fpc_have(z, columns[i]))
			printf(" %12" PRIu64, z->value[columns[i]]);
		else
			printf(" %12s", "-");
	putchar('\n');
}

static int show_zones(const struct fpc_ctx *ctx, void *unused)
{
	struct zones z = { 0 };
	struct fpc_out o;
	int rc;

	(void)unused;
	rc = fpc_list(ctx, "stats zone", CFPH_CMD_ZONE_GET, &fpc_zone_table, NULL, keep, &z);
	if (rc)
		goto out;
	fpc_out_begin(&o, ctx, 0);
	if (!o.json)
		printf("%4s %-8s %12s %12s %12s %12s %12s\n", "node", "zone", "spanned", "managed",
		       "free", "per-cpu", "watermark");
	fpc_out_open(&o, "zones", '[');
	for (size_t i = 0; i < z.nr; i++) {
		fpc_out_open(&o, NULL, '{');
		fpc_out_fields(&o, &fpc_zone_table, &z.zone[i]);
		fpc_out_close(&o, '{');
		if (!o.json)
			show_zone(&z.zone[i]);
	}
	fpc_out_close(&o, '[');
	fpc_out_end(&o);
out:
	free(z.zone);
	return rc;
}

int cmd_stats(const struct fpc_ctx *ctx)
{
	struct samples s = { .again = false };

	if (!ctx->argc)
		return fpc_watch(ctx, "stats", show_counters, &s);
	if (fpc_choose("stats", "part", fpc_part_names, ctx->argv[0], false) < 0)
		return FPC_EXIT_USAGE;
	return fpc_watch(ctx, "stats", show_zones, NULL);
}
