/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The options: before the command, behind it or between its words; long ones as
 * "--watch 1", "--watch=1" or cut short.
 */
#ifndef FPC_OPTS_H
#define FPC_OPTS_H

#include "fpc_cmd.h"

/* Not in the usage: the completions ask with it, see completion/. */
#define FPC_OPT_COMPLETE 'C'

/* Return: FPC_EXIT_USAGE, with the error line printed; or 0 and @ctx filled in. */
int fpc_opts_parse(int argc, char **argv, struct fpc_ctx *ctx);

/* An error line if there is one that is none of @letters.  Return: FPC_EXIT_*. */
int fpc_opts_refuse(const struct fpc_ctx *ctx, const char *cmd, const char *letters);

/* "FILE" or "SECONDS", if the option @word is to be followed by that, or NULL. */
const char *fpc_opts_wants(const char *word);

/* Those of @letters, all if that is NULL: one a line, for people or as candidates. */
void fpc_opts_list(const char *letters, bool explain);

#endif /* FPC_OPTS_H */
