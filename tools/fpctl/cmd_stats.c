// SPDX-License-Identifier: GPL-2.0
/*
 * fpctl stats: the counters, once or again and again with their rates.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/cfph.h>

#include "fpc_out.h"
#include "fpc_wait.h"
#include "fpctl.h"

#define NS_PER_SEC UINT64_C(1000000000)

#define COLUMN "%-17s %12" PRIu64

/* Two answers of the kernel, and when they came. */
struct sample {
	struct fpc_attrs counters;
	uint64_t clock_ns;
};

/* Events per thousand seconds: the fraction is printed in thousandths. */
static uint64_t rate(uint64_t before, uint64_t after, uint64_t elapsed_ns)
{
	if (after <= before || !elapsed_ns)
		return 0;
	return (double)(after - before) * 1000 * NS_PER_SEC / elapsed_ns + 0.5;
}

/* What the number means in larger units, "" if that is no news. */
static struct fpc_size remark(const struct fpc_field *field, uint64_t value)
{
	const char *unit = field->unit ? field->unit : "";
	struct fpc_size s = { "" };

	if (!strcmp(unit, "bytes") && value >= 1024)
		s = fpc_size(value);
	else if (!strcmp(unit, "ns") && value >= 1000)
		snprintf(s.text, sizeof(s.text), "%" PRIu64 ".%03" PRIu64 " ms",
			 value / 1000000, value / 1000 % 1000);
	return s;
}

static void show_counter(struct fpc_out *o, const struct fpc_field *field,
			 uint64_t value, const char *rate)
{
	struct fpc_size more = remark(field, value);
	bool any = more.text[0];

	fpc_out_num(o, field->name, value, COLUMN "%s%s%s%s\n", field->name,
		    value, rate, any ? "  (" : "", more.text, any ? ")" : "");
}

/* The times are of the newest scan and pass, which have no rate. */
static bool has_rate(const struct fpc_field *field, const struct sample *last,
		     const struct sample *s)
{
	return last && !(field->unit && !strcmp(field->unit, "ns")) &&
	       fpc_have(&last->counters, field->attr) &&
	       fpc_have(&s->counters, field->attr);
}

static uint64_t field_rate(const struct fpc_field *field,
			   const struct sample *last, const struct sample *s)
{
	return rate(last->counters.value[field->attr],
		    s->counters.value[field->attr],
		    s->clock_ns - last->clock_ns);
}

static void show_rates(struct fpc_out *o, const struct sample *last,
		       const struct sample *s)
{
	const struct fpc_table *t = &fpc_stats_table;

	fpc_out_num(o, "elapsed-ms", (s->clock_ns - last->clock_ns) / 1000000,
		    NULL);
	fpc_out_open(o, "rates", '{');
	for (unsigned int i = 0; i < t->nr_fields; i++)
		if (has_rate(&t->fields[i], last, s))
			fpc_out_milli(o, t->fields[i].name,
				      field_rate(&t->fields[i], last, s), NULL);
	fpc_out_close(o, '{');
}

/* @last: what the rates are relative to, NULL for none. */
static void show(const struct fpc_ctx *ctx, const struct sample *last,
		 const struct sample *s)
{
	const struct fpc_table *t = &fpc_stats_table;
	struct fpc_out o;
	char text[48];

	fpc_out_begin(&o, ctx);
	for (unsigned int i = 0; i < t->nr_fields; i++) {
		const struct fpc_field *f = &t->fields[i];
		uint64_t r;

		if (!fpc_have(&s->counters, f->attr))
			continue;
		text[0] = '\0';
		if (has_rate(f, last, s)) {
			r = field_rate(f, last, s);
			snprintf(text, sizeof(text), " %10" PRIu64 ".%u/s",
				 (r + 50) / 1000,
				 (unsigned int)((r + 50) / 100 % 10));
		}
		show_counter(&o, f, s->counters.value[f->attr], text);
	}
	if (o.json && last)
		show_rates(&o, last, s);
	fpc_out_end(&o);
}

static int take(struct fpc_nl *nl, const char *what, struct sample *s)
{
	struct fpc_nl_error e;

	fpc_nl_do(nl, CFPH_CMD_STATS_GET, &fpc_stats_table, NULL, &s->counters,
		  &e);
	s->clock_ns = fpc_wait_clock();
	return fpc_fail_kernel(what, NULL, &e);
}

/* Between two blocks: a terminal begins again at its top. */
static void separate(const struct fpc_ctx *ctx, bool first)
{
	if (ctx->json)
		return;
	if (isatty(STDOUT_FILENO))
		fputs("\033[H\033[2J", stdout);
	else if (!first)
		putchar('\n');
}

