// SPDX-License-Identifier: GPL-2.0
/*
 * Asking the kernel, and the one place where a failure becomes a line on stderr;
 * see fpc_ask.h.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/cfph.h>

#include "fpc_ask.h"

int fpc_fail(int code, const char *fmt, ...)
{
	va_list ap;

	fputs("fpctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return code;
}

void *fpc_grow(void *items, size_t nr, size_t size)
{
	if (nr & (nr - 1)) /* no power of two: there is room */
		return items;
	items = reallocarray(items, nr ? 2 * nr : 1, size);
	if (!items)
		exit(fpc_fail(FPC_EXIT_LOST, "out of memory"));
	return items;
}

/* The kernel's range if it told us, else the one that we know. */
static void range_text(const struct fpc_field *field, const struct fpc_nl_error *e, char *buf,
		       size_t n)
{
	struct fpc_field told = field ? *field : (struct fpc_field){ .unit = "" };
	char range[64];

	if (e->range) {
		told.min = e->min;
		told.max = e->max;
	}
	fpc_field_range(&told, range, sizeof(range));
	if (told.nr_choices)
		snprintf(buf, n, "not known to this kernel");
	else
		snprintf(buf, n, "out of range%s%s", told.max ? ", " : "", told.max ? range : "");
}

int fpc_fail_kernel(const char *what, const struct fpc_field *field, const struct fpc_nl_error *e)
{
	const char *kernel = e->text[0] ? e->text : strerror(e->err);
	char why[96];

	if (!e->code)
		return e->text[0] ? fpc_fail(0, "%s: done, but: %s", what, e->text) : 0;
	if (e->code == FPC_EXIT_ABSENT)
		return fpc_fail(
			e->code,
			"%s: this kernel has no cfph (CONFIG_CFPH), or this is not the initial network namespace",
			what);
	if (!e->err)
		return fpc_fail(e->code, "%s: netlink: %s", what, e->text);

	if (e->err == ERANGE)
		range_text(field, e, why, sizeof(why));
	else if (e->err == EPERM && !e->text[0])
		snprintf(why, sizeof(why), "needs CAP_SYS_ADMIN in the initial user namespace");
	else if (e->err == EOPNOTSUPP && !e->text[0])
		snprintf(why, sizeof(why), "this kernel is too old for that");
	else if (e->text[0])
		snprintf(why, sizeof(why), "%s", strerror(e->err));
	else
		return fpc_fail(e->code, "%s: %s", what, kernel);
	return fpc_fail(e->code, "%s: %s (kernel: %s)", what, why, kernel);
}

static int ask(const struct fpc_ctx *ctx, uint8_t command, bool list, const struct fpc_table *table,
	       const struct fpc_attrs *request, fpc_each *each, void *arg, struct fpc_nl_error *e)
{
	struct fpc_nl *nl;

	if (!fpc_nl_open(&nl, CFPH_FAMILY_NAME, ctx->opt['d'], e))
		fpc_nl_ask(nl, command, list, table, request, each, arg, e);
	fpc_nl_close(nl);
	return e->code;
}

static void keep(const struct fpc_attrs *reply, void *arg)
{
	*(struct fpc_attrs *)arg = *reply;
}

int fpc_get(const struct fpc_ctx *ctx, const char *what, uint8_t command,
	    const struct fpc_table *table, struct fpc_attrs *reply)
{
	struct fpc_nl_error e;

	reply->have = reply->used = 0;
	ask(ctx, command, false, table, NULL, keep, reply, &e);
	return fpc_fail_kernel(what, NULL, &e);
}

int fpc_list(const struct fpc_ctx *ctx, const char *what, uint8_t command,
	     const struct fpc_table *table, const struct fpc_attrs *request, fpc_each *each,
	     void *arg)
{
	struct fpc_nl_error e;

	ask(ctx, command, true, table, request, each, arg, &e);
	return fpc_fail_kernel(what, fpc_field_by_attr(table, e.attr), &e);
}

const struct fpc_field *fpc_set(const struct fpc_ctx *ctx, const struct fpc_attrs *attrs,
				struct fpc_nl_error *e)
{
	ask(ctx, CFPH_CMD_SET, false, &fpc_status_table, attrs, NULL, NULL, e);
	return fpc_field_by_attr(&fpc_status_table, e->attr); /* none is 0 */
}
