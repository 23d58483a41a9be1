// SPDX-License-Identifier: GPL-2.0
/*
 * fpctl: control continuous free-page hinting (cfph) of this guest kernel.
 *
 * This file owns the table of commands; main(), help and completion go by it.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <linux/cfph.h>

#include "fpc_args.h"
#include "fpc_ask.h"
#include "fpc_opts.h"

#ifndef FPCTL_VERSION
#define FPCTL_VERSION "unknown"
#endif

/* --- what "help COMMAND" lists --------------------------------------------- */

/* All fields of a table, those that can be set, or the names that a field has. */
static void list(const struct fpc_table *t, uint16_t attr)
{
	const struct fpc_field *f = fpc_field_by_attr(t, attr);

	for (unsigned int i = 0; f && i < f->nr_choices; i++)
		printf("  %-18s %s\n", f->choices[i].name, f->choices[i].doc);
	for (unsigned int i = 0; !f && i < t->nr_fields; i++)
		printf("  %-18s %s\n", t->fields[i].name, t->fields[i].doc);
}

static void list_tunables(void)
{
	const struct fpc_table *t = &fpc_status_table;
	char range[128];

	for (unsigned int i = 0; i < t->nr_fields; i++) {
		const struct fpc_field *f = &t->fields[i];

		if (!f->settable)
			continue;
		fpc_field_range(f, range, sizeof(range));
		printf("\n  %s (%s)\n      %s\n", f->name, range, f->doc);
		if (f->kind == FPC_ENUM) /* a switch explains itself */
			list(t, f->attr);
	}
}

/* A candidate that stands for the names of files, see completion/. */
static const char *file_names(unsigned int i)
{
	return i ? NULL : ":file";
}

/* --- the table ------------------------------------------------------------- */

static fpc_run help;
static fpc_names cmd_names;

/* clang-format off */
#define TEXT_SET \
	"All tunables given are changed, or none; this needs CAP_SYS_ADMIN.\n" \
	"\"KEY=VALUE\" is the same as \"KEY VALUE\", and keys can be cut short."
#define TEXT_FILE \
	"The file has one \"key = value\" a line; '#' and ';' begin a comment.\n" \
	"Without FILE it is /etc/fpctl.conf; \"-\" is the standard output or input.\n"

static const struct cmd {
	const char *name;
	fpc_run *run;
	const char *args; /* for usage */
	int max_args;
	fpc_names *first; /* candidates for the first of them; for set for all */
	const char *opts; /* the letters of those that it takes */
	const char *summary, *text; /* @text: what help says beyond it */
	const struct fpc_table *table; /* and lists: the choices of @attr, or the fields */
	uint16_t attr;
} cmds[] = {
	{ "show", cmd_show, "", 0, NULL, "jptd",
	  "Print the state of the map and the tunables",
	  .text = "With the reason, if it is off:",
	  .table = &fpc_status_table, .attr = CFPH_A_REASON },
	{ "get", cmd_get, "KEY", 1, fpc_status_names, "jpd",
	  "Print one of these alone, for scripts",
	  .text = "The value as set takes it, or an object with one key:",
	  .table = &fpc_status_table },
	{ "stats", cmd_stats, "[zone]", 1, fpc_part_names, "jptwd",
	  "Print the counters, or the memory zones",
	  .text = "With --watch, again every so many seconds with what has been added per\n"
		  "second, until it is interrupted.  With zone, the pages of each memory\n"
		  "zone instead.\n\n"
		  "Counted since boot; the times are of the newest scan and pass:",
	  .table = &fpc_stats_table },
	{ "set", cmd_set, "KEY VALUE ...", INT_MAX, fpc_key_names, "d",
	  "Change tunables", .text = TEXT_SET },
	{ "reset", cmd_reset, "[KEY ...]", INT_MAX, fpc_key_names, "d",
	  "Set tunables to their defaults, all without KEY", .text = TEXT_SET },
	{ "start", cmd_start, "", 0, NULL, "d",
	  "Keep the map: the same as set enable on", .text = NULL },
	{ "stop", cmd_stop, "", 0, NULL, "d",
	  "Drop the map: the same as set enable off", .text = NULL },
	{ "wait", cmd_wait, "[STATE]", 1, fpc_state_names, "Td",
	  "Wait until the map is ready, or has another state",
	  .text = "Exit status 5 says that it has not when the time was up, or when wait was\n"
		  "interrupted.  State:",
	  .table = &fpc_status_table, .attr = CFPH_A_STATE },
	{ "monitor", cmd_monitor, "", 0, NULL, "jptd",
	  "Print events as they happen",
	  .text = "One line for each event until it is interrupted; -t says when.\n"
		  "Exit status 4 says that some were lost on the way.\n\n"
		  "  now                the state at the beginning, and after a loss",
	  .table = &fpc_event_table, .attr = CFPH_A_EVENT_EVENT },
	{ "map", cmd_map, "", 0, NULL, "jptrd",
	  "Print a picture of the free memory",
	  .text = "For each NUMA node: how much is free, the free blocks by their order\n"
		  "(2^n pages of 4 KiB), and a picture in the order of the addresses.  The\n"
		  "largest run is looked for in each 128 MiB.  Fragmentation is the part of\n"
		  "the free memory that is in blocks smaller than 2 MiB.  --raw writes the\n"
		  "bits, bit n % 8 of byte n / 8 for page n.  This needs CAP_SYS_ADMIN." },
	{ "reclaim", cmd_reclaim, "PERCENT", 1, NULL, "jptd",
	  "Give clean page cache back now",
	  .text = "Page cache that is clean and that no process has mapped is taken out of\n"
		  "memory: PERCENT of it, what has been used once before the rest.  Nothing is\n"
		  "written, swapped or unmapped.  It stops when memory gets short, or when it is\n"
		  "interrupted.  Unless that happens, the per-cpu lists are drained at the end.\n"
		  "This needs CAP_SYS_ADMIN." },
	{ "save", cmd_save, "[FILE]", 1, file_names, "d",
	  "Write the tunables that are not at their defaults to a file", .text = TEXT_FILE },
	{ "restore", cmd_restore, "[FILE]", 1, file_names, "ld",
	  "Set the tunables that a file has",
	  .text = TEXT_FILE "All of them or none; with --lenient what can be set." },
	{ "help", help, "[COMMAND]", 1, cmd_names, "",
	  "Explain fpctl or one of its commands", .text = NULL },
};
/* clang-format on */