static int watch_loop(const struct fpc_ctx *ctx, struct fpc_nl *nl,
		      const char *what, uint64_t period_ns)
{
	struct sample samples[2];
	uint64_t next = fpc_wait_clock();
	unsigned int i;
	int rc;

	for (i = 0;; i++) {
		struct sample *s = &samples[i % 2];

		rc = take(nl, what, s);
		if (rc)
			return rc;
		separate(ctx, !i);
		show(ctx, i ? &samples[(i + 1) % 2] : NULL, s);
		if (!fpc_wait_flush())
			return FPC_EXIT_OK; /* main() reports what matters */
		/* The period is kept, unless we have slept through some. */
		next += period_ns;
		if (next < s->clock_ns)
			next = s->clock_ns + period_ns;
		if (fpc_wait(-1, next) == FPC_WAIT_STOP)
			return FPC_EXIT_OK;
	}
}

static int watch(const struct fpc_ctx *ctx, const char *what,
		 uint64_t period_ns)
{
	struct fpc_nl_error e;
	struct fpc_nl *nl;
	int rc;

	if (!fpc_wait_begin())
		return fpc_fail(FPC_EXIT_LOST, "%s: cannot wait for signals",
				what);
	if (fpc_nl_open(&nl, CFPH_FAMILY_NAME, ctx->debug, &e))
		rc = fpc_fail_kernel(what, NULL, &e);
	else
		rc = watch_loop(ctx, nl, what, period_ns);
	fpc_nl_close(nl);
	fpc_wait_end();
	return rc;
}

/* Seconds with up to three decimals, from 0.1 on. */
static bool parse_seconds(const char *word, uint64_t *ns)
{
	static const uint64_t scale[] = { 1000, 100, 10, 1 };
	char *end, *fraction;
	uint64_t s, ms = 0;

	if (word[0] < '0' || word[0] > '9')
		return false;
	s = strtoull(word, &end, 10);
	if (*end == '.') {
		fraction = end + 1;
		if (*fraction < '0' || *fraction > '9')
			return false;
		ms = strtoull(fraction, &end, 10);
		if (end - fraction > 3)
			return false;
		ms *= scale[end - fraction];
	}
	if (*end || s > 86400 || s * 1000 + ms < 100)
		return false;
	*ns = (s * 1000 + ms) * 1000000;
	return true;
}

static int cmd_watch(const struct fpc_ctx *ctx, const struct fpc_cmd *cmd,
		     int argc, char **argv)
{
	uint64_t ns;

	if (argc < 2)
		return fpc_fail(FPC_EXIT_USAGE,
				"%s %s: needs a value, 0.1..86400 seconds",
				cmd->name, argv[0]);
	if (!parse_seconds(argv[1], &ns))
		return fpc_fail(FPC_EXIT_USAGE,
				"%s %s %s: not a number of seconds, 0.1..86400",
				cmd->name, argv[0], argv[1]);
	if (fpc_no_args(cmd, argc - 2, argv + 2))
		return FPC_EXIT_USAGE;
	return watch(ctx, cmd->name, ns);
}

int cmd_stats(const struct fpc_ctx *ctx, const struct fpc_cmd *cmd, int argc,
	      char **argv)
{
	struct sample s = { 0 };
	int rc;

	if (argc && !strcmp(argv[0], "zone"))
		return cmd_zone(ctx, cmd, argc - 1, argv + 1);
	if (argc && (!strcmp(argv[0], "--watch") || !strcmp(argv[0], "-w")))
		return cmd_watch(ctx, cmd, argc, argv);
	rc = fpc_no_args(cmd, argc, argv);
	if (!rc)
		rc = fpc_get(ctx, cmd->name, CFPH_CMD_STATS_GET,
			     &fpc_stats_table, &s.counters);
	if (rc)
		return rc;
	show(ctx, NULL, &s);
	return FPC_EXIT_OK;
}

void cmd_stats_complete(int argc, char **argv)
{
	(void)argv;
	if (!argc)
		puts("zone\n--watch");
}

void cmd_stats_describe(void)
{
	const struct fpc_table *t = &fpc_stats_table;

	puts("\nWith --watch, again every so many seconds with what has been\n"
	     "added per second, until it is interrupted.  With zone, the pages\n"
	     "of each memory zone instead.\n\n"
	     "Counted since boot; the times are of the newest scan and pass:");
	for (unsigned int i = 0; i < t->nr_fields; i++)
		printf("  %-18s %s\n", t->fields[i].name, t->fields[i].doc);
}
