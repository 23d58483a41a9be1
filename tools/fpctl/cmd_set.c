// SPDX-License-Identifier: GPL-2.0
/*
 * fpctl set, start, stop: change tunables, all of those given or none.
 */
#include <stdio.h>
#include <string.h>

#include <linux/cfph.h>

#include "fpc_args.h"
#include "fpctl.h"

/* "set interval-ms 5": the pair that the kernel blames, or all of them. */
static void blame(const char *cmd, const struct fpc_field *field, int argc,
		  char **argv, char *buf, size_t n)
{
	size_t used = snprintf(buf, n, "%s", cmd);

	for (int i = 0; i + 1 < argc && used < n; i += 2) {
		if (field && strcmp(field->name, argv[i]))
			continue;
		used += snprintf(buf + used, n - used, " %s %s", argv[i],
				 argv[i + 1]);
	}
}

/* @argc, @argv: what the user typed after @cmd, for the error line only. */
static int set(const struct fpc_ctx *ctx, const char *cmd,
	       const struct fpc_attrs *attrs, int argc, char **argv)
{
	const struct fpc_field *field;
	struct fpc_nl_error e;
	struct fpc_nl *nl;
	char what[256];

	if (!fpc_nl_open(&nl, CFPH_FAMILY_NAME, ctx->debug, &e)) {
		fpc_nl_do(nl, CFPH_CMD_SET, &fpc_status_table, attrs, NULL, &e);
		fpc_nl_close(nl);
	}
	field = e.attr ? fpc_field_by_attr(&fpc_status_table, e.attr) : NULL;
	blame(cmd, field, argc, argv, what, sizeof(what));
	return fpc_fail_kernel(what, field, &e);
}

int cmd_set(const struct fpc_ctx *ctx, const struct fpc_cmd *cmd, int argc,
	    char **argv)
{
	struct fpc_attrs attrs;

	if (fpc_args_pairs(cmd->name, &fpc_status_table, argc, argv, &attrs))
		return FPC_EXIT_USAGE;
	return set(ctx, cmd->name, &attrs, argc, argv);
}

void cmd_set_complete(int argc, char **argv)
{
	fpc_args_complete(&fpc_status_table, argc, argv);
}

static int set_enable(const struct fpc_ctx *ctx, const struct fpc_cmd *cmd,
		      bool on, int argc, char **argv)
{
	struct fpc_attrs attrs = { 0 };

	if (fpc_no_args(cmd, argc, argv))
		return FPC_EXIT_USAGE;
	fpc_put(&attrs, CFPH_A_ENABLE, on);
	return set(ctx, cmd->name, &attrs, 0, NULL);
}

int cmd_start(const struct fpc_ctx *ctx, const struct fpc_cmd *cmd, int argc,
	      char **argv)
{
	return set_enable(ctx, cmd, true, argc, argv);
}

int cmd_stop(const struct fpc_ctx *ctx, const struct fpc_cmd *cmd, int argc,
	     char **argv)
{
	return set_enable(ctx, cmd, false, argc, argv);
}

void cmd_set_describe(void)
{
	const struct fpc_table *t = &fpc_status_table;
	char range[128];

	puts("\nAll tunables given are changed, or none; this needs "
	     "CAP_SYS_ADMIN.");
	for (unsigned int i = 0; i < t->nr_fields; i++) {
		const struct fpc_field *f = &t->fields[i];

		if (!f->settable)
			continue;
		fpc_field_range(f, range, sizeof(range));
		printf("\n  %s (%s%s%s)\n      %s\n", f->name, range,
		       f->unit ? " " : "", f->unit ? f->unit : "", f->doc);
		/* A switch explains itself. */
		for (unsigned int c = 0;
		     f->kind == FPC_ENUM && c < f->nr_choices; c++)
			printf("      %-8s %s\n", f->choices[c].name,
			       f->choices[c].doc);
	}
}
