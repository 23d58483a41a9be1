// SPDX-License-Identifier: GPL-2.0
/*
 * The options, see fpc_opts.h.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "fpc_args.h"
#include "fpc_ask.h"
#include "fpc_opts.h"

static const struct opt {
	char letter;
	const char *name, *arg, *doc;
} opts[] = {
	{ 'j', "json", NULL, "print JSON, one object a line" },
	{ 'p', "pretty", NULL, "the same, indented" },
	{ 't', "time", NULL, "say when" },
	{ 'w', "watch", "SECONDS", "again and again, with what is new" },
	{ 'r', "raw", "FILE", "write the bits of the map to a file" },
	{ 'T', "timeout", "SECONDS", "wait so long at most" },
	{ 'l', "lenient", NULL, "set what can be set, warn of the rest" },
	{ 'd', "debug", NULL, "copy the netlink messages to stderr" },
	{ 'V', "version", NULL, "print the version and exit" },
	{ 'h', "help", NULL, "explain fpctl or the command and exit" },
	{ FPC_OPT_COMPLETE, "complete", NULL, NULL },
};

/* Those that people may know. */
static const char *opt_names(unsigned int i)
{
	return i < ARRAY_SIZE(opts) && opts[i].doc ? opts[i].name : NULL;
}

static const struct opt *by_letter(int letter)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(opts); i++)
		if (opts[i].letter == letter)
			return &opts[i];
	return NULL;
}

/* @word: what getopt has just read, if it is a long one. */
static int bad(bool no_value, const char *word)
{
	const struct opt *opt = by_letter(optopt);
	char letter[] = { '-', (char)optopt, '\0' };

	if (no_value)
		return fpc_fail(FPC_EXIT_USAGE, "--%s: needs a value, %s", opt->name, opt->arg);
	if (optopt && !opt)
		word = letter;
	else if (fpc_pick(opt_names, word + 2, false) == FPC_MANY)
		return !!fpc_choose("", "option", opt_names, word + 2, false);
	return fpc_fail(FPC_EXIT_USAGE, "%s: bad option, see \"fpctl help\"", word);
}

int fpc_opts_parse(int argc, char **argv, struct fpc_ctx *ctx)
{
	struct option longs[ARRAY_SIZE(opts) + 1] = { 0 };
	char shorts[2 * ARRAY_SIZE(opts) + 2] = ":", *s = shorts + 1;
	int letter;

	for (unsigned int i = 0; i < ARRAY_SIZE(opts); i++) {
		longs[i].name = opts[i].name;
		longs[i].has_arg = !!opts[i].arg;
		longs[i].val = opts[i].letter;
		*s++ = opts[i].letter;
		if (opts[i].arg)
			*s++ = ':';
	}
	opterr = 0; /* one line, in our words */
	while ((letter = getopt_long(argc, argv, shorts, longs, NULL)) >= 0) {
		if (letter == '?' || letter == ':')
			return bad(letter == ':', argv[optind - 1]);
		ctx->opt[letter] = optarg ? optarg : "";
	}
	ctx->json = ctx->opt['j'] || ctx->opt['p'];
	ctx->argc = argc - optind;
	ctx->argv = argv + optind;
	return 0;
}

int fpc_opts_refuse(const struct fpc_ctx *ctx, const char *cmd, const char *letters)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(opts); i++)
		if (ctx->opt[(int)opts[i].letter] && !strchr(letters, opts[i].letter))
			return fpc_fail(FPC_EXIT_USAGE, "%s: takes no --%s, see \"fpctl help %s\"",
					cmd, opts[i].name, cmd);
	return FPC_EXIT_OK;
}

const char *fpc_opts_wants(const char *word)
{
	int i = FPC_NONE;

	if (word[0] == '-' && word[1] == '-')
		i = fpc_pick(opt_names, word + 2, false);
	else if (by_letter(word[strlen(word) - 1])) /* of "-jw" the last one */
		i = by_letter(word[strlen(word) - 1]) - opts;
	return i < 0 ? NULL : opts[i].arg;
}

void fpc_opts_list(const char *letters, bool explain)
{
	for (const struct opt *o = opts; o->doc; o++)
		if (letters && o->letter != 'h' && !strchr(letters, o->letter))
			continue;
		else if (explain)
			printf("  -%c, --%-8s%-8s %s\n", o->letter, o->name, o->arg ? o->arg : "",
			       o->doc);
		else
			printf("--%s\n", o->name);
}
