// SPDX-License-Identifier: GPL-2.0
/*
 * fpctl: control continuous free-page hinting (cfph) of this guest kernel.
 *
 * This file owns the global options, the command table (usage, help and
 * completion are printed from it), and the one place where a failure becomes
 * a line on stderr.  It knows no attribute and no netlink.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <linux/cfph.h>

#include "fpctl.h"

#ifndef FPCTL_VERSION
#define FPCTL_VERSION "unknown"
#endif

const struct fpc_cmd fpc_cmds[] = {
	{ .name = "show",
	  .args = "",
	  .summary = "Print the state of the map and the tunables",
	  .run = cmd_show,
	  .describe = cmd_show_describe },
	{ .name = "stats",
	  .args = "[zone | --watch SECONDS]",
	  .summary = "Print the counters, or the memory zones",
	  .run = cmd_stats,
	  .describe = cmd_stats_describe,
	  .complete = cmd_stats_complete },
	{ .name = "set",
	  .args = "KEY VALUE ...",
	  .summary = "Change tunables",
	  .run = cmd_set,
	  .describe = cmd_set_describe,
	  .complete = cmd_set_complete },
	{ .name = "start",
	  .args = "",
	  .summary = "Keep the map: the same as set enable on",
	  .run = cmd_start },
	{ .name = "stop",
	  .args = "",
	  .summary = "Drop the map: the same as set enable off",
	  .run = cmd_stop },
	{ .name = "monitor",
	  .args = "",
	  .summary = "Print events as they happen",
	  .run = cmd_monitor,
	  .describe = cmd_monitor_describe },
	{ .name = "map",
	  .args = "[--raw FILE]",
	  .summary = "Print a picture of the free memory",
	  .run = cmd_map,
	  .describe = cmd_map_describe,
	  .complete = cmd_map_complete },
	{ .name = "save",
	  .args = "[FILE]",
	  .summary = "Write the tunables to a file",
	  .run = cmd_save,
	  .describe = cmd_save_describe,
	  .complete = cmd_save_complete },
	{ .name = "restore",
	  .args = "[FILE]",
	  .summary = "Set the tunables that a file has",
	  .run = cmd_restore,
	  .describe = cmd_save_describe,
	  .complete = cmd_save_complete },
	{ .name = "help",
	  .args = "[COMMAND]",
	  .summary = "Explain fpctl or one of its commands",
	  .run = cmd_help,
	  .complete = cmd_help_complete },
};
const unsigned int fpc_nr_cmds = ARRAY_SIZE(fpc_cmds);

/* Not in the usage: what bash completion asks, see completion/fpctl.bash. */
#define OPT_COMPLETE 256

static const struct option options[] = {
	{ "json", no_argument, NULL, 'j' },
	{ "pretty", no_argument, NULL, 'p' },
	{ "time", no_argument, NULL, 't' },
	{ "debug", no_argument, NULL, 'd' },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ "complete", no_argument, NULL, OPT_COMPLETE },
	{ 0 },
};

const struct fpc_cmd *fpc_cmd_find(const char *name)
{
	for (unsigned int i = 0; i < fpc_nr_cmds; i++)
		if (!strcmp(fpc_cmds[i].name, name))
			return &fpc_cmds[i];
	return NULL;
}

