// SPDX-License-Identifier: GPL-2.0
/*
 * fpctl show, get: state and tunables.
 */
#include <inttypes.h>
#include <stdio.h>

#include <linux/cfph.h>

#include "fpc_args.h"
#include "fpc_ask.h"
#include "fpc_out.h"

/* The label of a line. */
#define LABEL "%-14s "

/* A field by name, with what that means if @explain. */
static void show_name(const struct fpc_attrs *s, uint16_t attr, bool explain)
{
	const struct fpc_field *f = fpc_field_by_attr(&fpc_status_table, attr);
	char digits[FPC_NAME_MAX];

	if (!fpc_have(s, attr))
		return;
	printf(LABEL "%s", f->name, fpc_field_text(f, s, digits));
	if (explain && s->value[attr] < f->nr_choices)
		printf(": %s", f->choices[s->value[attr]].doc);
	putchar('\n');
}

/* Two amounts of memory that belong together, on one line. */
static void show_memory(const struct fpc_attrs *s)
{
	uint64_t tracked = s->value[CFPH_A_TRACKED_PAGES];
	uint64_t free = s->value[CFPH_A_FREE_PAGES];

	if (fpc_have(s, CFPH_A_TRACKED_PAGES) && fpc_have(s, CFPH_A_FREE_PAGES))
		printf(LABEL "%s (%" PRIu64 " pages), free %s\n", "tracked",
		       fpc_pages(tracked).text, tracked, fpc_pages(free).text);
	if (fpc_have(s, CFPH_A_MAP_BYTES) && fpc_have(s, CFPH_A_BUFFER_BYTES))
		printf(LABEL "%s, buffers %s\n", "map", fpc_size(s->value[CFPH_A_MAP_BYTES]).text,
		       fpc_size(s->value[CFPH_A_BUFFER_BYTES]).text);
}

static void show_text(const struct fpc_attrs *s)
{
	const struct fpc_table *t = &fpc_status_table;
	uint64_t state = s->value[CFPH_A_STATE];
	char digits[FPC_NAME_MAX], range[128];

	/* "off" needs no words of its own: the reason explains it. */
	show_name(s, CFPH_A_STATE, state != CFPH_STATE_READY && state != CFPH_STATE_OFF);
	if (s->value[CFPH_A_REASON] != CFPH_REASON_NONE)
		show_name(s, CFPH_A_REASON, true);
	for (unsigned int i = 0; i < t->nr_fields; i++) {
		const struct fpc_field *f = &t->fields[i];

		if (!f->settable || !fpc_have(s, f->attr))
			continue;
		fpc_field_range(f, range, sizeof(range));
		printf(LABEL "%-9s (%s)\n", f->name, fpc_field_text(f, s, digits), range);
	}
	if (s->value[CFPH_A_MIGRATION_ID])
		printf(LABEL "%" PRIu64 ", round %" PRIu64 "\n", "migration",
		       s->value[CFPH_A_MIGRATION_ID], s->value[CFPH_A_ROUND]);
	else if (fpc_have(s, CFPH_A_MIGRATION_ID))
		printf(LABEL "none\n", "migration");
	show_memory(s);
}

int cmd_show(const struct fpc_ctx *ctx)
{
	struct fpc_attrs s;
	struct fpc_out o;
	int rc = fpc_get(ctx, "show", CFPH_CMD_GET, &fpc_status_table, &s);

	if (rc)
		return rc;
	fpc_out_begin(&o, ctx, 0);
	fpc_out_fields(&o, &fpc_status_table, &s);
	if (!o.json)
		show_text(&s);
	fpc_out_end(&o);
	return FPC_EXIT_OK;
}

int cmd_get(const struct fpc_ctx *ctx)
{
	const struct fpc_field *f = fpc_status_table.fields;
	char digits[FPC_NAME_MAX], what[64];
	struct fpc_attrs s;
	struct fpc_out o;
	int i, rc;

	i = fpc_choose("get", "key", fpc_status_names, ctx->argc ? ctx->argv[0] : "", false);
	if (i < 0)
		return FPC_EXIT_USAGE;
	f += i;
	snprintf(what, sizeof(what), "get %s", f->name);
	rc = fpc_get(ctx, what, CFPH_CMD_GET, &fpc_status_table, &s);
	if (rc)
		return rc;
	if (!fpc_have(&s, f->attr))
		return fpc_fail(FPC_EXIT_REFUSED, "%s: this kernel does not tell it", what);
	fpc_out_begin(&o, ctx, 0);
	fpc_out_field(&o, f, &s);
	if (!o.json)
		puts(fpc_field_text(f, &s, digits));
	fpc_out_end(&o);
	return FPC_EXIT_OK;
}
