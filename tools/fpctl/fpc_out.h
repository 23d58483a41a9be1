/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Output: JSON, and what it has in common with text for people.
 *
 * JSON is one object a line (or indented), keys as in the netlink spec, raw
 * numbers in base units, and a key never changes its type.  The text may change,
 * JSON only grows.
 */
#ifndef FPC_OUT_H
#define FPC_OUT_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "fpc_attr.h"
#include "fpc_cmd.h"

struct fpc_out {
	bool json;
	bool pretty;
	bool more; /* an element of the innermost level has been printed */
	unsigned int depth; /* levels that are open */
};

/* With -t it says when: @ms since 1970, or 0 for now, on a line of its own. */
void fpc_out_begin(struct fpc_out *o, const struct fpc_ctx *ctx, uint64_t ms);
void fpc_out_end(struct fpc_out *o);

/* The others print nothing unless it is JSON.  @key is NULL in an array. */

/* An object ('{') or array ('[') inside. */
void fpc_out_open(struct fpc_out *o, const char *key, char bracket);
void fpc_out_close(struct fpc_out *o, char bracket);

void fpc_out_num(struct fpc_out *o, const char *key, uint64_t value);
/* A fraction, given in thousandths, for no locale may have a say. */
void fpc_out_milli(struct fpc_out *o, const char *key, uint64_t value);
void fpc_out_str(struct fpc_out *o, const char *key, const char *value);
/* What @attrs has of a table, or of one field of it: each as its kind is shown. */
void fpc_out_field(struct fpc_out *o, const struct fpc_field *field, const struct fpc_attrs *attrs);
void fpc_out_fields(struct fpc_out *o, const struct fpc_table *table,
		    const struct fpc_attrs *attrs);

/* In ns.  CLOCK_BOOTTIME is that of the kernel's events. */
uint64_t fpc_clock(clockid_t clock);

/* "64 KiB", "2048 MiB": rounded down; for text only. */
struct fpc_size {
	char text[32];
};
struct fpc_size fpc_size(uint64_t bytes);
/* The same of pages of 4 KiB, in which the map counts whatever PAGE_SIZE is. */
struct fpc_size fpc_pages(uint64_t pages);

#endif /* FPC_OUT_H */
