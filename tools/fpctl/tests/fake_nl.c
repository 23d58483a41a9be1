// SPDX-License-Identifier: GPL-2.0
/*
 * fpc_nl.h without a kernel, see fake_nl.h.
 */
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <linux/cfph.h>

#include "fake_nl.h"

struct fake_nl fake_nl = { .sent_fd = -1 };

/* Something to leak: so LeakSanitizer sees a missing close. */
struct fpc_nl {
	char family[32];
	int fd;
};

/* --- the clock: linked with --wrap=clock_gettime, --wrap=poll ------------- */

#define BOOT_MS UINT64_C(1000000)
#define WALL_MS UINT64_C(1795435200000)

static uint64_t waited_ms;

int __wrap_clock_gettime(clockid_t id, struct timespec *ts);
int __wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
	uint64_t ms = (id == CLOCK_REALTIME ? WALL_MS : BOOT_MS) + waited_ms;

	ts->tv_sec = ms / 1000;
	ts->tv_nsec = ms % 1000 * 1000000;
	return 0;
}

int __real_poll(struct pollfd *fds, nfds_t n, int ms);
int __wrap_poll(struct pollfd *fds, nfds_t n, int ms);
int __wrap_poll(struct pollfd *fds, nfds_t n, int ms)
{
	int ready = __real_poll(fds, n, ms < 0 || fake_nl.forever ? ms : 0);

	if (!ready)
		waited_ms += ms;
	return ready;
}

/* --- fpc_nl.h -------------------------------------------------------------- */

int fpc_nl_open(struct fpc_nl **nl, const char *family, bool debug, struct fpc_nl_error *e)
{
	(void)debug;
	*nl = NULL;
	*e = fake_nl.open;
	if (e->code)
		return e->code;
	*nl = calloc(1, sizeof(**nl));
	if (!*nl)
		abort();
	snprintf((*nl)->family, sizeof((*nl)->family), "%s", family);
	(*nl)->fd = -1;
	return 0;
}

void fpc_nl_close(struct fpc_nl *nl)
{
	if (!nl)
		return;
	if (nl->fd >= 0)
		close(nl->fd);
	free(nl);
}

static void record(const struct fpc_nl *nl, uint8_t command, const struct fpc_table *table,
		   const struct fpc_attrs *request)
{
	static const char *const names[] = {
		[CFPH_CMD_GET] = "get",
		[CFPH_CMD_SET] = "set",
		[CFPH_CMD_DEFAULTS_GET] = "defaults-get",
		[CFPH_CMD_STATS_GET] = "stats-get",
		[CFPH_CMD_ZONE_GET] = "zone-get",
		[CFPH_CMD_MAP_GET] = "map-get",
		[CFPH_CMD_MAP_RAW_GET] = "map-raw-get",
		[CFPH_CMD_RECLAIM] = "reclaim",
	};

	if (fake_nl.sent_fd < 0)
		return;
	dprintf(fake_nl.sent_fd, "%s %s", nl->family, names[command]);
	for (unsigned int i = 0; request && i < table->nr_fields; i++) {
		const struct fpc_field *f = &table->fields[i];

		if (!fpc_have(request, f->attr))
			continue;
		if (f->kind == FPC_STRING)
			dprintf(fake_nl.sent_fd, " %s=%s", f->name, fpc_data(request, f->attr));
		else
			dprintf(fake_nl.sent_fd, " %s=%" PRIu64, f->name, request->value[f->attr]);
	}
	dprintf(fake_nl.sent_fd, "\n");
}

/* Each look at the counters finds more, and the last one is the last. */
static void grow(struct fpc_attrs *stats)
{
	static unsigned int calls;

	for (unsigned int i = 0; i < FPC_ATTRS; i++)
		if (stats->value[i] < UINT64_MAX)
			stats->value[i] += (uint64_t)calls * FAKE_GROWTH;
	if (++calls == FAKE_SAMPLES && !fake_nl.forever)
		raise(SIGTERM);
}

static int list(uint8_t command, fpc_each *each, void *arg)
{
	const struct fpc_attrs *list = fake_nl.leaves;
	unsigned int nr = fake_nl.nr_leaves;

	if (command == CFPH_CMD_ZONE_GET) {
		list = fake_nl.zones;
		nr = fake_nl.nr_zones;
	} else if (command == CFPH_CMD_RECLAIM) {
		list = fake_nl.steps;
		nr = fake_nl.nr_steps;
	}
	/* The kernel may fail after it has sent a part. */
	for (unsigned int i = 0; i < (fake_nl.answer.code ? 1 : nr); i++)
		each(&list[i], arg);
	return fake_nl.answer.code;
}

int fpc_nl_ask(struct fpc_nl *nl, uint8_t command, bool is_list, const struct fpc_table *table,
	       const struct fpc_attrs *request, fpc_each *each, void *arg, struct fpc_nl_error *e)
{
	struct fpc_attrs reply;

	record(nl, command, table, request);
	*e = fake_nl.answer;
	if (is_list)
		return list(command, each, arg);
	if (e->attr && !(request && fpc_have(request, e->attr)))
		*e = (struct fpc_nl_error){ 0 };
	if (e->code || !each)
		return e->code;
	reply = command == CFPH_CMD_GET		? *fake_nl.status
		: command == CFPH_CMD_STATS_GET ? *fake_nl.stats
						: *fake_nl.defaults;
	if (command == CFPH_CMD_STATS_GET)
		grow(&reply);
	each(&reply, arg);
	return 0;
}

int fpc_nl_join(struct fpc_nl *nl, const char *family, const char *group, struct fpc_nl_error *e)
{
	*e = (struct fpc_nl_error){ 0 };
	/* Readable, if there is something to read. */
	nl->fd = eventfd(!fake_nl.forever && !fake_nl.events->end, EFD_CLOEXEC);
	if (fake_nl.sent_fd >= 0)
		dprintf(fake_nl.sent_fd, "%s join %s\n", family, group);
	return 0;
}

int fpc_nl_fd(const struct fpc_nl *nl)
{
	return nl->fd;
}

int fpc_nl_events(struct fpc_nl *nl, const struct fpc_table *table, fpc_each *each, void *arg,
		  struct fpc_nl_error *e)
{
	static unsigned int next;
	const struct fake_event *now = &fake_nl.events[next];

	(void)nl;
	(void)table;
	*e = now->error;
	if (now->event.have)
		each(&now->event, arg);
	if (now->end)
		raise(SIGTERM);
	else
		next++;
	return e->code;
}
