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
 * Decimal or 0x..., nothing before or after it.  A number too large to be sent
 * comes back as UINT64_MAX.
 */
static bool parse_number(const char *word, uint64_t *value)
{
	bool hex = word[0] == '0' && tolower((unsigned char)word[1]) == 'x';
	char *end;

	/* strtoull() would take spaces, signs and, for base 0, octal. */
	if (!isdigit((unsigned char)word[0]) ||
	    (hex && !isxdigit((unsigned char)word[2])))
		return false;
	*value = strtoull(word, &end, hex ? 16 : 10);
	return !*end;
}

static int parse_value(const char *cmd, const struct fpc_field *field,
		       const char *word, uint64_t *value)
{
	uint64_t limit = field->kind == FPC_U64 ? UINT64_MAX : UINT32_MAX;
	const char *why;
	char range[LIST_MAX];

	if (field->nr_choices) {
		if (parse_choice(field, word, value))
			return FPC_EXIT_OK;
		why = "not one of";
	} else if (!parse_number(word, value)) {
		why = "not a number,";
	} else if (*value > limit) {
		why = "out of range,";
	} else {
		return FPC_EXIT_OK;
	}
	fpc_field_range(field, range, sizeof(range));
	return fpc_fail(FPC_EXIT_USAGE, "%s %s %s: %s %s", cmd, field->name,
			word, why, range);
}

int fpc_args_pairs(const char *cmd, const struct fpc_table *table, int argc,
		   char **argv, struct fpc_attrs *attrs)
{
	char list[LIST_MAX];

	attrs->have = 0;
	if (!argc) {
		fpc_args_keys(table, list, sizeof(list));
		return fpc_fail(FPC_EXIT_USAGE,
				"%s: needs KEY VALUE pairs; keys are %s", cmd,
				list);
	}
	for (int i = 0; i < argc; i += 2) {
		const struct fpc_field *field = find_key(table, argv[i]);
		uint64_t value = 0;

		if (!field) {
			fpc_args_keys(table, list, sizeof(list));
			return fpc_fail(FPC_EXIT_USAGE,
					"%s %s: no such tunable; there are %s",
					cmd, argv[i], list);
		}
		if (fpc_have(attrs, field->attr))
			return fpc_fail(FPC_EXIT_USAGE, "%s %s: given twice",
					cmd, field->name);
		if (i + 1 == argc) {
			fpc_field_range(field, list, sizeof(list));
			return fpc_fail(FPC_EXIT_USAGE,
					"%s %s: needs a value, %s", cmd,
					field->name, list);
		}
		if (parse_value(cmd, field, argv[i + 1], &value))
			return FPC_EXIT_USAGE;
		fpc_put(attrs, field->attr, value);
	}
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
