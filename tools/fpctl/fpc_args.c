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

/* How many of the field's unit one of @suffix is, 0 if it cannot be told so. */
static uint64_t unit_factor(const struct fpc_field *field, const char *suffix)
{
	static const struct {
		const char *unit, *suffix;
		uint64_t factor;
	} units[] = {
		{ "ms", "ms", 1 },	   { "ms", "s", 1000 },
		{ "KiB", "K", 1 },	   { "KiB", "KiB", 1 },
		{ "KiB", "M", 1 << 10 },   { "KiB", "MiB", 1 << 10 },
		{ "KiB", "G", 1 << 20 },   { "KiB", "GiB", 1 << 20 },
		{ "KiB/s", "K", 1 },	   { "KiB/s", "KiB/s", 1 },
		{ "KiB/s", "M", 1 << 10 }, { "KiB/s", "MiB/s", 1 << 10 },
		{ "KiB/s", "G", 1 << 20 }, { "KiB/s", "GiB/s", 1 << 20 },
	};

	if (!*suffix)
		return 1;
	for (unsigned int i = 0; field->unit && i < ARRAY_SIZE(units); i++)
		if (!strcmp(units[i].unit, field->unit) &&
		    !strcmp(units[i].suffix, suffix))
			return units[i].factor;
	return 0;
}

/*
 * Decimal or 0x..., with a minus if the field is signed and a unit if it has
 * any; nothing else before or after.  @size comes without the sign; one that is
 * too large comes as UINT64_MAX.
 */
static bool parse_number(const struct fpc_field *field, const char *word,
			 bool *minus, uint64_t *size)
{
	uint64_t factor;
	bool hex;
	char *end;

	*minus = field->kind == FPC_S32 && word[0] == '-';
	word += *minus;
	hex = word[0] == '0' && tolower((unsigned char)word[1]) == 'x';
	/* strtoull() would take spaces, signs and, for base 0, octal. */
	if (!isdigit((unsigned char)word[0]) ||
	    (hex && !isxdigit((unsigned char)word[2])))
		return false;
	*size = strtoull(word, &end, hex ? 16 : 10);
	factor = unit_factor(field, end);
	if (!factor)
		return false;
	*size = *size > UINT64_MAX / factor ? UINT64_MAX : *size * factor;
	return true;
}

/* The largest number that fits into the attribute. */
static uint64_t limit(const struct fpc_field *field, bool minus)
{
	switch (field->kind) {
	case FPC_U64:
		return UINT64_MAX - 1; /* UINT64_MAX: see parse_number() */
	case FPC_S32:
		return (uint64_t)INT32_MAX + minus;
	default:
		return UINT32_MAX;
	}
}

/* NULL, or what is wrong with @word. */
static const char *parse_value(const struct fpc_field *field, const char *word,
			       struct fpc_attrs *attrs)
{
	uint64_t value = 0;
	bool minus;

	if (field->kind == FPC_STRING) {
		if (!fpc_put_data(attrs, field->attr, word, strlen(word)))
			return "too long,";
		return *word ? NULL : "empty,";
	}
	if (field->nr_choices) {
		if (!parse_choice(field, word, &value))
			return "not one of";
	} else {
		if (!parse_number(field, word, &minus, &value))
			return "not a number,";
		if (value > limit(field, minus))
			return "out of range,";
		if (minus)
			value = -value;
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
