// SPDX-License-Identifier: GPL-2.0
/*
 * fpctl monitor: the events of the multicast group, one a line.
 *
 * The group is joined before the state is read, so no change falls between the
 * two; an event that is already part of that state may be printed after it.
 * When the kernel says that it had to drop events, the state is read again and
 * printed like the first one: whoever follows the lines is right again.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <linux/cfph.h>

#include "fpc_out.h"
#include "fpc_wait.h"
#include "fpctl.h"

/* Not an event of the kernel: the state when we began, or after a loss. */
#define NOW "now"

struct monitor {
	const struct fpc_ctx *ctx;
	const char *what;
	struct fpc_nl *events; /* the group's socket */
	struct fpc_nl *nl; /* for requests, for events may come at any time */
};

/* When it happened, by the wall clock; now, if the kernel does not say. */
static uint64_t wall_ms(const struct fpc_attrs *a)
{
	int64_t ago_ns = fpc_wait_clock() - a->value[CFPH_A_EVENT_TIME_NS];

	if (!fpc_have(a, CFPH_A_EVENT_TIME_NS))
		ago_ns = 0;
	return fpc_now_ms() - ago_ns / 1000000;
}

static const char *name_of(const struct fpc_attrs *a, uint16_t attr,
			   char buf[FPC_NAME_MAX])
{
	return fpc_choice_name(fpc_field_by_attr(&fpc_event_table, attr),
			       a->value[attr], buf);
}

/* "off (admin)", "migration 3, round 4", "text": what the event has to say. */
static void show_text(const char *name, const struct fpc_attrs *a)
{
	const char *text = fpc_data(a, CFPH_A_EVENT_TEXT);
	uint64_t id = a->value[CFPH_A_EVENT_MIGRATION_ID];
	bool state = !strcmp(name, "state") || !strcmp(name, NOW);
	const char *gap = ", ";
	char buf[FPC_NAME_MAX];

	printf(state || id || text[0] ? "%-9s " : "%s", name);
	if (state)
		fputs(name_of(a, CFPH_A_EVENT_STATE, buf), stdout);
	else
		gap = "";
	if (state && a->value[CFPH_A_EVENT_REASON])
		printf(" (%s)", name_of(a, CFPH_A_EVENT_REASON, buf));
	if (id) {
		printf("%smigration %" PRIu64 ", round %" PRIu64, gap, id,
		       a->value[CFPH_A_EVENT_ROUND]);
		gap = ", ";
	}
	if (text[0])
		printf("%s%s", gap, text);
	putchar('\n');
}

static void show_json(struct fpc_out *o, const char *name,
		      const struct fpc_attrs *a)
{
	const struct fpc_table *t = &fpc_event_table;
	char buf[FPC_NAME_MAX];

	fpc_out_str(o, "event", name, NULL);
	for (unsigned int i = 0; i < t->nr_fields; i++) {
		const struct fpc_field *f = &t->fields[i];

		if (!fpc_have(a, f->attr) || f->attr == CFPH_A_EVENT_EVENT)
			continue;
		if (f->kind == FPC_ENUM || f->kind == FPC_STRING)
			fpc_out_str(o, f->name, fpc_field_text(f, a, buf),
				    NULL);
		else
			fpc_out_num(o, f->name, a->value[f->attr], NULL);
	}
}

static void show(const struct fpc_ctx *ctx, const char *name,
		 const struct fpc_attrs *a)
{
	struct fpc_ctx no_time = *ctx;
	struct fpc_out o;

	no_time.time = false; /* not when we print, but when it happened */
	fpc_out_begin(&o, &no_time);
	if (ctx->time)
		fpc_out_time(&o, wall_ms(a), NULL);
	if (ctx->json)
		show_json(&o, name, a);
	else
		show_text(name, a);
	fpc_out_end(&o);
}

static void on_event(const struct fpc_attrs *a, void *arg)
{
	const struct monitor *m = arg;
	char buf[FPC_NAME_MAX];

	show(m->ctx, name_of(a, CFPH_A_EVENT_EVENT, buf), a);
}

/* The state, as if it were an event. */
static int show_now(struct monitor *m)
{
	static const struct {
		uint16_t from, to;
	} same[] = {
		{ CFPH_A_STATE, CFPH_A_EVENT_STATE },
		{ CFPH_A_REASON, CFPH_A_EVENT_REASON },
		{ CFPH_A_MIGRATION_ID, CFPH_A_EVENT_MIGRATION_ID },
		{ CFPH_A_ROUND, CFPH_A_EVENT_ROUND },
	};
	struct fpc_attrs now = { 0 }, status;
	struct fpc_nl_error e;

	fpc_nl_do(m->nl, CFPH_CMD_GET, &fpc_status_table, NULL, &status, &e);
	if (e.code)
		return fpc_fail_kernel(m->what, NULL, &e);
	fpc_put(&now, CFPH_A_EVENT_TIME_NS, fpc_wait_clock());
	for (unsigned int i = 0; i < ARRAY_SIZE(same); i++)
		if (fpc_have(&status, same[i].from))
			fpc_put(&now, same[i].to, status.value[same[i].from]);
	show(m->ctx, NOW, &now);
	return FPC_EXIT_OK;
}

static int loop(struct monitor *m)
{
	int rc = show_now(m), end = FPC_EXIT_OK;
	struct fpc_nl_error e;

	while (!rc && fpc_wait_flush()) {
		if (fpc_wait(fpc_nl_fd(m->events), FPC_WAIT_FOREVER) ==
		    FPC_WAIT_STOP)
			break;
		fpc_nl_events(m->events, &fpc_event_table, on_event, m, &e);
		if (e.code == FPC_EXIT_LOST) {
			end = fpc_fail(
				FPC_EXIT_LOST,
				"%s: events lost, reading the state again",
				m->what);
			rc = show_now(m);
		} else {
			rc = fpc_fail_kernel(m->what, NULL, &e);
		}
	}
	return rc ? rc : end;
}

static int monitor(struct monitor *m)
{
	struct fpc_nl_error e;

	/* Two sockets, and joined first: see above. */
	if (fpc_nl_open(&m->events, CFPH_FAMILY_NAME, m->ctx->debug, &e) ||
	    fpc_nl_join(m->events, CFPH_FAMILY_NAME, CFPH_MCGRP_MONITOR, &e) ||
	    fpc_nl_open(&m->nl, CFPH_FAMILY_NAME, m->ctx->debug, &e))
		return fpc_fail_kernel(m->what, NULL, &e);
	return loop(m);
}

int cmd_monitor(const struct fpc_ctx *ctx, const struct fpc_cmd *cmd, int argc,
		char **argv)
{
	struct monitor m = { .ctx = ctx, .what = cmd->name };
	int rc;

	if (fpc_no_args(cmd, argc, argv))
		return FPC_EXIT_USAGE;
	if (!fpc_wait_begin())
		return fpc_fail(FPC_EXIT_LOST, "%s: cannot wait for signals",
				cmd->name);
	rc = monitor(&m);
	fpc_nl_close(m.nl);
	fpc_nl_close(m.events);
	fpc_wait_end();
	return rc;
}

void cmd_monitor_describe(void)
{
	const struct fpc_field *f =
		fpc_field_by_attr(&fpc_event_table, CFPH_A_EVENT_EVENT);

	puts("\nOne line for each event until it is interrupted; -t says when.\n"
	     "Exit status 4 says that some were lost on the way.\n\n"
	     "  now                the state at the beginning, and after a loss");
	for (unsigned int i = 0; i < f->nr_choices; i++)
		printf("  %-18s %s\n", f->choices[i].name, f->choices[i].doc);
}
