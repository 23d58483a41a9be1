// SPDX-License-Identifier: GPL-2.0
/*
 * fpctl set, reset, start, stop: change tunables, all of those given or none.
 */
#include <stdio.h>

#include <linux/cfph.h>

#include "fpc_args.h"
#include "fpc_ask.h"

/* "set interval-ms 5": the pair that the kernel blames, or all of them. */
static int change(const struct fpc_ctx *ctx, const char *cmd, const struct fpc_attrs *attrs)
{
	const struct fpc_table *t = &fpc_status_table;
	char what[256], digits[FPC_NAME_MAX];
	const struct fpc_field *blamed;
	struct fpc_nl_error e;
	size_t used;

	blamed = fpc_set(ctx, attrs, &e);
	used = snprintf(what, sizeof(what), "%s", cmd);
	for (unsigned int i = 0; i < t->nr_fields && used < sizeof(what); i++) {
		const struct fpc_field *f = &t->fields[i];

		if (fpc_have(attrs, f->attr) && (!blamed || blamed == f))
			used += snprintf(what + used, sizeof(what) - used, " %s %s", f->name,
					 fpc_field_text(f, attrs, digits));
	}
	return fpc_fail_kernel(what, blamed, &e);
}

int cmd_set(const struct fpc_ctx *ctx)
{
	struct fpc_attrs attrs = { 0 };
	char keys[256];

	fpc_join(fpc_key_names, "", keys, sizeof(keys));
	if (!ctx->argc)
		return fpc_fail(FPC_EXIT_USAGE, "set: needs KEY VALUE pairs; keys are %s", keys);
	if (fpc_args_pairs("set", ctx->argc, ctx->argv, &attrs))
		return FPC_EXIT_USAGE;
	return change(ctx, "set", &attrs);
}

int cmd_reset(const struct fpc_ctx *ctx)
{
	const struct fpc_table *t = &fpc_status_table;
	uint32_t wanted = ctx->argc ? 0 : UINT32_MAX;
	struct fpc_attrs attrs;
	int i, rc;

	for (int n = 0; n < ctx->argc; n++) {
		i = fpc_choose("reset", "tunable", fpc_key_names, ctx->argv[n], false);
		if (i < 0)
			return FPC_EXIT_USAGE;
		wanted |= UINT32_C(1) << t->fields[i].attr;
	}
	rc = fpc_get(ctx, "reset", CFPH_CMD_DEFAULTS_GET, t, &attrs);
	attrs.have &= wanted;
	return rc ? rc : change(ctx, "reset", &attrs);
}

static int enable(const struct fpc_ctx *ctx, const char *cmd, bool on)
{
	struct fpc_attrs attrs = { 0 };
	struct fpc_nl_error e;

	fpc_put(&attrs, CFPH_A_ENABLE, on);
	fpc_set(ctx, &attrs, &e);
	return fpc_fail_kernel(cmd, NULL, &e);
}

int cmd_start(const struct fpc_ctx *ctx)
{
	return enable(ctx, "start", true);
}

int cmd_stop(const struct fpc_ctx *ctx)
{
	return enable(ctx, "stop", false);
}
