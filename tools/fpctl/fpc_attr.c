// SPDX-License-Identifier: GPL-2.0
/*
 * The attributes of the cfph family, see fpc_attr.h.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <linux/cfph.h>

#include "fpc_attr.h"

static_assert(__CFPH_A_MAX <= FPC_ATTRS, "fpc_attrs.have is too narrow");
static_assert(__CFPH_A_STATS_MAX <= FPC_ATTRS, "fpc_attrs.have is too narrow");
static_assert(FPC_DATA <= UINT16_MAX, "fpc_attrs.where is too narrow");

bool fpc_put_data(struct fpc_attrs *a, uint16_t attr, const void *data, unsigned int len)
{
	/* One more for the NUL, in any case. */
	if (len >= FPC_DATA - a->used)
		return false;
	fpc_put(a, attr, len);
	a->where[attr] = a->used;
	memcpy(a->data + a->used, data, len);
	a->data[a->used + len] = '\0';
	a->used += len + 1;
	return true;
}

const char *fpc_data(const struct fpc_attrs *a, uint16_t attr)
{
	return fpc_have(a, attr) ? a->data + a->where[attr] : "";
}

const struct fpc_field *fpc_field_by_attr(const struct fpc_table *table, uint16_t attr)
{
	for (unsigned int i = 0; i < table->nr_fields; i++)
		if (table->fields[i].attr == attr)
			return &table->fields[i];
	return NULL;
}

const char *fpc_field_text(const struct fpc_field *field, const struct fpc_attrs *a,
			   char buf[FPC_NAME_MAX])
{
	uint64_t value = a->value[field->attr];

	if (field->kind == FPC_STRING)
		return fpc_data(a, field->attr);
	if (value < field->nr_choices)
		return field->choices[value].name;
	snprintf(buf, FPC_NAME_MAX, "%" PRIu64, value);
	return buf;
}

const char *fpc_text(const struct fpc_table *table, const struct fpc_attrs *a, uint16_t attr,
		     char buf[FPC_NAME_MAX])
{
	return fpc_field_text(fpc_field_by_attr(table, attr), a, buf);
}

const char *fpc_status_names(unsigned int i)
{
	return i < fpc_status_table.nr_fields ? fpc_status_table.fields[i].name : NULL;
}

const char *fpc_key_names(unsigned int i)
{
	const char *name = fpc_status_names(i);

	return !name || fpc_status_table.fields[i].settable ? name : "";
}

const char *fpc_state_names(unsigned int i)
{
	const struct fpc_field *f = fpc_field_by_attr(&fpc_status_table, CFPH_A_STATE);

	return i < f->nr_choices ? f->choices[i].name : NULL;
}

const char *fpc_part_names(unsigned int i)
{
	return i ? NULL : "zone";
}

void fpc_join(fpc_names *names, const char *prefix, char *buf, unsigned int n)
{
	unsigned int used = 0;
	const char *name;

	buf[0] = '\0';
	for (unsigned int i = 0; used < n && (name = names(i)); i++)
		if (name[0] && !strncmp(name, prefix, strlen(prefix)))
			used += snprintf(buf + used, n - used, "%s%s", used ? ", " : "", name);
}

void fpc_field_range(const struct fpc_field *field, char *buf, unsigned int n)
{
	unsigned int used = 0;

	buf[0] = '\0';
	if (field->kind == FPC_STRING)
		snprintf(buf, n, "%s", field->hint);
	else if (!field->nr_choices)
		snprintf(buf, n, "%" PRIu32 "..%" PRIu32 "%s%s", field->min, field->max,
			 field->unit[0] ? " " : "", field->unit);
	for (unsigned int i = 0; i < field->nr_choices && used < n; i++)
		used += snprintf(buf + used, n - used, "%s%s", i ? ", " : "",
				 field->choices[i].name);
}
