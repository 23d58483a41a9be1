// SPDX-License-Identifier: GPL-2.0
/*
 * fpctl save, restore: the tunables as a file of "key = value" lines.
 *
 * The form is that of sysctl.d: one setting a line, blanks do not matter, and a
 * line that begins with '#' or ';' is a comment.  Restore sends everything as
 * one request, which the kernel accepts or refuses as a whole.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/cfph.h>

#include "fpc_args.h"
#include "fpc_file.h"
#include "fpctl.h"

#ifndef FPCTL_CONF
#define FPCTL_CONF "/etc/fpctl.conf"
#endif

/* --- save ------------------------------------------------------------------ */

static void write_tunables(FILE *out, const struct fpc_attrs *a)
{
	const struct fpc_table *t = &fpc_status_table;
	char buf[FPC_NAME_MAX], range[128];

	fputs("# Tunables of continuous free-page hinting, as \"fpctl save\" has found\n"
	      "# them.  \"fpctl restore\" applies them, fpctl.service does so at boot.\n"
	      "# fpctl(8) explains them.\n",
	      out);
	for (unsigned int i = 0; i < t->nr_fields; i++) {
		const struct fpc_field *f = &t->fields[i];

		if (!f->settable || !fpc_have(a, f->attr))
			continue;
		fpc_field_range(f, range, sizeof(range));
		fprintf(out, "\n# %s%s%s\n%s = %s\n", range, f->unit ? " " : "",
			f->unit ? f->unit : "", f->name,
			fpc_field_text(f, a, buf));
	}
}

static int save_file(const char *what, const char *path,
		     const struct fpc_attrs *a)
{
	struct fpc_file file;
	int err;

	err = fpc_file_create(&file, path, 0644);
	if (!err) {
		write_tunables(file.stream, a);
		err = fpc_file_commit(&file);
	}
	if (err)
		return fpc_fail(FPC_EXIT_LOST, "%s: %s", what, strerror(err));
	return FPC_EXIT_OK;
}

int cmd_save(const struct fpc_ctx *ctx, const struct fpc_cmd *cmd, int argc,
	     char **argv)
{
	const char *path = argc ? argv[0] : FPCTL_CONF;
	struct fpc_attrs a = { 0 };
	char what[256];
	int rc;

	if (argc > 1)
		return fpc_no_args(cmd, argc - 1, argv + 1);
	snprintf(what, sizeof(what), "save %s", path);
	rc = fpc_get(ctx, what, CFPH_CMD_GET, &fpc_status_table, &a);
	if (rc)
		return rc;
	if (strcmp(path, "-"))
		return save_file(what, path, &a);
	write_tunables(stdout, &a);
	return FPC_EXIT_OK;
}

/* --- restore --------------------------------------------------------------- */

struct conf {
	const char *path;
	struct fpc_attrs attrs;
	unsigned int line[FPC_ATTRS]; /* where each of them was */
};

/* Cut blanks off both ends. */
static char *strip(char *s)
{
	char *end = s + strlen(s);

	while (end > s && isspace((unsigned char)end[-1]))
		*--end = '\0';
	while (isspace((unsigned char)*s))
		s++;
	return s;
}

static int parse_line(struct conf *c, unsigned int nr, char *text)
{
	const struct fpc_field *field;
	char where[256], *key, *value;

	key = strip(text);
	if (!*key || *key == '#' || *key == ';')
		return FPC_EXIT_OK;
	snprintf(where, sizeof(where), "restore %s:%u:", c->path, nr);
	value = strchr(key, '=');
	if (!value)
		return fpc_fail(FPC_EXIT_USAGE, "%s %s: not \"key = value\"",
				where, key);
	*value++ = '\0';
	key = strip(key);
	if (fpc_args_pair(where, &fpc_status_table, key, strip(value),
			  &c->attrs))
		return FPC_EXIT_USAGE;
	field = fpc_field_by_name(&fpc_status_table, key);
	c->line[field->attr] = nr;
	return FPC_EXIT_OK;
}

static int parse_file(struct conf *c, FILE *in)
{
	unsigned int nr = 0;
	char *text = NULL;
	size_t room = 0;
	int rc = FPC_EXIT_OK;
	ssize_t len;

	while (!rc && (len = getline(&text, &room, in)) >= 0) {
		nr++;
		if (strlen(text) != (size_t)len)
			rc = fpc_fail(
				FPC_EXIT_USAGE,
				"restore %s:%u: a NUL character: this is no text file",
				c->path, nr);
		else
			rc = parse_line(c, nr, text);
	}
	free(text);
	if (!rc && ferror(in))
		rc = fpc_fail(FPC_EXIT_USAGE, "restore %s: %s", c->path,
			      strerror(errno));
	return rc;
}

static int apply(const struct fpc_ctx *ctx, const struct conf *c)
{
	const struct fpc_field *field = NULL;
	char what[256], buf[FPC_NAME_MAX];
	struct fpc_nl_error e;
	struct fpc_nl *nl;

	if (!fpc_nl_open(&nl, CFPH_FAMILY_NAME, ctx->debug, &e)) {
		fpc_nl_do(nl, CFPH_CMD_SET, &fpc_status_table, &c->attrs, NULL,
			  &e);
		fpc_nl_close(nl);
	}
	if (e.attr && e.attr < FPC_ATTRS && fpc_have(&c->attrs, e.attr))
		field = fpc_field_by_attr(&fpc_status_table, e.attr);
	if (field)
		snprintf(what, sizeof(what), "restore %s:%u: %s = %s", c->path,
			 c->line[e.attr], field->name,
			 fpc_field_text(field, &c->attrs, buf));
	else
		snprintf(what, sizeof(what), "restore %s", c->path);
	return fpc_fail_kernel(what, field, &e);
}

int cmd_restore(const struct fpc_ctx *ctx, const struct fpc_cmd *cmd, int argc,
		char **argv)
{
	struct conf c = { .path = argc ? argv[0] : FPCTL_CONF };
	bool from_stdin = !strcmp(c.path, "-");
	FILE *in;
	int rc;

	if (argc > 1)
		return fpc_no_args(cmd, argc - 1, argv + 1);
	in = from_stdin ? stdin : fopen(c.path, "re");
	if (!in)
		return fpc_fail(FPC_EXIT_USAGE, "restore %s: %s%s", c.path,
				strerror(errno),
				errno == ENOENT ? ", \"fpctl save\" writes it"
						: "");
	rc = parse_file(&c, in);
	if (!from_stdin)
		fclose(in);
	/* A file of comments asks for nothing. */
	return rc || !c.attrs.have ? rc : apply(ctx, &c);
}

void cmd_save_complete(int argc, char **argv)
{
	(void)argv;
	if (!argc)
		puts(FPC_COMPLETE_FILE);
}

void cmd_save_describe(void)
{
	puts("\nThe file has one \"key = value\" a line; '#' and ';' begin a comment.\n"
	     "Without FILE it is " FPCTL_CONF
	     ", and \"-\" is the standard output or\n"
	     "input.  Restore applies all of it or nothing.  \"fpctl help set\" explains\n"
	     "the keys; fpctl.service restores at boot.");
}
