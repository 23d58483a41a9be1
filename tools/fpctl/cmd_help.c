// SPDX-License-Identifier: GPL-2.0
/*
 * fpctl help: printed from the command table.  It needs no kernel.
 */
#include <stdio.h>

#include "fpctl.h"

void fpc_help_all(void)
{
	puts("Usage: fpctl [-j] [-p] [-t] [-d] [COMMAND]\n\n"
	     "Continuous free-page hinting of this guest, for live migration.\n\n"
	     "Commands (default: show):");
	for (unsigned int i = 0; i < fpc_nr_cmds; i++) {
		const struct fpc_cmd *c = &fpc_cmds[i];

		printf("  %-8s %-24s %s\n", c->name, c->args, c->summary);
	}
	puts("\nOptions:\n"
	     "  -j, --json       print JSON, one object a line\n"
	     "  -p, --pretty     the same, indented\n"
	     "  -t, --time       say when\n"
	     "  -d, --debug      copy the netlink messages to stderr\n"
	     "  -V, --version    print the version and exit\n"
	     "  -h, --help       print this help and exit\n\n"
	     "Exit status: 0 done, 1 usage, 2 refused by the kernel,\n"
	     "3 the kernel has no cfph, 4 data was lost.  See fpctl(8).");
}

void fpc_help_cmd(const struct fpc_cmd *cmd)
{
	printf("Usage: fpctl %s%s%s\n\n%s.\n", cmd->name,
	       cmd->args[0] ? " " : "", cmd->args, cmd->summary);
	if (cmd->describe)
		cmd->describe();
}

int cmd_help(const struct fpc_ctx *ctx, const struct fpc_cmd *cmd, int argc,
	     char **argv)
{
	const struct fpc_cmd *about;

	(void)ctx;
	if (argc > 1)
		return fpc_no_args(cmd, argc - 1, argv + 1);
	if (!argc) {
		fpc_help_all();
		return FPC_EXIT_OK;
	}
	about = fpc_cmd_find(argv[0]);
	if (!about)
		return fpc_fail(FPC_EXIT_USAGE,
				"help %s: no such command, see \"fpctl help\"",
				argv[0]);
	fpc_help_cmd(about);
	return FPC_EXIT_OK;
}

void cmd_help_complete(int argc, char **argv)
{
	(void)argv;
	if (argc)
		return;
	for (unsigned int i = 0; i < fpc_nr_cmds; i++)
		puts(fpc_cmds[i].name);
}
