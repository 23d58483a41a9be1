// SPDX-License-Identifier: GPL-2.0
/*
 * fpctl monitor, wait: the events of the multicast group, one a line, or until one has
 * a state.
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

#include "fpc_args.h"
#include "fpc_ask.h"
#include "fpc_out.h"
#include "fpc_wait.h"

/* Not an event of the kernel: the state when we began, or after a loss. */
#define NOW "now"

/* When it happened, by the wall clock; now, if the kernel does not say. */
static uint64_t wall_ms(const struct fpc_attrs *a)
{
	int64_t ago_ns = fpc_clock(CLOCK_BOOTTIME) - a->value[CFPH_A_EVENT_TIME_NS];

	if (!fpc_have(a, CFPH_A_EVENT_TIME_NS))
		ago_ns = 0;
	return (fpc_clock(CLOCK_REALTIME) - ago_ns) / 1000000;
}

/* "off (admin)", "migration 3, round 4", "text": what the event has to say. */
static void show_text(const char *name, const struct fpc_attrs *a)
{
	bool state = !strcmp(name, "state") || !strcmp(name, NOW);
	const char *text = fpc_data(a, CFPH_A_EVENT_TEXT), *gap = "";
	uint64_t id = a->value[CFPH_A_EVENT_MIGRATION_ID];
	char buf[FPC_NAME_MAX];

	printf(state || id || text[0] ? "%-9s " : "%s", name);
	if (state) {
		printf("%s", fpc_text(&fpc_event_table, a, CFPH_A_EVENT_STATE, buf));
		gap = ", ";
	}
	if (state && a->value[CFPH_A_EVENT_REASON])
		printf(" (%s)", fpc_text(&fpc_event_table, a, CFPH_A_EVENT_REASON, buf));
	if (id) {
		printf("%smigration %" PRIu64 ", round %" PRIu64, gap, id,
		       a->value[CFPH_A_EVENT_ROUND]);
		gap = ", ";
	}
	if (a->value[CFPH_A_EVENT_RECLAIM])
		printf("%sreclaim %" PRIu64 "%%", gap, a->value[CFPH_A_EVENT_RECLAIM]);
	if (text[0])
		printf("%s%s", gap, text);
	putchar('\n');
}

static void show(const struct fpc_ctx *ctx, const char *name, const struct fpc_attrs *a)
{
	struct fpc_attrs rest = *a;
	struct fpc_out o;

	fpc_out_begin(&o, ctx, wall_ms(a));
	fpc_out_str(&o, "event", name);
	rest.have &= ~(UINT32_C(1) << CFPH_A_EVENT_EVENT);
	fpc_out_fields(&o, &fpc_event_table, &rest);
	if (!o.json)
		show_text(name, a);
	fpc_out_end(&o);
}

static void on_event(const struct fpc_attrs *a, void *arg)
{
	char buf[FPC_NAME_MAX];

	show(arg, fpc_text(&fpc_event_table, a, CFPH_A_EVENT_EVENT, buf), a);
}

/* The state, as if it were an event. */
static int show_now(const struct fpc_ctx *ctx)
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
	int rc;

	rc = fpc_get(ctx, "monitor", CFPH_CMD_GET, &fpc_status_table, &status);
	if (rc)
		return rc;
	fpc_put(&now, CFPH_A_EVENT_TIME_NS, fpc_clock(CLOCK_BOOTTIME));
	for (unsigned int i = 0; i < ARRAY_SIZE(same); i++)
		if (fpc_have(&status, same[i].from))
			fpc_put(&now, same[i].to, status.value[same[i].from]);
	show(ctx, NOW, &now);
	return FPC_EXIT_OK;
}

static int loop(const struct fpc_ctx *ctx, struct fpc_nl *events, void *unused)
{
	int rc = show_now(ctx), end = FPC_EXIT_OK;
	struct fpc_nl_error e;

	(void)unused;
	while (!rc && fpc_wait_flush()) {
		if (fpc_wait(fpc_nl_fd(events), FPC_WAIT_FOREVER) == FPC_WAIT_STOP)
			break;
		fpc_nl_events(events, &fpc_event_table, on_event, (void *)ctx, &e);
		if (e.code == FPC_EXIT_LOST) {
			end = fpc_fail(FPC_EXIT_LOST,
				       "monitor: events lost, reading the state again");
			rc = show_now(ctx);
		} else {
			rc = fpc_fail_kernel("monitor", NULL, &e);
		}
	}
	return rc ? rc : end;
}

int cmd_monitor(const struct fpc_ctx *ctx)
{
	return fpc_events(ctx, "monitor", loop, NULL);
}

/* --- wait ------------------------------------------------------------------ */

struct awaited {
	char what[32];
	uint64_t state, deadline;
	bool seen;
};

static void look_for(const struct fpc_attrs *a, void *arg)
{
	struct awaited *w = arg;

	if (fpc_have(a, CFPH_A_EVENT_STATE) && a->value[CFPH_A_EVENT_STATE] == w->state)
		w->seen = true;
}

static int give_up(const struct awaited *w, const char *why, const struct fpc_attrs *s)
{
	char state[FPC_NAME_MAX], reason[FPC_NAME_MAX];

	return fpc_fail(FPC_EXIT_TIME, "%s: %s, the state is %s, reason %s", w->what, why,
			fpc_text(&fpc_status_table, s, CFPH_A_STATE, state),
			fpc_text(&fpc_status_table, s, CFPH_A_REASON, reason));
}

static int wait_loop(const struct fpc_ctx *ctx, struct fpc_nl *events, void *arg)
{
	struct fpc_nl_error e = { 0 };
	struct awaited *w = arg;
	struct fpc_attrs status;
	int rc;

	/* After each event once more, for an older one may have been lost. */
	while (!w->seen) {
		rc = fpc_get(ctx, w->what, CFPH_CMD_GET, &fpc_status_table, &status);
		if (rc || status.value[CFPH_A_STATE] == w->state)
			return rc;
		switch (fpc_wait(fpc_nl_fd(events), w->deadline)) {
		case FPC_WAIT_TIME:
			return give_up(w, "time is up", &status);
		case FPC_WAIT_STOP:
			return give_up(w, "interrupted", &status);
		case FPC_WAIT_READY:
			fpc_nl_events(events, &fpc_event_table, look_for, w, &e);
		}
		if (e.code && e.code != FPC_EXIT_LOST)
			return fpc_fail_kernel(w->what, NULL, &e);
	}
	return FPC_EXIT_OK;
}

int cmd_wait(const struct fpc_ctx *ctx)
{
	struct awaited w = { .deadline = FPC_WAIT_FOREVER };
	const char *timeout = ctx->opt['T'], *word = ctx->argc ? ctx->argv[0] : "ready";
	int state = fpc_choose("wait", "state", fpc_state_names, word, false);

	if (state < 0 || (timeout && fpc_wait_seconds("wait", "timeout", timeout, 0, &w.deadline)))
		return FPC_EXIT_USAGE;
	if (timeout)
		w.deadline += fpc_clock(CLOCK_BOOTTIME);
	w.state = state;
	snprintf(w.what, sizeof(w.what), "wait %s", fpc_state_names(state));
	return fpc_events(ctx, w.what, wait_loop, &w);
}
