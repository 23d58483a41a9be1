// SPDX-License-Identifier: GPL-2.0
/*
 * fpctl save, restore: the tunables as a file of "key = value" lines.
 *
 * The form is that of sysctl.d: one setting a line, blanks do not matter, and a
 * line that begins with '#' or ';' is a comment.  What has its default is not
 * saved, so that a later kernel may have a better one.
 *
 * Restore sends everything as one request, which the kernel accepts or refuses as
 * a whole.  With --lenient what cannot be set is taken out, with a warning: a file
 * may come from a newer kernel, or a larger machine.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/cfph.h>

#include "fpc_args.h"
#include "fpc_ask.h"
#include "fpc_file.h"

#define FPCTL_CONF "/etc/fpctl.conf"

/* --- save ------------------------------------------------------------------ */

static bool same(const struct fpc_field *f, const struct fpc_attrs *a, const struct fpc_attrs *b)
{
	if (!fpc_have(b, f->attr) || a->value[f->attr] != b->value[f->attr])
		return false;
	return f->kind != FPC_STRING || !strcmp(fpc_data(a, f->attr), fpc_data(b, f->attr));
}

static void write_tunables(FILE *out, const struct fpc_attrs *is, const struct fpc_attrs *defaults)
{
	const struct fpc_table *t = &fpc_status_table;
	char buf[FPC_NAME_MAX], range[128];

	fputs("# Tunables of continuous free-page hinting that \"fpctl save\" has found\n"
	      "# changed.  \"fpctl restore\" applies them, fpctl.service does so at boot.\n"
	      "# fpctl(8) explains them.\n",
	      out);
	for (unsigned int i = 0; i < t->nr_fields; i++) {
		const struct fpc_field *f = &t->fields[i];

		if (!f->settable || !fpc_have(is, f->attr) || same(f, is, defaults))
			continue;
		fpc_field_range(f, range, sizeof(range));
		fprintf(out, "\n# %s\n%s = %s\n", range, f->name, fpc_field_text(f, is, buf));
	}
}

int cmd_save(const struct fpc_ctx *ctx)
{
	const char *path = ctx->argc ? ctx->argv[0] : FPCTL_CONF;
	struct fpc_attrs is, defaults;
	struct fpc_file file;
	char what[256];
	int err;

	snprintf(what, sizeof(what), "save %s", path);
	err = fpc_get(ctx, what, CFPH_CMD_GET, &fpc_status_table, &is);
	if (!err)
		err = fpc_get(ctx, what, CFPH_CMD_DEFAULTS_GET, &fpc_status_table, &defaults);
	if (err)
		return err;
	if (!strcmp(path, "-")) {
		write_tunables(stdout, &is, &defaults);
		return FPC_EXIT_OK;
	}
	err = fpc_file_create(&file, path, 0644);
	if (!err) {
		write_tunables(file.stream, &is, &defaults);
		err = fpc_file_end(&file, 0);
	}
	return err ? fpc_fail(FPC_EXIT_LOST, "%s: %s", what, strerror(err)) : FPC_EXIT_OK;
}

/* --- restore --------------------------------------------------------------- */

struct conf {
	const char *path;
	bool lenient;
	struct fpc_attrs attrs;
	unsigned int line[FPC_ATTRS]; /* where each of them was */
};

/* "restore FILE:3:", what a line about a line begins with; nr 0: about all. */
static const char *where(const struct conf *c, unsigned int nr, char buf[256])
{
	const char *what = c->lenient ? " ignored:" : "";

	if (nr)
		snprintf(buf, 256, "restore %s:%u:%s", c->path, nr, what);
	else
		snprintf(buf, 256, "restore %s", c->path);
	return buf;
}

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
	char buf[256], *key, *value;
	uint32_t had = c->attrs.have;

	key = strip(text);
	if (!*key || *key == '#' || *key == ';')
		return FPC_EXIT_OK;
	where(c, nr, buf);
	value = strchr(key, '=');
	if (!value)
		return fpc_fail(FPC_EXIT_USAGE, "%s %s: not \"key = value\"", buf, key);
	*value++ = '\0';
	if (fpc_args_pair(buf, true, strip(key), strip(value), &c->attrs))
		return FPC_EXIT_USAGE;
	c->line[__builtin_ctz(c->attrs.have ^ had)] = nr;
	return FPC_EXIT_OK;
}

static int parse_file(struct conf *c, FILE *in)
{
	char *text = NULL, buf[256];
	unsigned int nr = 0;
	size_t room = 0;
	int rc = FPC_EXIT_OK;
	ssize_t len;

	while ((!rc || c->lenient) && (len = getline(&text, &room, in)) >= 0) {
		nr++;
		if (strlen(text) != (size_t)len)
			rc = fpc_fail(FPC_EXIT_USAGE, "%s a NUL character: this is no text file",
				      where(c, nr, buf));
		else
			rc = parse_line(c, nr, text);
	}
	free(text);
	if (ferror(in))
		return fpc_fail(FPC_EXIT_LOST, "%s: %s", where(c, 0, buf), strerror(errno));
	return c->lenient ? FPC_EXIT_OK : rc;
}

/* A file of comments asks for nothing. */
static int apply(const struct fpc_ctx *ctx, struct conf *c)
{
	char what[512], buf[256], digits[FPC_NAME_MAX];
	const struct fpc_field *blamed;
	struct fpc_nl_error e;
	int rc = FPC_EXIT_OK;

	while (c->attrs.have) {
		blamed = fpc_set(ctx, &c->attrs, &e);
		if (blamed)
			snprintf(what, sizeof(what), "%s %s = %s", where(c, c->line[e.attr], buf),
				 blamed->name, fpc_field_text(blamed, &c->attrs, digits));
		else
			where(c, 0, what);
		rc = fpc_fail_kernel(what, blamed, &e);
		if (!blamed || !c->lenient)
			break;
		/* Once more without it. */
		c->attrs.have &= ~(UINT32_C(1) << e.attr);
		rc = FPC_EXIT_OK;
	}
	return rc;
}

int cmd_restore(const struct fpc_ctx *ctx)
{
	struct conf c = { .path = ctx->argc ? ctx->argv[0] : FPCTL_CONF, .lenient = ctx->opt['l'] };
	bool from_stdin = !strcmp(c.path, "-");
	FILE *in;
	int rc;

	in = from_stdin ? stdin : fopen(c.path, "re");
	if (!in)
		return fpc_fail(FPC_EXIT_LOST, "restore %s: %s%s", c.path, strerror(errno),
				errno == ENOENT ? ", \"fpctl save\" writes it" : "");
	rc = parse_file(&c, in);
	if (!from_stdin)
		fclose(in);
	return rc ? rc : apply(ctx, &c);
}
