// SPDX-License-Identifier: GPL-2.0
/*
 * The key-value parser, see fpc_args.h.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fpc_args.h"
#include "fpctl.h"

#define LIST_MAX 256

/* The key @name, or NULL if there is none that can be set. */
static const struct fpc_field *find_key(const struct fpc_table *table,
					const char *name)
{
	const struct fpc_field *field = fpc_field_by_name(table, name);

	return field && field->settable ? field : NULL;
}

void fpc_args_keys(const struct fpc_table *table, char *buf, unsigned int n)
{
	unsigned int used = 0;

	buf[0] = '\0';
	for (unsigned int i = 0; i < table->nr_fields && used < n; i++) {
		if (!table->fields[i].settable)
			continue;
		used += snprintf(buf + used, n - used, "%s%s", used ? ", " : "",
				 table->fields[i].name);
	}
}

static bool parse_choice(const struct fpc_field *field, const char *word,
			 uint64_t *value)
{
	for (unsigned int i = 0; i < field->nr_choices; i++) {
		if (!strcmp(word, field->choices[i].name)) {
			*value = i;
			return true;
		}
	}
	/* An on/off switch is 0/1 in JSON, so that is accepted back. */
	if (field->kind != FPC_BOOL || strlen(word) != 1 ||
	    (*word != '0' && *word != '1'))
		return false;
	*value = *word - '0';
	return true;
}

/*
 * Decimal or 0x..., with "ms" or "s" behind it or nothing, for every number that
 * can be set is a time in milliseconds.  One that is too large comes as UINT64_MAX.
 */
static bool parse_number(const char *word, uint64_t *ms)
{
	bool hex = word[0] == '0' && tolower((unsigned char)word[1]) == 'x';
	char *end;

	/* strtoull() would take spaces, signs and, for base 0, octal. */
	if (!isdigit((unsigned char)word[0]) ||
	    (hex && !isxdigit((unsigned char)word[2])))
		return false;
	*ms = strtoull(word, &end, hex ? 16 : 10);
	if (!strcmp(end, "s"))
		*ms = *ms > UINT64_MAX / 1000 ? UINT64_MAX : *ms * 1000;
	else if (*end && strcmp(end, "ms"))
		return false;
	return true;
}

/* NULL, or what is wrong with @word. */
static const char *parse_value(const struct fpc_field *field, const char *word,
			       struct fpc_attrs *attrs)
{
	uint64_t value = 0;

	if (field->kind == FPC_STRING) {
		if (!fpc_put_data(attrs, field->attr, word, strlen(word)))
			return "too long,";
		return *word ? NULL : "empty,";
	}
	if (field->nr_choices) {
		if (!parse_choice(field, word, &value))
			return "not one of";
	} else {
		if (!parse_number(word, &value))
			return "not a number,";
		if (value > UINT32_MAX) /* what the attribute can carry */
			return "out of range,";
	}
	fpc_put(attrs, field->attr, value);
	return NULL;
}

/* "10..10000 ms" */
static void range_unit(const struct fpc_field *field, char *buf, unsigned int n)
{
	size_t used;

	fpc_field_range(field, buf, n);
	used = strlen(buf);
	if (field->unit)
		snprintf(buf + used, n - used, " %s", field->unit);
}

int fpc_args_pair(const char *where, const struct fpc_table *table,
		  const char *key, const char *word, struct fpc_attrs *attrs)
{
	const struct fpc_field *field = find_key(table, key);
	char list[LIST_MAX];
	const char *why;

	if (!field) {
		fpc_args_keys(table, list, sizeof(list));
		return fpc_fail(FPC_EXIT_USAGE,
				"%s %s: no such tunable; there are %s", where,
				key, list);
	}
	if (fpc_have(attrs, field->attr))
		return fpc_fail(FPC_EXIT_USAGE, "%s %s: given twice", where,
				field->name);
	range_unit(field, list, sizeof(list));
	if (!word)
		return fpc_fail(FPC_EXIT_USAGE, "%s %s: needs a value, %s",
				where, field->name, list);
	why = parse_value(field, word, attrs);
	if (!why)
		return FPC_EXIT_OK;
	return fpc_fail(FPC_EXIT_USAGE, "%s %s %s: %s %s", where, field->name,
			word, why, list);
}

int fpc_args_pairs(const char *cmd, const struct fpc_table *table, int argc,
		   char **argv, struct fpc_attrs *attrs)
{
	char list[LIST_MAX];

	attrs->have = attrs->used = 0;
	if (!argc) {
		fpc_args_keys(table, list, sizeof(list));
		return fpc_fail(FPC_EXIT_USAGE,
				"%s: needs KEY VALUE pairs; keys are %s", cmd,
				list);
	}
	for (int i = 0; i < argc; i += 2) /* argv[argc] is NULL */
		if (fpc_args_pair(cmd, table, argv[i], argv[i + 1], attrs))
			return FPC_EXIT_USAGE;
	return FPC_EXIT_OK;
}

static bool is_used(const char *key, int argc, char **argv)
{
	for (int i = 0; i < argc; i += 2)
		if (!strcmp(argv[i], key))
			return true;
	return false;
}

void fpc_args_complete(const struct fpc_table *table, int argc, char **argv)
{
	if (argc % 2) {
		const struct fpc_field *key = find_key(table, argv[argc - 1]);

		for (unsigned int i = 0; key && i < key->nr_choices; i++)
			puts(key->choices[i].name);
		return;
	}
	for (unsigned int i = 0; i < table->nr_fields; i++) {
		const struct fpc_field *field = &table->fields[i];

		if (field->settable && !is_used(field->name, argc, argv))
			puts(field->name);
	}
}
