// SPDX-License-Identifier: GPL-2.0
/*
 * fpctl stats zone: the pages of each memory zone.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <linux/cfph.h>

#include "fpc_out.h"
#include "fpctl.h"

/* Collected first: nothing is printed if the dump fails half-way. */
struct zones {
	struct fpc_attrs *zone;
	size_t nr;
	bool no_memory;
};

static void keep(const struct fpc_attrs *reply, void *arg)
{
	struct zones *z = arg;
	void *more = reallocarray(z->zone, z->nr + 1, sizeof(*z->zone));

	if (!more) {
		z->no_memory = true;
		return;
	}
	z->zone = more;
	z->zone[z->nr++] = *reply;
}

static void show_json(struct fpc_out *o, const struct fpc_attrs *z)
{
	const struct fpc_table *t = &fpc_zone_table;

	fpc_out_open(o, NULL, '{');
	for (unsigned int i = 0; i < t->nr_fields; i++) {
		const struct fpc_field *f = &t->fields[i];

		if (!fpc_have(z, f->attr))
			continue;
		if (f->kind == FPC_STRING)
			fpc_out_str(o, f->name, fpc_data(z, f->attr), NULL);
		else
			fpc_out_num(o, f->name, z->value[f->attr], NULL);
	}
	fpc_out_close(o, '{');
}

/* A column that this kernel does not fill is a dash. */
static void show_text(const struct fpc_attrs *z)
{
	static const uint16_t columns[] = {
		CFPH_A_ZONE_SPANNED_PAGES,	 CFPH_A_ZONE_MANAGED_PAGES,
		CFPH_A_ZONE_BUDDY_PAGES,	 CFPH_A_ZONE_PCP_PAGES,
		CFPH_A_ZONE_MIN_WATERMARK_PAGES,
	};

	printf("%4" PRIu64 " %-8s", z->value[CFPH_A_ZONE_NODE],
	       fpc_data(z, CFPH_A_ZONE_NAME));
	for (unsigned int i = 0; i < ARRAY_SIZE(columns); i++)
		if (fpc_have(z, columns[i]))
			printf(" %12" PRIu64, z->value[columns[i]]);
		else
			printf(" %12s", "-");
	putchar('\n');
}

static void show(const struct fpc_ctx *ctx, const struct zones *z)
{
	struct fpc_out o;

	fpc_out_begin(&o, ctx);
	if (!o.json)
		printf("%4s %-8s %12s %12s %12s %12s %12s\n", "node", "zone",
		       "spanned", "managed", "free", "per-cpu", "watermark");
	fpc_out_open(&o, "zones", '[');
	for (size_t i = 0; i < z->nr; i++)
		if (o.json)
			show_json(&o, &z->zone[i]);
		else
			show_text(&z->zone[i]);
	fpc_out_close(&o, '[');
	fpc_out_end(&o);
}

int cmd_zone(const struct fpc_ctx *ctx, const struct fpc_cmd *cmd, int argc,
	     char **argv)
{
	struct zones z = { 0 };
	int rc;

	rc = fpc_no_args(cmd, argc, argv);
	if (!rc)
		rc = fpc_list(ctx, "stats zone", CFPH_CMD_ZONE_GET,
			      &fpc_zone_table, keep, &z);
	if (!rc && z.no_memory)
		rc = fpc_fail(FPC_EXIT_LOST, "stats zone: out of memory");
	if (!rc)
		show(ctx, &z);
	free(z.zone);
	return rc;
}
