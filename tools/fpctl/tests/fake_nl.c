// SPDX-License-Identifier: GPL-2.0
/*
 * fpc_nl.h without a kernel, see fake_nl.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/cfph.h>

#include "fake_nl.h"

struct fake_nl fake_nl = { .sent_fd = -1 };

/* Something to leak: so LeakSanitizer sees a missing close. */
struct fpc_nl {
	char family[32];
};

int fpc_nl_open(struct fpc_nl **nl, const char *family, bool debug,
		struct fpc_nl_error *e)
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
	return 0;
}

void fpc_nl_close(struct fpc_nl *nl)
{
	free(nl);
}

static void record(const struct fpc_nl *nl, uint8_t command,
		   const struct fpc_table *table,
		   const struct fpc_attrs *request)
{
	static const char *const names[] = {
		[CFPH_CMD_GET] = "get",
		[CFPH_CMD_SET] = "set",
		[CFPH_CMD_STATS_GET] = "stats-get",
	};

	if (fake_nl.sent_fd < 0)
		return;
	dprintf(fake_nl.sent_fd, "%s %s", nl->family, names[command]);
	for (unsigned int i = 0; request && i < table->nr_fields; i++) {
		const struct fpc_field *f = &table->fields[i];

		if (fpc_have(request, f->attr))
			dprintf(fake_nl.sent_fd, " %s=%" PRIu64, f->name,
				request->value[f->attr]);
	}
	dprintf(fake_nl.sent_fd, "\n");
}

int fpc_nl_do(struct fpc_nl *nl, uint8_t command, const struct fpc_table *table,
	      const struct fpc_attrs *request, struct fpc_attrs *reply,
	      struct fpc_nl_error *e)
{
	record(nl, command, table, request);
	*e = fake_nl.answer;
	if (e->code || !reply)
		return e->code;
	*reply = command == CFPH_CMD_GET ? *fake_nl.status : *fake_nl.stats;
	return 0;
}
