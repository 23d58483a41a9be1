/* SPDX-License-Identifier: GPL-2.0 */
/*
 * fpctl: what a command is.
 *
 * fpctl.c reads the options into a struct fpc_ctx, finds the command in its table
 * and runs it.  A command reads its own words (fpc_args.h), asks the kernel
 * (fpc_ask.h), and prints (fpc_out.h) only after everything that can fail has
 * succeeded: after an error stdout is empty.
 */
#ifndef FPC_CMD_H
#define FPC_CMD_H

#include <stdbool.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Exit codes, documented in fpctl(8): scripts depend on them. */
enum fpc_exit {
	FPC_EXIT_OK = 0,
	FPC_EXIT_USAGE = 1, /* what was asked for is wrong, nothing was sent */
	FPC_EXIT_REFUSED = 2, /* the kernel said no, nothing was changed */
	FPC_EXIT_ABSENT = 3, /* there is no cfph in this kernel */
	FPC_EXIT_LOST = 4, /* a file or a part of the data cannot be had */
	FPC_EXIT_TIME = 5, /* what "wait" waits for has not come */
};

/* The command line. */
struct fpc_ctx {
	const char *opt['z' + 1]; /* by letter: NULL, its value, or "" */
	bool json; /* one of the two options for it */
	int argc; /* the words after the command's name */
	char **argv;
};

/* A command, in cmd_*.c; the table of them is in fpctl.c. */
typedef int fpc_run(const struct fpc_ctx *ctx);
fpc_run cmd_show, cmd_get, cmd_stats, cmd_set, cmd_reset, cmd_start, cmd_stop, cmd_wait,
	cmd_monitor, cmd_map, cmd_reclaim, cmd_save, cmd_restore;

#endif /* FPC_CMD_H */