static const char *cmd_names(unsigned int i)
{
	return i < ARRAY_SIZE(cmds) ? cmds[i].name : NULL;
}

/* --- help: it needs no kernel ---------------------------------------------- */

static int help_cmd(const struct cmd *cmd)
{
	printf("Usage: fpctl %s%s%s%s\n\n%s.\n", cmd->name, cmd->opts[0] ? " [OPTION...]" : "",
	       cmd->args[0] ? " " : "", cmd->args, cmd->summary);
	if (cmd->text)
		printf("\n%s\n", cmd->text);
	if (cmd->table)
		list(cmd->table, cmd->attr);
	else if (cmd->first == fpc_key_names)
		list_tunables();
	puts("\nOptions:");
	fpc_opts_list(cmd->opts, true);
	return FPC_EXIT_OK;
}

static int help(const struct fpc_ctx *ctx)
{
	int i;

	if (ctx->argc) {
		i = fpc_choose("help", "command", cmd_names, ctx->argv[0], false);
		return i < 0 ? FPC_EXIT_USAGE : help_cmd(&cmds[i]);
	}
	puts("Usage: fpctl [OPTION...] [COMMAND] [WORD...]\n\n"
	     "Continuous free-page hinting of this guest, for live migration.\n\n"
	     "Commands (default: show), which can be cut short:");
	for (unsigned int n = 0; n < ARRAY_SIZE(cmds); n++)
		printf("  %-8s %-14s %s\n", cmds[n].name, cmds[n].args, cmds[n].summary);
	puts("\nOptions, before the command or behind it:");
	fpc_opts_list(NULL, true);
	puts("\nExit status: 0 done, 1 usage, 2 refused by the kernel, 3 the kernel has\n"
	     "no cfph, 4 a file or data could not be had, 5 not in time.  See fpctl(8).");
	return FPC_EXIT_OK;
}

/* --- completion ------------------------------------------------------------ */

/* @argv: the words typed so far, the last one not yet finished. */
static int complete(int argc, char **argv)
{
	const char *last = argc ? argv[argc - 1] : "", *wants = NULL;
	const struct cmd *cmd = NULL;
	int words = 0, i;

	for (i = 0; i < argc - 1; i++) {
		if (wants)
			wants = NULL; /* here it is */
		else if (argv[i][0] == '-')
			wants = fpc_opts_wants(argv[i]);
		else
			argv[words++] = argv[i];
	}
	i = words ? fpc_pick(cmd_names, argv[0], false) : FPC_NONE;
	if (i >= 0)
		cmd = &cmds[i];
	if (wants && !strcmp(wants, "FILE"))
		fpc_print_names(file_names, 0);
	else if (!wants && last[0] == '-')
		fpc_opts_list(cmd ? cmd->opts : NULL, false);
	else if (!wants && !words)
		fpc_print_names(cmd_names, 0);
	else if (!wants && cmd && cmd->run == cmd_set)
		fpc_args_complete(words - 1, argv + 1);
	else if (!wants && cmd && cmd->first && words <= cmd->max_args)
		fpc_print_names(cmd->first, 0);
	return FPC_EXIT_OK;
}

/* --- main ------------------------------------------------------------------ */

static int run(int argc, char **argv)
{
	const struct cmd *cmd = &cmds[0];
	struct fpc_ctx ctx = { 0 };
	int i;

	if (fpc_opts_parse(argc, argv, &ctx))
		return FPC_EXIT_USAGE;
	if (ctx.opt[FPC_OPT_COMPLETE])
		return complete(ctx.argc, ctx.argv);
	if (ctx.opt['V']) {
		puts("fpctl " FPCTL_VERSION);
		return FPC_EXIT_OK;
	}
	if (ctx.opt['h'] && !ctx.argc)
		return help(&ctx);
	if (ctx.argc) {
		i = fpc_choose("", "command", cmd_names, ctx.argv[0], false);
		if (i < 0)
			return FPC_EXIT_USAGE;
		cmd = &cmds[i];
		ctx.argc--, ctx.argv++;
	}
	if (ctx.opt['h'])
		return help_cmd(cmd);
	if (fpc_opts_refuse(&ctx, cmd->name, cmd->opts))
		return FPC_EXIT_USAGE;
	if (ctx.argc > cmd->max_args)
		return fpc_fail(FPC_EXIT_USAGE, "%s: unexpected \"%s\"", cmd->name,
				ctx.argv[cmd->max_args]);
	return cmd->run(&ctx);
}

int main(int argc, char **argv)
{
	int rc = run(argc, argv);

	/* A full disk or a closed stdout must not look like success. */
	if ((fflush(stdout) || ferror(stdout)) && !rc)
		rc = fpc_fail(FPC_EXIT_LOST, "cannot write the output: %s", strerror(errno));
	return rc;
}
