/* SPDX-License-Identifier: GPL-2.0 */
/*
 * fpctl: what the commands share.
 *
 * main() reads the global options into a struct fpc_ctx and runs one entry of
 * the command table.  A command parses its own words, asks the kernel through
 * fpc_nl.h, and prints through fpc_out.h only after everything that can fail
 * has succeeded: after an error stdout is empty.
 */
#ifndef FPCTL_H
#define FPCTL_H

#include <stdbool.h>

#include "fpc_attr.h"
#include "fpc_nl.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Exit codes, documented in fpctl(8): scripts depend on them. */
enum fpc_exit {
	FPC_EXIT_OK = 0,
	FPC_EXIT_USAGE = 1, /* the command line is wrong, nothing was sent */
	FPC_EXIT_REFUSED = 2, /* the kernel said no, nothing was changed */
	FPC_EXIT_ABSENT = 3, /* there is no cfph in this kernel */
	FPC_EXIT_LOST = 4, /* part of the data did not arrive or get out */
};

/* The global options. */
struct fpc_ctx {
	bool json;
	bool pretty;
	bool time;
	bool debug;
};

struct fpc_cmd {
	const char *name;
	const char *args; /* for usage, "" if it takes none */
	const char *summary;
	/* @argv: the words after the command's name */
	int (*run)(const struct fpc_ctx *ctx, const struct fpc_cmd *cmd,
		   int argc, char **argv);
	/* What "help NAME" says beyond the summary. */
	void (*describe)(void);
	/* Print what may follow the given words, one candidate a line. */
	void (*complete)(int argc, char **argv);
};

/* A candidate that stands for the names of files, see completion/fpctl.bash. */
#define FPC_COMPLETE_FILE ":file"

extern const struct fpc_cmd fpc_cmds[];
extern const unsigned int fpc_nr_cmds;

const struct fpc_cmd *fpc_cmd_find(const char *name);

/* The commands, one file each. */
int cmd_show(const struct fpc_ctx *ctx, const struct fpc_cmd *cmd, int argc,
	     char **argv);
void cmd_show_describe(void);
int cmd_stats(const struct fpc_ctx *ctx, const struct fpc_cmd *cmd, int argc,
	      char **argv);
void cmd_stats_describe(void);
void cmd_stats_complete(int argc, char **argv);
/* "stats zone"; @argv: what follows. */
int cmd_zone(const struct fpc_ctx *ctx, const struct fpc_cmd *cmd, int argc,
	     char **argv);
int cmd_set(const struct fpc_ctx *ctx, const struct fpc_cmd *cmd, int argc,
	    char **argv);
void cmd_set_describe(void);
void cmd_set_complete(int argc, char **argv);
int cmd_start(const struct fpc_ctx *ctx, const struct fpc_cmd *cmd, int argc,
	      char **argv);
int cmd_stop(const struct fpc_ctx *ctx, const struct fpc_cmd *cmd, int argc,
	     char **argv);
int cmd_monitor(const struct fpc_ctx *ctx, const struct fpc_cmd *cmd, int argc,
		char **argv);
void cmd_monitor_describe(void);
int cmd_map(const struct fpc_ctx *ctx, const struct fpc_cmd *cmd, int argc,
	    char **argv);
void cmd_map_describe(void);
void cmd_map_complete(int argc, char **argv);
int cmd_save(const struct fpc_ctx *ctx, const struct fpc_cmd *cmd, int argc,
	     char **argv);
int cmd_restore(const struct fpc_ctx *ctx, const struct fpc_cmd *cmd, int argc,
		char **argv);
void cmd_save_describe(void);
void cmd_save_complete(int argc, char **argv);
int cmd_help(const struct fpc_ctx *ctx, const struct fpc_cmd *cmd, int argc,
	     char **argv);
void cmd_help_complete(int argc, char **argv);
void fpc_help_all(void);
void fpc_help_cmd(const struct fpc_cmd *cmd);

/* Failures: exactly one line on stderr each, "fpctl: " first. */
int fpc_fail(enum fpc_exit code, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
int fpc_fail_kernel(const char *what, const struct fpc_field *field,
		    const struct fpc_nl_error *e);

/* Refuse words after a command that takes none. */
int fpc_no_args(const struct fpc_cmd *cmd, int argc, char **argv);

/* Open, ask once, close.  @what names the request in the error line. */
int fpc_get(const struct fpc_ctx *ctx, const char *what, uint8_t command,
	    const struct fpc_table *table, struct fpc_attrs *reply);

/* The same for a list. */
int fpc_list(const struct fpc_ctx *ctx, const char *what, uint8_t command,
	     const struct fpc_table *table,
	     void (*each)(const struct fpc_attrs *reply, void *arg), void *arg);

#endif /* FPCTL_H */
