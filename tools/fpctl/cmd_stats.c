// SPDX-License-Identifier: GPL-2.0
/*
 * fpctl stats: the counters.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <linux/cfph.h>

#include "fpc_out.h"
#include "fpctl.h"

#define COLUMN "%-17s %12" PRIu64

static void show_counter(struct fpc_out *o, const struct fpc_field *field,
			 uint64_t value)
{
	const char *unit = field->unit ? field->unit : "";

	if (!strcmp(unit, "bytes") && value >= 1024)
		fpc_out_num(o, field->name, value, COLUMN "  (%s)\n",
			    field->name, value, fpc_size(value).text);
	else if (!strcmp(unit, "ns") && value >= 1000)
		fpc_out_num(o, field->name, value,
			    COLUMN "  (%" PRIu64 ".%03" PRIu64 " ms)\n",
			    field->name, value, value / 1000000,
			    value / 1000 % 1000);
	else
		fpc_out_num(o, field->name, value, COLUMN "\n", field->name,
			    value);
}

int cmd_stats(const struct fpc_ctx *ctx, const struct fpc_cmd *cmd, int argc,
	      char **argv)
{
	const struct fpc_table *t = &fpc_stats_table;
	struct fpc_attrs s = { 0 };
	struct fpc_out o;
	int rc;

	rc = fpc_no_args(cmd, argc, argv);
	if (!rc)
		rc = fpc_get(ctx, cmd->name, CFPH_CMD_STATS_GET, t, &s);
	if (rc)
		return rc;

	fpc_out_begin(&o, ctx);
	for (unsigned int i = 0; i < t->nr_fields; i++)
		if (fpc_have(&s, t->fields[i].attr))
			show_counter(&o, &t->fields[i],
				     s.value[t->fields[i].attr]);
	fpc_out_end(&o);
	return FPC_EXIT_OK;
}

void cmd_stats_describe(void)
{
	const struct fpc_table *t = &fpc_stats_table;

	puts("\nCounted since boot; the times are of the newest scan and pass:");
	for (unsigned int i = 0; i < t->nr_fields; i++)
		printf("  %-18s %s\n", t->fields[i].name, t->fields[i].doc);
}
