// SPDX-License-Identifier: GPL-2.0
/*
 * fpctl show: state and tunables.
 */
#include <inttypes.h>
#include <stdio.h>

#include <linux/cfph.h>

#include "fpc_out.h"
#include "fpctl.h"

/* The map counts pages of 4 KiB, whatever PAGE_SIZE is. */
#define PAGE_SHIFT 12

/* The label of a line, and a value with a remark behind it. */
#define LABEL "%-14s "
#define LINE LABEL "%-9s (%s%s%s)\n"

/* A field that is shown by name, with what that name means if @explain. */
static void show_name(struct fpc_out *o, const struct fpc_attrs *s,
		      uint16_t attr, bool explain)
{
	const struct fpc_field *field =
		fpc_field_by_attr(&fpc_status_table, attr);
	uint64_t value = s->value[attr];
	char buf[FPC_NAME_MAX];
	const char *name = fpc_choice_name(field, value, buf);
	const char *doc = fpc_choice_doc(field, value);

	if (!fpc_have(s, attr))
		return;
	if (explain && doc[0])
		fpc_out_str(o, field->name, name, LABEL "%s: %s\n", field->name,
			    name, doc);
	else
		fpc_out_str(o, field->name, name, LABEL "%s\n", field->name,
			    name);
}

/* A tunable, with its range. */
static void show_tunable(struct fpc_out *o, const struct fpc_attrs *s,
			 const struct fpc_field *field)
{
	uint64_t value = s->value[field->attr];
	const char *unit = field->unit ? field->unit : "";
	const char *blank = unit[0] ? " " : "";
	char digits[FPC_NAME_MAX], range[128];
	const char *text = fpc_field_text(field, s, digits);

	if (!fpc_have(s, field->attr))
		return;
	fpc_field_range(field, range, sizeof(range));
	switch (field->kind) {
	case FPC_ENUM:
	case FPC_STRING:
		fpc_out_str(o, field->name, text, LINE, field->name, text,
			    range, blank, unit);
		break;
	default:
		fpc_out_num(o, field->name, value, LINE, field->name, text,
			    range, blank, unit);
	}
}

static void show_state(struct fpc_out *o, const struct fpc_attrs *s)
{
	bool ready = s->value[CFPH_A_STATE] == CFPH_STATE_READY;
	bool off = s->value[CFPH_A_STATE] == CFPH_STATE_OFF;

	/* "off" needs no words of its own: the reason explains it. */
	show_name(o, s, CFPH_A_STATE, !ready && !off);
	if (o->json || s->value[CFPH_A_REASON] != CFPH_REASON_NONE)
		show_name(o, s, CFPH_A_REASON, true);
}

static void show_migration(struct fpc_out *o, const struct fpc_attrs *s)
{
	uint64_t id = s->value[CFPH_A_MIGRATION_ID];
	uint64_t round = s->value[CFPH_A_ROUND];

	if (!fpc_have(s, CFPH_A_MIGRATION_ID) || !fpc_have(s, CFPH_A_ROUND))
		return;
	if (id)
		fpc_out_num(o, "migration-id", id, LABEL "%" PRIu64 ", ",
			    "migration", id);
	else
		fpc_out_num(o, "migration-id", id, LABEL "none\n", "migration");
	fpc_out_num(o, "round", round, id ? "round %" PRIu64 "\n" : NULL,
		    round);
}

/* Two amounts of memory that belong together, on one line. */
static void show_memory(struct fpc_out *o, const struct fpc_attrs *s)
{
	uint64_t tracked = s->value[CFPH_A_TRACKED_PAGES];
	uint64_t free = s->value[CFPH_A_FREE_PAGES];
	uint64_t map = s->value[CFPH_A_MAP_BYTES];
	uint64_t buffer = s->value[CFPH_A_BUFFER_BYTES];

	if (fpc_have(s, CFPH_A_TRACKED_PAGES) &&
	    fpc_have(s, CFPH_A_FREE_PAGES)) {
		fpc_out_num(o, "tracked-pages", tracked,
			    LABEL "%s (%" PRIu64 " pages), ", "tracked",
			    fpc_size(tracked << PAGE_SHIFT).text, tracked);
		fpc_out_num(o, "free-pages", free, "free %s\n",
			    fpc_size(free << PAGE_SHIFT).text);
	}
	if (fpc_have(s, CFPH_A_MAP_BYTES) && fpc_have(s, CFPH_A_BUFFER_BYTES)) {
		fpc_out_num(o, "map-bytes", map, LABEL "%s, ", "map",
			    fpc_size(map).text);
		fpc_out_num(o, "buffer-bytes", buffer, "buffers %s\n",
			    fpc_size(buffer).text);
	}
}

int cmd_show(const struct fpc_ctx *ctx, const struct fpc_cmd *cmd, int argc,
	     char **argv)
{
	const struct fpc_table *t = &fpc_status_table;
	struct fpc_attrs s = { 0 };
	struct fpc_out o;
	int rc;

	rc = fpc_no_args(cmd, argc, argv);
	if (!rc)
		rc = fpc_get(ctx, cmd->name, CFPH_CMD_GET, t, &s);
	if (rc)
		return rc;

	fpc_out_begin(&o, ctx);
	show_state(&o, &s);
	for (unsigned int i = 0; i < t->nr_fields; i++)
		if (t->fields[i].settable)
			show_tunable(&o, &s, &t->fields[i]);
	show_migration(&o, &s);
	show_memory(&o, &s);
	fpc_out_end(&o);
	return FPC_EXIT_OK;
}

static void describe_choices(const char *title, uint16_t attr)
{
	const struct fpc_field *field =
		fpc_field_by_attr(&fpc_status_table, attr);

	printf("\n%s\n", title);
	for (unsigned int i = 0; i < field->nr_choices; i++)
		printf("  %-18s %s\n", field->choices[i].name,
		       field->choices[i].doc);
}

void cmd_show_describe(void)
{
	describe_choices("state:", CFPH_A_STATE);
	describe_choices("reason, when the state is off:", CFPH_A_REASON);
}
