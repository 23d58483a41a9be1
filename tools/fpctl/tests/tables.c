// SPDX-License-Identifier: GPL-2.0
/*
 * Print the tables of fpc_attr.c as JSON lines, for tests/spec.py.
 */
#include <stdio.h>

#include "fpctl.h"

static const char *const kinds[] = {
	[FPC_U32] = "u32",
	[FPC_U64] = "u64",
	[FPC_BOOL] = "bool",
	[FPC_ENUM] = "enum",
};

static void print_field(const char *set, const struct fpc_field *f)
{
	printf("{\"set\":\"%s\",\"attr\":%u,\"name\":\"%s\",\"kind\":\"%s\","
	       "\"settable\":%d,\"min\":%u,\"max\":%u,\"doc\":\"%s\",\"choices\":[",
	       set, f->attr, f->name, kinds[f->kind], f->settable, f->min,
	       f->max, f->doc);
	for (unsigned int i = 0; i < f->nr_choices; i++)
		printf("%s[\"%s\",\"%s\"]", i ? "," : "", f->choices[i].name,
		       f->choices[i].doc);
	printf("]}\n");
}

int main(void)
{
	for (unsigned int i = 0; i < fpc_status_table.nr_fields; i++)
		print_field("cfph", &fpc_status_table.fields[i]);
	for (unsigned int i = 0; i < fpc_stats_table.nr_fields; i++)
		print_field("stats", &fpc_stats_table.fields[i]);
	return 0;
}
