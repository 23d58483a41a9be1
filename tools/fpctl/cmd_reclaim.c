// SPDX-License-Identifier: GPL-2.0
/*
 * fpctl reclaim: give clean page cache back now, and say how far that has come.
 *
 * The kernel works while we read: each message of the dump is a step, so whoever
 * interrupts us has stopped it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include <linux/cfph.h>

#include "fpc_args.h"
#include "fpc_ask.h"
#include "fpc_out.h"

/* On stderr: it is nothing that anybody would keep. */
static void on_step(const struct fpc_attrs *a, void *last)
{
	*(struct fpc_attrs *)last = *a;
	if (!isatty(STDERR_FILENO))
		return;
	if (a->value[CFPH_A_RECLAIM_END] == CFPH_RECLAIM_END_NONE)
		fprintf(stderr, "%s of about %s", fpc_pages(a->value[CFPH_A_RECLAIM_PAGES]).text,
			fpc_pages(a->value[CFPH_A_RECLAIM_TARGET_PAGES]).text);
	/* Whatever comes next begins at the left again. */
	fputs("\033[K\r", stderr);
}

int cmd_reclaim(const struct fpc_ctx *ctx)
{
	const struct fpc_table *t = &fpc_reclaim_table;
	struct fpc_attrs percent = { 0 }, a = { 0 };
	char what[64], end[FPC_NAME_MAX];
	struct fpc_out o;
	int rc;

	if (fpc_args_word("reclaim", fpc_field_by_attr(t, CFPH_A_RECLAIM_PERCENT),
			  ctx->argc ? ctx->argv[0] : NULL, &percent))
		return FPC_EXIT_USAGE;
	snprintf(what, sizeof(what), "reclaim %.40s", ctx->argv[0]);
	rc = fpc_list(ctx, what, CFPH_CMD_RECLAIM, t, &percent, on_step, &a);
	if (rc)
		return rc;
	fpc_out_begin(&o, ctx, 0);
	fpc_out_fields(&o, t, &a);
	if (!o.json) {
		printf("%s given back in %" PRIu64 " ms",
		       fpc_pages(a.value[CFPH_A_RECLAIM_PAGES]).text,
		       a.value[CFPH_A_RECLAIM_NS] / 1000000);
		if (a.value[CFPH_A_RECLAIM_END] != CFPH_RECLAIM_END_DONE)
			printf(", then stopped: %s", fpc_text(t, &a, CFPH_A_RECLAIM_END, end));
		putchar('\n');
	}
	fpc_out_end(&o);
	return FPC_EXIT_OK;
}
