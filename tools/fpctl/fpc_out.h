/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Output: each call carries a datum once for JSON and once for people.
 *
 * JSON is one object a line (or indented), keys as in the netlink spec, raw
 * numbers in base units, and a key never changes its type.  The text is a
 * format and its arguments, printed as it is; it may change, JSON only grows.
 */
#ifndef FPC_OUT_H
#define FPC_OUT_H

#include <stdbool.h>
#include <stdint.h>

#include "fpctl.h"

struct fpc_out {
	bool json;
	bool pretty;
	bool more; /* an element of the innermost level has been printed */
	unsigned int depth; /* levels that are open */
};

void fpc_out_begin(struct fpc_out *o, const struct fpc_ctx *ctx);
void fpc_out_end(struct fpc_out *o);

/*
 * JSON only: an object ('{') or array ('[') inside.  @key is NULL for what is
 * in an array.
 */
void fpc_out_open(struct fpc_out *o, const char *key, char bracket);
void fpc_out_close(struct fpc_out *o, char bracket);

/* @text may be NULL: then only JSON shows it. */
void fpc_out_num(struct fpc_out *o, const char *key, uint64_t value,
		 const char *text, ...) __attribute__((format(printf, 4, 5)));
/* A fraction, given in thousandths, for no locale may have a say. */
void fpc_out_milli(struct fpc_out *o, const char *key, uint64_t value,
		   const char *text, ...) __attribute__((format(printf, 4, 5)));
void fpc_out_str(struct fpc_out *o, const char *key, const char *value,
		 const char *text, ...) __attribute__((format(printf, 4, 5)));

/*
 * The line or key that -t asks for: @ms since 1970.  Text has it in front of
 * the line if @label is NULL.
 */
void fpc_out_time(struct fpc_out *o, uint64_t ms, const char *label);
uint64_t fpc_now_ms(void);

/* "64 KiB", "2048 MiB": rounded down; for text only. */
struct fpc_size {
	char text[32];
};
struct fpc_size fpc_size(uint64_t bytes);

#endif /* FPC_OUT_H */
