// SPDX-License-Identifier: GPL-2.0
/*
 * Words of the command line, see fpc_args.h.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fpc_args.h"
#include "fpc_ask.h"
#include "fpc_cmd.h"

#define LIST_MAX 256

int fpc_pick(fpc_names *names, const char *word, bool whole)
{
	size_t len = strlen(word);
	int found = FPC_NONE;
	const char *name;

	for (int i = 0; len && (name = names(i)); i++) {
		if (strncmp(name, word, len))
			continue;
		if (!name[len])
			return i;
		if (!whole)
			found = found == FPC_NONE ? i : FPC_MANY;
	}
	return found;
}

int fpc_choose(const char *where, const char *kind, fpc_names *names, const char *word, bool whole)
{
	int i = fpc_pick(names, word, whole);
	const char *gap = where[0] ? " " : "";
	char text[LIST_MAX];

	if (i >= 0)
		return i;
	fpc_join(names, i == FPC_MANY ? word : "", text, sizeof(text));
	return fpc_fail(i, "%s%s%s: %s %s%s %s", where, gap, word,
			i == FPC_MANY ? "ambiguous" : "no such", kind,
			i == FPC_MANY ? ", may be" : "; there are", text);
}

void fpc_print_names(fpc_names *names, uint32_t without)
{
	const char *name;

	for (unsigned int i = 0; (name = names(i)); i++)
		if (name[0] && !(without & UINT32_C(1) << i % 32))
			puts(name);
}

static bool parse_choice(const struct fpc_field *field, const char *word, uint64_t *value)
{
	static const char *const switches[][2] = {
		{ "no", "yes" },
		{ "false", "true" },
		{ "0", "1" },
	};

	for (*value = 0; *value < field->nr_choices; ++*value) {
		if (!strcasecmp(word, field->choices[*value].name))
			return true;
		for (unsigned int i = 0; field->kind == FPC_BOOL && i < ARRAY_SIZE(switches); i++)
			if (!strcasecmp(word, switches[i][*value]))
				return true;
	}
	return false;
}

/* What may stand behind a number of that unit, beside the unit itself. */
static const struct {
	const char *unit, *suffix;
	uint64_t factor;
} suffixes[] = {
	{ "ms", "s", 1000 },
	{ "bytes", "k", UINT64_C(1) << 10 },
	{ "bytes", "m", UINT64_C(1) << 20 },
	{ "bytes", "g", UINT64_C(1) << 30 },
};

/* 0 if there is no such suffix. */
static uint64_t factor(const char *unit, const char *suffix)
{
	if (!suffix[0] || !strcasecmp(suffix, unit))
		return 1;
	for (unsigned int i = 0; i < ARRAY_SIZE(suffixes); i++)
		if (!strcmp(unit, suffixes[i].unit) && !strcasecmp(suffix, suffixes[i].suffix))
			return suffixes[i].factor;
	return 0;
}

/* Decimal or 0x...; one that is too large comes as UINT64_MAX. */
static bool parse_number(const char *unit, const char *word, uint64_t *value)
{
	bool hex = word[0] == '0' && tolower((unsigned char)word[1]) == 'x';
	uint64_t times;
	char *end;

	/* strtoull() would take spaces, signs and, for base 0, octal. */
	if (!isdigit((unsigned char)word[0]) || (hex && !isxdigit((unsigned char)word[2])))
		return false;
	*value = strtoull(word, &end, hex ? 16 : 10);
	times = factor(unit, end);
	if (__builtin_mul_overflow(*value, times, value))
		*value = UINT64_MAX;
	return times;
}

const char *fpc_args_value(const struct fpc_field *field, const char *word, struct fpc_attrs *attrs)
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
		if (!parse_number(field->unit, word, &value))
			return "not a number,";
		if (value > UINT32_MAX) /* what the attribute can carry */
			return "out of range,";
	}
	fpc_put(attrs, field->attr, value);
	return NULL;
}

int fpc_args_word(const char *where, const struct fpc_field *field, const char *word,
		  struct fpc_attrs *attrs)
{
	char range[LIST_MAX];
	const char *why;

	if (fpc_have(attrs, field->attr))
		return fpc_fail(FPC_EXIT_USAGE, "%s %s: given twice", where, field->name);
	fpc_field_range(field, range, sizeof(range));
	if (!word)
		return fpc_fail(FPC_EXIT_USAGE, "%s %s: needs a value, %s", where, field->name,
				range);
	why = fpc_args_value(field, word, attrs);
	if (!why)
		return FPC_EXIT_OK;
	return fpc_fail(FPC_EXIT_USAGE, "%s %s %s: %s %s", where, field->name, word, why, range);
}

int fpc_args_pair(const char *where, bool whole, const char *key, const char *word,
		  struct fpc_attrs *attrs)
{
	int i = fpc_choose(where, "tunable", fpc_key_names, key, whole);

	return i < 0 ? FPC_EXIT_USAGE
		     : fpc_args_word(where, &fpc_status_table.fields[i], word, attrs);
}

int fpc_args_pairs(const char *where, int argc, char **argv, struct fpc_attrs *attrs)
{
	for (int i = 0; i < argc; i++) {
		char *value = strchr(argv[i], '=');
		const char *key = argv[i];

		if (value)
			*value++ = '\0';
		else
			value = argv[++i]; /* argv[argc] is NULL */
		if (fpc_args_pair(where, false, key, value, attrs))
			return FPC_EXIT_USAGE;
	}
	return FPC_EXIT_OK;
}

void fpc_args_complete(int argc, char **argv)
{
	const struct fpc_field *fields = fpc_status_table.fields;
	uint32_t used = 0;
	int key = FPC_NONE;

	for (int i = 0; i < argc; i++) {
		bool both = strchr(argv[i], '=');

		if (both)
			argv[i][strcspn(argv[i], "=")] = '\0';
		key = fpc_pick(fpc_key_names, argv[i], false);
		if (key >= 0)
			used |= UINT32_C(1) << key;
		if (!both && ++i == argc) { /* its value is what is missing */
			for (unsigned int c = 0; key >= 0 && c < fields[key].nr_choices; c++)
				puts(fields[key].choices[c].name);
			return;
		}
	}
	fpc_print_names(fpc_key_names, used);
}
