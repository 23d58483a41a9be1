/* SPDX-License-Identifier: GPL-2.0 */
/*
 * KEY VALUE pairs from the command line, driven by the table of attributes.
 */
#ifndef FPC_ARGS_H
#define FPC_ARGS_H

#include "fpc_attr.h"

/*
 * Parse @argc words into @attrs.  Only settable fields are keys.  Ranges of
 * numbers are left to the kernel, which may know a wider one than we do; a
 * name that we do not know cannot be sent at all.  A number may have a unit
 * that its key can be told in: 2s, 64M, 1GiB.
 * Return: FPC_EXIT_OK, or FPC_EXIT_USAGE with the error line printed.
 */
int fpc_args_pairs(const char *cmd, const struct fpc_table *table, int argc,
		   char **argv, struct fpc_attrs *attrs);

/*
 * One of them.  @where begins the error line, "set" for example.
 */
int fpc_args_pair(const char *where, const struct fpc_table *table,
		  const char *key, const char *word, struct fpc_attrs *attrs);

/* What may follow the given words: unused keys, or the values of a key. */
void fpc_args_complete(const struct fpc_table *table, int argc, char **argv);

/* "enable, interval-ms, drain" */
void fpc_args_keys(const struct fpc_table *table, char *buf, unsigned int n);

#endif /* FPC_ARGS_H */
