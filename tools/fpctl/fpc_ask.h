/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Asking the kernel once, and wording what came of it: each failure is exactly
 * one line on stderr, "fpctl: " first.
 */
#ifndef FPC_ASK_H
#define FPC_ASK_H

#include <stddef.h>

#include "fpc_attr.h"
#include "fpc_nl.h"
#include "fpc_cmd.h"

/* Return: @code. */
int fpc_fail(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Room for one more than @nr items of @size bytes, in the same place or not. */
void *fpc_grow(void *items, size_t nr, size_t size);
/*
 * What came of the request @what, of which the kernel blames @field or nothing.
 * Return: e->code; with 0 nothing is printed unless the kernel warned.
 */
int fpc_fail_kernel(const char *what, const struct fpc_field *field, const struct fpc_nl_error *e);

/* @what names the request in the error line.  Return: FPC_EXIT_*. */
int fpc_get(const struct fpc_ctx *ctx, const char *what, uint8_t command,
	    const struct fpc_table *table, struct fpc_attrs *reply);
int fpc_list(const struct fpc_ctx *ctx, const char *what, uint8_t command,
	     const struct fpc_table *table, const struct fpc_attrs *request, fpc_each *each,
	     void *arg);

/*
 * Set tunables, all or none; nothing is printed.
 * Return: the one of @attrs that the kernel blames, or NULL.
 */
const struct fpc_field *fpc_set(const struct fpc_ctx *ctx, const struct fpc_attrs *attrs,
				struct fpc_nl_error *e);

#endif /* FPC_ASK_H */
