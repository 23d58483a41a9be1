// SPDX-License-Identifier: GPL-2.0
/*
 * Print the tables of fpc_attr.c as JSON lines, for tests/spec.py.
 */
#include <inttypes.h>
#include <stdio.h>

#include "fpctl.h"

static const char *const kinds[] = {
	[FPC_U32] = "u32",	[FPC_U64] = "u64",   [FPC_STRING] = "string",
	[FPC_BYTES] = "binary", [FPC_BOOL] = "bool", [FPC_ENUM] = "enum",
};

static void print_field(const char *set, const struct fpc_field *f)
{
	printf("{\"set\":\"%s\",\"attr\":%u,\"name\":\"%s\",\"kind\":\"%s\","
	       "\"settable\":%d,\"min\":%" PRIu32 ",\"max\":%" PRIu32
	       ",\"doc\":\"%s\",\"choices\":[",
	       set, f->attr, f->name, kinds[f->kind], f->settable, f->min,
	       f->max, f->doc);
	for (unsigned int i = 0; i < f->nr_choices; i++)
		printf("%s[\"%s\",\"%s\"]", i ? "," : "", f->choices[i].name,
		       f->choices[i].doc);
	printf("]}\n");
}

static void print_table(const char *set, const struct fpc_table *t)
{
	for (unsigned int i = 0; i < t->nr_fields; i++)
		print_field(set, &t->fields[i]);
}

int main(void)
{
	print_table("cfph", &fpc_status_table);
	print_table("stats", &fpc_stats_table);
	print_table("zone", &fpc_zone_table);
	print_table("leaf", &fpc_leaf_table);
	print_table("event", &fpc_event_table);
	return 0;
}