int fpc_fail(enum fpc_exit code, const char *fmt, ...)
{
	va_list ap;

	fputs("fpctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return code;
}

/* The kernel's range if it told us, else the one that we know. */
static void range_text(const struct fpc_field *field,
		       const struct fpc_nl_error *e, char *buf, size_t n)
{
	if (field && field->nr_choices)
		snprintf(buf, n, "not known to this kernel");
	else if (e->range)
		snprintf(buf, n, "out of range, %" PRIu64 "..%" PRIu64, e->min,
			 e->max);
	else if (field && field->max)
		snprintf(buf, n, "out of range, %" PRIu32 "..%" PRIu32,
			 field->min, field->max);
	else
		snprintf(buf, n, "out of range");
}

/**
 * fpc_fail_kernel - word what came of a request
 * @what: the request, as the user knows it
 * @field: the attribute that the kernel blames, NULL if none
 * @e: what came of it
 *
 * Return: e->code; with 0 nothing is printed unless the kernel warned.
 */
int fpc_fail_kernel(const char *what, const struct fpc_field *field,
		    const struct fpc_nl_error *e)
{
	const char *kernel = e->text[0] ? e->text : strerror(e->err);
	char why[96];

	if (!e->code) {
		if (e->text[0])
			fpc_fail(0, "%s: done, but: %s", what, e->text);
		return FPC_EXIT_OK;
	}
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
		snprintf(why, sizeof(why),
			 "needs CAP_SYS_ADMIN in the initial user namespace");
	else if (e->err == EOPNOTSUPP && !e->text[0])
		snprintf(why, sizeof(why), "this kernel is too old for that");
	else if (e->text[0])
		snprintf(why, sizeof(why), "%s", strerror(e->err));
	else
		return fpc_fail(e->code, "%s: %s", what, kernel);
	return fpc_fail(e->code, "%s: %s (kernel: %s)", what, why, kernel);
}

int fpc_no_args(const struct fpc_cmd *cmd, int argc, char **argv)
{
	if (!argc)
		return FPC_EXIT_OK;
	return fpc_fail(
		FPC_EXIT_USAGE, "%s: unexpected \"%s\"%s", cmd->name, argv[0],
		argv[0][0] == '-' ? " (options come before the command)" : "");
}

int fpc_get(const struct fpc_ctx *ctx, const char *what, uint8_t command,
	    const struct fpc_table *table, struct fpc_attrs *reply)
{
	struct fpc_nl_error e;
	struct fpc_nl *nl;

	if (!fpc_nl_open(&nl, CFPH_FAMILY_NAME, ctx->debug, &e)) {
		fpc_nl_do(nl, command, table, NULL, reply, &e);
		fpc_nl_close(nl);
	}
	return fpc_fail_kernel(what, NULL, &e);
}

int fpc_list(const struct fpc_ctx *ctx, const char *what, uint8_t command,
	     const struct fpc_table *table,
	     void (*each)(const struct fpc_attrs *reply, void *arg), void *arg)
{
	struct fpc_nl_error e;
	struct fpc_nl *nl;

	if (!fpc_nl_open(&nl, CFPH_FAMILY_NAME, ctx->debug, &e)) {
		fpc_nl_dump(nl, command, table, NULL, each, arg, &e);
		fpc_nl_close(nl);
	}
	return fpc_fail_kernel(what, NULL, &e);
}

/* @argv: the words typed so far, the last one not yet finished. */
static int complete(int argc, char **argv)
{
	const struct fpc_cmd *cmd;
	int i = 0;

	if (argc && !strcmp(argv[0], "--"))
		argc--, argv++;
	while (i < argc - 1 && argv[i][0] == '-')
		i++;
	if (i < argc - 1) {
		cmd = fpc_cmd_find(argv[i]);
		if (cmd && cmd->complete)
			cmd->complete(argc - i - 2, argv + i + 1);
		return FPC_EXIT_OK;
	}
	if (argc && argv[argc - 1][0] == '-') {
		for (i = 0; options[i].name; i++)
			if (options[i].val != OPT_COMPLETE)
				printf("--%s\n", options[i].name);
		return FPC_EXIT_OK;
	}
	for (i = 0; i < (int)fpc_nr_cmds; i++)
		puts(fpc_cmds[i].name);
	return FPC_EXIT_OK;
}

static int run(const struct fpc_ctx *ctx, int argc, char **argv)
{
	const char *name = argc ? argv[0] : "show";
	const struct fpc_cmd *cmd = fpc_cmd_find(name);

	if (!cmd)
		return fpc_fail(FPC_EXIT_USAGE,
				"%s: no such command, see \"fpctl help\"",
				name);
	if (argc)
		argc--, argv++;
	if (argc == 1 &&
	    (!strcmp(argv[0], "-h") || !strcmp(argv[0], "--help"))) {
		fpc_help_cmd(cmd);
		return FPC_EXIT_OK;
	}
	return cmd->run(ctx, cmd, argc, argv);
}

/* getopt names a bad short option, and points behind a bad long one. */
static int bad_option(const char *word)
{
	char letter[] = { '-', (char)optopt, '\0' };
	bool is_short = optopt > 0 && optopt < OPT_COMPLETE;

	return fpc_fail(FPC_EXIT_USAGE, "%s: bad option, see \"fpctl help\"",
			is_short ? letter : word);
}

static int parse(int argc, char **argv)
{
	struct fpc_ctx ctx = { 0 };
	int opt;

	opterr = 0; /* one line, in our words */
	/* '+': stop at the command, what follows is the command's. */
	while ((opt = getopt_long(argc, argv, "+jptdVh", options, NULL)) >= 0) {
		switch (opt) {
		case 'p':
			ctx.pretty = true;
			/* fallthrough */
		case 'j':
			ctx.json = true;
			break;
		case 't':
			ctx.time = true;
			break;
		case 'd':
			ctx.debug = true;
			break;
		case 'V':
			puts("fpctl " FPCTL_VERSION);
			return FPC_EXIT_OK;
		case 'h':
			fpc_help_all();
			return FPC_EXIT_OK;
		case OPT_COMPLETE:
			return complete(argc - optind, argv + optind);
		default:
			return bad_option(argv[optind - 1]);
		}
	}
	return run(&ctx, argc - optind, argv + optind);
}

int main(int argc, char **argv)
{
	int rc = parse(argc, argv);

	/* A full disk or a closed stdout must not look like success. */
	if ((fflush(stdout) || ferror(stdout)) && !rc)
		rc = fpc_fail(FPC_EXIT_LOST, "cannot write the output: %s",
			      strerror(errno));
	return rc;
}
