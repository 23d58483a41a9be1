// SPDX-License-Identifier: GPL-2.0
/*
 * Text or JSON on stdout, see fpc_out.h.  Failures to write are noticed once,
 * at the end of main().
 */
#include <inttypes.h>
#include <stdio.h>

#include "fpc_out.h"

uint64_t fpc_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void fpc_out_begin(struct fpc_out *o, const struct fpc_ctx *ctx, uint64_t ms)
{
	bool now = !ms;
	time_t seconds;
	char day[32];
	struct tm tm;

	*o = (struct fpc_out){ .json = ctx->json, .pretty = ctx->opt['p'] };
	fpc_out_open(o, NULL, '{');
	if (!ctx->opt['t'])
		return;
	if (now)
		ms = fpc_clock(CLOCK_REALTIME) / 1000000;
	seconds = ms / 1000;
	fpc_out_num(o, "time-ms", ms);
	localtime_r(&seconds, &tm);
	strftime(day, sizeof(day), "%Y-%m-%d %H:%M:%S", &tm);
	if (!o->json)
		printf(now ? "time           %s.%03u\n" : "%s.%03u ", day,
		       (unsigned int)(ms % 1000));
}

void fpc_out_end(struct fpc_out *o)
{
	fpc_out_close(o, '{');
	if (o->json)
		putchar('\n');
}

static void new_line(const struct fpc_out *o)
{
	if (o->pretty)
		printf("\n%*s", 4 * o->depth, "");
}

/* False if it is text.  Keys come from the spec and need no quoting. */
static bool put_key(struct fpc_out *o, const char *key)
{
	if (!o->json)
		return false;
	if (o->more)
		putchar(',');
	o->more = true;
	if (o->depth)
		new_line(o);
	if (key)
		printf(o->pretty ? "\"%s\": " : "\"%s\":", key);
	return true;
}

void fpc_out_open(struct fpc_out *o, const char *key, char bracket)
{
	if (!put_key(o, key))
		return;
	putchar(bracket);
	o->depth++;
	o->more = false;
}

void fpc_out_close(struct fpc_out *o, char bracket)
{
	if (!o->json)
		return;
	o->depth--;
	if (o->more)
		new_line(o);
	putchar(bracket == '{' ? '}' : ']');
	o->more = true;
}

void fpc_out_num(struct fpc_out *o, const char *key, uint64_t value)
{
	if (put_key(o, key))
		printf("%" PRIu64, value);
}

void fpc_out_milli(struct fpc_out *o, const char *key, uint64_t value)
{
	if (put_key(o, key))
		printf("%" PRIu64 ".%03u", value / 1000, (unsigned int)(value % 1000));
}

void fpc_out_str(struct fpc_out *o, const char *key, const char *value)
{
	if (!put_key(o, key))
		return;
	putchar('"');
	for (; *value; value++)
		if ((unsigned char)*value < 0x20)
			printf("\\u%04x", *value);
		else
			printf("%s%c", *value == '"' || *value == '\\' ? "\\" : "", *value);
	putchar('"');
}

void fpc_out_field(struct fpc_out *o, const struct fpc_field *field, const struct fpc_attrs *attrs)
{
	char digits[FPC_NAME_MAX];

	if (!fpc_have(attrs, field->attr))
		return;
	if (field->kind == FPC_ENUM || field->kind == FPC_STRING)
		fpc_out_str(o, field->name, fpc_field_text(field, attrs, digits));
	else
		fpc_out_num(o, field->name, attrs->value[field->attr]);
}

void fpc_out_fields(struct fpc_out *o, const struct fpc_table *table, const struct fpc_attrs *attrs)
{
	for (unsigned int i = 0; i < table->nr_fields; i++)
		fpc_out_field(o, &table->fields[i], attrs);
}

struct fpc_size fpc_size(uint64_t bytes)
{
	struct fpc_size s;

	/* The larger unit only when it loses little: from 10 MiB up. */
	if (bytes >= UINT64_C(10) << 20)
		snprintf(s.text, sizeof(s.text), "%" PRIu64 " MiB", bytes >> 20);
	else if (bytes >= 1024 || !bytes)
		snprintf(s.text, sizeof(s.text), "%" PRIu64 " KiB", bytes >> 10);
	else
		snprintf(s.text, sizeof(s.text), "%" PRIu64 " bytes", bytes);
	return s;
}

struct fpc_size fpc_pages(uint64_t pages)
{
	return fpc_size(pages << 12);
}
